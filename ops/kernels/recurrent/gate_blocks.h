/* A chunk of a scan whose log decay g has a number for each key dimension and step. Its rows are cut into
 * blocks of TILE_LANES. Pairs of tokens inside a block are weighted by running products of e^g. The keys of
 * earlier blocks are decayed further from block to block, to the first row of the current one, so both
 * factors of a pair, e^(b_i − start) and e^(start − b_j), are at most 1 where g ≤ 0: the reference is a
 * position, never a maximum. */
#pragma once
#include "ops/kernels/recurrent/scan_decay.h"

typedef struct gate_tiles {
    int64_t key, pitch, high;         /* pitch and high: columns of tiles with a chunk's rows, with keys */
    /* [pitch, high]: q, e^g, and e^(b_i − start) from the start of the row's block; padding is 0, 1, … */
    float *queries, *decay, *before;
    /* [key, pitch]: k, decayed to the end of the last block that gate_scores_of has done */
    float *keys;
    float *faded;                     /* [TILE_LANES, high]: q ∘ before of that block */
    float *queries_turned, *decay_turned; /* [high, TILE_LANES]: the same block of q and e^g, transposed */
    float *factor, *gates;            /* [high]; [TILE_LANES, high] */
    float *blocks;                        /* [blocks, high]: e^ of the sum of g over each block */
    double *starts;                   /* [blocks + 1, high]: sums of g before each block, and of all */
} gate_tiles;

int64_t gate_floats(const scan_shape *s);
gate_tiles gate_take(float **scratch, const scan_shape *s);
void gate_read(gate_tiles *x, const head_view *q, const head_view *k, const head_view *g, int64_t t,
               int64_t rows);

static inline const float *gate_block_factor(const gate_tiles *x, int64_t first)
{
    return x->blocks + first / TILE_LANES * x->high;
}

/* The block of rows from `first` on of the decayed lower triangle of q kᵀ, up to the end of the diagonal
 * block. Call it in order, from 0. */
void gate_scores_of(gate_tiles *x, int64_t first, int64_t rows, float *out, bool strict);
/* e^ of the sum of g over the rows from … to, both starts of blocks. Valid until the next call. */
const float *gate_factor(const gate_tiles *x, int64_t from, int64_t to);
