/* tests/ops/kernels/fading_scan.h */
#include "tests/ops/kernels/fading_scan.h"
#include "ops/rules.h"
#include <criterion/criterion.h>

float *fading_at(const tensor *t, int64_t b, int64_t h, int64_t i, int64_t j)
{
    int64_t index[] = {b, h, i, j}, offset = 0;
    for (int axis = 0; axis < 4; axis++)
        offset += t->dims[axis] == 1 ? 0 : index[axis] * t->strides[axis];
    return (float *)t->data + offset;
}

static tensor operand(const fading_case *c, const int64_t dims[4], double low, double high)
{
    static const int channels[] = {0, 2, 3, 1};
    return bench_tensor(4, dims, c->channels ? channels : NULL, 0, low, high);
}

/* Writes NaN into the rows of tokens that are padding. */
static void poison(const fading_scan *x, tensor *t)
{
    for (int64_t b = 0; b < t->dims[0]; b++)
        for (int64_t i = x->length[b]; i < t->dims[2]; i++)
            for (int64_t h = 0; h < t->dims[1]; h++)
                for (int64_t j = 0; j < t->dims[3]; j++)
                    *fading_at(t, b, h, i, j) = NAN;
}

static tensor log_decay(const fading_scan *x)
{
    const fading_case *c = &x->c;
    tensor t = operand(c, c->decay, 0, 1);
    for (int64_t i = 0; i < bench_count(&t); i++) {
        float *g = bench_at(&t, i);
        *g = (float)c->gate(i / c->decay[3] % c->decay[2], *g);
    }
    if (c->decay[0] == c->batch && c->decay[2] == c->time)
        poison(x, &t);
    return t;
}

fading_scan fading_new(fading_case c)
{
    fading_scan x = {.c = c, .width = c.value + c.denominator};
    x.attributes[scan_exclusive].integer = c.exclusive;
    x.attributes[scan_denominator].integer = c.denominator;
    x.attributes[scan_chunk].integer = c.chunk;
    for (int64_t b = 0; b < c.batch; b++)
        x.length[b] = (int32_t)(!c.ragged || b == 1 ? c.time : b == 0 ? 0 : bench_below(c.time + 1));
    int64_t rows[] = {c.time, c.time, c.time, 0, 0, c.key, c.time, c.time, c.key};
    int64_t columns[] = {c.key, c.key, c.value, 0, 0, x.width, c.value, 1, x.width};
    for (int i = 0; i < FADING_OPERANDS; i++) {
        bool of_state = i == SCAN_STATE || i == SCAN_DSTATE;
        if (i == SCAN_DECAY || i == SCAN_LENGTH || (of_state && !c.state) ||
            (i == SCAN_DDENOMINATOR && !c.denominator))
            continue;
        x.in[i] = operand(&c, (int64_t[]){c.batch, c.heads, rows[i], columns[i]}, -1, 1);
        if (!of_state)
            poison(&x, &x.in[i]);
    }
    if (c.decay[0])
        x.in[SCAN_DECAY] = log_decay(&x);
    if (c.ragged)
        x.in[SCAN_LENGTH] = (tensor){.type = RONDO_I32, .rank = 1, .dims = {c.batch}, .strides = {1}};
    return x;
}

void fading_free_results(fading_scan *x)
{
    for (int i = 0; i < FADING_RESULTS; i++) {
        if (x->out[i].data)
            bench_free(&x->out[i]);
        x->out[i] = (tensor){0};
    }
}

void fading_free(fading_scan *x)
{
    for (int i = 0; i < FADING_OPERANDS; i++)
        if (i != SCAN_LENGTH && x->in[i].data)
            bench_free(&x->in[i]);
    fading_free_results(x);
    for (int i = 0; i < FADING_RESULTS; i++)
        free(x->expected[i]);
}

