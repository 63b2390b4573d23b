/* The attention kernels against softmax in double, with every kind of mask; keys that no query may see are
 * NaN. */
#include "ops/kernels/attention/attention_shape.h"
#include "tests/ops/kernels/kernel_bench.h"
#include <criterion/criterion.h>

typedef struct attention_case {
    int64_t batch, heads, queries, keys, key, value;
    bool causal, ragged, moved, views; /* moved: an offset for each sentence */
    double rate;
} attention_case;

enum { OPERANDS = 10 };
typedef struct attention_bench {
    attention_case c;
    tensor in[OPERANDS], out[3];
    int32_t length[8], offset[8], seed[2], sentences[8];
    attribute attributes[4];
} attention_bench;

static tensor head_tensor(const attention_case *c, int64_t rows, int64_t columns)
{
    static const int order[] = {0, 2, 1, 3};
    return bench_tensor(4, (int64_t[]){c->batch, c->heads, rows, columns}, c->views ? order : NULL,
                        c->views ? 5 : 0, -2, 2);
}
static float *at(const tensor *t, int64_t b, int64_t h, int64_t i, int64_t j)
{
    return (float *)t->data + b * t->strides[0] + h * t->strides[1] + i * t->strides[2] + j * t->strides[3];
}

static int64_t limit_of(const attention_bench *x, int64_t b, int64_t t)
{
    int64_t limit = x->c.ragged ? x->length[b] : x->c.keys, last = t + 1 + (x->c.moved ? x->offset[b] : 0);
    limit = x->c.causal && last < limit ? last : limit;
    return limit < 0 ? 0 : limit;
}

static void attention_begin(attention_bench *x, attention_case c)
{
    *x = (attention_bench){.c = c, .seed = {7, -9}};
    for (int i = 0; i < 3; i++)
        x->in[i] = head_tensor(&c, i == 0 ? c.queries : c.keys, i == 2 ? c.value : c.key);
    for (int64_t b = 0; b < c.batch; b++) {
        x->length[b] = (int32_t)(b == 0 ? c.keys : b == 1 ? 0 : bench_below(c.keys + 1));
        x->offset[b] = (int32_t)(b == 2 ? -2 : bench_below(c.keys + 1));
        x->sentences[b] = (int32_t)(100 - b);
        for (int64_t h = 0; h < c.heads; h++)
            for (int64_t s = limit_of(x, b, c.queries - 1); s < c.keys; s++) {
                for (int64_t j = 0; j < c.key; j++)
                    *at(&x->in[1], b, h, s, j) = NAN;
                for (int64_t j = 0; j < c.value; j++)
                    *at(&x->in[2], b, h, s, j) = NAN;
            }
    }
    if (c.ragged)
        x->in[ATTENTION_LENGTH] = (tensor){x->length, RONDO_I32, 1, {c.batch}, {1}};
    if (c.moved)
        x->in[ATTENTION_OFFSET] = (tensor){x->offset, RONDO_I32, 1, {c.batch}, {1}};
    if (c.rate > 0) {
        x->in[ATTENTION_SEED] = (tensor){x->seed, RONDO_I32, 1, {2}, {1}};
        x->in[ATTENTION_SENTENCES] = (tensor){x->sentences, RONDO_I32, 1, {c.batch}, {1}};
    }
    x->in[ATTENTION_RESULT] = head_tensor(&c, c.queries, c.value);
    x->in[ATTENTION_LOGSUMEXP] = head_tensor(&c, c.queries, 1);
    x->in[ATTENTION_GRADIENT] = head_tensor(&c, c.queries, c.value);
    x->attributes[attention_scale].real = 1 / sqrt((double)c.key);
    x->attributes[attention_causal].integer = c.causal;
    x->attributes[attention_rate].real = c.rate;
    x->attributes[attention_site].integer = 3;
}
static void attention_end(attention_bench *x)
{
    for (int i = 0; i < OPERANDS; i++)
        if (x->in[i].data && (i < ATTENTION_LENGTH || i > ATTENTION_SENTENCES))
            bench_free(&x->in[i]);
    for (int i = 0; i < 3; i++)
        if (x->out[i].data)
            bench_free(&x->out[i]);
}

