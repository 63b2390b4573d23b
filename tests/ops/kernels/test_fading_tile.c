/* The vector functions of decaying states, on every instruction set of this machine, against plain double. */
#include "ops/vector/table.h"
#include "ops/vector/tile.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define EACH_SET(v)                                                                                          \
    for (int set = 0; set < 3; set++)                                                                        \
        for (const vector_table *v = vectors_of(set); v; v = NULL)

enum { MOST = 64, PITCH = 80 };
static float a[MOST * PITCH], b[MOST * PITCH], c[MOST * PITCH], d[MOST * PITCH], e[MOST * PITCH];
static unsigned seed = 1;

static float uniform(float low, float high)
{
    seed = seed * 1664525u + 1013904223u;
    return low + (high - low) * (float)(seed >> 8) * 0x1p-24f;
}
static void fill(float *x, float low, float high)
{
    for (int i = 0; i < MOST * PITCH; i++)
        x[i] = uniform(low, high);
}

Test(fading_tile, exponentials_of_doubles_are_never_infinite)
{
    static const double x[TILE_LANES] = {
        0,  -1e-9,         -1e-6,        1e-6, -0.3, 0.3, -0.7, 3.14159265358979,
        -5, -60.123456789, 50.123456789, -1e4, -1e6, 88,  200,  -103};
    EACH_SET(v)
    {
        float y[TILE_LANES], whole[TILE_LANES], part[TILE_LANES];
        v->scan_exponentials(y, x, TILE_LANES);
        v->scan_factors(whole, part, x, TILE_LANES);
        for (int i = 0; i < TILE_LANES; i++) {
            double want = fmin(exp(x[i]), 3e38);
            cr_expect(fabs(y[i] - want) <= 2.5e-7 * want + 1e-38 || (x[i] > 88 && isfinite(y[i])), "e^%g: %g",
                      x[i], y[i]);
            cr_expect(fabs((double)whole[i] + part[i] - want) <= 2.5e-7 * want + 1e-38 ||
                          (x[i] > 88 && isfinite(part[i])),
                      "e^%g: %g + %g", x[i], whole[i], part[i]);
            if (fabs(x[i]) < 0.5)
                cr_expect(whole[i] == 1 && fabs(part[i] - expm1(x[i])) <= 2.5e-7 * fabs(expm1(x[i])),
                          "e^%g − 1: %g", x[i], part[i]);
        }
    }
}

Test(fading_tile, triangles_fade_with_distance)
{
    EACH_SET(v)
    for (int64_t rows = 1; rows <= MOST; rows += 9)
        for (int strict = 0; strict < 2; strict++) {
            double sums[MOST], row_sums[MOST], column_sums[MOST], sum = 0, columns[MOST] = {0};
            for (int i = 0; i < MOST; i++)
                sums[i] = i < rows ? sum += uniform(-30, 0.5f) - 1e4 * (i == 20) : sum;
            fill(a, -1, 1), fill(b, -1, 1);
            memcpy(c, a, sizeof a), memcpy(d, a, sizeof a), memcpy(e, b, sizeof b);
            for (int64_t t = 0; t < rows; t += 13)
                v->tile_decay_lower(t, rows - t < 13 ? rows - t : 13, c + t * PITCH, PITCH, strict, sums);
            v->tile_decay_pairs(rows, d, e, PITCH, strict, sums, row_sums, column_sums);
            for (int64_t t = 0; t < rows; t++) {
                double row = 0;
                for (int64_t s = 0; s < tile_pitch(t + 1); s++) {
                    double left = s <= t - strict ? exp(sums[t] - sums[s]) : 0;
                    float was = a[t * PITCH + s], other = b[t * PITCH + s];
                    cr_assert_float_eq(c[t * PITCH + s], was * left, 3e-7 * fabs(was * left) + 1e-37);
                    cr_assert_eq(d[t * PITCH + s], c[t * PITCH + s]);
                    cr_assert_float_eq(e[t * PITCH + s], other * left, 3e-7 * fabs(other * left) + 1e-37);
                    double pair = s < t ? was * left * other : 0;
                    row += pair, columns[s] += pair;
                }
                cr_assert_float_eq(row_sums[t], row, 1e-6);
            }
            for (int64_t s = 0; s < rows; s++)
                cr_assert_float_eq(column_sums[s], columns[s], 2e-6);
        }
}

/* a: q, b: k, c: g, [TILE_LANES, key]; the factor Π e^g of rows j + 1 … i. */
static double left_of(const float *g, int64_t f, int64_t j, int64_t i)
{
    double sum = 0;
    for (int64_t r = j + 1; r <= i; r++)
        sum += g[r * PITCH + f];
    return exp(sum);
}

