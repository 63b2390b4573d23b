/* oneDNN's candidates in cases that the samples of the op table do not cover: NaN and infinities, rows of one
 * repeated number, several tasks, more shapes than are kept, many threads. */
#include "kernel_bench.h"
#include "ops/build.h"
#include "ops/rules.h"
#include <criterion/criterion.h>
#include <pthread.h>

static attribute attributes[MAX_ATTRIBUTES];

static bool is_onednn(const kernel *k)
{
    return strstr(k->name, "_onednn") || k == &kernel_layer_norm_narrow;
}

/* Both results have NaN and infinity in the same places, and are close elsewhere. */
static void expect_alike(const char *what, const tensor *ours, const tensor *theirs, double bound)
{
    double differences = 0, squares = 0;
    int wrong = 0;
    for (int64_t i = 0; i < bench_count(ours); i++) {
        double a = *bench_at(ours, i), b = *bench_at(theirs, i);
        wrong += isnan(a) != isnan(b) || isinf(a) != isinf(b) || (isinf(a) && a != b);
        if (isfinite(a) && isfinite(b)) {
            differences += (a - b) * (a - b);
            squares += a * a;
        }
    }
    cr_expect_eq(wrong, 0, "%s: NaN or infinity in other places, %d times", what, wrong);
    cr_expect(differences <= bound * bound * squares, "%s: %g of %g", what, sqrt(differences), sqrt(squares));
}

/* Compares every candidate of the op with the first of our own kernels. y, z: results 0. Returns how many
 * ran. */
static int compare_candidates(kernel_call *call, tensor *y, tensor *z, double bound)
{
    const kernel *const *k = op_table[call->op].kernels;
    int ran = 0;
    while (is_onednn(*k))
        k++;
    tensor kept = call->outputs[0];
    call->outputs[0] = *y;
    cr_assert(bench_run(*k, call, false));
    for (k = op_table[call->op].kernels; *k; k++) {
        call->outputs[0] = *z;
        memset(z->data, 0x55, sizeof(float) * (size_t)bench_count(z));
        if (!is_onednn(*k) || !bench_run(*k, call, true))
            continue;
        expect_alike((*k)->name, y, z, bound);
        ran++;
    }
    call->outputs[0] = kept;
    return ran;
}

static const float odd_numbers[] = {NAN,   INFINITY, -INFINITY, 0,     -0.f, 1e-20f, 3e38f, -3e38f,
                                    88.9f, -87,      -104,      1e-4f, 20,   -20,    1.5f,  -0.25f};
enum { ODD = sizeof odd_numbers / sizeof *odd_numbers };

Test(primitives, numbers_that_are_none_come_out_as_ours)
{
    tensor a = bench_dense(2, (int64_t[]){ODD, ODD}), b = bench_dense(2, (int64_t[]){ODD, ODD}),
           y = bench_dense(2, (int64_t[]){ODD, ODD}), z = bench_dense(2, (int64_t[]){ODD, ODD});
    for (int i = 0; i < ODD * ODD; i++) {
        *bench_at(&a, i) = odd_numbers[i % ODD];
        *bench_at(&b, i) = odd_numbers[i / ODD];
    }
    for (int op = OP_neg; op <= OP_maximum; op++) {
        const op_signature *s = &op_table[op].signature;
        kernel_call call = bench_call(op, attributes, s->min_inputs, (tensor[]){a, b}, 1, &(tensor){0});
        if (op != OP_cast)
            compare_candidates(&call, &y, &z, 1e-6);
    }
    for (int activation = 0; activation < 4; activation++) {
        tensor one = bench_dense(2, (int64_t[]){1, 16}), column = bench_dense(2, (int64_t[]){ODD, 1}),
               p = bench_dense(2, (int64_t[]){ODD, 16}), q = bench_dense(2, (int64_t[]){ODD, 16});
        for (int i = 0; i < 16; i++)
            *bench_at(&one, i) = 1;
        for (int i = 0; i < ODD; i++)
            *bench_at(&column, i) = fabsf(odd_numbers[i]) < 1e9f ? odd_numbers[i] * 0.01f : odd_numbers[i];
        attribute of_matmul[MAX_ATTRIBUTES] = {0};
        of_matmul[matmul_activation].integer = activation;
        kernel_call call = bench_call(OP_matmul, of_matmul, 2, (tensor[]){column, one}, 1, &(tensor){0});
        compare_candidates(&call, &p, &q, 2e-6);
    }
}