static void new_results(fading_scan *x, bool grad)
{
    const fading_case *c = &x->c;
    int64_t state[] = {c->batch, c->heads, c->key, x->width},
            rows[] = {c->batch, c->heads, c->time, c->value};
    int64_t keys[] = {c->batch, c->heads, c->time, c->key}, one[] = {c->batch, c->heads, c->time, 1};
    const int64_t *forward[] = {rows, one, state, NULL, NULL};
    const int64_t *backward[] = {keys, keys, rows, c->decay[0] ? c->decay : NULL, c->state ? state : NULL};
    fading_free_results(x);
    for (int i = 0; i < FADING_RESULTS; i++)
        if ((grad ? backward : forward)[i])
            x->out[i] = operand(c, (grad ? backward : forward)[i], -1, 1);
}

void fading_run(fading_scan *x, bool grad)
{
    new_results(x, grad);
    if (x->in[SCAN_LENGTH].rank)
        x->in[SCAN_LENGTH].data = x->length;
    kernel_call call = {.op = grad ? OP_scan_grad : OP_scan,
                        .attributes = x->attributes,
                        .input_count = grad ? 9 : 6,
                        .output_count = grad ? 5 : 3,
                        .inputs = x->in,
                        .outputs = x->out};
    const kernel *const *k = op_table[call.op].kernels;
    bool ran = false;
    for (; !ran && *k && *k != &kernel_scan_plain && *k != &kernel_scan_grad_plain; k++) {
        kernel_call again = call;
        ran = bench_run(*k, &again, x->c.batch % 2);
    }
    cr_assert(ran, "only the plain kernel takes this");
}

/* ---- the recurrence ---- */

typedef struct one_head {
    fading_scan *x;
    int64_t b, h;
    double *found; /* [time, key, width]: U_t */
    double *state; /* [key, width] */
} one_head;

static double number(const one_head *o, int operand, int64_t t, int64_t j)
{
    const tensor *from = &o->x->in[operand];
    return from->data ? *fading_at(from, o->b, o->h, t, j) : 0;
}
static double value_of(const one_head *o, int64_t t, int64_t j)
{
    return j < o->x->c.value ? number(o, SCAN_V, t, j) : 1;
}
static double gradient_of(const one_head *o, int64_t t, int64_t j)
{
    return j < o->x->c.value ? number(o, SCAN_DNUMERATOR, t, j) : number(o, SCAN_DDENOMINATOR, t, 0);
}
static double *spot(const one_head *o, int result, int64_t rows, int64_t columns, int64_t t, int64_t j)
{
    return &o->x->expected[result][((o->b * o->x->c.heads + o->h) * rows + t) * columns + j];
}

static void forward(const one_head *o, bool grad)
{
    const fading_case *c = &o->x->c;
    int64_t w = o->x->width;
    for (int64_t t = 0; t < o->x->length[o->b]; t++)
        for (int64_t f = 0; f < c->key; f++)
            for (int64_t j = 0; j < w; j++) {
                double *s = &o->state[f * w + j], u = *s * exp(number(o, SCAN_DECAY, t, f));
                *s = u + number(o, SCAN_K, t, f) * value_of(o, t, j);
                double seen = (c->exclusive ? u : *s) * number(o, SCAN_Q, t, f);
                if (grad)
                    o->found[(t * c->key + f) * w + j] = u;
                else if (j < c->value)
                    *spot(o, 0, c->time, c->value, t, j) += seen;
                else
                    *spot(o, 1, c->time, 1, t, 0) += seen;
            }
}

