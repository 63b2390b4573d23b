/* The tile interpreter against plain loops: every op, all kinds of broadcasts and layouts, programs with
 * several results, results in the memory of an operand, integers. */
#include "ops/reference.h"
#include "ops/rules.h"
#include "ops/vector/table.h"
#include "tests/ops/kernels/kernel_bench.h"
#include <criterion/criterion.h>

static const struct {
    int op, operands;
    double low, high;
} ops[] = {
    {OP_neg, 1, -3, 3},        {OP_exp, 1, -20, 20}, {OP_log, 1, 0.01, 50},     {OP_tanh, 1, -4, 4},
    {OP_sigmoid, 1, -9, 9},    {OP_relu, 1, -3, 3},  {OP_gelu, 1, -3, 4},       {OP_silu, 1, -9, 9},
    {OP_elu, 1, -5, 5},        {OP_sqrt, 1, 0, 9},   {OP_rsqrt, 1, 0.1, 9},     {OP_abs, 1, -3, 3},
    {OP_softplus, 1, -20, 20}, {OP_erf, 1, -3, 3},   {OP_add, 2, -3, 3},        {OP_sub, 2, -3, 3},
    {OP_mul, 2, -3, 3},        {OP_div, 2, 0.1, 3},  {OP_power, 2, 0.1, 3},     {OP_minimum, 2, -3, 3},
    {OP_maximum, 2, -3, 3},    {OP_less, 2, -3, 3},  {OP_less_equal, 2, -3, 3}, {OP_equal, 2, -3, 3},
    {OP_select, 3, -1, 1},
};
enum { OPS = sizeof ops / sizeof *ops };

/* Random dims, and operands that broadcast to them in random ways and have random storage orders. */
static tensor random_operand(int rank, const int64_t *dims, double low, double high)
{
    int64_t own[MAX_RANK];
    int order[MAX_RANK], cut = bench_below(3) == 0 ? (int)bench_below(rank + 1) : 0, own_rank = rank - cut;
    for (int i = 0; i < own_rank; i++) {
        own[i] = bench_below(4) == 0 ? 1 : dims[i + cut];
        order[i] = i;
    }
    if (own_rank > 1 && bench_below(3) == 0) {
        int i = (int)bench_below(own_rank), j = (int)bench_below(own_rank), t = order[i];
        order[i] = order[j];
        order[j] = t;
    }
    return bench_tensor(own_rank, own, order, bench_below(2) ? bench_below(20) : 0, low, high);
}

static int random_dims(int64_t *dims)
{
    static const int64_t extents[] = {1, 2, 3, 7, 16, 31, 64, 129};
    int rank = (int)bench_below(5);
    int64_t count = 1;
    for (int i = 0; i < rank; i++) {
        dims[i] = extents[bench_below(8)];
        if (count * dims[i] > 40000)
            dims[i] = 2;
        count *= dims[i];
    }
    if (rank && bench_below(4) == 0)
        dims[rank - 1] = count > 4000 ? 5 : 700 + bench_below(2000);
    return rank;
}

static void check(const char *what, const tensor *y, const double *expected)
{
    int64_t count = bench_count(y);
    double *got = malloc(sizeof *got * (size_t)(count + 1));
    for (int64_t i = 0; i < count; i++)
        got[i] = *bench_at(y, i);
    double error = bench_error(got, expected, count);
    cr_expect(error <= 1e-6, "%s: error %g over %lld elements", what, error, (long long)count);
    free(got);
}

static void check_op(int which)
{
    int64_t dims[MAX_RANK];
    int rank = random_dims(dims), n = ops[which].operands;
    tensor inputs[3], y = random_operand(0, dims, 0, 0);
    bench_free(&y);
    for (int i = 0; i < n; i++)
        inputs[i] = random_operand(rank, dims, ops[which].low, ops[which].high);
    y = bench_tensor(rank, dims, NULL, bench_below(2) ? bench_below(9) : 0, 0, 0);
    int64_t count = bench_count(&y);
    double *expected = malloc(sizeof *expected * (size_t)(count + 1));
    for (int64_t flat = 0; flat < count; flat++) {
        double operands[3];
        for (int i = 0; i < n; i++)
            operands[i] = ((float *)inputs[i].data)[bench_offset(&inputs[i], rank, dims, flat)];
        expected[flat] = reference_elementwise(ops[which].op, operands);
    }
    kernel_call call = {
        .op = ops[which].op, .input_count = n, .output_count = 1, .inputs = inputs, .outputs = &y};
    cr_assert(bench_run(&kernel_elementwise, &call, bench_below(2)));
    check(op_table[ops[which].op].signature.name, &y, expected);
    free(expected);
    for (int i = 0; i < n; i++)
        bench_free(&inputs[i]);
    bench_free(&y);
}

