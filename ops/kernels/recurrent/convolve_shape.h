/* What the kernels of convolve and of its gradient share: sizes, blocks of channels, and time in tiles. A
 * task is a block of channels of one sentence. Its rows are copied to a tile with one fixed pitch, together
 * with the K − 1 rows before them. */
#pragma once
#include "ops/kernels/attention/head_view.h"
#include "ops/rules.h"

enum { CONVOLVE_X, CONVOLVE_WEIGHT, CONVOLVE_LENGTH, CONVOLVE_STATE, CONVOLVE_DY, CONVOLVE_DSTATE };
/* of one block, of one tile: a tile stays in L1 */
enum { CONVOLVE_CHANNELS = 64, CONVOLVE_ROWS = 64 };

typedef struct convolve_shape {
    int64_t batch, time, channels, taps, before; /* before: K − 1 */
    int64_t blocks;                              /* of channels */
} convolve_shape;

bool convolve_takes(const kernel_call *call); /* these operands */
convolve_shape convolve_shape_of(const kernel_call *call);

/* One block of channels of one sentence. */
typedef struct convolve_block {
    int64_t b, first, channels; /* channels from `first` on */
    int64_t pitch;              /* of tiles with that many columns */
    int64_t rows;               /* valid ones of the sentence */
} convolve_block;
convolve_block convolve_block_of(const kernel_call *call, const convolve_shape *s, int64_t task);

/* A tensor [B, rows, D] or [rows, D] at this block; data NULL where it is absent. */
head_view convolve_view(const tensor *t, const convolve_block *block);

/* Copies rows from … from + rows − 1 to a tile: rows before 0 come from the end of the state (zeros without
 * one), rows from `limit` on are zeros. */
void convolve_load(const head_view *x, const head_view *state, const convolve_shape *s,
                   const convolve_block *block, int64_t from, int64_t rows, int64_t limit, float *tile);
static inline void convolve_store(const head_view *to, const convolve_block *block, int64_t from,
                                  int64_t rows, const float *tile)
{
    vectors()->tile_store(rows, block->channels, tile, block->pitch, row_of(to, from), to->row, to->column);
}
