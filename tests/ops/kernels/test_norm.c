/* Norms, softmax, the optimiser and dropout against plain loops in double, in all kinds of layouts. */
#include "ops/kernels/dropout_hash.h"
#include "ops/rules.h"
#include "ops/vector/table.h"
#include "tests/ops/kernels/kernel_bench.h"
#include <criterion/criterion.h>

/* [B, T, n] in one of three layouts. */
static tensor block(int64_t b, int64_t t, int64_t n, int layout, double low, double high)
{
    static const int orders[3][3] = {{0, 1, 2}, {1, 0, 2}, {0, 2, 1}};
    return bench_tensor(3, (int64_t[]){b, t, n}, orders[layout], layout == 1 ? 5 : 0, low, high);
}
static void check(const char *what, const tensor *y, const double *expected, double bound)
{
    int64_t count = bench_count(y);
    double *got = malloc(sizeof *got * (size_t)(count + 1));
    for (int64_t i = 0; i < count; i++)
        got[i] = *bench_at(y, i);
    double error = bench_error(got, expected, count);
    cr_expect(error <= bound, "%s: error %g, width %lld", what, error, (long long)y->dims[y->rank - 1]);
    free(got);
}

typedef struct norm_case {
    int64_t b, t, n;
    int layout;
    bool centred;
} norm_case;

static void check_norm(norm_case c, const kernel *forward)
{
    int64_t rows = c.b * c.t, n = c.n;
    tensor x = block(c.b, c.t, n, c.layout, 1, 5), gain = bench_dense(1, &n), bias = bench_dense(1, &n),
           dy = block(c.b, c.t, n, c.layout, -2, 2);
    tensor y = block(c.b, c.t, n, c.layout, 0, 0), statistics = block(c.b, c.t, c.centred ? 2 : 1, 0, 0, 0);
    tensor dx = block(c.b, c.t, n, 0, 0, 0), dgain = bench_dense(1, &n), dbias = bench_dense(1, &n);
    double *ey = calloc((size_t)(rows * n), 8), *edx = calloc((size_t)(rows * n), 8),
           *edg = calloc((size_t)n, 8), *edb = calloc((size_t)n, 8);
    double epsilon = 1e-3;
    for (int64_t r = 0; r < rows; r++) {
        double mean = 0, square = 0, g_mean = 0, gn_mean = 0;
        for (int64_t i = 0; i < n && c.centred; i++)
            mean += *bench_at(&x, r * n + i) / (double)n;
        for (int64_t i = 0; i < n; i++)
            square += pow(*bench_at(&x, r * n + i) - mean, 2) / (double)n;
        double scale = 1 / sqrt(square + epsilon);
        for (int64_t i = 0; i < n; i++) {
            double v = (*bench_at(&x, r * n + i) - mean) * scale, d = *bench_at(&dy, r * n + i),
                   g = d * *bench_at(&gain, i);
            ey[r * n + i] = v * *bench_at(&gain, i) + (c.centred ? *bench_at(&bias, i) : 0);
            edg[i] += d * v;
            edb[i] += d;
            g_mean += c.centred ? g / (double)n : 0;
            gn_mean += g * v / (double)n;
        }
        for (int64_t i = 0; i < n; i++) {
            double v = (*bench_at(&x, r * n + i) - mean) * scale,
                   g = *bench_at(&dy, r * n + i) * (double)*bench_at(&gain, i);
            edx[r * n + i] = scale * (g - g_mean - v * gn_mean);
        }
    }
    attribute attributes[MAX_ATTRIBUTES] = {{.real = epsilon}};
    kernel_call call = bench_call(c.centred ? OP_layer_norm : OP_rms_norm, attributes, c.centred ? 3 : 2,
                                  (tensor[]){x, gain, bias}, 2, (tensor[]){y, statistics});
    if (bench_run(forward, &call, true)) {
        check(forward->name, &y, ey, 1e-6);
        kernel_call back =
            bench_call(c.centred ? OP_layer_norm_grad : OP_rms_norm_grad, attributes, 4,
                       (tensor[]){x, gain, statistics, dy}, c.centred ? 3 : 2, (tensor[]){dx, dgain, dbias});
        cr_assert(bench_run(c.centred ? &kernel_layer_norm_grad : &kernel_rms_norm_grad, &back, true));
        check("dx", &dx, edx, n < 4 ? 1e-4 : 2e-6);
        check("dgain", &dgain, edg, 2e-6);
        if (c.centred)
            check("dbias", &dbias, edb, 1e-6);
    } else
        cr_expect(forward == &kernel_layer_norm_onednn && c.layout);
    tensor *all[] = {&x, &gain, &bias, &dy, &y, &statistics, &dx, &dgain, &dbias};
    for (int i = 0; i < 9; i++)
        bench_free(all[i]);
    free(ey);
    free(edx);
    free(edg);
    free(edb);
}