Test(primitives, one_odd_number_in_a_row)
{
    enum { WIDTH = 40 };
    tensor x = bench_dense(2, (int64_t[]){ODD, WIDTH}), y = bench_dense(2, (int64_t[]){ODD, WIDTH}),
           z = bench_dense(2, (int64_t[]){ODD, WIDTH}), gain = bench_dense(1, (int64_t[]){WIDTH}),
           bias = bench_dense(1, (int64_t[]){WIDTH}), sum = bench_dense(1, (int64_t[]){ODD}),
           other = bench_dense(1, (int64_t[]){ODD}), none = {.rank = 2, .dims = {ODD, 2}, .strides = {2, 1}};
    for (int i = 0; i < ODD; i++)
        *bench_at(&x, i * WIDTH + 17) = odd_numbers[i];
    for (int i = 0; i < WIDTH; i++)
        *bench_at(&x, 5 * WIDTH + i) = -INFINITY;
    kernel_call softmax = bench_call(OP_softmax, attributes, 1, &x, 1, &(tensor){0});
    compare_candidates(&softmax, &y, &z, 1e-6);
    attribute of_norm[MAX_ATTRIBUTES] = {{.real = 1e-5}};
    kernel_call norm =
        bench_call(OP_layer_norm, of_norm, 3, (tensor[]){x, gain, bias}, 2, (tensor[]){y, none});
    compare_candidates(&norm, &y, &z, 1e-6);
    for (int op = OP_sum; op <= OP_max; op++) {
        attribute of_sum[MAX_ATTRIBUTES] = {{.integer = 1}};
        kernel_call call = bench_call(op, of_sum, 1, &x, 1, &(tensor){0});
        compare_candidates(&call, &sum, &other, 1e-6);
    }
}

Test(primitives, layer_norm_of_rows_of_one_number)
{
    for (int64_t n = 1; n <= 1031; n += n < 66 ? 1 : 193) {
        enum { ROWS = 7 };
        tensor x = bench_dense(2, (int64_t[]){ROWS, n}), y = bench_dense(2, (int64_t[]){ROWS, n}),
               z = bench_dense(2, (int64_t[]){ROWS, n}), gain = bench_dense(1, &n), bias = bench_dense(1, &n),
               statistics = bench_dense(2, (int64_t[]){ROWS, 2});
        for (int64_t i = 0; i < ROWS * n; i++)
            *bench_at(&x, i) = *bench_at(&x, i / n * n);
        attribute of_norm[MAX_ATTRIBUTES] = {{.real = 1e-5}};
        kernel_call call =
            bench_call(OP_layer_norm, of_norm, 3, (tensor[]){x, gain, bias}, 2, (tensor[]){y, statistics});
        compare_candidates(&call, &y, &z, 1e-6);
        tensor *all[] = {&x, &y, &z, &gain, &bias, &statistics};
        for (int i = 0; i < 6; i++)
            bench_free(all[i]);
    }
}

/* The narrow kernel is chosen by default: alone or among others, dense or not, a row has the same bits. */
Test(primitives, a_narrow_row_s_layer_norm_has_the_same_bits_anywhere)
{
    enum { ROWS = 700, WIDTH = 37 };
    tensor x = bench_dense(2, (int64_t[]){ROWS, WIDTH}), y = bench_dense(2, (int64_t[]){ROWS, WIDTH}),
           z = bench_dense(2, (int64_t[]){1, WIDTH}), gain = bench_dense(1, (int64_t[]){WIDTH}),
           bias = bench_dense(1, (int64_t[]){WIDTH}),
           wide = bench_tensor(2, (int64_t[]){1, WIDTH}, NULL, 5, 0, 0),
           turned = bench_tensor(2, (int64_t[]){ROWS, WIDTH}, (int[]){1, 0}, 3, 0, 0),
           none = {.rank = 2, .dims = {ROWS, 2}, .strides = {2, 1}};
    attribute of_norm[MAX_ATTRIBUTES] = {{.real = 1e-5}};
    kernel_call call =
        bench_call(OP_layer_norm, of_norm, 3, (tensor[]){x, gain, bias}, 2, (tensor[]){y, none});
    if (!bench_run(&kernel_layer_norm_narrow, &call, false))
        cr_skip_test("oneDNN has no code for it here");
    for (int64_t i = 0; i < ROWS * WIDTH; i++)
        *bench_at(&turned, i) = *bench_at(&x, i);
    tensor back = bench_dense(2, (int64_t[]){ROWS, WIDTH});
    call.inputs[0] = turned;
    call.outputs[0] = back;
    cr_assert(bench_run(&kernel_layer_norm_narrow, &call, true));
    cr_expect_eq(memcmp(back.data, y.data, sizeof(float) * ROWS * WIDTH), 0, "turned");
    for (int64_t row = 0; row < ROWS; row += 23) {
        for (int i = 0; i < WIDTH; i++)
            *bench_at(&wide, i) = *bench_at(&x, row * WIDTH + i);
        call.inputs[0] = wide;
        call.outputs[0] = z;
        call.outputs[1].dims[0] = 1;
        cr_assert(bench_run(&kernel_layer_norm_narrow, &call, false));
        cr_expect_eq(memcmp(z.data, bench_at(&y, row * WIDTH), sizeof(float) * WIDTH), 0, "row %d", (int)row);
    }
}

