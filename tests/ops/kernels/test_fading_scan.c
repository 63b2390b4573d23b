/* The fast kernels of scans with a decay, against the recurrence in double: every shape of the log decay,
 * every division of time, and decays whose products over many steps underflow in float. */
#include "tests/ops/kernels/fading_scan.h"
#include <criterion/criterion.h>

static double gentle(int64_t t, double u)
{
    (void)t;
    return -0.7 * u;
}
static double none(int64_t t, double u)
{
    (void)t, (void)u;
    return 0;
}
static double slow(int64_t t, double u)
{
    (void)t, (void)u;
    return -1e-6;
}
static double fast(int64_t t, double u)
{
    (void)t, (void)u;
    return -5;
}
static double cut(int64_t t, double u)
{
    (void)t, (void)u;
    return -1e4;
}
static double closed(int64_t t, double u)
{
    (void)t;
    return u < 0.2 ? -INFINITY : -u;
}
static double growing(int64_t t, double u)
{
    (void)t;
    return 0.3 * u;
}
static double waves(int64_t t, double u)
{
    return (t / 20 % 2 ? -1 : 1) * u;
}
/* Mostly no decay with a few strong ones, and everything between. */
static double mixed(int64_t t, double u)
{
    static const double sizes[] = {0, -1e-6, -5, -1e4, -1e-3};
    (void)t;
    return u < 0.97 ? sizes[u < 0.5 ? 1 : 4] : sizes[(int)(u * 1000) % 5];
}

/* One number for each step and head, shared by all sentences, or by all heads; the same at every step; one
 * for each key dimension. */
enum { SHAPES = 7 };
static fading_case shaped(fading_case c, int shape)
{
    int64_t decays[SHAPES][4] = {{c.batch, c.heads, c.time, 1}, {1, c.heads, c.time, 1},
                                 {c.batch, 1, c.time, 1},       {1, c.heads, 1, 1},
                                 {c.batch, c.heads, 1, 1},      {c.batch, c.heads, c.time, c.key},
                                 {1, 1, c.time, c.key}};
    memcpy(c.decay, decays[shape], sizeof c.decay);
    if (shape == 1 || shape == 2 || shape == 6)
        c.ragged = false; /* a decay that sentences share has no padding of its own */
    return c;
}

Test(fading_scan, is_the_recurrence_at_every_length_and_chunk)
{
    static const int64_t times[] = {1, 2, 7, 63, 64, 65, 150}, chunks[] = {0, 8, 16, 24, 64, 128};
    for (int i = 0; i < 7 * 6 * SHAPES; i++) {
        fading_case c = {3,
                         2,
                         times[i % 7],
                         i % 3 ? 5 : 17,
                         i % 2 ? 3 : 19,
                         .gate = gentle,
                         .exclusive = i % 5 > 2,
                         .denominator = i % 4 > 1,
                         .ragged = i % 11 > 4,
                         .state = i % 13 > 5,
                         .chunk = chunks[i / 7 % 6]};
        for (int grad = 0; grad < 2; grad++)
            fading_check(shaped(c, i / 42), grad);
    }
}

Test(fading_scan, keeps_its_bound_over_a_thousand_rows)
{
    for (int shape = 0; shape < SHAPES; shape++)
        for (int grad = 0; grad < 2; grad++)
            for (int64_t chunk = 0; chunk <= 128; chunk = chunk ? 4 * chunk : 8)
                fading_check(shaped((fading_case){2, 1, 1000, 32, 24, .gate = gentle, .denominator = true,
                                                  .ragged = true, .state = true, .chunk = chunk},
                                    shape),
                             grad);
}

/* A gradient that is summed over time may be small by chance: several heads give it a scale. */
static void check_long(double (*gate)(int64_t, double))
{
    for (int shape = 0; shape < SHAPES; shape++)
        for (int exclusive = 0; exclusive < 2; exclusive++)
            for (int grad = 0; grad < 2; grad++)
                fading_check(shaped((fading_case){1, shape == 3 || shape == 4 ? 8 : 2, 20000, 3, 4,
                                                  .gate = gate, .exclusive = exclusive, .state = true},
                                    shape),
                             grad);
}
Test(fading_scan, without_fading_for_long)
{
    check_long(none);
}
Test(fading_scan, that_fades_slowly_for_long)
{
    check_long(slow);
}
Test(fading_scan, that_fades_fast_for_long)
{
    check_long(fast);
}
Test(fading_scan, that_forgets_all_at_every_step)
{
    check_long(cut);
}
Test(fading_scan, that_fades_as_it_likes_for_long)
{
    check_long(mixed);
}

Test(fading_scan, grows_too)
{
    for (int shape = 0; shape < SHAPES; shape++)
        for (int grad = 0; grad < 2; grad++)
            for (int kind = 0; kind < (shape == 3 || shape == 4 ? 1 : 2);
                 kind++) /* one number has no variation */
                fading_check(shaped((fading_case){2, 2, 130, 6, 4, .gate = kind ? waves : growing,
                                                  .state = true, .chunk = 64},
                                    shape),
                             grad);
}

Test(fading_scan, forgets_by_a_gate_that_is_closed)
{
    for (int shape = 0; shape < SHAPES; shape++)
        fading_check(shaped((fading_case){2, 2, 90, 6, 4, .gate = closed, .state = true, .chunk = 32}, shape),
                     false);
}

