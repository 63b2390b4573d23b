/* The scan step by step, for what the chunked kernels do not take: a decay, per step and head or per step and key dimension.
 *
 *   U_t = D_t ∘ S_{t−1}      S_t = U_t + k_t v_tᵀ      num_t = S_tᵀ q_t (exclusive: U_tᵀ q_t)
 *
 * Backward keeps the state at the beginning of every block of SPAN steps and makes the states inside a block again when it comes
 * to it, so that memory is T / SPAN + SPAN states of one head. A task is one head of one sentence. States are in double here: a
 * running sum in f32 errs like √T. */
#include "ops/kernels/recurrent/scan_shape.h"
#include <math.h>
#include <string.h>

enum { SPAN = 32 };

typedef struct plain {
    const kernel_call *call;
    int64_t batch, heads, time, key, value, width, elements; /* elements: of a state */
    bool exclusive, denominator;
    int64_t b, h, length;
    int64_t decay_time, decay_key; /* extents of the log decay along t and the key: 1 or all */
} plain;

static plain plain_of(const kernel_call *call, int64_t task)
{
    const tensor *q = operand_of(call, SCAN_Q), *v = operand_of(call, SCAN_V),
                 *decay = operand_of(call, SCAN_DECAY);
    bool grad = call->op == OP_scan_grad;
    plain p = {.call = call,
               .batch = q->dims[0],
               .heads = q->dims[1],
               .time = q->dims[2],
               .key = q->dims[3],
               .value = v->dims[3]};
    p.exclusive = call->attributes[grad ? scan_grad_exclusive : scan_exclusive].integer;
    p.denominator = call->attributes[grad ? scan_grad_denominator : scan_denominator].integer;
    p.width = p.value + p.denominator;
    p.elements = p.key * p.width;
    p.b = p.heads ? task / p.heads : 0;
    p.h = p.heads ? task % p.heads : 0;
    p.decay_time = decay->data ? decay->dims[2] : 1;
    p.decay_key = decay->data ? decay->dims[3] : 1;
    const tensor *length = operand_of(call, SCAN_LENGTH);
    p.length = p.time;
    if (length->data) {
        int64_t rows = ((const int32_t *)length->data)[p.b * length->strides[0]];
        p.length = rows < 0 ? 0 : rows > p.time ? p.time : rows;
    }
    return p;
}

static float *at(const tensor *t, int64_t b, int64_t h, int64_t row, int64_t column)
{
    return (float *)t->data + (t->dims[0] == 1 ? 0 : b) * t->strides[0] +
           (t->dims[1] == 1 ? 0 : h) * t->strides[1] + (t->dims[2] == 1 ? 0 : row) * t->strides[2] +
           (t->dims[3] == 1 ? 0 : column) * t->strides[3];
}

static float decay_of(const plain *p, int64_t t, int64_t f)
{
    const tensor *decay = operand_of(p->call, SCAN_DECAY);
    return decay->data ? expf(*at(decay, p->b, p->h, t, f)) : 1;
}

static float value_of(const plain *p, int64_t t, int64_t c)
{
    return c < p->value ? *at(operand_of(p->call, SCAN_V), p->b, p->h, t, c) : 1;
}

/* One step of `state`; decayed, when not NULL, receives U_t. */
static void advance(const plain *p, int64_t t, double *state, double *decayed)
{
    for (int64_t f = 0; f < p->key; f++) {
        float decay = decay_of(p, t, f), k = *at(operand_of(p->call, SCAN_K), p->b, p->h, t, f);
        for (int64_t c = 0; c < p->width; c++) {
            double before = state[f * p->width + c] * decay;
            if (decayed)
                decayed[f * p->width + c] = before;
            state[f * p->width + c] = before + k * value_of(p, t, c);
        }
    }
}

static void load_state(const plain *p, const tensor *from, double *state)
{
    for (int64_t i = 0; i < p->elements; i++)
        state[i] = from->data ? *at(from, p->b, p->h, i / p->width, i % p->width) : 0;
}

static void store_state(const plain *p, const tensor *to, const double *state)
{
    for (int64_t i = 0; to->data && i < p->elements; i++)
        *at(to, p->b, p->h, i / p->width, i % p->width) = (float)state[i];
}

static void clear_tail(const plain *p, const tensor *t, int64_t from)
{
    for (int64_t row = from; t->data && row < t->dims[2]; row++)
        for (int64_t c = 0; c < t->dims[3]; c++)
            *at(t, p->b, p->h, row, c) = 0;
}

