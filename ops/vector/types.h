/* The structs that vector functions take, for ops/vector/table.def. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/* ==== elementwise: ops/kernels/elementwise.c makes these, ops/vector/elementwise.c runs them ==== */
/* Where an operand of a tile lies. step 1: one element after another, padded to whole vectors; step 0: one
 * vector of equal lanes for all. */
typedef struct elementwise_slot {
    float *data;
    int64_t step;
} elementwise_slot;
typedef enum elementwise_code {
#define ELEMENTWISE(name, ...) CODE_##name,
#define INNER                  ELEMENTWISE
#include "ops/vector/elementwise.def"
#undef ELEMENTWISE
#undef INNER
    CODE_COUNT
} elementwise_code;
typedef struct elementwise_step {
    uint8_t code, a, b, c, result; /* slots; unused ones 0 */
} elementwise_step;

/* ==== the optimiser: p = keep · p − step · m / (√v · root_scale + epsilon) ==== */
typedef struct adam_numbers {
    float beta1, beta2, less_beta1, less_beta2; /* less: 1 − β, rounded once */
    float gradient_scale, step, keep, root_scale, epsilon;
} adam_numbers;

/* ==== matrix products: small_gemm.c ==== */
/* terms of k in one chain of multiply-adds: docs/GEMM.md, "The bits of a product" */
enum { GEMM_BLOCK = 256 };
/* c[m, n] = (add ? c : 0) + a · op(b). a[i, k] is at a[i · a_row + k · a_column]; b is [k, n], transposed
 * [n, k]. */
typedef struct small_product {
    int64_t m, n, k;
    const float *a;
    int64_t a_row, a_column;
    const float *b;
    int64_t ldb;
    bool transpose_b, add;
    float *c;
    int64_t ldc;
} small_product;

/* ==== scan: decays; one token of one head ==== */
/* e^−1000 is 0 next to anything that a float holds: a log decay below it, or −∞, is taken as this. */
enum { LOG_DECAY_LEAST = -1000 };
typedef struct scan_step {
    int64_t key, width; /* state [key, width] */
    const float *q, *k; /* key numbers each, q_step and k_step apart */
    int64_t q_step, k_step;
    /* the state fades by whole + part, factor_step apart (0: one for all keys); NULL: it does not */
    const float *whole, *part;
    int64_t factor_step;
    const float *v, *state; /* width numbers; state NULL: zeros */
    int64_t state_row, state_out_row;
    float *state_out, *out; /* state_out NULL: not wanted; it may be `state`. out: width numbers */
    bool exclusive;
} scan_step;

/* ==== scan: heads of one number as channels, rows t = 0 … of a strip of them ==== */
typedef struct channel_rows {
    const float *data; /* NULL: absent */
    int64_t row, step; /* step 1: channels side by side; 0: one number for all */
} channel_rows;
typedef struct channel_results {
    float *data; /* channels side by side; NULL: not wanted */
    int64_t row;
} channel_results;
typedef struct channel_scan {
    int64_t channels, rows, pitch; /* at most `pitch` channels, a multiple of every vector */
    /* distance in rows of the prefetch: hardware does not predict strips of long rows */
    int64_t ahead;
    bool exclusive;
    channel_rows q, k, v, decay, gradient;
    double *state;      /* [pitch]: the state before the first row; backward: the gradient of the state after
                         * the last */
    float *before;      /* [rows, pitch]: the decayed state that each step adds to; forward writes it, unless
                         * NULL */
    double *ddecay_sum; /* [pitch], added to */
    channel_results out, dq, dk, dv, ddecay;
} channel_scan;

/* ==== delta: one token of one head ==== */
typedef struct delta_step {
    int64_t key, width; /* state [key, width] */
    const float *q, *k; /* key numbers each, q_step and k_step apart */
    int64_t q_step, k_step;
    const float *v, *state; /* width numbers; state NULL: zeros */
    int64_t state_row, state_out_row;
    float *state_out, *out;   /* state_out NULL: not wanted; it may be `state`. out: width numbers */
    float beta, decay, match; /* β; e^g; q · k */
} delta_step;

/* ==== attention: dropout of one row of weights; weight s has channel s · heads + head ==== */
typedef struct attention_dropout {
    uint32_t counter, step; /* (channel · DROPOUT_CHANNEL + first) at s = 0; heads · DROPOUT_CHANNEL */
    uint32_t second, threshold;
    float kept; /* what a kept weight is multiplied by */
} attention_dropout;

/* ==== loss: one row of logits ==== */
typedef struct loss_row_work {
    float *x;           /* [count]; the bias is added in place */
    const float *bias;  /* or NULL: x is only read */
    float *gradient;    /* (p − q) scale; NULL: not wanted; it may be x */
    float *column_sums; /* the gradient is added here too; or NULL */
    int64_t count, target;
    double smoothing, scale;
} loss_row_work;