Test(fading_tile, gates_of_a_block)
{
    EACH_SET(v)
    for (int64_t key = 1; key <= PITCH; key += 13)
        for (int strict = 0; strict < 2; strict++) {
            double sums[PITCH];
            fill(a, -1, 1), fill(b, -1, 1), fill(c, -2, 0.1f);
            v->gate_from_start(TILE_LANES, key, c, PITCH, d, sums);
            v->gate_to_end(TILE_LANES, key, c, PITCH, e, sums);
            for (int64_t f = 0; f < key; f++) {
                cr_assert_float_eq(exp(sums[f]), left_of(c, f, -1, TILE_LANES - 1), 1e-12);
                for (int64_t i = 0; i < TILE_LANES; i++) {
                    double start = left_of(c, f, -1, i), end = left_of(c, f, i, TILE_LANES - 1);
                    cr_assert_float_eq(d[i * PITCH + f], start, 3e-7 * start);
                    cr_assert_float_eq(e[i * PITCH + f], end, 3e-7 * end);
                }
            }
            float q[PITCH * TILE_LANES], k[PITCH * TILE_LANES], decay[PITCH * TILE_LANES],
                out[TILE_LANES * TILE_LANES];
            v->gate_exponentials(TILE_LANES, key, c, PITCH, d);
            v->tile_transpose(TILE_LANES, key, a, PITCH, 1, q, TILE_LANES);
            v->tile_transpose(TILE_LANES, key, b, PITCH, 1, k, TILE_LANES);
            v->tile_transpose(TILE_LANES, key, d, PITCH, 1, decay, TILE_LANES);
            v->gate_scores(key, q, decay, k, TILE_LANES, out, TILE_LANES, strict);
            for (int64_t i = 0; i < TILE_LANES; i++)
                for (int64_t j = 0; j < TILE_LANES; j++) {
                    double want = 0;
                    for (int64_t f = 0; f < key && j <= i - strict; f++)
                        want += (double)a[i * PITCH + f] * b[j * PITCH + f] * left_of(c, f, j, i);
                    cr_assert_float_eq(out[i * TILE_LANES + j], want, 1e-5);
                }
            for (int64_t f = 0; f < key; f++)
                for (int64_t j = 0; j < TILE_LANES; j++) {
                    double want = b[j * PITCH + f] * left_of(c, f, j, TILE_LANES - 1);
                    cr_assert_float_eq(k[f * TILE_LANES + j], want, 3e-6 * fabs(want));
                }
        }
}

/* e: p, [TILE_LANES, TILE_LANES] with rows of PITCH; d: e^g. */
Test(fading_tile, gradients_of_a_block_of_gates)
{
    static float dq[MOST * PITCH], dk[MOST * PITCH];
    EACH_SET(v)
    for (int64_t rows = 1; rows <= TILE_LANES; rows += 5) {
        fill(a, -1, 1), fill(b, -1, 1), fill(c, -2, 0.1f), fill(e, -1, 1);
        v->gate_exponentials(rows, PITCH, c, PITCH, d);
        memset(dq, 0, sizeof dq), memset(dk, 0, sizeof dk);
        v->gate_queries_gradient(rows, PITCH, e, PITCH, b, d, dq, PITCH);
        v->gate_keys_gradient(rows, PITCH, e, PITCH, a, d, dk, PITCH);
        for (int64_t f = 0; f < PITCH; f++)
            for (int64_t i = 0; i < rows; i++) {
                double query = 0, key = 0;
                for (int64_t j = 0; j < rows; j++) {
                    query += j < i ? e[i * PITCH + j] * b[j * PITCH + f] * left_of(c, f, j, i) : 0;
                    key += j > i ? e[j * PITCH + i] * a[j * PITCH + f] * left_of(c, f, i, j) : 0;
                }
                cr_assert_float_eq(dq[i * PITCH + f], query, 3e-6);
                cr_assert_float_eq(dk[i * PITCH + f], key, 3e-6);
            }
    }
}

Test(fading_tile, channels_forward_and_back)
{
    EACH_SET(v)
    for (int64_t channels = 1; channels <= PITCH; channels += 7)
        for (int kind = 0; kind < 4; kind++) {
            enum { ROWS = 9 };
            static float y[ROWS * PITCH], before[ROWS * PITCH], dk[ROWS * PITCH], dg[ROWS * PITCH];
            double state[PITCH] = {0}, sums[PITCH] = {0};
            bool exclusive = kind / 2, decays = kind % 2;
            fill(a, -1, 1), fill(b, -1, 1), fill(c, -2, 0), fill(d, -1, 1), fill(e, -1, 1);
            channel_rows g = {decays ? c : NULL, PITCH, 1};
            channel_scan s = {channels,      ROWS,          PITCH,         2, exclusive,
                              {a, PITCH, 1}, {b, PITCH, 1}, {d, PITCH, 1}, g, {e, PITCH, 1}};
            s.state = state, s.before = before, s.ddecay_sum = sums;
            s.out = (channel_results){y, PITCH}, s.dk = (channel_results){dk, PITCH},
            s.ddecay = (channel_results){dg, PITCH};
            v->channel_forward(&s);
            memset(state, 0, sizeof state);
            v->channel_backward(&s);
            for (int64_t j = 0; j < channels; j++) {
                double now = 0, gradient = 0, found[ROWS], total = 0;
                for (int64_t t = 0; t < ROWS; t++) {
                    int64_t at = t * PITCH + j;
                    found[t] = decays ? now * exp(c[at]) : now;
                    now = found[t] + (double)b[at] * d[at];
                    cr_assert_float_eq(y[at], a[at] * (exclusive ? found[t] : now), 1e-6);
                }
                for (int64_t t = ROWS - 1; t >= 0; t--) {
                    int64_t at = t * PITCH + j;
                    double all = gradient + (double)a[at] * e[at];
                    cr_assert_float_eq(dk[at], (exclusive ? gradient : all) * d[at], 2e-6);
                    total += all * found[t];
                    if (decays)
                        cr_assert_float_eq(dg[at], all * found[t], 2e-6);
                    gradient = decays ? all * exp(c[at]) : all;
                }
                cr_assert_float_eq(state[j], gradient, 2e-6);
                if (decays)
                    cr_assert_float_eq(sums[j], total, 1e-5);
            }
        }
}