static void run_forward(attention_bench *x, bool backward)
{
    tensor out[2] = {x->in[ATTENTION_RESULT], x->in[ATTENTION_LOGSUMEXP]};
    kernel_call call = {.op = OP_attention,
                        .attributes = x->attributes,
                        .input_count = 7,
                        .output_count = 2,
                        .inputs = x->in,
                        .outputs = out};
    cr_assert(bench_run(&kernel_attention, &call, backward));
}
static void run_gradient(attention_bench *x)
{
    for (int i = 0; i < 3; i++)
        x->out[i] = head_tensor(&x->c, i == 0 ? x->c.queries : x->c.keys, i == 2 ? x->c.value : x->c.key);
    kernel_call call = {.op = OP_attention_grad,
                        .attributes = x->attributes,
                        .input_count = 10,
                        .output_count = 3,
                        .inputs = x->in,
                        .outputs = x->out};
    cr_assert(bench_run(&kernel_attention_grad, &call, false));
}

/* ---- the reference ---- */

typedef struct expected {
    double *y, *logsumexp, *gradient[3];
} expected;

static void expect_row(const attention_bench *x, expected *e, int64_t b, int64_t h, int64_t t, double *p)
{
    const attention_case *c = &x->c;
    int64_t limit = limit_of(x, b, t), row = (b * c->heads + h) * c->queries + t,
            keys = (b * c->heads + h) * c->keys;
    double scale = (double)(float)x->attributes[attention_scale].real, largest = -INFINITY, sum = 0,
           inner = 0;
    for (int64_t s = 0; s < limit; s++) {
        p[s] = 0;
        for (int64_t j = 0; j < c->key; j++)
            p[s] += scale * *at(&x->in[0], b, h, t, j) * *at(&x->in[1], b, h, s, j);
        largest = fmax(largest, p[s]);
    }
    for (int64_t s = 0; s < limit; s++)
        sum += p[s] = exp(p[s] - largest);
    e->logsumexp[row] = largest + log(sum);
    uint64_t sentence = dropout_sentence(3, x->seed[0], x->seed[1], x->sentences[b]);
    double *keep = p + c->keys, *dp = p + 2 * c->keys;
    for (int64_t s = 0; s < limit; s++) {
        bool kept =
            dropout_keeps(dropout_row(sentence, t), (uint32_t)(s * c->heads + h), dropout_threshold(c->rate));
        keep[s] = c->rate > 0 ? kept * dropout_scale(c->rate) : 1;
        p[s] /= sum;
        dp[s] = 0;
        for (int64_t j = 0; j < c->value; j++) {
            double v = *at(&x->in[2], b, h, s, j), dy = *at(&x->in[ATTENTION_GRADIENT], b, h, t, j);
            e->y[row * c->value + j] += keep[s] * p[s] * v;
            e->gradient[2][(keys + s) * c->value + j] += keep[s] * p[s] * dy;
            dp[s] += keep[s] * v * dy;
        }
        inner += p[s] * dp[s];
    }
    for (int64_t s = 0; s < limit; s++)
        for (int64_t j = 0; j < c->key; j++) {
            double ds = p[s] * (dp[s] - inner) * scale;
            e->gradient[0][row * c->key + j] += ds * *at(&x->in[1], b, h, s, j);
            e->gradient[1][(keys + s) * c->key + j] += ds * *at(&x->in[0], b, h, t, j);
        }
}

static void compare(const attention_case *c, const tensor *got, const double *want, double bound,
                    const char *what)
{
    int64_t count = bench_count(got);
    double *numbers = malloc(sizeof *numbers * (size_t)(count + 1));
    for (int64_t i = 0; i < count; i++) {
        numbers[i] = *bench_at(got, i);
        if (want[i] == -INFINITY) {
            cr_expect_eq(numbers[i], -INFINITY);
            numbers[i] = 0;
        }
    }
    double *finite = malloc(sizeof *finite * (size_t)(count + 1));
    for (int64_t i = 0; i < count; i++)
        finite[i] = want[i] == -INFINITY ? 0 : want[i];
    double error = bench_error(numbers, finite, count), size = 0;
    for (int64_t i = 0; i < count;
         i++) /* with one key the weight is 1 and its gradient cancels: there is no scale */
        size = fmax(size, fabs(finite[i]));
    if (size < 1e-12)
        for (int64_t i = error = 0; i < count; i++)
            error = fmax(error, fabs(numbers[i]) / sqrt((double)c->queries)); /* a sum over queries */
    cr_expect(error <= bound,
              "B%d H%d T%d S%d Dk%d Dv%d causal %d ragged %d moved %d rate %g: %s is off by %.2e > %.2e",
              (int)c->batch, (int)c->heads, (int)c->queries, (int)c->keys, (int)c->key, (int)c->value,
              c->causal, c->ragged, c->moved, c->rate, what, error, bound);
    free(numbers);
    free(finite);
}

