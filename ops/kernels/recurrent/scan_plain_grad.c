/* The gradient of the scan step by step. It keeps the state at the beginning of every block of SPAN steps,
 * and computes the states inside a block again when it comes to it: the memory is T / SPAN + SPAN states
 * of one head. */
#include "ops/kernels/recurrent/scan_plain.h"
#include <string.h>

enum { SPAN = 32 };

/* A head's part of the log decay's gradient, summed over the axes of time and keys that the decay broadcasts
 * along; `shared` is [heads of all sentences, decay_time, decay_key]. */
static double *decay_partial(const plain *p)
{
    return (double *)p->call->shared + (p->b * p->heads + p->h) * p->decay_time * p->decay_key;
}

static bool plan(kernel_call *call)
{
    const tensor *q = operand_of(call, SCAN_Q), *v = operand_of(call, SCAN_V),
                 *decay = operand_of(call, SCAN_DECAY);
    if (q->rank != 4 || v->rank != 4)
        return false;
    int64_t width = v->dims[3] + call->attributes[scan_grad_denominator].integer,
            elements = q->dims[3] * width;
    int64_t heads = q->dims[0] * q->dims[1], blocks = q->dims[2] / SPAN + 1;
    call->phases = 2; /* heads; then the sums of the decay's gradient */
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
        dread[c] = given->data ? *plain_at(given, p->b, p->h, t, c < p->value ? c : 0) : 0;
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
        float decay = plain_decay(p, t, f), q = *plain_at(operand_of(call, SCAN_Q), p->b, p->h, t, f);
        float k = *plain_at(operand_of(call, SCAN_K), p->b, p->h, t, f);
        double dq = 0, dk = 0, ddecay = 0;
        for (int64_t c = 0; c < p->width; c++) {
            int64_t i = f * p->width + c;
            double dbefore = d[i] + q * dread[c], dafter = p->exclusive ? d[i] : dbefore;
            dq += dread[c] * read[i];
            dk += dafter * plain_value(p, t, c);
            dv[c] += dafter * k;
            ddecay += dbefore * decayed[i];
            d[i] = dbefore * decay;
        }
        if (call->outputs[0].data)
            *plain_at(&call->outputs[0], p->b, p->h, t, f) = (float)dq;
        if (call->outputs[1].data)
            *plain_at(&call->outputs[1], p->b, p->h, t, f) = (float)dk;
        if (partial)
            partial[(p->decay_time == 1 ? 0 : t) * p->decay_key + (p->decay_key == 1 ? 0 : f)] += ddecay;
    }
    for (int64_t c = 0; call->outputs[2].data && c < p->value; c++)
        *plain_at(&call->outputs[2], p->b, p->h, t, c) = (float)dv[c];
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
    plain_load_state(&p, operand_of(call, SCAN_STATE), state);
    for (int64_t t = 0; t < p.length; t++) {
        if (t % SPAN == 0)
            memcpy(starts + t / SPAN * p.elements, state, bytes);
        plain_advance(&p, t, state, NULL);
    }
    plain_load_state(&p, operand_of(call, SCAN_DSTATE), d);
    for (int64_t first = (p.length - 1) / SPAN * SPAN; p.length > 0 && first >= 0; first -= SPAN) {
        int64_t end = first + SPAN < p.length ? first + SPAN : p.length;
        memcpy(state, starts + first / SPAN * p.elements, bytes);
        for (int64_t t = first; t < end; t++) {
            plain_advance(&p, t, state, inside + 2 * (t - first) * p.elements);
            memcpy(inside + (2 * (t - first) + 1) * p.elements, state, bytes);
        }
        for (int64_t t = end - 1; t >= first; t--)
            step_back(&p, t, inside + 2 * (t - first) * p.elements,
                      inside + (2 * (t - first) + 1) * p.elements, d, dread, dv);
    }
    for (int o = 0; o < 3; o++)
        plain_clear_behind(&p, &call->outputs[o], p.length);
    plain_store_state(&p, &call->outputs[4], d);
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
                *plain_at(out, b, h, i / p.decay_key, i % p.decay_key) = (float)sum;
            }
}

static void run(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    if (phase == 0)
        run_head(call, task, scratch);
    else
        sum_decay(call);
}

const kernel kernel_scan_grad_plain = {"scan_grad_plain", plan, run};
