/* A log decay for each key dimension at each step: the decay between two rows is a vector. Tiles have a row
 * for each token and a column for each key dimension. Inside a block of TILE_LANES rows the factors are
 * running products of e^g, which may underflow to 0 but never exceed those of the recurrence itself; between
 * blocks they are exponentials of sums in double. */
#include "ops/vector/exponentials.h"
#include "ops/vector/tile.h"
#include "ops/vector/transpose.h"

#define ALWAYS static inline __attribute__((always_inline))

ALWAYS vf load_gate(const float *g)
{
    return v_max(v_splat(LOG_DECAY_LEAST), v_load(g));
} /* NaN passes */

void ISA(gate_exponentials)(int64_t rows, int64_t columns, const float *g, int64_t row, float *to)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t f = 0; f < columns; f += LANES)
            v_store(to + i * row + f, v_exp_rounded(load_gate(g + i * row + f), (vf){0}));
}

/* A sum as two floats: the second collects the rounding errors of the first. */
typedef struct long_sum {
    vf high, low;
} long_sum;
ALWAYS void long_add(long_sum *sum, vf x)
{
    vf high = sum->high + x, added = high - sum->high;
    sum->low += (sum->high - (high - added)) + (x - added);
    sum->high = high;
}
ALWAYS void long_store(double *to, const long_sum *sum)
{
    v_store_doubles(to, v_double_low(sum->high) + v_double_low(sum->low),
                    v_double_high(sum->high) + v_double_high(sum->low));
}

void ISA(gate_from_start)(int64_t rows, int64_t columns, const float *g, int64_t row, float *to, double *sums)
{
    for (int64_t f = 0; f < columns; f += LANES) {
        long_sum sum = {{0}, {0}};
        for (int64_t i = 0; i < rows; i++) {
            long_add(&sum, load_gate(g + i * row + f));
            v_store(to + i * row + f, v_exp_rounded(sum.high, sum.low));
        }
        long_store(sums + f, &sum);
    }
}

void ISA(gate_to_end)(int64_t rows, int64_t columns, const float *g, int64_t row, float *to, double *sums)
{
    for (int64_t f = 0; f < columns; f += LANES) {
        long_sum sum = {{0}, {0}};
        for (int64_t i = rows - 1; i >= 0; i--) {
            v_store(to + i * row + f, v_exp_rounded(sum.high, sum.low));
            long_add(&sum, load_gate(g + i * row + f));
        }
        long_store(sums + f, &sum);
    }
}

void ISA(tile_multiply)(int64_t rows, int64_t columns, const float *a, const float *b, int64_t row, float *to)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j += LANES)
            v_store(to + i * row + j, v_load(a + i * row + j) * v_load(b + i * row + j));
}

void ISA(tile_add)(int64_t rows, int64_t columns, const float *a, int64_t row, float *to)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j += LANES)
            v_store(to + i * row + j, v_load(to + i * row + j) + v_load(a + i * row + j));
}

void ISA(tile_subtract_product)(int64_t rows, int64_t columns, const float *a, const float *b, int64_t row,
                                float *to)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j += LANES)
            v_store(to + i * row + j,
                    v_load(to + i * row + j) - v_load(a + i * row + j) * v_load(b + i * row + j));
}

/* ---- the block of the diagonal ---- */

/* LANES tokens j as lanes, from `first` on: left = k_j ∘ Π_{j<r≤i} e^(g_r) is updated from row to row; lanes
 * of later tokens are not multiplied yet. */
ALWAYS void scores_of(int first, int64_t key, const float *q, const float *decay, float *keys,
                      int64_t keys_row, float *out, int64_t out_row, bool strict)
{
    vf sum[TILE_LANES];
    UNROLL for (int i = first; i < TILE_LANES; i++) sum[i] = (vf){0};
    for (int64_t f = 0; f < key; f++) {
        vf left = v_load(keys + f * keys_row + first);
        UNROLL for (int i = first; i < TILE_LANES; i++)
        {
            vf factor = v_splat(decay[f * TILE_LANES + i]);
            left = i - first < LANES ? v_multiply_first(left, factor, i - first) : left * factor;
            sum[i] += v_splat(q[f * TILE_LANES + i]) * left;
        }
        v_store(keys + f * keys_row + first, left);
    }
    for (int i = 0; i < first; i++)
        v_store(out + i * out_row + first, (vf){0});
    for (int i = first; i < TILE_LANES; i++)
        v_store(out + i * out_row + first, v_select(v_iota() + first <= i - strict, sum[i], (vf){0}));
}

void ISA(gate_scores)(int64_t key, const float *q, const float *decay, float *keys, int64_t keys_row,
                      float *out, int64_t out_row, bool strict)
{
    UNROLL for (int first = 0; first < TILE_LANES; first += LANES)
        scores_of(first, key, q, decay, keys, keys_row, out, out_row, strict);
}

void ISA(gate_queries_gradient)(int64_t rows, int64_t columns, const float *p, int64_t p_row, const float *k,
                                const float *decay, float *to, int64_t row)
{
    for (int64_t f = 0; f < columns; f += LANES)
        for (int64_t i = 1; i < rows; i++) {
            vf sum = {0};
            for (int64_t j = 0; j < i; j++)
                sum = sum * v_load(decay + j * row + f) + v_splat(p[i * p_row + j]) * v_load(k + j * row + f);
            v_store(to + i * row + f, v_load(to + i * row + f) + sum * v_load(decay + i * row + f));
        }
}

void ISA(gate_keys_gradient)(int64_t rows, int64_t columns, const float *p, int64_t p_row, const float *q,
                             const float *decay, float *to, int64_t row)
{
    for (int64_t f = 0; f < columns; f += LANES)
        for (int64_t j = 0; j < rows - 1; j++) {
            vf sum = {0};
            for (int64_t i = rows - 1; i > j; i--)
                sum =
                    (sum + v_splat(p[i * p_row + j]) * v_load(q + i * row + f)) * v_load(decay + i * row + f);
            v_store(to + j * row + f, v_load(to + j * row + f) + sum);
        }
}

void ISA(tile_add_diagonal)(int64_t rows, int64_t columns, const float *p, int64_t p_row, const float *x,
                            float *to, int64_t row)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t f = 0; f < columns; f += LANES)
            v_store(to + i * row + f,
                    v_load(to + i * row + f) + v_splat(p[i * (p_row + 1)]) * v_load(x + i * row + f));
}

ALWAYS void add_doubles(vd *low, vd *high, vf x)
{
    *low += v_double_low(x), *high += v_double_high(x);
}

void ISA(gate_decay_gradient)(int64_t rows, int64_t columns, float *terms, const float *passed, int64_t row,
                              const double *whole)
{
    for (int64_t f = 0; f < columns; f += LANES) {
        vd low = {0}, high = {0};
        for (int64_t i = rows - 1; i >= 0; i--) { /* from the end, so that rows without an effect add exactly
                                                   * 0 */
            add_doubles(&low, &high, v_load(terms + i * row + f));
            v_store(terms + i * row + f, v_from_doubles(low, high));
        }
        v_load_doubles(whole + f, &low, &high);
        for (int64_t i = 0; i < rows; i++) {
            vd sum_low = low, sum_high = high;
            add_doubles(&sum_low, &sum_high, v_load(terms + i * row + f));
            v_store(terms + i * row + f, v_from_doubles(sum_low, sum_high));
            add_doubles(&low, &high, v_load(passed + i * row + f));
        }
    }
}