Test(norm_kernel, layer_norm_and_rms_norm_with_their_gradients)
{
    static const int64_t widths[] = {3, 7, 16, 33, 64, 256, 512, 1027};
    for (int w = 0; w < 8; w++)
        for (int layout = 0; layout < 3; layout++) {
            check_norm((norm_case){3, 50, widths[w], layout, true}, &kernel_layer_norm);
            check_norm((norm_case){3, 50, widths[w], layout, false}, &kernel_rms_norm);
            check_norm((norm_case){3, 50, widths[w], layout, true}, &kernel_layer_norm_onednn);
        }
}

static void check_softmax(int64_t b, int64_t t, int64_t n, int layout, const kernel *k)
{
    tensor x = block(b, t, n, layout, -8, 8), y = block(b, t, n, layout, 0, 0), dy = block(b, t, n, 0, -1, 1),
           dx = block(b, t, n, 1, 0, 0);
    double *ey = calloc((size_t)(b * t * n), 8), *edx = calloc((size_t)(b * t * n), 8);
    for (int64_t r = 0; r < b * t; r++) {
        for (int64_t i = 0; i < n; i++)
            if (r % 5 == 3 || (r % 5 == 4 && i % 2))
                *bench_at(&x, r * n + i) = -INFINITY;
        double most = -INFINITY, total = 0, inner = 0;
        for (int64_t i = 0; i < n; i++)
            most = fmax(most, *bench_at(&x, r * n + i));
        for (int64_t i = 0; i < n; i++)
            total += most == -INFINITY ? 1 : exp(*bench_at(&x, r * n + i) - most);
        for (int64_t i = 0; i < n; i++) {
            ey[r * n + i] = most == -INFINITY ? 0 : exp(*bench_at(&x, r * n + i) - most) / total;
            inner += ey[r * n + i] * *bench_at(&dy, r * n + i);
        }
        for (int64_t i = 0; i < n; i++)
            edx[r * n + i] = ey[r * n + i] * (*bench_at(&dy, r * n + i) - inner);
    }
    kernel_call call = {.op = OP_softmax, .input_count = 1, .output_count = 1, .inputs = &x, .outputs = &y};
    if (bench_run(k, &call, false)) {
        check(k->name, &y, ey, 1e-6);
        kernel_call back = {.op = OP_softmax_grad,
                            .input_count = 2,
                            .output_count = 1,
                            .inputs = (tensor[]){y, dy},
                            .outputs = &dx};
        cr_assert(bench_run(&kernel_softmax_grad, &back, false));
        check("softmax_grad", &dx, edx, n == 1 ? 1 : 2e-6);
        call.outputs = &x;
        cr_assert(bench_run(k, &call, true));
        check("softmax in place", &x, ey, 1e-6);
    } else
        cr_expect(k == &kernel_softmax_onednn && layout);
    bench_free(&x);
    bench_free(&y);
    bench_free(&dy);
    bench_free(&dx);
    free(ey);
    free(edx);
}