/* ---- forward ---- */

static bool plan_forward(kernel_call *call)
{
    const tensor *q = operand_of(call, SCAN_Q), *v = operand_of(call, SCAN_V);
    if (q->rank != 4 || v->rank != 4)
        return false;
    int64_t width = v->dims[3] + call->attributes[scan_denominator].integer;
    call->phases = 1;
    call->tasks[0] = q->dims[0] * q->dims[1];
    call->scratch_bytes = sizeof(double) * (size_t)(2 * q->dims[3] * width + width + 16);
    call->flops = 4.0 * (double)(q->dims[0] * q->dims[1] * q->dims[2]) * (double)(q->dims[3] * width);
    return true;
}

static void run_forward(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    (void)phase;
    const plain p = plain_of(call, task);
    double *state = scratch, *decayed = state + p.elements, *row = decayed + p.elements;
    const double *read = p.exclusive ? decayed : state;
    load_state(&p, operand_of(call, SCAN_STATE), state);
    for (int64_t t = 0; t < p.length; t++) {
        advance(&p, t, state, decayed);
        memset(row, 0, sizeof *row * (size_t)p.width);
        for (int64_t f = 0; f < p.key; f++) {
            float q = *at(operand_of(call, SCAN_Q), p.b, p.h, t, f);
            for (int64_t c = 0; c < p.width; c++)
                row[c] += q * read[f * p.width + c];
        }
        for (int64_t c = 0; call->outputs[0].data && c < p.value; c++)
            *at(&call->outputs[0], p.b, p.h, t, c) = (float)row[c];
        if (call->outputs[1].data)
            *at(&call->outputs[1], p.b, p.h, t, 0) = p.denominator ? (float)row[p.value] : 0;
    }
    clear_tail(&p, &call->outputs[0], p.length);
    clear_tail(&p, &call->outputs[1], p.length);
    store_state(&p, &call->outputs[2], state);
}

const kernel kernel_scan_plain = {"scan_plain", plan_forward, run_forward};

/* ---- backward ---- */

/* Per head: Σ over what the log decay broadcasts along time and key; [heads of all, decay_time, decay_key] in `shared`. */
static double *decay_partial(const plain *p)
{
    return (double *)p->call->shared + (p->b * p->heads + p->h) * p->decay_time * p->decay_key;
}

static bool plan_backward(kernel_call *call)
{
    const tensor *q = operand_of(call, SCAN_Q), *v = operand_of(call, SCAN_V),
                 *decay = operand_of(call, SCAN_DECAY);
    if (q->rank != 4 || v->rank != 4)
        return false;
    int64_t width = v->dims[3] + call->attributes[scan_grad_denominator].integer,
            elements = q->dims[3] * width;
    int64_t heads = q->dims[0] * q->dims[1], blocks = q->dims[2] / SPAN + 1;
    call->phases = 2; /* heads; then the decay's gradient over what it broadcasts */
    call->tasks[0] = heads;
    call->tasks[1] = call->outputs[3].data ? 1 : 0;
    call->scratch_bytes = sizeof(double) * (size_t)((blocks + 2 * SPAN + 2) * elements + 2 * width + 16);
    call->shared_bytes =
        decay->data ? sizeof(double) * (size_t)(heads * decay->dims[2] * decay->dims[3]) + 64 : 64;
    call->flops = 10.0 * (double)(heads * q->dims[2]) * (double)elements;
    return true;
}

static void gradient_of_read(const plain *p, int64_t t, double *dread)
{
    const tensor *dnumerator = operand_of(p->call, SCAN_DNUMERATOR),
                 *ddenominator = operand_of(p->call, SCAN_DDENOMINATOR);
    for (int64_t c = 0; c < p->width; c++) {
        const tensor *given = c < p->value ? dnumerator : ddenominator;
        dread[c] = given->data ? *at(given, p->b, p->h, t, c < p->value ? c : 0) : 0;
    }
}

