/* The small vector functions of scan, attention and loss, on every instruction set of this machine, against
 * plain double. */
#include "ops/vector/table.h"
#include "ops/vector/tile.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 300 };
static float a[MOST * MOST], b[MOST * MOST], c[MOST * MOST], before[MOST * MOST];

static void fill(float *x, unsigned seed)
{
    for (int i = 0; i < MOST * MOST; i++)
        x[i] = (float)((int)((seed = seed * 1664525u + 1013904223u) >> 8) - (1 << 23)) * 0x1p-23f;
}
#define EACH_SET(v)                                                                                          \
    for (int set = 0; set < 3; set++)                                                                        \
        for (const vector_table *v = vectors_of(set); v; v = NULL)

Test(small_tile, product_is_a_product)
{
    static const int64_t sizes[] = {1, 2, 3, 8, 15, 16, 17, 33, 64, 257};
    EACH_SET(v)
    for (int i = 0; i < 10 * 10 * 10 * 4; i++) {
        int64_t m = sizes[i % 10], n = sizes[i / 10 % 10], k = sizes[i / 100 % 10];
        bool transposed = i / 1000 % 2, add = i / 2000;
        if (m * n * k > 70000)
            continue;
        if (i % 100 == 0)
            fill(a, 1), fill(b, 2), fill(before, 3);
        memcpy(c, before, sizeof *c * (size_t)((m + 1) * MOST));
        v->tile_product(m, n, k, a, transposed ? 1 : MOST, transposed ? MOST : 1, b, MOST, c, MOST, add);
        double error = 0, size = 1e-30;
        for (int64_t r = 0; r < m; r++)
            for (int64_t s = 0; s < n; s++) {
                double want = add ? before[r * MOST + s] : 0, terms = want * want;
                for (int64_t p = 0; p < k; p++) {
                    double term = (double)a[transposed ? p * MOST + r : r * MOST + p] * b[p * MOST + s];
                    want += term, terms += term * term;
                }
                error += (want - c[r * MOST + s]) * (want - c[r * MOST + s]);
                size += terms;
            }
        cr_assert(sqrt(error / size) < 5e-7, "%d x %d x %d", (int)m, (int)n, (int)k);
        for (int64_t r = 0; r <= m; r++) /* nothing beyond the padded tile */
            for (int64_t s = r < m ? tile_pitch(n) : 0; s < MOST; s++)
                cr_assert_eq(c[r * MOST + s], before[r * MOST + s]);
    }
}

Test(small_tile, product_has_a_row_s_bits_wherever_the_row_lies)
{
    EACH_SET(v)
    {
        fill(a, 1), fill(b, 2);
        v->tile_product(29, 50, 100, a, MOST, 1, b, MOST, c, MOST, false);
        for (int64_t r = 0; r < 29; r++) {
            v->tile_product(1, 50, 100, a + r * MOST, MOST, 1, b, MOST, before, MOST, false);
            cr_assert_eq(memcmp(before, c + r * MOST, 50 * sizeof *c), 0);
        }
    }
}

Test(small_tile, copies_pad_with_zeros)
{
    EACH_SET(v)
    for (int64_t rows = 0; rows < 35; rows++)
        for (int64_t columns = 0; columns < 35; columns += 3)
            for (int64_t step = 1; step < 3; step++) {
                fill(a, 1), fill(b, 2), fill(c, 3);
                v->tile_transpose(rows, columns, a, MOST, step, b, MOST);
                v->tile_copy(rows, columns, a, MOST, step, c, MOST);
                for (int64_t j = 0; j < columns; j++)
                    for (int64_t i = 0; i < tile_pitch(rows); i++)
                        cr_assert_eq(b[j * MOST + i], i < rows ? a[i * MOST + j * step] : 0);
                for (int64_t i = 0; i < rows; i++)
                    for (int64_t j = 0; j < tile_pitch(columns); j++)
                        cr_assert_eq(c[i * MOST + j], j < columns ? a[i * MOST + j * step] : 0);
                fill(b, 2);
                memcpy(before, b, sizeof b);
                v->tile_store(rows, columns, c, MOST, b, MOST, step);
                for (int64_t i = 0; i < rows + 1; i++)
                    for (int64_t j = 0; j < 70; j++) {
                        bool written = i < rows && j % step == 0 && j / step < columns;
                        cr_assert_eq(b[i * MOST + j], written ? a[i * MOST + j] : before[i * MOST + j]);
                    }
            }
}

Test(small_tile, keeps_the_lower_triangle_by_selection)
{
    EACH_SET(v)
    for (int strict = 0; strict < 2; strict++) {
        for (int i = 0; i < MOST * MOST; i++)
            a[i] = NAN;
        for (int64_t t = 0; t < 40; t++)
            for (int64_t s = 0; s <= t - strict; s++)
                a[t * MOST + s] = 1;
        for (int64_t t = 0; t < 40; t += 13)
            v->tile_keep_lower(t, 40 - t < 13 ? 40 - t : 13, a + t * MOST, MOST, strict);
        for (int64_t t = 0; t < 40; t++)
            for (int64_t s = 0; s < (t / TILE_LANES + 1) * TILE_LANES; s++)
                cr_assert_eq(a[t * MOST + s], s <= t - strict);
    }
}

