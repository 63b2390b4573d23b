/* What the kernels of cross entropy share. */
#pragma once
#include "ops/kernels/rows.h"
#include "ops/rules.h"
#include "ops/kernels/strided.h"
#include "ops/vector/table.h"
#include <math.h>

/* The kinds of targets: an ignored row is not read, and a target that is not a valid id makes the loss NaN,
 * so that the trainer reports it. */
typedef enum target_kind { TARGET_COUNTS, TARGET_IGNORED, TARGET_WRONG } target_kind;
static inline target_kind target_kind_of(int64_t target, int64_t ignore, int64_t vocabulary)
{
    return target == ignore                     ? TARGET_IGNORED
           : target < 0 || target >= vocabulary ? TARGET_WRONG
                                                : TARGET_COUNTS;
}

/* Sums of some rows: loss, nll, count. */
typedef struct loss_sums {
    double loss, nll, count;
} loss_sums;
static inline loss_sums loss_sums_add(loss_sums a, loss_sums b)
{
    return (loss_sums){a.loss + b.loss, a.nll + b.nll, a.count + b.count};
}
/* Into the first three results. */
static inline void loss_sums_store(const kernel_call *call, loss_sums total)
{
    double numbers[] = {total.loss, total.nll, total.count};
    for (int i = 0; i < 3; i++)
        if (call->outputs[i].data)
            *(float *)call->outputs[i].data = (float)numbers[i];
}

/* The target of row number `row` of targets. */
static inline int64_t target_at(const tensor *targets, int64_t row)
{
    row_walk w = row_walk_at(targets->dims, targets->rank, row);
    return ((const int32_t *)targets->data)[row_offset(&w, targets->strides)];
}
/* Where row number `row` of a tensor of rows begins, in elements. */
static inline int64_t loss_row_offset(const tensor *t, int64_t row)
{
    row_walk w = row_walk_at(t->dims, t->rank - 1, row);
    return row_offset(&w, t->strides);
}