static void check(attention_case c)
{
    attention_bench x;
    attention_begin(&x, c);
    int64_t most = (c.queries + c.keys) * (c.key + c.value) * c.batch * c.heads + 1;
    expected e = {calloc((size_t)most, 8),
                  calloc((size_t)most, 8),
                  {calloc((size_t)most, 8), calloc((size_t)most, 8), calloc((size_t)most, 8)}};
    double *p = calloc((size_t)(3 * c.keys + 1), sizeof *p), longer = fmax(1, sqrt((double)c.keys / 1000));
    for (int64_t row = 0; row < c.batch * c.heads * c.queries; row++)
        expect_row(&x, &e, row / c.queries / c.heads, row / c.queries % c.heads, row % c.queries, p);
    run_forward(&x, false);
    compare(&c, &x.in[ATTENTION_RESULT], e.y, 1e-6 * longer, "y");
    compare(&c, &x.in[ATTENTION_LOGSUMEXP], e.logsumexp, 1e-6, "logsumexp");
    run_gradient(&x);
    for (int i = 0; i < 3; i++)
        compare(&c, &x.out[i], e.gradient[i], 5e-6, (const char *[]){"dq", "dk", "dv"}[i]);
    free(e.y), free(e.logsumexp), free(p);
    for (int i = 0; i < 3; i++)
        free(e.gradient[i]);
    attention_end(&x);
}

static const int64_t lengths[] = {1, 2, 7, 16, 63, 64, 65, 150};

Test(attention_kernel, is_softmax_attention_of_any_length)
{
    for (size_t t = 0; t < 8; t++)
        for (size_t s = 0; s < 8; s++) {
            check((attention_case){1, 2, lengths[t], lengths[s], 16, 16, .views = t % 2});
            check((attention_case){3, 2, lengths[t], lengths[s], 5, 19, .ragged = true, .views = s % 2});
        }
}

Test(attention_kernel, masks_the_future)
{
    for (size_t t = 0; t < 8; t++) {
        check((attention_case){2, 1, lengths[t], lengths[t], 32, 32, .causal = true});
        check((attention_case){4, 2, lengths[t], lengths[t], 8, 17, .causal = true, .ragged = true,
                               .views = true});
        check((attention_case){4, 1, lengths[t], 70, 17, 3, .causal = true, .moved = true, .ragged = t % 2});
    }
}

Test(attention_kernel, drops_weights_by_the_common_hash)
{
    for (size_t t = 0; t < 8; t++)
        check((attention_case){3, 3, lengths[t], 37, 16, 24, .causal = t % 2, .ragged = true, .rate = 0.3});
}

Test(attention_kernel, takes_every_width)
{
    static const int64_t widths[] = {1, 2, 3, 13, 16, 17, 31, 64, 130};
    for (size_t k = 0; k < 9; k++)
        for (size_t v = 0; v < 9; v++)
            check((attention_case){2, 1, (k + v) % 2 ? 1 : 20, 33, widths[k], widths[v], .causal = k % 2,
                                   .moved = k % 2, .views = v % 2});
}

Test(attention_kernel, keeps_its_bound_over_a_thousand_keys)
{
    check((attention_case){1, 2, 1000, 1000, 32, 32, .causal = true});
    check((attention_case){1, 1, 300, 1000, 64, 64, .rate = 0.1});
    check((attention_case){2, 2, 1, 1000, 64, 64});
}

Test(attention_kernel, takes_no_keys_and_no_queries)
{
    check((attention_case){2, 2, 3, 0, 4, 5});
    check((attention_case){2, 2, 9, 0, 4, 5, .causal = true});
    check((attention_case){2, 2, 0, 6, 4, 5});
}

Test(attention_kernel, is_causal_bit_for_bit)
{
    for (int kind = 0; kind < 2; kind++)
        for (int64_t from = 1; from < 80; from += 9) {
            attention_bench x;
            attention_begin(&x, (attention_case){1, 2, 80, 80, 16, 20, .causal = true});
            run_forward(&x, false);
            tensor before = x.in[ATTENTION_RESULT];
            x.in[ATTENTION_RESULT] = head_tensor(&x.c, 80, 20);
            for (int i = 0; i < 3; i++)
                for (int64_t h = 0; h < 2; h++)
                    for (int64_t t = from; t < 80; t++)
                        for (int64_t j = 0; j < x.in[i].dims[3]; j++)
                            *at(&x.in[i], 0, h, t, j) = kind ? 1e30f : (float)bench_uniform(-1, 1);
            run_forward(&x, true);
            for (int64_t h = 0; h < 2; h++)
                for (int64_t t = 0; t < from; t++)
                    for (int64_t j = 0; j < 20; j++)
                        cr_assert_eq(*at(&before, 0, h, t, j), *at(&x.in[ATTENTION_RESULT], 0, h, t, j));
            bench_free(&before);
            attention_end(&x);
        }
}
