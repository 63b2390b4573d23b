/* What the gradients of the chunked scans share. Three phases:
 *
 *   0  two independent sweeps for each head: forward in time for the states S before chunks, backward for the
 *      gradients R of the states after them. Nothing to do where one chunk spans T, without a state given or
 *      wanted.
 *   1  every chunk of every head by itself: dq, dk, dv and its part of the log decay's gradient from S and R.
 *   2  the log decay's gradient, summed over what the decay broadcasts to.
 *
 * G = [dnumerator, ddenominator] and v with its column of ones have `width` columns. */
#pragma once
#include "ops/kernels/recurrent/scan_decay.h"

typedef struct grad_plan {
    scan_shape s;
    int64_t pitch, wide, high;  /* of tiles with chunk, width and key columns */
    int64_t pairs, chunks;      /* heads of all sentences; chunks of time, at least 1 */
    int64_t units;              /* chunks of a task of phase 1 */
    decay_gradient decay;
    float *states, *gradients;  /* shared: Sᵀ [pairs, chunks, width, high] and R [pairs, chunks, key, wide] */
    bool needs_states, needs_gradients;
} grad_plan;

/* Sizes alone: plan has no memory yet. */
grad_plan grad_plan_of(const kernel_call *call, const scan_shape *s);
/* Fills phases, tasks, shared memory and flops, and records the chunk. */
void grad_plan_call(kernel_call *call, const grad_plan *p);

typedef struct grad_head {
    const grad_plan *p;
    const scan_shape *s;
    head_view q, k, v, decay, state, dnumerator, ddenominator, dstate;
    head_view dq, dk, dv, ddecay, dstate_in;
    int64_t pair, rows, last; /* rows of the sentence, its last chunk */
} grad_head;
grad_head grad_head_of(const kernel_call *call, const grad_plan *p, int64_t pair);

/* The memory of the state before chunk c, and of the gradient of the state after it, if there is one. */
float *grad_state(const grad_head *h, int64_t chunk);
float *grad_gradient(const grad_head *h, int64_t chunk);
bool grad_has_state(const grad_head *h, int64_t chunk);
bool grad_has_gradient(const grad_head *h, int64_t chunk);
static inline int64_t grad_rows(const grad_head *h, int64_t chunk)
{
    int64_t left = h->rows - chunk * h->s->chunk;
    return left < 0 ? 0 : left < h->s->chunk ? left : h->s->chunk;
}

/* The ends of the sweeps. The given state is copied to where chunk 0 begins, and the gradient of the last
 * state to where the last chunk ends; false: it is zero. At the end the gradient of the first state is
 * stored; that of a sentence without rows is the gradient of the last. */
void grad_first_state(const grad_head *h);
bool grad_last_gradient(const grad_head *h);
void grad_store_first(const grad_head *h, const float *first, bool carried);
/* Sets the padding in a chunk's results to 0. */
void grad_clear_behind(const grad_head *h, int64_t chunk);

/* The work for each head, and for each of its chunks. */
typedef struct grad_stages {
    void (*forward)(const grad_head *h, float *scratch), (*backward)(const grad_head *h, float *scratch);
    void (*chunk)(const grad_head *h, int64_t chunk, float *scratch);
} grad_stages;
void grad_run(const kernel_call *call, int phase, int64_t task, void *scratch, const grad_stages *stages);

/* [dnumerator, ddenominator] of some rows as a tile [rows, wide]; what is absent is zero. vᵀ with its row
 * of ones: [width, pitch]. */
void grad_load_gradient(const grad_head *h, int64_t t, int64_t rows, float *tile);
void grad_load_values(const grad_head *h, int64_t t, int64_t rows, float *tile);
/* out[s] += Σ_{t≥s} lower[t, s] · right[t]. */
void grad_add_upper(const grad_head *h, int64_t rows, const float *lower, const float *right, int64_t columns,
                    int64_t wide, float *out, bool add);
/* The product of [rows, depth] and [depth, rows], each row up to the end of its diagonal block. */
void grad_triangle(const grad_head *h, int64_t rows, int64_t depth, const float *left, int64_t left_row,
                   const float *right, float *out);

/* The gradient of a log decay with one number a step, in one chunk: terms[i] counts for all steps up to i,
 * passed[j], from what row j adds to the state, for all steps after j, and whole for all. */
void grad_store_decay(const grad_head *h, int64_t chunk, double *terms, const double *passed, double whole);
