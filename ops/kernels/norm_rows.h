/* Walks over the rows of several tensors, which lie along the last axis, for softmax and the norms. A row
 * that is not contiguous is copied. */
#pragma once
#include "ops/kernels/strided.h"
#include "ops/vector/table.h"

enum { NORM_TASK = 16384, MOST_OPERANDS = 4 }; /* elements of a task */

/* The rows of up to four tensors. */
typedef struct norm_rows {
    strided_walk walk;
    const tensor *tensors[MOST_OPERANDS];
    int64_t rows, width;
} norm_rows;

static inline void norm_rows_begin(norm_rows *r, int count, const tensor *const *tensors)
{
    for (int i = 0; i < count; i++) {
        tensor less = tensor_without(tensors[i], tensors[i]->rank - 1);
        r->tensors[i] = tensors[i];
        if (i == 0)
            walk_begin(&r->walk, less.rank, less.dims);
        walk_add(&r->walk, &less);
    }
    walk_merge(&r->walk);
    r->rows = walk_elements(&r->walk);
    r->width = tensor_last_dim(tensors[0]);
}

static inline float *row_data(const norm_rows *r, int operand, int64_t row)
{
    return (float *)r->tensors[operand]->data + walk_at(&r->walk, operand, row);
}
static inline bool row_plain(const norm_rows *r, int operand)
{
    return tensor_last_stride(r->tensors[operand]) == 1;
}

/* The row to read: in place, or copied to `copy`. */
static inline const float *row_in(const norm_rows *r, int operand, int64_t row, float *copy)
{
    const float *x = row_data(r, operand, row);
    if (row_plain(r, operand))
        return x;
    gather_row(copy, x, tensor_last_stride(r->tensors[operand]), r->width);
    return copy;
}
/* The row to write: in place, or `copy`, which row_done then stores. */
static inline float *row_out(const norm_rows *r, int operand, int64_t row, float *copy)
{
    return row_plain(r, operand) && r->tensors[operand]->data ? row_data(r, operand, row) : copy;
}
static inline void row_done(const norm_rows *r, int operand, int64_t row, const float *copy)
{
    if (!row_plain(r, operand) && r->tensors[operand]->data)
        scatter_row(row_data(r, operand, row), tensor_last_stride(r->tensors[operand]), copy, r->width);
}

/* A vector operand such as gain, contiguous; filled with `absent` if there is none. */
static inline const float *vector_in(const tensor *t, int64_t width, float absent, float *copy)
{
    if (!t->data)
        vectors()->row_fill(copy, absent, width);
    else if (tensor_last_stride(t) == 1)
        return t->data;
    else
        gather_row(copy, t->data, tensor_last_stride(t), width);
    return copy;
}

static inline size_t copies_bytes(int count, int64_t width)
{
    return sizeof(float) * (size_t)count * (size_t)(width + 16);
}
static inline float *copy_at(void *scratch, int i, int64_t width)
{
    return (float *)scratch + i * (width + 16);
}

static inline int64_t last_row(int64_t task, int64_t each, int64_t rows)
{
    return (task + 1) * each < rows ? (task + 1) * each : rows;
}

static inline bool plan_rows(kernel_call *call, int copies)
{
    norm_rows r;
    norm_rows_begin(&r, 1, (const tensor *[]){&call->outputs[0]});
    call->phases = 1;
    call->tasks[0] = r.width ? parts_of(r.rows, units_per_task(r.width, NORM_TASK)) : 0;
    call->scratch_bytes = copies_bytes(copies, r.width);
    return true;
}
