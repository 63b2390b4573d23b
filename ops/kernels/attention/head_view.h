/* Tensors [B, H, rows, columns] a head at a time, and tiles in a task's scratch: what the kernels of scan and
 * attention share. */
#pragma once
#include "ops/op.h"
#include "ops/kernels/rows.h"
#include "ops/vector/table.h"
#include "ops/vector/tile.h"

/* An operand by its number; trailing ones that are absent need not be in the call. */
static inline const tensor *operand_of(const kernel_call *call, int i)
{
    static const tensor absent;
    return i < call->input_count ? &call->inputs[i] : &absent;
}

/* One head of a tensor [B, H, rows, columns], as floats with two strides; data NULL where the tensor is
 * absent. */
typedef struct head_view {
    float *data;
    int64_t row, column;
} head_view;
static inline head_view head_of(const tensor *t, int64_t b, int64_t h)
{
    if (!t->data)
        return (head_view){0};
    return (head_view){(float *)t->data + b * t->strides[0] + h * t->strides[1], t->strides[2],
                       t->strides[3]};
}
static inline float *row_of(const head_view *v, int64_t t)
{
    return v->data + t * v->row;
}

/* Tiles one after another in a task's scratch. */
static inline float *tile_take(float **scratch, int64_t rows, int64_t pitch)
{
    float *tile = *scratch;
    *scratch += rows * pitch;
    return tile;
}

/* Rows from … to − 1 become 0. */
static inline void clear_rows(const head_view *v, int64_t from, int64_t to, int64_t columns)
{
    for (int64_t t = from; v->data && t < to; t++)
        for (int64_t j = 0; j < columns; j++)
            row_of(v, t)[j * v->column] = 0;
}