Test(norm_kernel, softmax_with_masked_rows_and_its_gradient)
{
    static const int64_t widths[] = {1, 2, 15, 16, 40, 257, 1000};
    for (int w = 0; w < 7; w++)
        for (int layout = 0; layout < 3; layout++) {
            check_softmax(3, 41, widths[w], layout, &kernel_softmax);
            check_softmax(3, 41, widths[w], layout, &kernel_softmax_onednn);
        }
}

Test(norm_kernel, a_row_has_the_same_bits_in_every_instruction_set_s_batch)
{
    enum { ROWS = 70, WIDTH = 203 };
    tensor x = bench_dense(2, (int64_t[]){ROWS, WIDTH}), y = bench_dense(2, (int64_t[]){ROWS, WIDTH}),
           z = bench_dense(2, (int64_t[]){1, WIDTH});
    tensor gain = bench_dense(1, (int64_t[]){WIDTH}), bias = bench_dense(1, (int64_t[]){WIDTH}),
           none = {.rank = 2, .dims = {ROWS, 2}, .strides = {2, 1}};
    attribute attributes[MAX_ATTRIBUTES] = {{.real = 1e-5}};
    const kernel *kernels[] = {&kernel_softmax, &kernel_layer_norm, &kernel_rms_norm};
    for (int k = 0; k < 3; k++) {
        kernel_call call = {.attributes = attributes,
                            .input_count = 3,
                            .output_count = 2,
                            .inputs = (tensor[]){x, gain, bias},
                            .outputs = (tensor[]){y, none}};
        cr_assert(bench_run(kernels[k], &call, false));
        for (int64_t row = 0; row < ROWS; row += 23) {
            tensor one = x, no = none;
            one.dims[0] = no.dims[0] = 1;
            one.data = bench_at(&x, row * WIDTH);
            call.inputs = (tensor[]){one, gain, bias};
            call.outputs = (tensor[]){z, no};
            cr_assert(bench_run(kernels[k], &call, false));
            cr_expect_eq(memcmp(z.data, bench_at(&y, row * WIDTH), WIDTH * sizeof(float)), 0, "%s, row %d",
                         kernels[k]->name, (int)row);
        }
    }
}

static void check_adam(int rank, const int64_t *dims, const int *order, bool in_place)
{
    tensor in[5], out[3];
    for (int i = 0; i < 4; i++)
        in[i] = bench_tensor(rank, dims, in_place ? NULL : order, 0, i == 3 ? 0 : -1, 1);
    in[4] = bench_dense(1, (int64_t[]){4});
    double numbers[4] = {0.25, 0.01, 1 - pow(0.9, 3), 1 - pow(0.98, 3)};
    for (int i = 0; i < 4; i++)
        *bench_at(&in[4], i) = (float)numbers[i];
    for (int k = 0; k < 3; k++)
        out[k] = in_place ? in[(int[]){0, 2, 3}[k]] : bench_tensor(rank, dims, NULL, 1, 0, 0);
    int64_t count = bench_count(&in[0]);
    double *expected[3];
    for (int k = 0; k < 3; k++)
        expected[k] = malloc(sizeof(double) * (size_t)(count + 1));
    for (int64_t i = 0; i < count; i++) {
        double g = *bench_at(&in[1], i) * 0.25, m = 0.9 * *bench_at(&in[2], i) + 0.1 * g,
               v = 0.98 * *bench_at(&in[3], i) + 0.02 * g * g;
        double p = *bench_at(&in[0], i);
        expected[0][i] = p - 0.01 * 0.1 * p - 0.01 * (m / numbers[2]) / (sqrt(v / numbers[3]) + 1e-8);
        expected[1][i] = m;
        expected[2][i] = v;
    }
    attribute attributes[MAX_ATTRIBUTES] = {[adam_beta1] = {.real = 0.9},
                                            [adam_beta2] = {.real = 0.98},
                                            [adam_epsilon] = {.real = 1e-8},
                                            [adam_weight_decay] = {.real = 0.1}};
    kernel_call call = bench_call(OP_adam, attributes, 5, in, 3, out);
    cr_assert(bench_run(&kernel_adam, &call, true));
    for (int k = 0; k < 3; k++) {
        check("adam", &out[k], expected[k], 1e-6);
        free(expected[k]);
    }
}