Test(elementwise_kernel, every_op_in_random_shapes_and_layouts)
{
    for (int which = 0; which < OPS; which++)
        for (int round = 0; round < 60; round++)
            check_op(which);
}

/* out0 = tanh(a b + c), out1 = out0 − d / 20, out2 = where a < d: a / 2, else b */
static const char program[] = "0 1 mul 2 add tanh =0 3 #0.05 mul sub =1 . 0 3 less 0 #0.5 mul 1 select =2";
static void expect(double a, double b, double c, double d, double out[3])
{
    out[0] = tanh(a * b + c);
    out[1] = out[0] - 0.05 * d;
    out[2] = a < d ? a * 0.5 : b;
}

static void check_program(bool in_place)
{
    int64_t dims[MAX_RANK];
    int rank = random_dims(dims);
    tensor inputs[4], outputs[3];
    for (int i = 0; i < 4; i++)
        inputs[i] = i == 0 && in_place ? bench_tensor(rank, dims, NULL, 0, 0.1, 1)
                                       : random_operand(rank, dims, 0.1, 1);
    for (int k = 0; k < 3; k++)
        outputs[k] = bench_tensor(rank, dims, NULL, k == 1 ? 3 : 0, 0, 0);
    tensor own = outputs[0];
    if (in_place)
        outputs[0] = inputs[0];
    int64_t count = bench_count(&outputs[0]);
    double *expected[3];
    for (int k = 0; k < 3; k++)
        expected[k] = malloc(sizeof(double) * (size_t)(count + 1));
    for (int64_t flat = 0; flat < count; flat++) {
        double x[4], out[3];
        for (int i = 0; i < 4; i++)
            x[i] = ((float *)inputs[i].data)[bench_offset(&inputs[i], rank, dims, flat)];
        expect(x[0], x[1], x[2], x[3], out);
        for (int k = 0; k < 3; k++)
            expected[k][flat] = out[k];
    }
    kernel_call call = {.op = OP_fused,
                        .program = program,
                        .input_count = 4,
                        .output_count = 3,
                        .inputs = inputs,
                        .outputs = outputs};
    cr_assert(bench_run(&kernel_elementwise, &call, false));
    for (int k = 0; k < 3; k++) {
        check(in_place ? "program in place" : "program", &outputs[k], expected[k]);
        free(expected[k]);
    }
    outputs[0] = own;
    for (int i = 0; i < 4; i++)
        bench_free(&inputs[i]);
    for (int k = 0; k < 3; k++)
        bench_free(&outputs[k]);
}

Test(elementwise_kernel, a_program_with_three_results)
{
    for (int round = 0; round < 200; round++)
        check_program(false);
}
/* Result 0 is stored while operand 0, whose memory it takes, is still to be read. */
Test(elementwise_kernel, a_result_may_take_the_memory_of_an_operand_that_is_read_later)
{
    for (int round = 0; round < 200; round++)
        check_program(true);
}

Test(elementwise_kernel, a_result_that_nobody_reads_is_not_written)
{
    tensor x = bench_dense(1, (int64_t[]){100}),
           outputs[2] = {bench_dense(1, (int64_t[]){100}), bench_dense(1, (int64_t[]){100})};
    void *memory = outputs[0].data;
    outputs[0].data = NULL;
    kernel_call call = {.op = OP_fused,
                        .program = "0 exp =0 neg =1",
                        .input_count = 1,
                        .output_count = 2,
                        .inputs = &x,
                        .outputs = outputs};
    cr_assert(bench_run(&kernel_elementwise, &call, false));
    for (int64_t i = 0; i < 100; i++)
        cr_expect_float_eq(*bench_at(&outputs[1], i), -exp(*bench_at(&x, i)), 1e-5);
    outputs[0].data = memory;
}

/* A program that does not fit into the call: each task parses it again. */
Test(elementwise_kernel, a_long_program_is_as_good_as_a_short_one)
{
    char code[800] = "0";
    for (int i = 0; i < 40; i++)
        strcat(code, i % 2 ? " #0.5 mul" : " #0.25 add");
    strcat(code, " =0");
    tensor x = bench_dense(2, (int64_t[]){50, 2000}), y = bench_dense(2, (int64_t[]){50, 2000});
    kernel_call call = {
        .op = OP_fused, .program = code, .input_count = 1, .output_count = 1, .inputs = &x, .outputs = &y};
    cr_assert(bench_run(&kernel_elementwise, &call, true));
    for (int64_t flat = 0; flat < 100000; flat += 777) {
        double expected = *bench_at(&x, flat);
        for (int i = 0; i < 40; i++)
            expected = i % 2 ? expected * 0.5 : expected + 0.25;
        cr_expect_float_eq(*bench_at(&y, flat), expected, 1e-6);
    }
}

