/* Patches: the elements that one row of a convolution's result reads, as one row of a matrix. A
 * convolution is the product of its patches with its weight, made a tile of rows at a time. */
#pragma once
#include "ops/build.h"
#include "ops/kernels/row_tasks.h"

/* A convolution as its three kernels see it: x [B, n…, C], y [B, n'…, O]. */
typedef struct patch_shape {
    int axes;
    int64_t width, stride, before;
    int64_t taps;         /* of all axes */
    int64_t in, out;      /* channels: C, O */
    const tensor *x, *y;
} patch_shape;
patch_shape patch_shape_of(const kernel_call *call);

static inline int64_t rows_in(const tensor *t) { return extents_product(t->dims, t->rank - 1); }
/* How many rows of a matrix with so many columns make a tile. */
int64_t tile_rows(int64_t columns);

/* The patch of the row at index[] of y: [taps, C] of x, zeros outside. */
void patch_of_result(const patch_shape *p, const int64_t *index, float *to);
/* The patch of the row at index[] of x: [taps, O] of y, the elements that its row takes part in, else
 * zeros. */
void patch_of_operand(const patch_shape *p, const int64_t *index, float *to);
