/* Tasks of rows: one phase over the rows of a tensor, its last axis whole, and moving such rows of 4-byte
 * elements, whatever their type. */
#pragma once
#include "ops/kernels/rows.h"
#include <stdint.h>
#include <string.h>

static inline int32_t integer_at(const tensor *t, int64_t offset)
{
    return ((const int32_t *)t->data)[offset];
}

/* One row of 4-byte elements; from NULL: zeros. */
static inline void move_row(const uint32_t *from, int64_t from_stride, uint32_t *to, int64_t to_stride,
                     int64_t count)
{
    if (!from && to_stride == 1)
        memset(to, 0, sizeof *to * (size_t)count);
    else if (!from)
        for (int64_t i = 0; i < count; i++)
            to[i * to_stride] = 0;
    else if (from_stride == 1 && to_stride == 1)
        memcpy(to, from, sizeof *to * (size_t)count);
    else
        for (int64_t i = 0; i < count; i++)
            to[i * to_stride] = from[i * from_stride];
}

/* One phase over the rows of t, its last axis whole. */
static inline bool plan_rows(kernel_call *call, const tensor *t)
{
    call->phases = 1;
    call->tasks[0] = divide_up(extents_product(t->dims, t->rank - 1), rows_per_task(last_extent(t)));
    return true;
}

typedef struct row_range {
    int64_t begin, end;
} row_range;

static inline row_range rows_of_task(const tensor *t, int64_t task)
{
    int64_t rows = extents_product(t->dims, t->rank - 1), per_task = rows_per_task(last_extent(t));
    return (row_range){task * per_task, (task + 1) * per_task < rows ? (task + 1) * per_task : rows};
}
