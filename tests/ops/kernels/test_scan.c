/* The scan kernels against the recurrence in double: S_t = S_{t−1} + k_t v̂_tᵀ, (numerator, denominator)_t =
 * S_tᵀ q_t with v̂ = (v, 1), and its adjoint. Padding is NaN in every operand; results that are not wanted
 * are NULL. */
#include "ops/kernels/recurrent/scan_shape.h"
#include "tests/ops/kernels/kernel_bench.h"
#include <criterion/criterion.h>

typedef struct scan_case {
    int64_t batch, heads, time, key, value;
    bool denominator, exclusive, state_in, state_out, ragged, views;
    int64_t chunk;
} scan_case;

enum { OPERANDS = 9, RESULTS = 5 };
typedef struct scan_bench {
    scan_case c;
    int64_t width;
    tensor in[OPERANDS], out[RESULTS]; /* out: of the kernel that runs */
    attribute attributes[3];
    int32_t *length;
} scan_bench;

static tensor head_tensor(const scan_case *c, int64_t rows, int64_t columns)
{
    static const int order[] = {0, 2, 1, 3};
    return bench_tensor(4, (int64_t[]){c->batch, c->heads, rows, columns}, c->views ? order : NULL,
                        c->views ? 3 : 0, -1, 1);
}

static void poison_padding(const scan_bench *x, tensor *t)
{
    for (int64_t b = 0; b < t->dims[0]; b++)
        for (int64_t h = 0; h < t->dims[1]; h++)
            for (int64_t i = x->length[b]; i < t->dims[2]; i++)
                for (int64_t j = 0; j < t->dims[3]; j++)
                    ((float *)t->data)[b * t->strides[0] + h * t->strides[1] + i * t->strides[2] +
                                       j * t->strides[3]] = NAN;
}

static scan_bench scan_begin(scan_case c)
{
    scan_bench x = {.c = c, .width = c.value + c.denominator};
    x.attributes[scan_exclusive].integer = c.exclusive;
    x.attributes[scan_denominator].integer = c.denominator;
    x.attributes[scan_chunk].integer = c.chunk;
    x.length = calloc((size_t)c.batch, sizeof *x.length);
    for (int64_t b = 0; b < c.batch; b++)
        x.length[b] = (int32_t)(!c.ragged ? c.time : b == 0 ? 0 : b == 1 ? c.time : bench_below(c.time + 1));
    int64_t rows[] = {c.time, c.time, c.time, 0, 0, c.key, c.time, c.time, c.key};
    int64_t columns[] = {c.key, c.key, c.value, 0, 0, x.width, c.value, 1, x.width};
    for (int i = 0; i < OPERANDS; i++) {
        bool absent = i == SCAN_DECAY || i == SCAN_LENGTH || (i == SCAN_STATE && !c.state_in) ||
                      (i == SCAN_DDENOMINATOR && !c.denominator) || (i == SCAN_DSTATE && !c.state_out);
        if (absent)
            continue;
        x.in[i] = head_tensor(&c, rows[i], columns[i]);
        if (i != SCAN_STATE && i != SCAN_DSTATE)
            poison_padding(&x, &x.in[i]);
    }
    if (c.ragged)
        x.in[SCAN_LENGTH] = (tensor){x.length, RONDO_I32, 1, {c.batch}, {1}};
    return x;
}

static void scan_end(scan_bench *x)
{
    for (int i = 0; i < OPERANDS; i++)
        if (x->in[i].data && i != SCAN_LENGTH)
            bench_free(&x->in[i]);
    for (int i = 0; i < RESULTS; i++)
        if (x->out[i].data)
            bench_free(&x->out[i]);
    free(x->length);
}

static void scan_results(scan_bench *x, bool grad)
{
    const scan_case *c = &x->c;
    int64_t rows[] = {c->time, c->time, c->key}, columns[] = {c->value, 1, x->width};
    int64_t grad_rows[] = {c->time, c->time, c->time, 0, c->key},
            grad_columns[] = {c->key, c->key, c->value, 0, x->width};
    for (int i = 0; i < (grad ? 5 : 3); i++) {
        if (grad ? i == 3 || (i == 4 && !c->state_in)
                 : (i == 1 && !c->denominator) || (i == 2 && !c->state_out))
            continue;
        x->out[i] = head_tensor(c, grad ? grad_rows[i] : rows[i], grad ? grad_columns[i] : columns[i]);
    }
}

static void scan_run(scan_bench *x, bool grad, bool backward)
{
    kernel_call call = {.op = grad ? OP_scan_grad : OP_scan,
                        .attributes = x->attributes,
                        .input_count = grad ? 9 : 6,
                        .output_count = grad ? 5 : 3,
                        .inputs = x->in,
                        .outputs = x->out};
    cr_assert(bench_run(grad ? &kernel_scan_grad : &kernel_scan, &call, backward));
}

