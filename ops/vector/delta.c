/* What the delta rule needs besides tile products: a decayed triangle, the solution of a triangular system,
 * and the single step of decoding. */
#include "ops/vector/tile.h"
#include "ops/vector/vector.h"

/* tile_keep_lower from column 0 on, of factor · a[t, s], times weight[t, s] if there is a `weight`. */
void ISA(tile_weigh_lower)(int64_t first, int64_t rows, float *a, int64_t a_row, const float *weight,
                           int64_t weight_row, float factor, bool strict)
{
    for (int64_t t = first; t < first + rows; t++, a += a_row) {
        int64_t end = (t / TILE_LANES + 1) * TILE_LANES;
        vi last = v_splat_integer((int32_t)(t - strict)), lane = v_iota();
        for (int64_t s = 0; s < end; s += LANES, lane += LANES) {
            vf times = weight ? v_load(weight + s) * factor : v_splat(factor);
            v_store(a + s, v_select(lane <= last, v_load(a + s) * times, (vf){0}));
        }
        if (weight)
            weight += weight_row;
    }
}

/* sum += Σ_{s<count} a[s] · y[s] for `wide` vectors of columns. */
static inline __attribute__((always_inline)) void add_rows(int wide, vf sum[4], int64_t count, const float *a,
                                                           int64_t a_column, const float *y, int64_t row)
{
    for (int64_t s = 0; s < count; s++) {
        vf left = v_splat(a[s * a_column]);
        for (int j = 0; j < wide; j++)
            sum[j] = v_multiply_add(left, v_load(y + s * row + j * LANES), sum[j]);
    }
}

static inline __attribute__((always_inline)) void solve_columns(int wide, int64_t rows, const float *a,
                                                                int64_t a_row, int64_t a_column,
                                                                const float *scale, int64_t scale_step,
                                                                float *x, float *y, int64_t row)
{
    for (int64_t t = 0; t < rows; t++) {
        vf sum[4];
        for (int j = 0; j < wide; j++)
            sum[j] = v_load(x + t * row + j * LANES);
        add_rows(wide, sum, t, a + t * a_row, a_column, y, row);
        for (int j = 0; j < wide; j++) {
            v_store(x + t * row + j * LANES, sum[j]);
            v_store(y + t * row + j * LANES, sum[j] * scale[t * scale_step]);
        }
    }
}

/* The system of one block of the diagonal, row after row: x[t] += Σ_{s<t} a[t, s] · y[s], y[t] = scale[t]
 * · x[t]. Strides may be negative: from the last row up, with a's strides exchanged, it is the transposed
 * system. */
void ISA(tile_solve)(int64_t rows, int64_t columns, const float *a, int64_t a_row, int64_t a_column,
                     const float *scale, int64_t scale_step, float *x, float *y, int64_t row)
{
    int64_t j = 0, end = tile_pitch(columns);
    for (; j + 4 * LANES <= end; j += 4 * LANES)
        solve_columns(4, rows, a, a_row, a_column, scale, scale_step, x + j, y + j, row);
    for (; j < end; j += LANES)
        solve_columns(1, rows, a, a_row, a_column, scale, scale_step, x + j, y + j, row);
}

static inline __attribute__((always_inline)) void
add_columns(int wide, int64_t rows, const float *a, int64_t a_row, const float *y, float *x, int64_t row)
{
    for (int64_t t = 0; t < rows; t++) {
        vf sum[4];
        for (int j = 0; j < wide; j++)
            sum[j] = v_load(x + t * row + j * LANES);
        add_rows(wide, sum, t + 1, a + t * a_row, 1, y, row);
        for (int j = 0; j < wide; j++)
            v_store(x + t * row + j * LANES, sum[j]);
    }
}

/* x[t] += Σ_{s≤t} a[t, s] · y[s]: later rows of y are not read, so an overflow there does not spread. */
void ISA(tile_add_lower)(int64_t rows, int64_t columns, const float *a, int64_t a_row, const float *y,
                         float *x, int64_t row)
{
    int64_t j = 0, end = tile_pitch(columns);
    for (; j + 4 * LANES <= end; j += 4 * LANES)
        add_columns(4, rows, a, a_row, y + j, x + j, row);
    for (; j < end; j += LANES)
        add_columns(1, rows, a, a_row, y + j, x + j, row);
}

/* One column block of a step; `lanes` < LANES: the last part. */
static inline __attribute__((always_inline)) void step_block(int wide, int64_t lanes, const delta_step *s,
                                                             int64_t column)
{
    vf predicted[4] = {0}, read[4] = {0}, write[4], decay = v_splat(s->decay);
    for (int64_t f = 0; s->state && f < s->key; f++) {
        vf k = v_splat(s->k[f * s->k_step]), q = v_splat(s->q[f * s->q_step]);
        const float *row = s->state + f * s->state_row + column;
        for (int j = 0; j < wide; j++) {
            vf old = lanes == LANES ? v_load(row + j * LANES) : v_load_part(row, lanes, 0);
            predicted[j] += k * old;
            read[j] += q * old;
        }
    }
    for (int j = 0; j < wide; j++) {
        vf error = v_load_part(s->v + column + j * LANES, lanes, 0) - decay * predicted[j];
        write[j] = error * s->beta;
        v_store_part(s->out + column + j * LANES, lanes, decay * read[j] + write[j] * s->match);
    }
    for (int64_t f = 0; s->state_out && f < s->key; f++) {
        vf k = v_splat(s->k[f * s->k_step]);
        const float *row = s->state ? s->state + f * s->state_row + column : NULL;
        float *to = s->state_out + f * s->state_out_row + column;
        for (int j = 0; j < wide; j++) {
            vf old = !row ? (vf){0} : lanes == LANES ? v_load(row + j * LANES) : v_load_part(row, lanes, 0);
            vf next = decay * old + k * write[j];
            if (lanes == LANES)
                v_store(to + j * LANES, next);
            else
                v_store_part(to, lanes, next);
        }
    }
}

/* With d = e^g: u = β (v − d Sᵀk), out = d Sᵀq + (q · k) u, and then S' = d S + k uᵀ: the state is read
 * twice. */
void ISA(delta_step_state)(const delta_step *s)
{
    int64_t column = 0;
    for (; column + 4 * LANES <= s->width; column += 4 * LANES)
        step_block(4, LANES, s, column);
    for (; column < s->width; column += LANES)
        step_block(1, s->width - column < LANES ? s->width - column : LANES, s, column);
}
