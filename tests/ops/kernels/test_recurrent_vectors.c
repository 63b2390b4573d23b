/* The vector functions of the delta rule and of the convolution, on every instruction set of this machine,
 * against plain double. */
#include "ops/vector/table.h"
#include "ops/vector/tile.h"
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

enum { PITCH = 160, ROWS = 80 };
static float a[ROWS * PITCH], b[ROWS * PITCH], c[ROWS * PITCH], before[ROWS * PITCH];

static void fill(float *x, unsigned seed)
{
    for (int i = 0; i < ROWS * PITCH; i++)
        x[i] = (float)((int)((seed = seed * 1664525u + 1013904223u) >> 8) - (1 << 23)) * 0x1p-23f;
}
#define EACH_SET(v)                                                                                          \
    for (int set = 0; set < 3; set++)                                                                        \
        for (const vector_table *v = vectors_of(set); v; v = NULL)

static const int64_t widths[] = {1, 4, 7, 16, 17, 33, 64, 65, 130};
enum { WIDTHS = sizeof widths / sizeof *widths };

/* Masked elements are not read: they hold NaN. */
Test(recurrent_vectors, weighs_the_lower_triangle_by_selection)
{
    EACH_SET(v)
    for (int kind = 0; kind < 4; kind++) {
        bool strict = kind % 2, weighed = kind / 2;
        fill(a, 1), fill(b, 2);
        for (int64_t t = 0; t < 40; t++)
            for (int64_t s = t + 1 - strict; s < PITCH; s++)
                a[t * PITCH + s] = b[t * PITCH + s] = NAN;
        memcpy(before, a, sizeof a);
        for (int64_t t = 0; t < 40; t += TILE_LANES)
            v->tile_weigh_lower(t, 40 - t < TILE_LANES ? 40 - t : TILE_LANES, a + t * PITCH, PITCH,
                                weighed ? b + t * PITCH : NULL, PITCH, -2, strict);
        for (int64_t t = 0; t < 40; t++)
            for (int64_t s = 0; s < (t / TILE_LANES + 1) * TILE_LANES; s++) {
                float want = before[t * PITCH + s] * -2 * (weighed ? b[t * PITCH + s] : 1);
                cr_assert_float_eq(a[t * PITCH + s], s <= t - strict ? want : 0, 1e-6);
            }
    }
}

/* x_t + Σ_{s<t} a[t, s] scale_s x_s for 16 rows, from above or from below. */
static void check_solution(const vector_table *v, int64_t rows, int64_t columns, bool turned)
{
    double x[TILE_LANES], scale[TILE_LANES];
    float scales[TILE_LANES];
    fill(a, 1), fill(b, 2), fill(c, 3);
    memcpy(before, b, sizeof b);
    for (int64_t t = 0; t < rows; t++)
        scales[t] = a[(ROWS - 1) * PITCH + t];
    int64_t last = rows - 1;
    if (turned)
        v->tile_solve(rows, columns, a + last * PITCH + last, -1, -PITCH, scales + last, -1, b + last * PITCH,
                      c + last * PITCH, -PITCH);
    else
        v->tile_solve(rows, columns, a, PITCH, 1, scales, 1, b, c, PITCH);
    for (int64_t j = 0; j < columns; j++)
        for (int64_t i = 0; i < rows; i++) {
            int64_t t = turned ? last - i : i;
            x[t] = before[t * PITCH + j];
            scale[t] = scales[t];
            for (int64_t k = 0; k < i; k++) {
                int64_t s = turned ? last - k : k;
                x[t] += (turned ? a[s * PITCH + t] : a[t * PITCH + s]) * scale[s] * x[s];
            }
            cr_assert_float_eq(b[t * PITCH + j], x[t], 1e-5 * (1 + fabs(x[t])));
            cr_assert_float_eq(c[t * PITCH + j], scale[t] * x[t], 1e-5 * (1 + fabs(x[t])));
        }
}

Test(recurrent_vectors, solves_a_triangular_system_and_its_transpose)
{
    EACH_SET(v)
    for (int64_t rows = 1; rows <= TILE_LANES; rows++)
        for (int w = 0; w < WIDTHS; w++)
            for (int turned = 0; turned < 2; turned++)
                check_solution(v, rows, widths[w], turned);
}