/* ---- the reference ---- */

static double at(const tensor *t, int64_t b, int64_t h, int64_t i, int64_t j)
{
    return t->data
               ? ((float *)
                      t->data)[b * t->strides[0] + h * t->strides[1] + i * t->strides[2] + j * t->strides[3]]
               : 0;
}
static double value_at(const scan_bench *x, int64_t b, int64_t h, int64_t t, int64_t j)
{
    return j < x->c.value ? at(&x->in[SCAN_V], b, h, t, j) : 1;
}
static double gradient_at(const scan_bench *x, int64_t b, int64_t h, int64_t t, int64_t j)
{
    return j < x->c.value ? at(&x->in[SCAN_DNUMERATOR], b, h, t, j)
                          : at(&x->in[SCAN_DDENOMINATOR], b, h, t, 0);
}

typedef struct expected {
    double *result[RESULTS]; /* dense */
} expected;
static double *spot(const expected *e, const scan_bench *x, int i, int64_t b, int64_t h, int64_t rows,
                    int64_t row, int64_t columns)
{
    return e->result[i] + ((b * x->c.heads + h) * rows + row) * columns;
}
static expected expected_new(const scan_bench *x)
{
    expected e;
    int64_t most = x->c.key > x->width ? x->c.key : x->width,
            rows = x->c.time > x->c.key ? x->c.time : x->c.key;
    for (int i = 0; i < RESULTS; i++)
        e.result[i] = calloc((size_t)(x->c.batch * x->c.heads * rows * most + 1), sizeof(double));
    return e;
}
static void expected_free(expected *e)
{
    for (int i = 0; i < RESULTS; i++)
        free(e->result[i]);
}

static void begin_state(const scan_bench *x, const tensor *from, int64_t b, int64_t h, double *state)
{
    for (int64_t f = 0; f < x->c.key; f++)
        for (int64_t j = 0; j < x->width; j++)
            state[f * x->width + j] = at(from, b, h, f, j);
}

static void expect_head(const scan_bench *x, expected *e, bool grad, int64_t b, int64_t h)
{
    const scan_case *c = &x->c;
    int64_t w = x->width, key = c->key;
    double *state = calloc((size_t)(key * w + 1), sizeof *state);
    begin_state(x, &x->in[SCAN_STATE], b, h, state);
    for (int64_t t = 0; t < x->length[b]; t++)
        for (int half = 0; half < 2; half++) {
            bool update = half == (c->exclusive ? 1 : 0);
            for (int64_t f = 0; f < key; f++)
                for (int64_t j = 0; j < w; j++) {
                    double *s = &state[f * w + j], q = at(&x->in[SCAN_Q], b, h, t, f);
                    if (update)
                        *s += at(&x->in[SCAN_K], b, h, t, f) * value_at(x, b, h, t, j);
                    else if (grad)
                        spot(e, x, 0, b, h, c->time, t, key)[f] += *s * gradient_at(x, b, h, t, j);
                    else if (j < c->value)
                        spot(e, x, 0, b, h, c->time, t, c->value)[j] += *s * q;
                    else
                        *spot(e, x, 1, b, h, c->time, t, 1) += *s * q;
                }
        }
    if (!grad)
        memcpy(spot(e, x, 2, b, h, key, 0, w), state, sizeof *state * (size_t)(key * w));
    begin_state(x, &x->in[SCAN_DSTATE], b, h, state);
    for (int64_t t = x->length[b] - 1; grad && t >= 0; t--)
        for (int half = 0; half < 2; half++) {
            bool update = half == (c->exclusive ? 1 : 0);
            for (int64_t f = 0; f < key; f++)
                for (int64_t j = 0; j < w; j++) {
                    double *r = &state[f * w + j];
                    if (update) {
                        *r += at(&x->in[SCAN_Q], b, h, t, f) * gradient_at(x, b, h, t, j);
                        continue;
                    }
                    spot(e, x, 1, b, h, c->time, t, key)[f] += *r * value_at(x, b, h, t, j);
                    if (j < c->value)
                        spot(e, x, 2, b, h, c->time, t, c->value)[j] += *r * at(&x->in[SCAN_K], b, h, t, f);
                }
        }
    if (grad)
        memcpy(spot(e, x, 4, b, h, key, 0, w), state, sizeof *state * (size_t)(key * w));
    free(state);
}

