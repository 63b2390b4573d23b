/* Walking the rows of strided tensors: a multi-index over some axes, begun anywhere, and the offset it has in
 * a tensor. */
#pragma once
#include "ops/kernels/kernel.h"

typedef struct row_walk {
    int rank;
    int64_t dims[MAX_RANK + 1], index[MAX_RANK + 1];
} row_walk;

/* The first `rank` axes of dims, at row number `row`. */
static inline row_walk row_walk_at(const int64_t *dims, int rank, int64_t row)
{
    row_walk w = {.rank = rank};
    for (int i = rank - 1; i >= 0; i--) {
        w.dims[i] = dims[i];
        w.index[i] = dims[i] ? row % dims[i] : 0;
        row = dims[i] ? row / dims[i] : 0;
    }
    return w;
}

static inline void row_walk_next(row_walk *w)
{
    for (int i = w->rank - 1; i >= 0 && ++w->index[i] == w->dims[i]; i--)
        w->index[i] = 0;
}

static inline int64_t row_offset(const row_walk *w, const int64_t *strides)
{
    int64_t offset = 0;
    for (int i = 0; i < w->rank; i++)
        offset += w->index[i] * strides[i];
    return offset;
}

static inline int64_t extents_product(const int64_t *dims, int rank)
{
    int64_t product = 1;
    for (int i = 0; i < rank; i++)
        product *= dims[i];
    return product;
}

static inline int64_t last_extent(const tensor *t)
{
    return t->rank ? t->dims[t->rank - 1] : 1;
}
static inline int64_t last_stride(const tensor *t)
{
    return t->rank ? t->strides[t->rank - 1] : 1;
}

/* Rows of so many elements that make a task of moderate size. */
static inline int64_t rows_per_task(int64_t row_elements)
{
    enum { TASK_ELEMENTS = 32768 };
    return row_elements >= TASK_ELEMENTS ? 1 : TASK_ELEMENTS / (row_elements > 0 ? row_elements : 1);
}
static inline int64_t divide_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}