Test(recurrent_vectors, adds_earlier_rows_and_looks_at_no_later_ones)
{
    EACH_SET(v)
    for (int w = 0; w < WIDTHS; w++)
        for (int64_t rows = 1; rows <= TILE_LANES; rows += 5) {
            fill(a, 1), fill(b, 2), fill(c, 3);
            memcpy(before, c, sizeof c);
            for (int64_t j = 0; j < PITCH; j++)
                b[(rows - 1) * PITCH + j] = INFINITY;
            v->tile_add_lower(rows, widths[w], a, PITCH, b, c, PITCH);
            for (int64_t t = 0; t < rows - 1; t++)
                for (int64_t j = 0; j < widths[w]; j++) {
                    double want = before[t * PITCH + j];
                    for (int64_t s = 0; s <= t; s++)
                        want += (double)a[t * PITCH + s] * b[s * PITCH + j];
                    cr_assert_float_eq(c[t * PITCH + j], want, 3e-6);
                }
        }
}

/* U = 0.5 S, u = 0.75 (v − Uᵀk), out = Uᵀq + (q · k) u, S' = U + k uᵀ. */
static void check_step(const vector_table *v, int64_t width, bool first)
{
    enum { KEY = 7 };
    fill(a, 1), fill(b, 2), fill(c, 3);
    memcpy(before, b, sizeof b);
    const float *q = a, *k = a + PITCH, *values = a + 2 * PITCH;
    double match = 0;
    for (int f = 0; f < KEY; f++)
        match += (double)q[f] * k[2 * f];
    v->delta_step_state(&(delta_step){.key = KEY,
                                      .width = width,
                                      .q = q,
                                      .k = k,
                                      .q_step = 1,
                                      .k_step = 2,
                                      .v = values,
                                      .state = first ? NULL : b,
                                      .state_row = PITCH,
                                      .state_out = b,
                                      .state_out_row = PITCH,
                                      .out = c,
                                      .beta = 0.75f,
                                      .decay = 0.5f,
                                      .match = (float)match});
    for (int64_t j = 0; j < width; j++) {
        double write = values[j], read = 0;
        for (int f = 0; f < KEY; f++)
            write -= first ? 0 : 0.5 * before[f * PITCH + j] * k[2 * f];
        write *= 0.75;
        for (int f = 0; f < KEY; f++) {
            double next = (first ? 0 : 0.5 * before[f * PITCH + j]) + k[2 * f] * write;
            cr_assert_float_eq(b[f * PITCH + j], next, 1e-6);
            read += q[f] * next;
        }
        cr_assert_float_eq(c[j], read, 3e-6);
    }
    cr_assert_eq(b[width], before[width], "nothing beyond the state");
}

Test(recurrent_vectors, a_step_corrects_the_state_and_reads_it)
{
    EACH_SET(v)
    for (int w = 0; w < WIDTHS; w++)
        for (int first = 0; first < 2; first++)
            check_step(v, widths[w], first);
}

Test(recurrent_vectors, a_convolution_of_rows_and_what_its_taps_get_back)
{
    EACH_SET(v)
    for (int w = 0; w < WIDTHS; w++)
        for (int64_t taps = 1; taps < 11; taps += 3)
            for (int turned = 0; turned < 2; turned++) {
                enum { LENGTH = 13 };
                int64_t columns = widths[w];
                fill(a, 1), fill(b, 2), fill(c, 3);
                const float *weight = turned ? b + (taps - 1) * PITCH : b;
                v->convolve_tile(LENGTH, columns, taps, a, PITCH, weight, turned ? -PITCH : PITCH, c, PITCH);
                for (int64_t i = 0; i < LENGTH * columns; i++) {
                    double want = 0;
                    for (int64_t k = 0; k < taps; k++)
                        want += (double)b[(turned ? taps - 1 - k : k) * PITCH + i % columns] *
                                a[(i / columns + k) * PITCH + i % columns];
                    cr_assert_float_eq(c[i / columns * PITCH + i % columns], want, 3e-6);
                }
                memcpy(before, b, sizeof b);
                v->convolve_tile_weights(LENGTH, columns, taps, a, PITCH, c, PITCH, b, PITCH);
                for (int64_t i = 0; i < taps * columns; i++) {
                    double want = before[i / columns * PITCH + i % columns];
                    for (int64_t r = 0; r < LENGTH; r++)
                        want +=
                            (double)c[r * PITCH + i % columns] * a[(r + i / columns) * PITCH + i % columns];
                    cr_assert_float_eq(b[i / columns * PITCH + i % columns], want, 1e-5);
                }
            }
}
