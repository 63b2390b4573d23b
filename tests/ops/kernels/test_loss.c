/* The loss kernels against cross entropy in double: sums, counts, gradients; ignored rows are NaN and have no
 * effect. */
#include "ops/kernels/products/blas.h"
#include "ops/rules.h"
#include "tests/ops/kernels/kernel_bench.h"
#include <criterion/criterion.h>

typedef struct loss_case {
    int64_t batch, time, vocabulary, width;
    double smoothing, live; /* share of rows that count */
    bool bias, views, evaluation;
} loss_case;

typedef struct loss_bench {
    loss_case c;
    int64_t rows;
    tensor h, weight, bias, logits, targets;
    int32_t *ids;
    attribute attributes[2];
    double *x, *dx; /* [rows, V]: logits, their gradient */
    double loss, nll, count;
} loss_bench;

static void loss_begin(loss_bench *b, loss_case c)
{
    static const int swapped[] = {1, 0}, time_first[] = {1, 0, 2};
    *b = (loss_bench){.c = c, .rows = c.batch * c.time};
    b->attributes[0].real = c.smoothing;
    b->attributes[1].integer = 1;
    b->h = bench_tensor(3, (int64_t[]){c.batch, c.time, c.width}, c.views ? time_first : NULL,
                        c.views ? 3 : 0, -1, 1);
    b->logits = bench_tensor(3, (int64_t[]){c.batch, c.time, c.vocabulary}, c.views ? time_first : NULL,
                             c.views ? 3 : 0, -3, 3);
    b->weight = bench_tensor(2, (int64_t[]){c.vocabulary, c.width}, c.views ? swapped : NULL, 0, -1, 1);
    b->bias = bench_tensor(1, &c.vocabulary, NULL, 0, -1, 1);
    b->ids = malloc(sizeof *b->ids * (size_t)(b->rows + 1));
    for (int64_t i = 0; i < b->rows; i++) {
        bool live = bench_uniform(0, 1) < c.live;
        b->ids[i] = live ? (int32_t)bench_below(c.vocabulary) : 1; /* id 1 is ignored, and drawn sometimes */
        for (int64_t j = 0; b->ids[i] == 1 && j < c.width; j++)
            *bench_at(&b->h, i * c.width + j) = NAN;
        for (int64_t j = 0; b->ids[i] == 1 && j < c.vocabulary; j++)
            *bench_at(&b->logits, i * c.vocabulary + j) = NAN;
    }
    b->targets = (tensor){b->ids, RONDO_I32, 2, {c.batch, c.time}, {c.time, 1}};
    b->x = calloc((size_t)(b->rows * c.vocabulary + 1), sizeof *b->x);
    b->dx = calloc((size_t)(b->rows * c.vocabulary + 1), sizeof *b->dx);
}
static void loss_end(loss_bench *b)
{
    bench_free(&b->h), bench_free(&b->logits), bench_free(&b->weight), bench_free(&b->bias);
    free(b->ids), free(b->x), free(b->dx);
}

/* Fills x from h · Wᵀ + bias or from logits, then sums and dx. */
static void loss_expect(loss_bench *b, bool linear)
{
    int64_t vocabulary = b->c.vocabulary, width = b->c.width;
    for (int64_t i = 0; i < b->rows; i++) {
        double *x = b->x + i * vocabulary, *dx = b->dx + i * vocabulary, largest = -INFINITY, sum = 0,
               mean = 0;
        if (b->ids[i] == 1)
            continue;
        for (int64_t v = 0; v < vocabulary; v++) {
            x[v] =
                linear ? b->c.bias ? *bench_at(&b->bias, v) : 0 : *bench_at(&b->logits, i * vocabulary + v);
            for (int64_t j = 0; linear && j < width; j++)
                x[v] += (double)*bench_at(&b->h, i * width + j) * *bench_at(&b->weight, v * width + j);
            largest = fmax(largest, x[v]);
            mean += x[v] / (double)vocabulary;
        }
        for (int64_t v = 0; v < vocabulary; v++)
            sum += exp(x[v] - largest);
        double all = largest + log(sum), hit = x[b->ids[i]];
        b->loss += all - (1 - b->c.smoothing) * hit - b->c.smoothing * mean;
        b->nll += all - hit;
        b->count++;
        for (int64_t v = 0; v < vocabulary; v++)
            dx[v] = exp(x[v] - all) - b->c.smoothing / (double)vocabulary -
                    (v == b->ids[i] ? 1 - b->c.smoothing : 0);
    }
}

