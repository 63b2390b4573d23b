/* What the scan needs besides tile products: the lower triangle of a tile, and the single step of
 * decoding. */
#include "ops/vector/tile.h"
#include "ops/vector/vector.h"

/* Keeps a[t, s] where s ≤ t (strict: s < t) and writes zeros after it, up to column `reach(t)`: the end of
 * the TILE_LANES wide diagonal block. `first` is the tile row of the first row given, so blocks of rows can
 * be masked. */
void ISA(tile_keep_lower)(int64_t first, int64_t rows, float *a, int64_t a_row, bool strict)
{
    for (int64_t t = first; t < first + rows; t++, a += a_row) {
        int64_t start = t / TILE_LANES * TILE_LANES;
        vi last = v_splat_integer((int32_t)(t - start - strict)), lane = v_iota();
        for (int64_t s = start; s < start + TILE_LANES; s += LANES, lane += LANES)
            v_store(a + s, v_select(lane <= last, v_load(a + s), (vf){0}));
    }
}

/* One column block of a step: state' = decay ∘ state + k vᵀ, out = state'ᵀ q (exclusive: (decay ∘ state)ᵀ q).
 * `lanes` < LANES: the last part. */
static inline __attribute__((always_inline)) void step_block(int wide, int64_t lanes, bool fades,
                                                             const scan_step *s, int64_t column)
{
    vf v[4], sum[4];
    for (int j = 0; j < wide; j++) {
        v[j] = v_load_part(s->v + column + j * LANES, lanes, 0);
        sum[j] = (vf){0};
    }
    for (int64_t f = 0; f < s->key; f++) {
        vf k = v_splat(s->k[f * s->k_step]), q = v_splat(s->q[f * s->q_step]);
        vf whole = v_splat(fades ? s->whole[f * s->factor_step] : 1);
        vf part = v_splat(fades ? s->part[f * s->factor_step] : 0);
        for (int j = 0; j < wide; j++) {
            const float *from = s->state ? s->state + f * s->state_row + column + j * LANES : 0;
            vf old = !from ? (vf){0} : lanes == LANES ? v_load(from) : v_load_part(from, lanes, 0);
            if (fades)
                old = v_multiply_add(old, part, old * whole);
            vf next = old + k * v[j];
            sum[j] += q * (s->exclusive ? old : next);
            if (!s->state_out)
                continue;
            float *to = s->state_out + f * s->state_out_row + column + j * LANES;
            if (lanes == LANES)
                v_store(to, next);
            else
                v_store_part(to, lanes, next);
        }
    }
    for (int j = 0; j < wide; j++)
        v_store_part(s->out + column + j * LANES, lanes, sum[j]);
}

static inline __attribute__((always_inline)) void step_columns(bool fades, const scan_step *s)
{
    int64_t column = 0;
    for (; column + 4 * LANES <= s->width; column += 4 * LANES)
        step_block(4, LANES, fades, s, column);
    for (; column < s->width; column += LANES)
        step_block(1, s->width - column < LANES ? s->width - column : LANES, fades, s, column);
}

void ISA(scan_step_state)(const scan_step *s)
{
    if (s->whole)
        step_columns(true, s);
    else
        step_columns(false, s);
}