/* The reverse of step t. d: the gradient of S_t from later steps; afterwards that of S_{t−1}. */
static void step_back(const plain *p, int64_t t, const double *decayed, const double *after, double *d,
                      double *dread, double *dv)
{
    const kernel_call *call = p->call;
    const double *read = p->exclusive ? decayed : after;
    double *partial = operand_of(call, SCAN_DECAY)->data ? decay_partial(p) : NULL;
    gradient_of_read(p, t, dread);
    memset(dv, 0, sizeof *dv * (size_t)p->width);
    for (int64_t f = 0; f < p->key; f++) {
        float decay = decay_of(p, t, f), q = *at(operand_of(call, SCAN_Q), p->b, p->h, t, f);
        float k = *at(operand_of(call, SCAN_K), p->b, p->h, t, f);
        double dq = 0, dk = 0, ddecay = 0;
        for (int64_t c = 0; c < p->width; c++) {
            int64_t i = f * p->width + c;
            double dbefore = d[i] + q * dread[c], dafter = p->exclusive ? d[i] : dbefore;
            dq += dread[c] * read[i];
            dk += dafter * value_of(p, t, c);
            dv[c] += dafter * k;
            ddecay += dbefore * decayed[i];
            d[i] = dbefore * decay;
        }
        if (call->outputs[0].data)
            *at(&call->outputs[0], p->b, p->h, t, f) = (float)dq;
        if (call->outputs[1].data)
            *at(&call->outputs[1], p->b, p->h, t, f) = (float)dk;
        if (partial)
            partial[(p->decay_time == 1 ? 0 : t) * p->decay_key + (p->decay_key == 1 ? 0 : f)] += ddecay;
    }
    for (int64_t c = 0; call->outputs[2].data && c < p->value; c++)
        *at(&call->outputs[2], p->b, p->h, t, c) = (float)dv[c];
}

static void run_head(const kernel_call *call, int64_t task, double *scratch)
{
    const plain p = plain_of(call, task);
    size_t bytes = sizeof(double) * (size_t)p.elements;
    int64_t blocks = p.time / SPAN + 1;
    double *starts = scratch, *inside = starts + blocks * p.elements; /* inside: U_t and S_t of one block */
    double *state = inside + 2 * SPAN * p.elements, *d = state + p.elements, *dread = d + p.elements,
           *dv = dread + p.width;
    if (operand_of(call, SCAN_DECAY)->data)
        memset(decay_partial(&p), 0, sizeof(double) * (size_t)(p.decay_time * p.decay_key));
    load_state(&p, operand_of(call, SCAN_STATE), state);
    for (int64_t t = 0; t < p.length; t++) {
        if (t % SPAN == 0)
            memcpy(starts + t / SPAN * p.elements, state, bytes);
        advance(&p, t, state, NULL);
    }
    load_state(&p, operand_of(call, SCAN_DSTATE), d);
    for (int64_t first = (p.length - 1) / SPAN * SPAN; p.length > 0 && first >= 0; first -= SPAN) {
        int64_t end = first + SPAN < p.length ? first + SPAN : p.length;
        memcpy(state, starts + first / SPAN * p.elements, bytes);
        for (int64_t t = first; t < end; t++) {
            advance(&p, t, state, inside + 2 * (t - first) * p.elements);
            memcpy(inside + (2 * (t - first) + 1) * p.elements, state, bytes);
        }
        for (int64_t t = end - 1; t >= first; t--)
            step_back(&p, t, inside + 2 * (t - first) * p.elements,
                      inside + (2 * (t - first) + 1) * p.elements, d, dread, dv);
    }
    for (int o = 0; o < 3; o++)
        clear_tail(&p, &call->outputs[o], p.length);
    store_state(&p, &call->outputs[4], d);
}

/* Sums the heads' parts in order into the decay's own shape; without a decay there is one number, 0. */
static void sum_decay(const kernel_call *call)
{
    const tensor *out = &call->outputs[3];
    if (!operand_of(call, SCAN_DECAY)->data) {
        *(float *)out->data = 0;
        return;
    }
    const plain p = plain_of(call, 0);
    const double *parts = call->shared;
    int64_t size = p.decay_time * p.decay_key;
    for (int64_t b = 0; b < out->dims[0]; b++)
        for (int64_t h = 0; h < out->dims[1]; h++)
            for (int64_t i = 0; i < size; i++) {
                double sum = 0;
                for (int64_t head = 0; head < p.batch * p.heads; head++)
                    if ((out->dims[0] == 1 || head / p.heads == b) &&
                        (out->dims[1] == 1 || head % p.heads == h))
                        sum += parts[head * size + i];
                *at(out, b, h, i / p.decay_key, i % p.decay_key) = (float)sum;
            }
}

static void run_backward(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    if (phase == 0)
        run_head(call, task, scratch);
    else
        sum_decay(call);
}

const kernel kernel_scan_grad_plain = {"scan_grad_plain", plan_backward, run_backward};
