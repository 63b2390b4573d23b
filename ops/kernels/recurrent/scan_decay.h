/* The decays of a chunk as factors of its products, and the log decay's gradient, summed over what it
 * broadcasts to. With b_i the sum of the chunk's log decays up to row i, token j counts at row i by e^(b_i −
 * b_j) and the state before the chunk by e^b_i; in the state after it they count by e^(b_end − b_j) and
 * e^b_end. Sums and differences are doubles. */
#pragma once
#include "ops/kernels/recurrent/scan_shape.h"

static inline double log_decay_bounded(float x)
{
    return x < LOG_DECAY_LEAST ? LOG_DECAY_LEAST : x;
}

/* A head's log decay, with steps of 0 where it broadcasts. */
head_view scan_decay_of(const kernel_call *call, int64_t b, int64_t h);

/* One number a row. Without a decay everything is NULL and the functions below do nothing. */
typedef struct head_decay {
    double *sums;                      /* b_i */
    float *before, *after;             /* e^b_i and e^(b_end − b_i) */
    float whole[TILE_LANES], part[TILE_LANES]; /* whole[0] + part[0] = e^b_end */
} head_decay;

/* rows of `chunk` floats that head_decay_take takes: two of doubles, two of floats */
enum { HEAD_DECAY_ROWS = 6 };
head_decay head_decay_take(float **scratch, const scan_shape *s);
/* Reads the decays of rows t … t + rows − 1. */
void head_decay_read(head_decay *d, const head_view *decay, int64_t t, int64_t rows);

static inline void fade_until_rows(const head_decay *d, int64_t rows, int64_t columns, float *tile,
                                   int64_t pitch)
{
    if (d->sums)
        vectors()->tile_scale_rows(rows, columns, tile, pitch, d->before);
}
static inline void fade_after_rows(const head_decay *d, int64_t rows, int64_t columns, float *tile,
                                   int64_t pitch)
{
    if (d->sums)
        vectors()->tile_scale_rows(rows, columns, tile, pitch, d->after);
}
/* to = the state `from`, decayed over the chunk; they may be the same. */
static inline void fade_state(const head_decay *d, int64_t rows, int64_t columns, const float *from,
                              float *to, int64_t pitch)
{
    if (d->sums)
        vectors()->tile_fade(rows, columns, from, pitch, to, pitch, d->whole, d->part, 0);
    else if (from != to)
        vectors()->tile_copy(rows, columns, from, pitch, 1, to, pitch);
}
/* Keeps the lower triangle of a tile [t, s], each element times the decay from s to t. */
static inline void keep_lower(const head_decay *d, int64_t first, int64_t rows, float *tile, int64_t pitch,
                              bool strict)
{
    if (d->sums)
        vectors()->tile_decay_lower(first, rows, tile, pitch, strict, d->sums);
    else
        vectors()->tile_keep_lower(first, rows, tile, pitch, strict);
}

/* ---- the gradient of the log decay ---- */

/* A head's gradient is written to the result directly, unless the decay broadcasts: then it goes to the
 * call's shared memory, a row for each step, or a double for each chunk where the decay is the same at every
 * step, and is summed in the last phase. */
typedef enum decay_gradient_kind { DECAY_UNWANTED, DECAY_DIRECT, DECAY_BY_STEP,
    DECAY_BY_CHUNK } decay_gradient_kind;
typedef struct decay_gradient {
    decay_gradient_kind kind;
    int64_t slots, keys;   /* of a head: steps or chunks; numbers of a step */
    float *steps;          /* shared: [heads of all sentences, slots, keys] */
    double *chunks;        /* shared: [heads of all sentences, slots] */
} decay_gradient;

/* For heads of `chunks` chunks each. The addresses in shared memory are not set. */
decay_gradient decay_gradient_of(const kernel_call *call, const scan_shape *s, int64_t chunks);
/* of shared memory, in whole tiles */
size_t decay_gradient_bytes(const decay_gradient *d, const scan_shape *s);
int64_t decay_gradient_tasks(const kernel_call *call, const decay_gradient *d);
/* Sums the heads' parts in order into part `task` of the gradient, which has a part for each sentence and
 * head; without a decay the gradient is one number, 0. */
void decay_gradient_sum(const kernel_call *call, const scan_shape *s, const decay_gradient *d, int64_t task);
/* Where a head's gradient is written step by step; nothing for DECAY_BY_CHUNK. */
head_view decay_gradient_rows(const kernel_call *call, const scan_shape *s, const decay_gradient *d,
                              int64_t pair);