static void compare(const loss_bench *b, const tensor *got, const double *want, double bound,
                    const char *what)
{
    int64_t count = bench_count(got);
    double *numbers = malloc(sizeof *numbers * (size_t)(count + 1));
    for (int64_t i = 0; i < count; i++)
        numbers[i] = *bench_at(got, i);
    double error = bench_error(numbers, want, count);
    cr_expect(error <= bound,
              "B%d T%d V%d d%d smoothing %g live %g bias %d views %d: %s is off by %.2e > %.2e",
              (int)b->c.batch, (int)b->c.time, (int)b->c.vocabulary, (int)b->c.width, b->c.smoothing,
              b->c.live, b->c.bias, b->c.views, what, error, bound);
    free(numbers);
}

static tensor scalar(float *at)
{
    return (tensor){at, RONDO_F32, 0, {0}, {0}};
}
static void compare_sums(const loss_bench *b, const float sums[3])
{
    double want[] = {b->loss, b->nll, b->count};
    for (int i = 0; i < 3; i++)
        cr_expect(fabs(sums[i] - want[i]) <= 1e-6 * fmax(1e-3, fabs(want[i])), "sum %d is %g, not %g", i,
                  (double)sums[i], want[i]);
}

static void check_logits(loss_case c)
{
    loss_bench b;
    loss_begin(&b, c);
    loss_expect(&b, false);
    float sums[3], scale = 2;
    tensor in[3] = {b.logits, b.targets, scalar(&scale)},
           out[3] = {scalar(&sums[0]), scalar(&sums[1]), scalar(&sums[2])};
    kernel_call loss = bench_call(OP_cross_entropy, b.attributes, 2, in, 3, out);
    cr_assert(bench_run(&kernel_cross_entropy, &loss, true));
    compare_sums(&b, sums);
    tensor gradient = bench_tensor(3, b.logits.dims, NULL, c.views ? 5 : 0, -1, 1);
    kernel_call grad = bench_call(OP_cross_entropy_grad, b.attributes, 3, in, 1, &gradient);
    cr_assert(bench_run(&kernel_cross_entropy_grad, &grad, false));
    for (int64_t i = 0; i < b.rows * c.vocabulary; i++)
        b.dx[i] *= 2;
    compare(&b, &gradient, b.dx, 5e-6, "dlogits");
    bench_free(&gradient);
    loss_end(&b);
}

static void check_linear(loss_case c)
{
    static const int swapped[] = {1, 0};
    loss_bench b;
    loss_begin(&b, c);
    loss_expect(&b, true);
    int64_t v = c.vocabulary, d = c.width;
    double *dh = calloc((size_t)(b.rows * d + 1), 8), *dw = calloc((size_t)(v * d + 1), 8),
           *dbias = calloc((size_t)v, 8);
    for (int64_t i = 0; i < b.rows; i++)
        for (int64_t k = 0; b.ids[i] != 1 && k < v; k++) {
            dbias[k] += b.dx[i * v + k];
            for (int64_t j = 0; j < d; j++) {
                dh[i * d + j] += b.dx[i * v + k] * *bench_at(&b.weight, k * d + j);
                dw[k * d + j] += b.dx[i * v + k] * *bench_at(&b.h, i * d + j);
            }
        }
    float sums[3];
    tensor in[4] = {b.h, b.weight, b.targets, c.bias ? b.bias : (tensor){0}};
    tensor out[6] = {scalar(&sums[0]), scalar(&sums[1]), scalar(&sums[2])};
    if (!c.evaluation) {
        out[3] = bench_tensor(3, b.h.dims, NULL, c.views ? 7 : 0, -1, 1);
        out[4] = bench_tensor(2, b.weight.dims, c.views ? swapped : NULL, 0, -1, 1);
        out[5] = bench_tensor(1, &v, NULL, 0, -1, 1);
    }
    kernel_call call = bench_call(OP_linear_cross_entropy, b.attributes, c.bias ? 4 : 3, in, 6, out);
    blas_begin();
    cr_assert(bench_run(&kernel_linear_cross_entropy, &call, c.views));
    blas_end();
    compare_sums(&b, sums);
    if (!c.evaluation) {
        compare(&b, &out[3], dh, 5e-6, "dh");
        compare(&b, &out[4], dw, 5e-6, "dW");
        compare(&b, &out[5], dbias, 5e-6, "dbias");
    }
    for (int i = 3; i < 6 && !c.evaluation; i++)
        bench_free(&out[i]);
    free(dh), free(dw), free(dbias);
    loss_end(&b);
}