Test(norm_kernel, adam_in_one_sweep)
{
    for (int in_place = 0; in_place < 2; in_place++) {
        check_adam(1, (int64_t[]){100001}, NULL, in_place);
        check_adam(2, (int64_t[]){37, 111}, (int[]){1, 0}, in_place);
        check_adam(1, (int64_t[]){0}, NULL, in_place);
    }
}

/* ---- dropout ---- */

static kernel_call dropout_call(attribute *attributes, double rate, int64_t site, int axis, tensor *inputs,
                                tensor *y)
{
    attributes[dropout_rate].real = rate;
    attributes[dropout_site].integer = site;
    attributes[dropout_axis].integer = axis;
    return (kernel_call){.op = OP_dropout,
                         .attributes = attributes,
                         .input_count = 3,
                         .output_count = 1,
                         .inputs = inputs,
                         .outputs = y};
}

static void check_dropout(int rank, const int64_t *dims, int axis, const int *order)
{
    int32_t seed[2] = {17, -4}, sentences[5] = {900, 3, 77, 4, 5};
    tensor y = bench_tensor(rank, dims, NULL, 1, 0, 0);
    tensor inputs[3] = {bench_tensor(rank, dims, order, 0, 1, 2),
                        {seed, RONDO_I32, 1, {2}, {1}},
                        {sentences, RONDO_I32, 1, {dims[0]}, {1}}};
    attribute attributes[MAX_ATTRIBUTES] = {0};
    kernel_call call = dropout_call(attributes, 0.3, 5, axis, inputs, &y);
    cr_assert(bench_run(&kernel_dropout, &call, true));
    int time = axis < 0 ? axis + rank : axis;
    for (int64_t flat = 0, count = bench_count(&y); flat < count; flat++) {
        int64_t index[MAX_RANK], rest = flat;
        for (int i = rank - 1; i >= 0; rest /= dims[i--])
            index[i] = rest % dims[i];
        dropout_key key = dropout_row(dropout_sentence(5, 17, -4, sentences[index[0]]), index[time]);
        bool kept = dropout_keeps(key, dropout_channel(rank, dims, index, time), dropout_threshold(0.3));
        double expected = kept ? *bench_at(&inputs[0], flat) / 0.7 : 0;
        cr_assert_float_eq(*bench_at(&y, flat), expected, 1e-6, "element %lld of %d axes", (long long)flat,
                           rank);
    }
    bench_free(&inputs[0]);
    bench_free(&y);
}

Test(dropout_kernel, keeps_what_the_hash_says_in_every_layout)
{
    check_dropout(3, (int64_t[]){3, 11, 70}, -2, NULL);
    check_dropout(3, (int64_t[]){3, 11, 70}, -2, (int[]){1, 2, 0});
    check_dropout(3, (int64_t[]){3, 11, 70}, -1, NULL);
    check_dropout(4, (int64_t[]){2, 4, 9, 33}, -2, NULL);
    check_dropout(4, (int64_t[]){2, 4, 9, 33}, 1, (int[]){0, 2, 1, 3});
    check_dropout(2, (int64_t[]){5, 5000}, 1, NULL);
    check_dropout(2, (int64_t[]){5, 5000}, 0, NULL);
    check_dropout(3, (int64_t[]){2, 3, 5000}, 1, NULL);
    check_dropout(1, (int64_t[]){5}, 0, NULL);
}

/* The lanes of every instruction set agree with the scalar definition. */
Test(dropout_kernel, all_instruction_sets_agree)
{
    float x[301], y[301];
    for (int i = 0; i < 301; i++)
        x[i] = 1;
    for (int set = 0; set < 3; set++)
        for (const vector_table *v = vectors_of(set); v; v = NULL) {
            v->dropout_row(y, x, 301, 0x12345678, 0x9abcdef0, 40, 3, dropout_threshold(0.5), 2);
            for (uint32_t i = 0; i < 301; i++)
                cr_assert_eq(y[i] != 0, dropout_keeps((dropout_key){0x12345678, 0x9abcdef0}, 40 + 3 * i,
                                                      dropout_threshold(0.5)));
        }
}

