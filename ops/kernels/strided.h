/* Walking several strided tensors together: their common axes are sorted by stride and merged where all of
 * them allow, so that most calls end as one or two plain loops. No data is looked at. */
#pragma once
#include "ops/kernels/kernel.h"

enum { MAX_WALKED = 2 * MAX_FUSED };
typedef struct strided_walk {
    int rank; /* at least 1 after walk_merge */
    int count;
    int64_t dims[MAX_RANK], strides[MAX_WALKED][MAX_RANK];
    int64_t rows, inner; /* product of all dims but the last; the last */
} strided_walk;

void walk_begin(strided_walk *w, int rank, const int64_t *dims);
/* Adds an operand whose dims broadcast to the walk's; returns its number. */
int walk_add(strided_walk *w, const tensor *t);
/* Sorts axes by falling stride of operand 0 (then 1, …), drops extents of 1 and merges. Once, after all
 * walk_add. */
void walk_merge(strided_walk *w);

/* Where row `row` (element `flat`) of an operand begins, in elements. */
int64_t walk_row(const strided_walk *w, int operand, int64_t row);
int64_t walk_at(const strided_walk *w, int operand, int64_t flat);
static inline int64_t walk_stride(const strided_walk *w,
                                  int operand) { return w->strides[operand][w->rank - 1]; }
static inline int64_t walk_elements(const strided_walk *w) { return w->rows * w->inner; }
/* The operand's elements lie one after another in the walk's order. */
bool walk_dense(const strided_walk *w, int operand);

/* t without one axis; without its last axis. */
tensor tensor_without(const tensor *t, int axis);
static inline int64_t tensor_last_stride(const tensor *t) { return t->rank ? t->strides[t->rank - 1] : 1; }
static inline int64_t tensor_last_dim(const tensor *t) { return t->rank ? t->dims[t->rank - 1] : 1; }
int64_t tensor_elements(const tensor *t);

/* One element of any type; integers wrap around. */
static inline double tensor_number(const tensor *t, int64_t offset)
{
    return t->type == RONDO_I32   ? (double)((const int32_t *)t->data)[offset]
           : t->type == RONDO_F64 ? ((const double *)t->data)[offset]
                                  : (double)((const float *)t->data)[offset];
}

static inline void tensor_set_number(const tensor *t, int64_t offset, double number)
{
    if (t->type == RONDO_I32)
        ((int32_t *)t->data)[offset] = (int32_t)(uint32_t)(int64_t)number;
    else if (t->type == RONDO_F64)
        ((double *)t->data)[offset] = number;
    else
        ((float *)t->data)[offset] = (float)number;
}

/* Rows of floats to and from one after another. */
void gather_row(float *to, const float *from, int64_t stride, int64_t count);
void scatter_row(float *to, int64_t stride, const float *from, int64_t count);

/* Units of work of `size` elements as tasks of about `target` elements: how many units a task has, how
 * many tasks there are. */
int64_t units_per_task(int64_t size, int64_t target);
static inline int64_t parts_of(int64_t count, int64_t part) { return (count + part - 1) / part; }