static const int64_t vocabularies[] = {2, 3, 16, 17, 100, 513, 1024, 2049};

Test(loss_kernel, of_logits_is_smoothed_cross_entropy)
{
    for (size_t v = 0; v < 8; v++)
        for (int variant = 0; variant < 6; variant++)
            check_logits((loss_case){2, 31, vocabularies[v], 1, variant % 3 * 0.2, variant % 2 ? 0.7 : 1,
                                     .views = variant > 2});
}

Test(loss_kernel, with_its_projection_is_smoothed_cross_entropy)
{
    for (size_t v = 0; v < 8; v++)
        for (int variant = 0; variant < 6; variant++)
            check_linear((loss_case){3, variant == 5 ? 200 : 17, vocabularies[v], variant * 5 + 2,
                                     variant % 3 * 0.2, variant % 2 ? 0.7 : 1, .bias = variant % 2,
                                     .views = variant > 2, .evaluation = variant == 4});
}

Test(loss_kernel, shares_many_rows_among_lanes)
{
    check_linear((loss_case){7, 300, 300, 32, 0.1, 0.9});
    check_linear((loss_case){1, 241, 67, 16, 0, 1, .bias = true});
    check_linear((loss_case){1, 2500, 40, 8, 0.1, 0.05});
    check_linear((loss_case){1, 2500, 40, 8, 0.1, 1}); /* more than one chunk for each lane */
    check_linear((loss_case){9, 250, 50, 8, 0.1, 1, .evaluation = true});
}

Test(loss_kernel, without_live_rows_is_zero)
{
    check_logits((loss_case){2, 5, 30, 1, 0.1, 0});
    check_linear((loss_case){2, 5, 30, 4, 0.1, 0, .bias = true});
    check_linear((loss_case){2, 0, 30, 4, 0.1, 0});
    check_linear((loss_case){4, 200, 30, 4, 0.1, 0});
}

Test(loss_kernel, of_a_target_that_is_no_id_is_not_a_number)
{
    static const int32_t wrong[] = {-1, 30, INT32_MAX, INT32_MIN};
    for (int i = 0; i < 4; i++) {
        loss_bench b;
        loss_begin(&b, (loss_case){2, 5, 30, 4, 0.1, 1});
        for (int64_t j = 0; j < 10; j++)
            b.ids[j] = 5;
        b.ids[7] = wrong[i];
        float sums[3];
        tensor in[3] = {b.logits, b.targets}, out[6] = {scalar(&sums[0]), scalar(&sums[1]), scalar(&sums[2])};
        kernel_call call = bench_call(OP_cross_entropy, b.attributes, 2, in, 3, out);
        cr_assert(bench_run(&kernel_cross_entropy, &call, false));
        cr_expect(isnan(sums[0]) && isnan(sums[1]) && sums[2] == 9);
        tensor linear[3] = {b.h, b.weight, b.targets};
        call = (kernel_call){.op = OP_linear_cross_entropy,
                             .attributes = b.attributes,
                             .input_count = 3,
                             .output_count = 6,
                             .inputs = linear,
                             .outputs = out};
        blas_begin();
        cr_assert(bench_run(&kernel_linear_cross_entropy, &call, false));
        blas_end();
        cr_expect(isnan(sums[0]) && isnan(sums[1]) && sums[2] == 9);
        loss_end(&b);
    }
}