Test(elementwise_kernel, select_lets_nothing_of_the_other_through)
{
    tensor inputs[3], y = bench_dense(1, (int64_t[]){37});
    for (int i = 0; i < 3; i++)
        inputs[i] = bench_dense(1, (int64_t[]){37});
    for (int64_t i = 0; i < 37; i++) {
        *bench_at(&inputs[0], i) = (float)(i % 3 != 0);
        *bench_at(&inputs[i % 3 ? 2 : 1], i) = i % 2 ? NAN : INFINITY;
    }
    kernel_call call = {
        .op = OP_select, .input_count = 3, .output_count = 1, .inputs = inputs, .outputs = &y};
    cr_assert(bench_run(&kernel_elementwise, &call, false));
    for (int64_t i = 0; i < 37; i++)
        cr_expect_eq(*bench_at(&y, i), *bench_at(&inputs[i % 3 ? 1 : 2], i));
}

Test(elementwise_kernel, integers_stay_exact)
{
    int32_t a[6] = {16777217, -5, 7, 2147483647, 0, 3}, b[1] = {2}, sum[6], product[6];
    float less[6];
    tensor inputs[2] = {{a, RONDO_I32, 2, {2, 3}, {3, 1}}, {b, RONDO_I32, 1, {1}, {1}}};
    tensor y = {sum, RONDO_I32, 2, {2, 3}, {3, 1}};
    kernel_call call = {.op = OP_add, .input_count = 2, .output_count = 1, .inputs = inputs, .outputs = &y};
    inputs[0].data = a;
    cr_assert(bench_run(&kernel_elementwise, &call, false));
    call.op = OP_mul;
    y.data = product;
    cr_assert(bench_run(&kernel_elementwise, &call, false));
    call.op = OP_less;
    y.type = RONDO_F32;
    y.data = less;
    cr_assert(bench_run(&kernel_elementwise, &call, false));
    for (int i = 0; i < 6; i++) {
        cr_expect_eq(sum[i], (int32_t)((uint32_t)a[i] + 2u));
        cr_expect_eq(product[i], (int32_t)((uint32_t)a[i] * 2u));
        cr_expect_eq(less[i], (float)(a[i] < 2));
    }
}

Test(elementwise_kernel, cast_goes_toward_zero_and_saturates)
{
    float x[8] = {1.9f, -1.9f, 3e9f, -3e9f, NAN, -0.0f, 123456, 0.5f}, back[8];
    int32_t y[8], expected[8] = {1, -1, INT32_MAX, INT32_MIN, 0, 0, 123456, 0};
    tensor from = {x, RONDO_F32, 1, {8}, {1}}, to = {y, RONDO_I32, 1, {8}, {1}},
           again = {back, RONDO_F32, 1, {8}, {1}};
    kernel_call call = {.op = OP_cast, .input_count = 1, .output_count = 1, .inputs = &from, .outputs = &to};
    cr_assert(bench_run(&kernel_cast, &call, false));
    call.inputs = &to;
    call.outputs = &again;
    cr_assert(bench_run(&kernel_cast, &call, false));
    for (int i = 0; i < 8; i++) {
        cr_expect_eq(y[i], expected[i]);
        cr_expect_eq(back[i], (float)expected[i]);
    }
}

Test(elementwise_kernel, a_constant_with_strides_of_zero_is_one_element)
{
    float memory[3] = {7, 7, 7};
    tensor y = {&memory[1], RONDO_F32, 2, {40, 50}, {0, 0}};
    attribute attributes[MAX_ATTRIBUTES] = {{.real = 2.5}};
    kernel_call call = {.op = OP_constant, .attributes = attributes, .output_count = 1, .outputs = &y};
    cr_assert(bench_run(&kernel_constant, &call, false));
    cr_expect(memory[0] == 7 && memory[1] == 2.5f && memory[2] == 7);
}

/* Equal numbers in two rows of a tensor give the same bits, wherever the rows are. */
Test(elementwise_kernel, a_row_does_not_depend_on_its_place)
{
    enum { ROWS = 37, WIDTH = 301 };
    tensor x = bench_dense(2, (int64_t[]){ROWS, WIDTH}), bias = bench_dense(1, (int64_t[]){WIDTH}),
           y = bench_dense(2, (int64_t[]){ROWS, WIDTH}), inputs[2];
    for (int64_t i = WIDTH; i < ROWS * WIDTH; i++)
        *bench_at(&x, i) = *bench_at(&x, i % WIDTH);
    inputs[0] = x;
    inputs[1] = bias;
    kernel_call call = {.op = OP_fused,
                        .program = "0 1 add gelu 0 mul 1 add =0",
                        .input_count = 2,
                        .output_count = 1,
                        .inputs = inputs,
                        .outputs = &y};
    cr_assert(bench_run(&kernel_elementwise, &call, false));
    for (int64_t i = WIDTH; i < ROWS * WIDTH; i++)
        cr_assert_eq(*bench_at(&y, i), *bench_at(&y, i % WIDTH));
}