Test(small_tile, weights_are_exponentials_of_real_keys)
{
    EACH_SET(v)
    for (int64_t limit = 0; limit < 70; limit++) {
        fill(a, (unsigned)limit);
        for (int64_t s = limit; s < 96; s++)
            a[s] = NAN;
        memcpy(before, a, sizeof *a * 96);
        float largest, sum = v->attention_weights(a, limit, &largest, NULL);
        double want = 0;
        for (int64_t s = 0; s < limit; s++)
            want += exp((double)before[s] - largest);
        cr_assert(fabs(sum - want) <= 1e-6 * want);
        for (int64_t s = 0; s < tile_pitch(limit); s++)
            cr_assert(fabs(a[s] - (s < limit ? exp((double)before[s] - largest) : 0)) < 3e-7);
    }
}

Test(small_tile, weights_of_what_is_not_a_number_are_not_numbers)
{
    EACH_SET(v)
    for (int64_t limit = 1; limit < 40; limit++)
        for (int64_t one = 0; one <= limit; one++) { /* a NaN among numbers; in the last case nothing else */
            fill(a, 5);
            for (int64_t s = 0; s < limit; s++)
                a[s] = s == one || one == limit ? NAN : a[s];
            float largest;
            cr_assert(isnan(v->attention_weights(a, limit, &largest, NULL)));
        }
    EACH_SET(v)
    {
        float largest;
        for (int64_t s = 0; s < 20; s++)
            a[s] = -INFINITY;
        cr_assert(v->attention_weights(a, 20, &largest, NULL) == 0 && largest == -INFINITY && a[3] == 0);
    }
}

Test(small_tile, single_query_meets_every_key_once)
{
    EACH_SET(v)
    for (int64_t columns = 1; columns < 70; columns += 5)
        for (int64_t limit = 1; limit < 50; limit += 7) {
            fill(a, 1), fill(b, 2);
            for (int64_t j = columns; j < tile_pitch(columns); j++)
                a[j] = 0;
            v->attention_scores(c, a, b, MOST, limit, columns);
            v->attention_mix(before, c, b, MOST, limit, columns);
            for (int64_t s = 0; s < limit; s++) {
                double want = 0;
                for (int64_t j = 0; j < columns; j++)
                    want += (double)a[j] * b[s * MOST + j];
                cr_assert(fabs(c[s] - want) < 1e-5);
            }
            for (int64_t j = 0; j < columns; j++) {
                double want = 0;
                for (int64_t s = 0; s < limit; s++)
                    want += (double)c[s] * b[s * MOST + j];
                cr_assert(fabs(before[j] - want) < 1e-4);
            }
        }
}

Test(small_tile, scan_step_updates_then_reads)
{
    EACH_SET(v)
    for (int64_t width = 1; width < 140; width += 23)
        for (int exclusive = 0; exclusive < 2; exclusive++) {
            fill(a, 1), fill(b, 2), fill(c, 3);
            float *state = b, *out = before;
            memcpy(a + MOST, b, sizeof *b * 7 * MOST);
            v->scan_step_state(&(scan_step){.key = 7,
                                            .width = width,
                                            .q = c,
                                            .k = c + 7,
                                            .q_step = 1,
                                            .k_step = 2,
                                            .v = c + 100,
                                            .state = state,
                                            .state_row = MOST,
                                            .state_out = state,
                                            .state_out_row = MOST,
                                            .out = out,
                                            .exclusive = exclusive});
            for (int64_t j = 0; j < width; j++) {
                double want = 0;
                for (int64_t f = 0; f < 7; f++) {
                    double old = a[MOST + f * MOST + j], next = old + (double)c[7 + 2 * f] * c[100 + j];
                    cr_assert(fabs(state[f * MOST + j] - next) < 1e-6);
                    want += c[f] * (exclusive ? old : next);
                }
                cr_assert(fabs(out[j] - want) < 2e-6);
            }
        }
}

Test(small_tile, loss_of_a_row)
{
    EACH_SET(v)
    for (int64_t count = 1; count < 1200; count = count * 2 + 1) {
        fill(a, 7), fill(b, 8);
        memset(c, 0, sizeof c);
        double sums[2] = {0}, largest = -INFINITY, total = 0, mean = 0;
        for (int64_t i = 0; i < count; i++)
            largest = fmax(largest, (double)(a[i] + b[i]));
        for (int64_t i = 0; i < count; i++)
            total += exp((double)(a[i] + b[i]) - largest), mean += (double)(a[i] + b[i]) / (double)count;
        double hit = a[count / 2] + b[count / 2], all = largest + log(total);
        memcpy(before, a, sizeof a);
        v->loss_row(&(loss_row_work){a, b, a, c, count, count / 2, 0.1, 1}, sums);
        cr_assert(fabs(sums[0] - (all - 0.9 * hit - 0.1 * mean)) < 1e-6 * fmax(1, all) &&
                  fabs(sums[1] - (all - hit)) < 1e-6 * fmax(1, all));
        for (int64_t i = 0; i < count; i++) {
            double want =
                exp((double)(before[i] + b[i]) - all) - 0.1 / (double)count - (i == count / 2 ? 0.9 : 0);
            cr_assert(fabs(a[i] - want) < 3e-7 && fabs(c[i] - want) < 3e-7);
        }
        cr_assert_eq(a[count], before[count]);
    }
}