static void backward(const one_head *o)
{
    const fading_case *c = &o->x->c;
    const int64_t w = o->x->width, *d = c->decay;
    for (int64_t t = o->x->length[o->b] - 1; t >= 0; t--)
        for (int64_t f = 0; f < c->key; f++)
            for (int64_t j = 0; j < w; j++) {
                double *r = &o->state[f * w + j], u = o->found[(t * c->key + f) * w + j];
                double k = number(o, SCAN_K, t, f), v = value_of(o, t, j), gradient = gradient_of(o, t, j);
                double read = number(o, SCAN_Q, t, f) * gradient, all = *r + read,
                       after = c->exclusive ? *r : all;
                *spot(o, 0, c->time, c->key, t, f) += gradient * (c->exclusive ? u : u + k * v);
                *spot(o, 1, c->time, c->key, t, f) += after * v;
                if (j < c->value)
                    *spot(o, 2, c->time, c->value, t, j) += after * k;
                if (d[0])
                    o->x->expected[3][(((d[0] == 1 ? 0 : o->b) * d[1] + (d[1] == 1 ? 0 : o->h)) * d[2] +
                                       (d[2] == 1 ? 0 : t)) *
                                          d[3] +
                                      (d[3] == 1 ? 0 : f)] += all * u;
                *r = all * exp(number(o, SCAN_DECAY, t, f));
            }
}

static void begin(const one_head *o, int operand)
{
    for (int64_t i = 0; i < o->x->c.key * o->x->width; i++)
        o->state[i] = number(o, operand, i / o->x->width, i % o->x->width);
}

static void expect_head(fading_scan *x, bool grad, int64_t b, int64_t h)
{
    int64_t elements = x->c.key * x->width;
    one_head o = {x, b, h, calloc((size_t)(x->c.time * elements + 1), sizeof(double)),
                  calloc((size_t)(elements + 1), sizeof(double))};
    begin(&o, SCAN_STATE);
    forward(&o, grad);
    if (grad) {
        begin(&o, SCAN_DSTATE);
        backward(&o);
    }
    memcpy(spot(&o, grad ? 4 : 2, x->c.key, x->width, 0, 0), o.state, sizeof(double) * (size_t)elements);
    free(o.found);
    free(o.state);
}

void fading_expect(fading_scan *x, bool grad)
{
    const fading_case *c = &x->c;
    int64_t most = c->key > x->width ? c->key : x->width, rows = c->time > c->key ? c->time : c->key;
    for (int i = 0; i < FADING_RESULTS; i++) {
        free(x->expected[i]);
        x->expected[i] = calloc((size_t)(c->batch * c->heads * rows * most + 1), sizeof(double));
    }
    for (int64_t b = 0; b < c->batch; b++)
        for (int64_t h = 0; h < c->heads; h++)
            expect_head(x, grad, b, h);
}

void fading_compare(const fading_scan *x, double bound)
{
    const fading_case *c = &x->c;
    for (int i = 0; i < FADING_RESULTS; i++) {
        double squares = 0, size = 0, largest = 0;
        int64_t count = x->out[i].data ? bench_count(&x->out[i]) : 0;
        bool finite = true;
        for (int64_t j = 0; j < count; j++) {
            double want = x->expected[i][j], off = fabs(*bench_at(&x->out[i], j) - want);
            squares += off * off, size += want * want, largest = off > largest ? off : largest;
            finite = finite && isfinite(off);
        }
        double scale = size > 0 ? sqrt(size / (double)count) : 1;
        double rms = count ? sqrt(squares / (double)count) / scale : 0;
        cr_expect(finite && rms <= bound && largest <= 10 * bound * scale,
                  "T%d Dk%d Dv%d decay %dx%dx%dx%d (%g) excl %d den %d ragged %d chunk %d: result %d is off "
                  "by %.2e, at most "
                  "%.2e, of %.2e",
                  (int)c->time, (int)c->key, (int)c->value, (int)c->decay[0], (int)c->decay[1],
                  (int)c->decay[2], (int)c->decay[3], c->gate ? c->gate(0, 0.5) : 0, c->exclusive,
                  c->denominator, c->ragged, (int)c->chunk, i, rms, largest / scale, bound);
    }
}

void fading_check(fading_case c, bool grad)
{
    fading_scan x = fading_new(c);
    fading_expect(&x, grad);
    fading_run(&x, grad);
    fading_compare(&x, grad ? 5e-6 : 1e-6 * fmax(1, sqrt((double)c.time / 1000)));
    fading_free(&x);
}