/* Rates, and independence of neighbours in channel, t, sentence, site and seed: counts within five standard
 * deviations. */
Test(dropout_kernel, the_hash_is_even_and_its_neighbours_do_not_agree)
{
    enum { ROWS = 400, CHANNELS = 500, ALL = ROWS * CHANNELS };
    uint32_t threshold = dropout_threshold(0.5);
    static bool kept[5][ALL];
    for (int which = 0; which < 5; which++)
        for (int t = 0; t < ROWS; t++) {
            uint64_t sentence = dropout_sentence(which == 1 ? 8 : 7, which == 2 ? 2 : 1, which == 3 ? 1 : 0,
                                                 which == 4 ? 101 : 100);
            dropout_key key = dropout_row(sentence, t);
            for (uint32_t c = 0; c < CHANNELS; c++)
                kept[which][t * CHANNELS + (int)c] = dropout_keeps(key, c, threshold);
        }
    double deviation = 0.5 / sqrt(ALL);
    int64_t count = 0, agree[7] = {0};
    for (int i = 0; i < ALL; i++) {
        count += kept[0][i];
        for (int which = 1; which < 5; which++)
            agree[which] += kept[which][i] == kept[0][i];
        agree[5] += kept[0][i] == kept[0][(i + 1) % ALL];
        agree[6] += kept[0][i] == kept[0][(i + CHANNELS) % ALL];
    }
    cr_expect_float_eq((double)count / ALL, 0.5, 5 * deviation);
    for (int which = 1; which < 7; which++)
        cr_expect_float_eq((double)agree[which] / ALL, 0.5, 5 * deviation, "pairs of kind %d: %g", which,
                           (double)agree[which] / ALL);
    for (int bit = 0; bit < 32; bit++) {
        int64_t ones = 0;
        dropout_key key = dropout_row(dropout_sentence(1, 2, 3, 4), 5);
        for (uint32_t c = 0; c < ALL; c++)
            ones += dropout_bits(key, c) >> bit & 1;
        cr_expect_float_eq((double)ones / ALL, 0.5, 5 * deviation, "bit %d", bit);
    }
}

Test(dropout_kernel, masks_do_not_change_with_padding_or_the_place_in_the_batch)
{
    enum { D = 50 };
    int32_t seed[2] = {1, 2}, here[3] = {10, 11, 12}, there[2] = {12, 10};
    tensor x = bench_tensor(3, (int64_t[]){3, 20, D}, NULL, 0, 1, 1),
           y = bench_dense(3, (int64_t[]){3, 20, D}), z = bench_dense(3, (int64_t[]){2, 31, D});
    tensor wide = bench_tensor(3, (int64_t[]){2, 31, D}, NULL, 0, 1, 1);
    attribute attributes[MAX_ATTRIBUTES] = {0};
    tensor inputs[3] = {x, {seed, RONDO_I32, 1, {2}, {1}}, {here, RONDO_I32, 1, {3}, {1}}};
    kernel_call call = dropout_call(attributes, 0.1, 3, -2, inputs, &y);
    cr_assert(bench_run(&kernel_dropout, &call, false));
    inputs[0] = wide;
    inputs[2] = (tensor){there, RONDO_I32, 1, {2}, {1}};
    call = dropout_call(attributes, 0.1, 3, -2, inputs, &z);
    cr_assert(bench_run(&kernel_dropout, &call, false));
    for (int t = 0; t < 20; t++)
        for (int d = 0; d < D; d++) {
            cr_assert_eq(*bench_at(&z, t * D + d), *bench_at(&y, (2 * 20 + t) * D + d));
            cr_assert_eq(*bench_at(&z, (31 + t) * D + d), *bench_at(&y, t * D + d));
        }
}