static void check_against(const scan_bench *x, const expected *e, double bound)
{
    for (int i = 0; i < RESULTS; i++) {
        if (!x->out[i].data)
            continue;
        int64_t count = bench_count(&x->out[i]);
        double *got = malloc(sizeof *got * (size_t)(count + 1));
        for (int64_t j = 0; j < count; j++)
            got[j] = *bench_at(&x->out[i], j);
        double error = bench_error(got, e->result[i], count);
        cr_expect(error <= bound,
                  "B%d H%d T%d Dk%d Dv%d den %d excl %d chunk %d views %d: result %d is off by %.2e > %.2e",
                  (int)x->c.batch, (int)x->c.heads, (int)x->c.time, (int)x->c.key, (int)x->c.value,
                  x->c.denominator, x->c.exclusive, (int)x->c.chunk, x->c.views, i, error, bound);
        free(got);
    }
}

static void check(scan_case c, bool grad)
{
    scan_bench x = scan_begin(c);
    expected e = expected_new(&x);
    for (int64_t b = 0; b < c.batch; b++)
        for (int64_t h = 0; h < c.heads; h++)
            expect_head(&x, &e, grad, b, h);
    scan_results(&x, grad);
    scan_run(&x, grad, false);
    double time = fmax(1, sqrt((double)c.time / 1000));
    check_against(&x, &e, grad ? 5e-6 : 1e-6 * time);
    expected_free(&e);
    scan_end(&x);
}

static const int64_t times[] = {1, 2, 7, 63, 64, 65, 200};

Test(scan_kernel, is_the_recurrence_at_every_length_and_chunk)
{
    static const int64_t chunks[] = {0, 1, 5, 8, 16, 24, 64, 128, 1000};
    for (size_t t = 0; t < sizeof times / sizeof *times; t++)
        for (size_t chunk = 0; chunk < sizeof chunks / sizeof *chunks; chunk++)
            for (int grad = 0; grad < 2; grad++) {
                check((scan_case){2, 3, times[t], 16, 16, .denominator = true, .chunk = chunks[chunk],
                                  .views = true},
                      grad);
                check((scan_case){3, 1, times[t], 5, 19, .denominator = chunk % 2, .exclusive = t % 2,
                                  .state_in = true, .state_out = true, .ragged = true,
                                  .chunk = chunks[chunk]},
                      grad);
            }
}

Test(scan_kernel, takes_every_key_and_value_width)
{
    static const int64_t widths[] = {1, 2, 3, 13, 16, 17, 32, 61, 64, 130};
    for (size_t k = 0; k < sizeof widths / sizeof *widths; k++)
        for (size_t v = 0; v < sizeof widths / sizeof *widths; v++)
            for (int variant = 0; variant < 4; variant++)
                check((scan_case){variant == 3 ? 9 : 2, 1, variant == 3 ? 1 : 41, widths[k], widths[v],
                                  .denominator = (k + v) % 2, .exclusive = v % 3 == 0, .state_in = k % 2,
                                  .state_out = v % 2, .ragged = k % 3 == 0, .views = v % 2, .chunk = 0},
                      variant % 2);
}

Test(scan_kernel, keeps_its_bound_over_a_thousand_rows)
{
    for (int grad = 0; grad < 2; grad++) {
        check((scan_case){1, 2, 1000, 64, 64, .denominator = true, .state_in = true, .state_out = true},
              grad);
        check((scan_case){2, 1, 1000, 4, 100, .chunk = 100, .ragged = true}, grad);
        check((scan_case){1, 1, 1000, 32, 32, .exclusive = true, .state_out = true}, grad);
    }
}

/* The state after 2 sequences with 2 heads, in the memory of the state before. Ends x. */
static void check_in_place(scan_bench *x, bool backwards)
{
    expected e = expected_new(x);
    for (int64_t i = 0; i < 4; i++)
        expect_head(x, &e, false, i / 2, i % 2);
    scan_results(x, false);
    tensor own = x->out[2];
    x->out[2] = x->in[SCAN_STATE];
    scan_run(x, false, backwards);
    check_against(x, &e, 1e-6);
    x->out[2] = own;
    expected_free(&e);
    scan_end(x);
}

Test(scan_kernel, of_one_token_updates_its_state_in_place)
{
    for (int views = 0; views < 2; views++)
        for (int length = 0; length < 2; length++) {
            scan_bench x = scan_begin((scan_case){2, 2, 1, 7, 20, .denominator = true, .state_in = true,
                                                  .state_out = true, .views = views});
            for (int b = 0; b < 2; b++)
                x.length[b] = b == 0 ? length : 1;
            x.in[SCAN_LENGTH] = (tensor){x.length, RONDO_I32, 1, {2}, {1}};
            check_in_place(&x, false);
        }
}

