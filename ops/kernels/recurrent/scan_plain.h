/* What the step-by-step scan and its gradient share: one head of one sentence, which is a task.
 *
 *   U_t = D_t ∘ S_{t−1}      S_t = U_t + k_t v_tᵀ      num_t = S_tᵀ q_t (exclusive: U_tᵀ q_t)
 *
 * States are doubles: a running sum in f32 errs like √T. */
#pragma once
#include "ops/kernels/recurrent/scan_shape.h"

typedef struct plain {
    const kernel_call *call;
    int64_t batch, heads, time, key, value, width, elements; /* elements: of a state */
    bool exclusive, denominator;
    int64_t b, h, length;
    int64_t decay_time, decay_key; /* extents of the log decay along t and the key: 1 or all */
} plain;

/* Head task % heads of sentence task / heads. */
plain plain_of(const kernel_call *call, int64_t task);

/* An element of head h of sentence b, where axes of extent 1 broadcast. */
static inline float *plain_at(const tensor *t, int64_t b, int64_t h, int64_t row, int64_t column)
{
    return (float *)t->data + (t->dims[0] == 1 ? 0 : b) * t->strides[0] +
           (t->dims[1] == 1 ? 0 : h) * t->strides[1] + (t->dims[2] == 1 ? 0 : row) * t->strides[2] +
           (t->dims[3] == 1 ? 0 : column) * t->strides[3];
}

/* The factor D_t of key dimension f, and v_t with its 1 for the denominator. */
float plain_decay(const plain *p, int64_t t, int64_t f);
static inline float plain_value(const plain *p, int64_t t, int64_t c)
{
    return c < p->value ? *plain_at(operand_of(p->call, SCAN_V), p->b, p->h, t, c) : 1;
}

/* One step of `state`; decayed, when not NULL, receives U_t. */
void plain_advance(const plain *p, int64_t t, double *state, double *decayed);

void plain_load_state(const plain *p, const tensor *from, double *state);
void plain_store_state(const plain *p, const tensor *to, const double *state);
/* Rows from `from` on become 0. */
void plain_clear_behind(const plain *p, const tensor *t, int64_t from);