/* Adjacent heads of one number. */
Test(fading_scan, of_channels_is_the_recurrence)
{
    static const int64_t heads[] = {2, 16, 37, 128, 200}, times[] = {1, 2, 65, 300};
    for (int i = 0; i < 5 * 4 * 4; i++)
        for (int grad = 0; grad < 2; grad++) {
            fading_case c = {2,
                             heads[i % 5],
                             times[i / 5 % 4],
                             1,
                             1,
                             .gate = gentle,
                             .channels = true,
                             .exclusive = i % 3 == 1,
                             .ragged = i % 7 > 3,
                             .state = i % 2};
            fading_check(i / 20 < 3 ? shaped(c, i / 20 == 0 ? 0 : i / 20 == 1 ? 3 : 4) : c, grad);
        }
    double (*long_ones[])(int64_t, double) = {none, slow, fast, cut, mixed};
    for (int i = 0; i < 10; i++)
        fading_check(shaped((fading_case){1, 3, 20000, 1, 1, .gate = long_ones[i / 2], .channels = true,
                                          .state = true},
                            0),
                     i % 2);
}

/* ---- bits ---- */

static fading_case small(int shape, int64_t time, int64_t chunk)
{
    return shaped(
        (fading_case){1, 2, time, 8, 24, .gate = gentle, .denominator = true, .state = true, .chunk = chunk},
        shape);
}

Test(fading_scan, is_causal_bit_for_bit)
{
    static const float later[] = {0.5f, 1e30f};
    for (int i = 0; i < 3 * 2 * SHAPES; i++)
        for (int64_t from = 1; from < 90; from += 17) {
            fading_scan x = fading_new(small(i / 6, 90, 8 << i % 3 * 2)), y = x;
            fading_run(&x, false);
            for (int o = 0; o < SCAN_LENGTH; o++)
                for (int64_t h = 0; h < x.in[o].dims[1]; h++)
                    for (int64_t t = from; t < x.in[o].dims[2]; t++)
                        for (int64_t j = 0; j < x.in[o].dims[3]; j++)
                            *fading_at(&x.in[o], 0, h, t, j) = o == SCAN_DECAY ? -later[0] : later[i / 3 % 2];
            fading_run(&y, false);
            for (int64_t h = 0; h < 2; h++)
                for (int64_t t = 0; t < from; t++) {
                    for (int64_t j = 0; j < 24; j++)
                        cr_assert_eq(*fading_at(&x.out[0], 0, h, t, j), *fading_at(&y.out[0], 0, h, t, j));
                    cr_assert_eq(*fading_at(&x.out[1], 0, h, t, 0), *fading_at(&y.out[1], 0, h, t, 0));
                }
            fading_free_results(&y);
            fading_free(&x);
        }
}

/* Rows from … of the operands that have rows of tokens. */
static void slice_time(fading_scan *x, int64_t from, int64_t rows)
{
    for (int o = 0; o < SCAN_LENGTH; o++)
        if (x->in[o].data && x->in[o].dims[2] > 1) {
            x->in[o].data = (float *)x->in[o].data + from * x->in[o].strides[2];
            x->in[o].dims[2] = rows;
        }
    x->c.time = x->length[0] = (int32_t)rows;
}

Test(fading_scan, cut_between_chunks_has_the_same_bits)
{
    for (int shape = 0; shape < SHAPES; shape++)
        for (int64_t chunk = 8; chunk <= 128; chunk *= 2) {
            fading_scan whole = fading_new(small(shape, 256, chunk)), part = whole;
            fading_run(&whole, false);
            memset(part.out, 0, sizeof part.out);
            slice_time(&part, 0, 128);
            fading_run(&part, false);
            fading_scan rest = whole;
            memset(rest.out, 0, sizeof rest.out);
            slice_time(&rest, 128, 128);
            rest.in[SCAN_STATE] = part.out[2];
            fading_run(&rest, false);
            for (int64_t h = 0; h < 2; h++)
                for (int64_t j = 0; j < 24; j++) {
                    for (int64_t t = 0; t < 256; t++)
                        cr_assert_eq(*fading_at(&whole.out[0], 0, h, t, j),
                                     *fading_at(t < 128 ? &part.out[0] : &rest.out[0], 0, h, t % 128, j));
                    for (int64_t f = 0; f < 8; f++)
                        cr_assert_eq(*fading_at(&whole.out[2], 0, h, f, j),
                                     *fading_at(&rest.out[2], 0, h, f, j));
                }
            fading_free_results(&part);
            fading_free_results(&rest);
            fading_free(&whole);
        }
}

/* Token by token, each from the state after the one before. */
Test(fading_scan, step_by_step_is_the_recurrence)
{
    for (int shape = 0; shape < SHAPES; shape++) {
        fading_scan all = fading_new(small(shape, 100, 0)), one = all;
        fading_expect(&all, false);
        fading_run(&all, false);
        for (int64_t t = 0; t < 100; t++) {
            memcpy(one.in, all.in, sizeof one.in);
            if (t > 0)
                one.in[SCAN_STATE] = all.out[2];
            slice_time(&one, t, 1);
            fading_run(&one, false);
            for (int64_t h = 0; h < 2; h++)
                for (int64_t j = 0; j < 24; j++)
                    *fading_at(&all.out[0], 0, h, t, j) = *fading_at(&one.out[0], 0, h, 0, j);
            for (int64_t i = 0; i < bench_count(&all.out[2]); i++)
                *bench_at(&all.out[2], i) = *bench_at(&one.out[2], i);
        }
        fading_compare(&all, 1e-6);
        fading_free_results(&one);
        fading_free(&all);
    }
}
