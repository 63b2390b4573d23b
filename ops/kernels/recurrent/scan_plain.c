/* The scan step by step: takes whatever a scan may be, and is what the other kernels are compared with. */
#include "ops/kernels/recurrent/scan_plain.h"
#include <math.h>
#include <string.h>

plain plain_of(const kernel_call *call, int64_t task)
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

float plain_decay(const plain *p, int64_t t, int64_t f)
{
    const tensor *decay = operand_of(p->call, SCAN_DECAY);
    return decay->data ? expf(*plain_at(decay, p->b, p->h, t, f)) : 1;
}

void plain_advance(const plain *p, int64_t t, double *state, double *decayed)
{
    for (int64_t f = 0; f < p->key; f++) {
        float decay = plain_decay(p, t, f), k = *plain_at(operand_of(p->call, SCAN_K), p->b, p->h, t, f);
        for (int64_t c = 0; c < p->width; c++) {
            double before = state[f * p->width + c] * decay;
            if (decayed)
                decayed[f * p->width + c] = before;
            state[f * p->width + c] = before + k * plain_value(p, t, c);
        }
    }
}

void plain_load_state(const plain *p, const tensor *from, double *state)
{
    for (int64_t i = 0; i < p->elements; i++)
        state[i] = from->data ? *plain_at(from, p->b, p->h, i / p->width, i % p->width) : 0;
}

void plain_store_state(const plain *p, const tensor *to, const double *state)
{
    for (int64_t i = 0; to->data && i < p->elements; i++)
        *plain_at(to, p->b, p->h, i / p->width, i % p->width) = (float)state[i];
}

void plain_clear_behind(const plain *p, const tensor *t, int64_t from)
{
    for (int64_t row = from; t->data && row < t->dims[2]; row++)
        for (int64_t c = 0; c < t->dims[3]; c++)
            *plain_at(t, p->b, p->h, row, c) = 0;
}

/* ---- the kernel ---- */

static bool plan(kernel_call *call)
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

static void run(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    (void)phase;
    const plain p = plain_of(call, task);
    double *state = scratch, *decayed = state + p.elements, *row = decayed + p.elements;
    const double *read = p.exclusive ? decayed : state;
    plain_load_state(&p, operand_of(call, SCAN_STATE), state);
    for (int64_t t = 0; t < p.length; t++) {
        plain_advance(&p, t, state, decayed);
        memset(row, 0, sizeof *row * (size_t)p.width);
        for (int64_t f = 0; f < p.key; f++) {
            float q = *plain_at(operand_of(call, SCAN_Q), p.b, p.h, t, f);
            for (int64_t c = 0; c < p.width; c++)
                row[c] += q * read[f * p.width + c];
        }
        for (int64_t c = 0; call->outputs[0].data && c < p.value; c++)
            *plain_at(&call->outputs[0], p.b, p.h, t, c) = (float)row[c];
        if (call->outputs[1].data)
            *plain_at(&call->outputs[1], p.b, p.h, t, 0) = p.denominator ? (float)row[p.value] : 0;
    }
    plain_clear_behind(&p, &call->outputs[0], p.length);
    plain_clear_behind(&p, &call->outputs[1], p.length);
    plain_store_state(&p, &call->outputs[2], state);
}

const kernel kernel_scan_plain = {"scan_plain", plan, run};
