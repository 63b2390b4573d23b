/* One chunk of the delta rule, for its kernel and for that of its gradient. With b_i the running sum of the
 * log decay inside the chunk, Γ[t, s] = e^(b_t − b_s) for s ≤ t, and the state S before the chunk, the
 * recurrence unrolls to
 *
 *   e_t = v_t − e^{b_t} Sᵀk_t − Σ_{s<t} Γ[t, s] (k_t · k_s) β_s e_s      a unit lower triangular system
 *   out_t = e^{b_t} Sᵀq_t + Σ_{s≤t} Γ[t, s] (q_t · k_s) β_s e_s
 *   S' = e^{b_C} S + Σ_s e^(b_C − b_s) k_s (β_s e_s)ᵀ
 *
 * This is the chunked form of Yang et al. (2406.06484, §3), whose W = T β K and U = T β V are the system
 * solved for all chunks at once; here chunks go one after another, so it is solved for the parts of S and v
 * together. Differences of sums are taken in double, and reference points depend on positions alone. */
#pragma once
#include "ops/kernels/recurrent/chunk_work.h"
#include "ops/kernels/attention/head_view.h"
#include "ops/rules.h"

enum {
    DELTA_Q,
    DELTA_K,
    DELTA_V,
    DELTA_BETA,
    DELTA_LOG_DECAY,
    DELTA_LENGTH,
    DELTA_STATE,
    DELTA_DOUT,
    DELTA_DSTATE
};

typedef struct delta_shape {
    int64_t batch, heads, time, key, value;
    int64_t chunk;             /* rows of a chunk, at least 1 */
    int64_t group;             /* heads of one task */
    int64_t pitch, high, wide; /* of tiles with chunk, key and value columns */
} delta_shape;

/* False: not these operands. The attributes of delta and delta_grad are the same. */
bool delta_shape_of(const kernel_call *call, delta_shape *s);

/* One head of one sentence; log_decay.data NULL: no decay. */
typedef struct delta_head {
    const delta_shape *s;
    head_view q, k, v, beta, log_decay, state;
    int64_t rows; /* that count */
} delta_head;
delta_head delta_head_of(const kernel_call *call, const delta_shape *s, int64_t b, int64_t head);

/* A chunk, once its system is solved. */
typedef struct delta_span {
    int64_t first, rows;
    float *keys;                 /* kᵀ [key, chunk] */
    float *scaled;               /* [chunk, key]: scratch for scaled rows */
    float *system;               /* −Γ[t, s] (k_t · k_s) for s < t, [chunk, chunk] */
    float *decays;               /* Γ [chunk, chunk]; not set without a decay */
    float *errors, *writes;      /* e and β ∘ e, [chunk, value] */
    float *beta, *before, *after; /* β, e^{b_i}, e^(b_C − b_i): [chunk] */
    double *sums;                /* b [chunk] */
} delta_span;

int64_t delta_chunk_floats(const delta_shape *s); /* of scratch, in whole tile rows */
delta_span delta_chunk_new(const delta_shape *s, float **scratch);
/* Loads rows first … first + rows − 1 and solves the chunk's system; state NULL: zeros. [key, wide] */
void delta_chunk_solve(const delta_head *h, delta_span *c, int64_t first, int64_t rows, const float *state);
/* state = S'. Overwrites `writes`. carried: there is a state before the chunk. */
void delta_chunk_advance(const delta_head *h, delta_span *c, float *state, bool carried);

/* out[t, s] = factor · Γ[t, s] (left_t · right_s) for s ≤ t, strict: s < t; `right` [depth, chunk]. Rows
 * from … to from + TILE_LANES − 1 or the last, up to the end of their block of the diagonal. */
void delta_triangle_rows(const delta_head *h, const delta_span *c, int64_t from, const float *left,
                         int64_t left_row, int64_t left_column, const float *right, int64_t depth,
                         float factor, bool strict, float *out);
/* Row i of the tile times factors[i]; does nothing without a decay, when all factors are 1. */
void delta_decay_rows(const delta_head *h, const delta_span *c, const float *factors, float *tile,
                      int64_t columns, int64_t pitch);
static inline int64_t delta_block(const delta_span *c, int64_t from)
{
    return c->rows - from < TILE_LANES ? c->rows - from : TILE_LANES;
}