/* Several tasks of each family, the last one smaller. */
Test(primitives, many_tasks)
{
    const int64_t wide[] = {1031, 77}, tall[] = {77, 1031}, deep[] = {70, 131, 67}, turned[] = {70, 67, 131};
    tensor x = bench_dense(2, wide), row = bench_dense(1, wide + 1), y = bench_dense(2, wide),
           z = bench_dense(2, wide);
    kernel_call call = {
        .attributes = attributes, .output_count = 1, .inputs = (tensor[]){x, row}, .outputs = &(tensor){0}};
    call.op = OP_tanh, call.input_count = 1;
    compare_candidates(&call, &y, &z, 1e-6);
    call.op = OP_mul, call.input_count = 2;
    compare_candidates(&call, &y, &z, 1e-7);
    call.op = OP_softmax, call.input_count = 1;
    compare_candidates(&call, &y, &z, 1e-6);
    tensor p = bench_dense(2, tall), q = bench_dense(2, tall), d = bench_dense(3, deep),
           e = bench_dense(3, turned), f = bench_dense(3, turned), s = bench_dense(1, wide),
           t = bench_dense(1, wide);
    attribute own[MAX_ATTRIBUTES] = {{.integer = order_pack((int[]){1, 0}, 2)}};
    call.op = OP_transpose, call.attributes = own;
    compare_candidates(&call, &p, &q, 0);
    own[transpose_order].integer = order_pack((int[]){0, 2, 1}, 3);
    call.inputs = &d;
    compare_candidates(&call, &e, &f, 0);
    own[sum_axis].integer = 1;
    call.op = OP_mean, call.inputs = &x;
    compare_candidates(&call, &s, &t, 1e-6);
}

static void check_product(int rank, const int64_t *a_dims, const int64_t *b_dims, bool turned, int activation,
                          bool has_c, bool has_bias)
{
    int64_t m = a_dims[rank - 2], n = b_dims[rank - (turned ? 2 : 1)], dims[3] = {a_dims[0], m, n};
    const int64_t *out = dims + 3 - rank;
    tensor x[4] = {bench_dense(rank, a_dims), bench_dense(rank, b_dims)}, y = bench_dense(rank, out),
           z = bench_dense(rank, out);
    if (has_c)
        x[2] = bench_dense(rank, out);
    if (has_bias)
        x[3] = bench_dense(1, &n);
    attribute own[MAX_ATTRIBUTES] = {0};
    own[matmul_transpose_b].integer = turned;
    own[matmul_activation].integer = activation;
    kernel_call call = bench_call(OP_matmul, own, 4, x, 1, &(tensor){0});
    compare_candidates(&call, &y, &z, 1e-6);
    for (int i = 0; i < 4; i++)
        if (x[i].data)
            bench_free(&x[i]);
    bench_free(&y);
    bench_free(&z);
}

Test(primitives, products_of_many_tasks)
{
    for (int activation = 0; activation < 4; activation++)
        for (int operands = 0; operands < 4; operands++) {
            bool c = operands & 1, bias = operands & 2;
            check_product(2, (int64_t[]){401, 130}, (int64_t[]){130, 131}, false, activation, c,
                          bias); /* cut by rows */
            check_product(2, (int64_t[]){5, 67}, (int64_t[]){1031, 67}, true, activation, c,
                          bias); /* by columns */
            check_product(3, (int64_t[]){67, 65, 33}, (int64_t[]){67, 33, 47}, false, activation, c,
                          bias); /* by entries */
        }
}

/* ---- the ones that are kept ---- */

/* One shape of tanh against tanhf. */
static int wrong_tanh(int64_t n)
{
    float *x = malloc(sizeof *x * (size_t)n), *y = malloc(sizeof *y * (size_t)n);
    tensor in = {.data = x, .rank = 1, .dims = {n}, .strides = {1}}, out = in;
    out.data = y;
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)((i * 7 + n) % 41 - 20) * 0.2f;
    kernel_call call = bench_call(OP_tanh, attributes, 1, &in, 1, &out);
    int wrong = 0;
    if (bench_run(&kernel_elementwise_onednn, &call, false))
        for (int64_t i = 0; i < n; i++)
            wrong += !(fabsf(y[i] - tanhf(x[i])) <= 1e-6f);
    free(x);
    free(y);
    return wrong;
}

Test(primitives, more_shapes_than_are_kept)
{
    for (int round = 0; round < 2; round++)
        for (int64_t n = 1; n <= 300; n++)
            cr_expect_eq(wrong_tanh(n), 0, "%d numbers", (int)n);
}

static void *run_shapes(void *argument)
{
    int *wrong = argument;
    for (int i = 0; i < 400; i++)
        *wrong += wrong_tanh(1 + (i * 37 + *wrong) % 190);
    return NULL;
}

Test(primitives, threads_share_what_is_kept)
{
    enum { THREADS = 6 };
    pthread_t threads[THREADS];
    int wrong[THREADS] = {0};
    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, run_shapes, &wrong[i]), 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        cr_expect_eq(wrong[i], 0);
    }
}