Test(scan_kernel, of_many_tokens_updates_its_state_in_place)
{
    scan_bench x = scan_begin((scan_case){2, 2, 70, 9, 80, .denominator = true, .state_in = true,
                                          .state_out = true, .ragged = true, .chunk = 32});
    check_in_place(&x, true);
}

Test(scan_kernel, with_constant_keys_is_a_running_mean)
{
    float one = 1;
    scan_bench x = scan_begin((scan_case){2, 1, 100, 1, 12, .denominator = true, .chunk = 16});
    for (int i = 0; i < 2; i++) {
        bench_free(&x.in[i]);
        x.in[i] = (tensor){&one, RONDO_F32, 4, {2, 1, 100, 1}, {0, 0, 0, 0}};
    }
    scan_results(&x, false);
    scan_run(&x, false, false);
    for (int64_t b = 0; b < 2; b++)
        for (int64_t j = 0; j < 12; j++) {
            double sum = 0;
            for (int64_t t = 0; t < 100; t++) {
                sum += at(&x.in[SCAN_V], b, 0, t, j);
                cr_expect_float_eq(at(&x.out[0], b, 0, t, j), sum, 2e-6);
                cr_expect_eq(at(&x.out[1], b, 0, t, 0), t + 1);
            }
        }
    x.in[0].data = x.in[1].data = NULL;
    scan_end(&x);
}

Test(scan_kernel, is_causal_bit_for_bit)
{
    static const float later[] = {0.5f, 1e30f};
    for (int64_t chunk = 8; chunk <= 128; chunk *= 4)
        for (int kind = 0; kind < 2; kind++)
            for (int64_t from = 1; from < 90; from += 11) {
                scan_bench x = scan_begin((scan_case){1, 2, 90, 8, 24, .denominator = true, .chunk = chunk});
                scan_results(&x, false);
                scan_run(&x, false, false);
                tensor before[] = {x.out[0], x.out[1]};
                for (int i = 0; i < 3; i++)
                    for (int64_t h = 0; h < 2; h++)
                        for (int64_t t = from; t < 90; t++)
                            for (int64_t j = 0; j < x.in[i].dims[3]; j++)
                                ((float *)x.in[i].data)[h * x.in[i].strides[1] + t * x.in[i].strides[2] + j] =
                                    later[kind];
                scan_results(&x, false);
                scan_run(&x, false, false);
                for (int64_t h = 0; h < 2; h++)
                    for (int64_t t = 0; t < from; t++) {
                        for (int64_t j = 0; j < 24; j++)
                            cr_assert_eq(at(&before[0], 0, h, t, j), at(&x.out[0], 0, h, t, j));
                        cr_assert_eq(at(&before[1], 0, h, t, 0), at(&x.out[1], 0, h, t, 0));
                    }
                bench_free(&before[0]);
                bench_free(&before[1]);
                scan_end(&x);
            }
}

/* Differences of Σ results · weights for each operand: the adjoint above is the gradient of the recurrence
 * above. */
Test(scan_kernel, has_a_reference_whose_gradient_is_its_gradient)
{
    scan_bench x = scan_begin((scan_case){1, 1, 6, 3, 4, .denominator = true, .exclusive = true,
                                          .state_in = true, .state_out = true});
    expected gradient = expected_new(&x);
    expect_head(&x, &gradient, true, 0, 0);
    int operand[] = {SCAN_Q, SCAN_K, SCAN_V, SCAN_STATE}, result[] = {0, 1, 2, 4};
    for (int i = 0; i < 4; i++)
        for (int64_t j = 0; j < bench_count(&x.in[operand[i]]); j++) {
            float *element = bench_at(&x.in[operand[i]], j), kept = *element;
            double loss[2];
            for (int side = 0; side < 2; side++) {
                *element =
                    kept + (side ? 0.125f : -0.125f); /* bilinear in each: central differences are exact */
                expected e = expected_new(&x);
                expect_head(&x, &e, false, 0, 0);
                loss[side] = 0;
                for (int64_t t = 0; t < 6; t++)
                    for (int64_t column = 0; column < 5; column++)
                        loss[side] += gradient_at(&x, 0, 0, t, column) *
                                      (column < 4 ? e.result[0][t * 4 + column] : e.result[1][t]);
                for (int64_t f = 0; f < 15; f++)
                    loss[side] += at(&x.in[SCAN_DSTATE], 0, 0, f / 5, f % 5) * e.result[2][f];
                expected_free(&e);
            }
            double step = (double)(kept + 0.125f) - (double)(kept - 0.125f);
            *element = kept;
            cr_expect_float_eq((loss[1] - loss[0]) / step, gradient.result[result[i]][j], 1e-10);
        }
    expected_free(&gradient);
    scan_end(&x);
}
