/* Reductions over every axis and layout against plain loops in double; long ones; bits; the running sum. */
#include "ops/rules.h"
#include "tests/ops/kernels/kernel_bench.h"
#include <criterion/criterion.h>

static double combine(int op, const double *x, int64_t n)
{
    double sum = 0, most = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        sum += x[i];
        most = x[i] > most ? x[i] : most;
    }
    if (op == OP_max)
        return most;
    if (op != OP_logsumexp)
        return op == OP_mean ? sum / (double)n : sum;
    double total = 0;
    for (int64_t i = 0; i < n; i++)
        total += exp(x[i] - most);
    return most + log(total);
}

static void check_reduce(int op, int rank, const int64_t *dims, int axis, const int *order, bool keep)
{
    tensor x = bench_tensor(rank, dims, order, bench_below(3), -0.5, 2);
    int64_t y_dims[MAX_RANK], inner = 1, extent = dims[axis];
    int y_rank = 0;
    for (int i = 0; i < rank; i++) {
        if (i != axis || keep)
            y_dims[y_rank++] = i == axis ? 1 : dims[i];
        inner *= i > axis ? dims[i] : 1;
    }
    tensor y = bench_tensor(y_rank, y_dims, NULL, bench_below(2), 0, 0);
    attribute attributes[MAX_ATTRIBUTES] = {
        [sum_axis] = {.integer = bench_below(2) ? axis : axis - rank}, [sum_keep] = {.integer = keep}};
    kernel_call call = {
        .op = op, .attributes = attributes, .input_count = 1, .output_count = 1, .inputs = &x, .outputs = &y};
    cr_assert(bench_run(&kernel_reduce, &call, bench_below(2)));
    int64_t results = bench_count(&y);
    double *got = malloc(sizeof *got * (size_t)(results + 1)),
           *expected = malloc(sizeof *got * (size_t)(results + 1));
    double *line = malloc(sizeof *line * (size_t)(extent + 1));
    for (int64_t r = 0; r < results; r++) {
        for (int64_t i = 0; i < extent; i++)
            line[i] = *bench_at(&x, (r / inner * extent + i) * inner + r % inner);
        expected[r] = combine(op, line, extent);
        got[r] = *bench_at(&y, r);
    }
    double error = bench_error(got, expected, results);
    cr_expect(error <= 1e-6, "%s over axis %d of %d: error %g", op_table[op].signature.name, axis, rank,
              error);
    free(got);
    free(expected);
    free(line);
    bench_free(&x);
    bench_free(&y);
}

static const int reductions[] = {OP_sum, OP_mean, OP_max, OP_logsumexp};

Test(reduce_kernel, every_axis_of_random_shapes_and_layouts)
{
    static const int64_t extents[] = {1, 2, 5, 16, 37, 65, 130};
    for (int round = 0; round < 400; round++) {
        int64_t dims[4];
        int rank = 1 + (int)bench_below(4), order[4] = {0, 1, 2, 3};
        for (int i = 0; i < rank; i++)
            dims[i] = extents[bench_below(i > 1 ? 4 : 7)];
        int i = (int)bench_below(rank), j = (int)bench_below(rank), t = order[i];
        order[i] = order[j];
        order[j] = t;
        check_reduce(reductions[round % 4], rank, dims, (int)bench_below(rank), bench_below(2) ? order : NULL,
                     bench_below(2));
    }
}

Test(reduce_kernel, long_axes_are_cut)
{
    for (int i = 0; i < 4; i++) {
        check_reduce(reductions[i], 1, (int64_t[]){200003}, 0, NULL, false);
        check_reduce(reductions[i], 2, (int64_t[]){3, 70001}, 1, NULL, false);
        check_reduce(reductions[i], 2, (int64_t[]){70001, 3}, 1, (int[]){1, 0}, true);
        check_reduce(reductions[i], 2, (int64_t[]){1000, 1500}, 0, NULL, false);
        check_reduce(reductions[i], 3, (int64_t[]){3, 300, 20}, 1, NULL, true);
    }
}

