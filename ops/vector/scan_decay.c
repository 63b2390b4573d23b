/* Decays: exponentials of sums that are kept in double, and the products with them. A float would lose the
 * difference of two large sums, and e^x rounded to float drifts over many steps, so where x is near 0 the
 * factor is kept as 1 + part. */
#include "ops/vector/exponentials.h"
#include "ops/vector/tile.h"

void ISA(scan_exponentials)(float *to, const double *x, int64_t count)
{
    for (int64_t i = 0; i < count; i += LANES) {
        vd low, high;
        vf rounded, left;
        v_load_doubles(x + i, &low, &high);
        v_round_doubles(low, high, &rounded, &left);
        v_store(to + i, v_exp_rounded(rounded, left));
    }
}

void ISA(scan_factors)(float *whole, float *part, const double *x, int64_t count)
{
    for (int64_t i = 0; i < count; i += LANES) {
        vd low, high;
        vf rounded, left, one;
        v_load_doubles(x + i, &low, &high);
        v_round_doubles(low, high, &rounded, &left);
        vf rest = v_factor(v_min(v_splat(88.5f), rounded), &one);
        v_store(whole + i, one);
        v_store(part + i, rest + (one + rest) * left);
    }
}

/* ---- tiles ---- */

void ISA(tile_fade)(int64_t rows, int64_t columns, const float *from, int64_t from_row, float *to,
                    int64_t to_row, const float *whole, const float *part, int64_t step)
{
    for (int64_t i = 0; i < rows; i++) {
        vf one = v_splat(whole[i * step]), rest = v_splat(part[i * step]);
        for (int64_t j = 0; j < columns; j += LANES) {
            vf x = v_load(from + i * from_row + j);
            v_store(to + i * to_row + j, v_multiply_add(x, rest, x * one));
        }
    }
}

void ISA(tile_fade_columns)(int64_t rows, int64_t columns, const float *from, int64_t from_row, float *to,
                            int64_t to_row, const float *whole, const float *part)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j += LANES) {
            vf x = v_load(from + i * from_row + j);
            v_store(to + i * to_row + j, v_multiply_add(x, v_load(part + j), x * v_load(whole + j)));
        }
}

void ISA(tile_scale_rows)(int64_t rows, int64_t columns, float *a, int64_t a_row, const float *factors)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j += LANES)
            v_store(a + i * a_row + j, v_load(a + i * a_row + j) * v_splat(factors[i]));
}

void ISA(tile_scale_columns)(int64_t rows, int64_t columns, float *a, int64_t a_row, const float *factors)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j += LANES)
            v_store(a + i * a_row + j, v_load(a + i * a_row + j) * v_load(factors + j));
}

/* ---- triangles ---- */

/* e^(own − sums[j]) in the lanes of `mask`. */
static inline vf weights(double own, const double *sums, vi mask)
{
    vd low, high;
    vf rounded, left;
    v_load_doubles(sums, &low, &high);
    v_round_doubles(own - low, own - high, &rounded, &left);
    return v_exp_rounded(v_select(mask, rounded, (vf){0}), v_select(mask, left, (vf){0}));
}

void ISA(tile_decay_lower)(int64_t first, int64_t rows, float *a, int64_t a_row, bool strict,
                           const double *sums)
{
    for (int64_t t = first; t < first + rows; t++, a += a_row) {
        int64_t end = (t / TILE_LANES + 1) * TILE_LANES;
        vi lane = v_iota(), last = v_splat_integer((int32_t)(t - strict));
        for (int64_t s = 0; s < end; s += LANES, lane += LANES) {
            vi seen = lane <= last;
            v_store(a + s, v_select(seen, v_load(a + s) * weights(sums[t], sums + s, seen), (vf){0}));
        }
    }
}

void ISA(tile_decay_pairs)(int64_t rows, float *a, float *p, int64_t row, bool strict, const double *sums,
                           double *row_sums, double *column_sums)
{
    memset(column_sums, 0, sizeof *column_sums * (size_t)tile_pitch(rows));
    for (int64_t t = 0; t < rows; t++, a += row, p += row) {
        int64_t end = (t / TILE_LANES + 1) * TILE_LANES;
        vi lane = v_iota(), last = v_splat_integer((int32_t)(t - strict)), own = v_splat_integer((int32_t)t);
        vd sum = {0};
        for (int64_t s = 0; s < end; s += LANES, lane += LANES) {
            vi seen = lane <= last;
            vf weight = weights(sums[t], sums + s, seen);
            vf left = v_select(seen, v_load(a + s) * weight, (vf){0}),
               right = v_select(seen, v_load(p + s), (vf){0});
            vf pair = v_select(lane < own, left * right, (vf){0});
            v_store(a + s, left);
            v_store(p + s, right * weight);
            vd low = v_double_low(pair), high = v_double_high(pair), column_low, column_high;
            sum += low + high;
            v_load_doubles(column_sums + s, &column_low, &column_high);
            v_store_doubles(column_sums + s, column_low + low, column_high + high);
        }
        row_sums[t] = v_sum_double(sum);
    }
}
