/* causal_mask, key_mask, row_mask: each row keeps one range of its elements and gets `fill` elsewhere. Masked
 * elements are never read, so a NaN there does not spread; in place only the masked part is written.
 *  */
#include "ops/build.h"
#include "ops/kernels/rows.h"
#include "ops/rules.h"
#include <string.h>

static bool plan_mask(kernel_call *call)
{
    const tensor *y = &call->outputs[0];
    call->phases = 1;
    call->tasks[0] = divide_up(extents_product(y->dims, y->rank - 1), rows_per_task(last_extent(y)));
    return true;
}

static double mask_fill(const kernel_call *call)
{
    if (call->op == OP_causal_mask)
        return call->attributes[causal_mask_fill].real;
    return call->attributes[call->op == OP_key_mask ? (int)key_mask_fill : (int)row_mask_fill].real;
}

/* The element of operand 1 for the sentence of this row. */
static int64_t per_sentence(const kernel_call *call, const row_walk *row)
{
    const tensor *t = call->input_count > 1 ? &call->inputs[1] : NULL;
    return t && t->data ? ((const int32_t *)t->data)[row->index[0] * t->strides[0]] : 0;
}

typedef struct range {
    int64_t begin, end;
} range;

static range kept_range(const kernel_call *call, const row_walk *row, int64_t columns)
{
    int64_t number = per_sentence(call, row);
    range kept = {0, columns};
    if (call->op == OP_causal_mask) {
        int64_t exclusive = call->attributes[causal_mask_exclusive].integer, at = row->index[row->rank - 1];
        if (call->attributes[causal_mask_transposed].integer)
            kept.begin = at - number + exclusive;
        else
            kept.end = at + number + 1 - exclusive;
    } else {
        int axis = call->op == OP_key_mask
                       ? row->rank
                       : normal_axis(call->attributes[row_mask_axis].integer, row->rank + 1);
        if (axis == row->rank)
            kept.end = number;
        else if (row->index[axis] >= number)
            kept.end = 0;
    }
    kept.end = kept.end < 0 ? 0 : kept.end > columns ? columns : kept.end;
    kept.begin = kept.begin < 0 ? 0 : kept.begin > kept.end ? kept.end : kept.begin;
    return kept;
}

static void fill_row(float *y, int64_t stride, int64_t begin, int64_t end, float fill)
{
    if (stride == 1)
        for (int64_t i = begin; i < end; i++)
            y[i] = fill;
    else
        for (int64_t i = begin; i < end; i++)
            y[i * stride] = fill;
}

static void copy_range(const float *x, int64_t x_stride, float *y, int64_t y_stride, range kept)
{
    if (x_stride == 1 && y_stride == 1)
        memcpy(y + kept.begin, x + kept.begin, sizeof *y * (size_t)(kept.end - kept.begin));
    else
        for (int64_t i = kept.begin; i < kept.end; i++)
            y[i * y_stride] = x[i * x_stride];
}

static void run_mask(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    const tensor *x = &call->inputs[0], *y = &call->outputs[0];
    int64_t columns = last_extent(y), rows = extents_product(y->dims, y->rank - 1),
            per_task = rows_per_task(columns);
    int64_t end = (task + 1) * per_task < rows ? (task + 1) * per_task : rows;
    float fill = (float)mask_fill(call);
    row_walk row = row_walk_at(y->dims, y->rank - 1, task * per_task);
    (void)phase, (void)scratch;
    for (int64_t r = task * per_task; r < end; r++, row_walk_next(&row)) {
        const float *from = (const float *)x->data + row_offset(&row, x->strides);
        float *to = (float *)y->data + row_offset(&row, y->strides);
        range kept = kept_range(call, &row, columns);
        if (from != to || last_stride(x) != last_stride(y))
            copy_range(from, last_stride(x), to, last_stride(y), kept);
        fill_row(to, last_stride(y), 0, kept.begin, fill);
        fill_row(to, last_stride(y), kept.end, columns, fill);
    }
}

const kernel kernel_mask = {"mask", plan_mask, run_mask};