Test(reduce_kernel, empty_and_infinite_lines)
{
    float x[8] = {-INFINITY, -INFINITY, -INFINITY, 1, INFINITY, 2, NAN, 3}, y[8] = {9, 9, 9, 9, 9, 9, 9, 9};
    tensor tx = {x, RONDO_F32, 2, {4, 2}, {2, 1}}, ty = {y, RONDO_F32, 1, {4}, {1}};
    attribute attributes[MAX_ATTRIBUTES] = {[sum_axis] = {.integer = 1}};
    kernel_call call = bench_call(OP_logsumexp, attributes, 1, &tx, 1, &ty);
    for (int columns = 0; columns < 2; columns++) {
        float flipped[8];
        for (int i = 0; i < 8; i++)
            flipped[i] = x[i % 4 * 2 + i / 4];
        if (columns)
            tx = (tensor){flipped, RONDO_F32, 2, {4, 2}, {1, 4}};
        call.op = OP_logsumexp;
        cr_assert(bench_run(&kernel_reduce, &call, false));
        cr_expect(y[0] == -INFINITY && y[1] == 1 && y[2] == INFINITY && isnan(y[3]), "columns %d", columns);
        call.op = OP_max;
        cr_assert(bench_run(&kernel_reduce, &call, false));
        cr_expect(y[0] == -INFINITY && y[1] == 1 && y[2] == INFINITY && isnan(y[3]), "columns %d", columns);
    }
    tx = (tensor){x, RONDO_F32, 2, {4, 0}, {1, 1}};
    call.op = OP_sum;
    cr_assert(bench_run(&kernel_reduce, &call, false));
    cr_expect(y[0] == 0 && y[3] == 0);
    tx = (tensor){x, RONDO_F32, 2, {0, 4}, {4, 1}};
    attributes[sum_axis].integer = 0;
    y[0] = y[3] = 5;
    cr_assert(bench_run(&kernel_reduce, &call, false));
    cr_expect(y[0] == 0 && y[3] == 0);
}

static void check_sum_to(int rank, const int64_t *dims, int y_rank, const int64_t *y_dims, const int *order)
{
    tensor x = bench_tensor(rank, dims, order, 0, -0.5, 2), y = bench_dense(y_rank, y_dims);
    int64_t results = bench_count(&y), count = bench_count(&x);
    double *expected = calloc((size_t)results + 1, sizeof *expected),
           *got = calloc((size_t)results + 1, sizeof *got);
    for (int64_t flat = 0; flat < count; flat++)
        expected[bench_offset(&y, rank, dims, flat)] += *bench_at(&x, flat);
    kernel_call call = {.op = OP_sum_to, .input_count = 1, .output_count = 1, .inputs = &x, .outputs = &y};
    cr_assert(bench_run(&kernel_sum_to, &call, true));
    for (int64_t i = 0; i < results; i++)
        got[i] = *bench_at(&y, i);
    double error = bench_error(got, expected, results);
    cr_expect(error <= 1e-6, "sum_to of %d axes, last %lld: error %g", rank, (long long)dims[rank - 1],
              error);
    free(got);
    free(expected);
    bench_free(&x);
    bench_free(&y);
}

Test(reduce_kernel, sum_to_undoes_every_kind_of_broadcast)
{
    check_sum_to(3, (int64_t[]){5, 33, 70}, 1, (int64_t[]){70}, NULL);
    check_sum_to(3, (int64_t[]){50, 33, 7}, 1, (int64_t[]){7}, (int[]){1, 0, 2});
    check_sum_to(2, (int64_t[]){1000, 1300}, 1, (int64_t[]){1300}, NULL);
    check_sum_to(3, (int64_t[]){5, 33, 70}, 3, (int64_t[]){5, 33, 1}, NULL);
    check_sum_to(3, (int64_t[]){5, 33, 70}, 3, (int64_t[]){1, 33, 1}, NULL);
    check_sum_to(3, (int64_t[]){5, 33, 70}, 2, (int64_t[]){33, 70}, NULL);
    check_sum_to(4, (int64_t[]){6, 4, 30, 16}, 4, (int64_t[]){1, 4, 1, 16}, (int[]){0, 2, 1, 3});
    check_sum_to(4, (int64_t[]){6, 4, 30, 16}, 4, (int64_t[]){1, 4, 1, 1}, (int[]){0, 2, 1, 3});
    check_sum_to(2, (int64_t[]){300, 700}, 0, NULL, NULL);
    check_sum_to(2, (int64_t[]){300, 700}, 2, (int64_t[]){1, 1}, (int[]){1, 0});
    check_sum_to(1, (int64_t[]){1}, 0, NULL, NULL);
    check_sum_to(3, (int64_t[]){0, 3, 5}, 1, (int64_t[]){5}, NULL);
    check_sum_to(3, (int64_t[]){4, 3, 5}, 3, (int64_t[]){4, 3, 5}, NULL);
}

Test(reduce_kernel, a_row_has_the_same_bits_at_every_place_and_before_zeros)
{
    enum { ROWS = 9, WIDTH = 1203, WIDER = 1300 };
    tensor x = bench_dense(2, (int64_t[]){ROWS, WIDER});
    float y[ROWS], first[ROWS];
    for (int64_t i = 0; i < ROWS * WIDER; i++)
        *bench_at(&x, i) = i % WIDER < WIDTH ? *bench_at(&x, i % WIDER) : 0;
    tensor narrow = x, ty = {y, RONDO_F32, 1, {ROWS}, {1}};
    narrow.dims[1] = WIDTH;
    attribute attributes[MAX_ATTRIBUTES] = {[sum_axis] = {.integer = 1}};
    kernel_call call = bench_call(OP_sum, attributes, 1, &x, 1, &ty);
    cr_assert(bench_run(&kernel_reduce, &call, false));
    memcpy(first, y, sizeof y);
    call.inputs = &narrow;
    cr_assert(bench_run(&kernel_reduce, &call, false));
    for (int i = 0; i < ROWS; i++)
        cr_expect(y[i] == first[0] && first[i] == first[0]);
}

Test(reduce_kernel, the_order_of_tasks_does_not_change_a_bit)
{
    tensor x = bench_dense(2, (int64_t[]){5000, 300}), y = bench_dense(1, (int64_t[]){300}),
           z = bench_dense(1, (int64_t[]){300});
    kernel_call call = {.op = OP_sum_to, .input_count = 1, .output_count = 1, .inputs = &x, .outputs = &y};
    cr_assert(bench_run(&kernel_sum_to, &call, false));
    cr_expect_gt(call.tasks[0], 4);
    call.outputs = &z;
    cr_assert(bench_run(&kernel_sum_to, &call, true));
    cr_expect_eq(memcmp(y.data, z.data, 300 * sizeof(float)), 0);
}

static void check_cumsum(int rank, const int64_t *dims, int axis, const int *order, bool exclusive,
                         bool reverse)
{
    tensor x = bench_tensor(rank, dims, order, 0, -2, 2),
           y = bench_tensor(rank, dims, NULL, bench_below(2), 0, 0);
    int64_t inner = 1, count = bench_count(&x), extent = dims[axis];
    for (int i = axis + 1; i < rank; i++)
        inner *= dims[i];
    attribute attributes[MAX_ATTRIBUTES] = {[cumsum_axis] = {.integer = axis},
                                            [cumsum_exclusive] = {.integer = exclusive},
                                            [cumsum_reverse] = {.integer = reverse}};
    kernel_call call = bench_call(OP_cumsum, attributes, 1, &x, 1, &y);
    cr_assert(bench_run(&kernel_cumsum, &call, true));
    double *got = malloc(sizeof *got * (size_t)(count + 1)),
           *expected = malloc(sizeof *got * (size_t)(count + 1));
    for (int64_t line = 0; line < count / extent; line++) {
        double sum = 0;
        for (int64_t i = 0; i < extent; i++) {
            int64_t at = ((line / inner) * extent + (reverse ? extent - 1 - i : i)) * inner + line % inner;
            double before = sum;
            sum += *bench_at(&x, at);
            expected[at] = exclusive ? before : sum;
            got[at] = *bench_at(&y, at);
        }
    }
    double error = bench_error(got, expected, count);
    cr_expect(error <= 1e-7, "cumsum along %d of %d: error %g", axis, rank, error);
    free(got);
    free(expected);
    bench_free(&x);
    bench_free(&y);
}

Test(reduce_kernel, running_sums_along_every_axis)
{
    for (int flags = 0; flags < 4; flags++) {
        check_cumsum(3, (int64_t[]){3, 50, 17}, 1, NULL, flags & 1, flags & 2);
        check_cumsum(3, (int64_t[]){3, 50, 170}, 1, NULL, flags & 1, flags & 2);
        check_cumsum(3, (int64_t[]){3, 50, 17}, 2, NULL, flags & 1, flags & 2);
        check_cumsum(3, (int64_t[]){3, 50, 17}, 0, (int[]){2, 0, 1}, flags & 1, flags & 2);
        check_cumsum(1, (int64_t[]){20000}, 0, NULL, flags & 1, flags & 2);
        check_cumsum(4, (int64_t[]){2, 3, 20, 16}, 2, (int[]){0, 2, 1, 3}, flags & 1, flags & 2);
    }
}
