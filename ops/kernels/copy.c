/* Kernels that only move elements: reshape, transpose, broadcast and slice where no view will do, pad,
 * concat. Each is a list of boxes; a task belongs to one of them. */
#include "ops/kernels/box.h"
#include "ops/build.h"
#include "ops/kernels/onednn/primitives.h"
#include "ops/kernels/rows.h"
#include "ops/rules.h"

enum {
    AXES_FIT,
    AXES_REFUSE
}; /* choice[0] of copy: axes that boxes cannot describe are copied element by
                                 * element */

/* ---- one box for a whole tensor ---- */

static void box_transpose(box *b, const kernel_call *call)
{
    const tensor *x = &call->inputs[0], *y = &call->outputs[0];
    int order[MAX_RANK] = {0};
    order_unpack(call->attributes[transpose_order].integer, order);
    for (int i = 0; i < y->rank; i++)
        box_axis(b, y->dims[i], x->strides[order[i]], y->strides[i]);
}

static void box_broadcast(box *b, const kernel_call *call)
{
    const tensor *x = &call->inputs[0], *y = &call->outputs[0];
    for (int i = 0; i < y->rank; i++) {
        int at = i - (y->rank - x->rank);
        box_axis(b, y->dims[i], at < 0 || x->dims[at] == 1 ? 0 : x->strides[at], y->strides[i]);
    }
}

static void box_slice(box *b, const kernel_call *call)
{
    const tensor *x = &call->inputs[0], *y = &call->outputs[0];
    int axis = normal_axis(call->attributes[slice_axis].integer, x->rank);
    b->from_start = call->attributes[slice_start].integer * x->strides[axis];
    for (int i = 0; i < y->rank; i++)
        box_axis(b, y->dims[i], x->strides[i], y->strides[i]);
}

static bool copy_box(const kernel_call *call, box *b)
{
    *b = (box){0};
    if (call->op == OP_transpose)
        box_transpose(b, call);
    else if (call->op == OP_broadcast)
        box_broadcast(b, call);
    else if (call->op == OP_slice)
        box_slice(b, call);
    else if (!box_reshape(b, &call->inputs[0], &call->outputs[0]))
        return false;
    box_order(b);
    return true;
}

static bool plan_copy(kernel_call *call)
{
    const tensor *y = &call->outputs[0];
    box b;
    call->phases = 1;
    call->choice[0] = copy_box(call, &b) ? AXES_FIT : AXES_REFUSE;
    if (call->choice[0] == AXES_FIT)
        call->tasks[0] = box_tasks(&b);
    else
        call->tasks[0] = divide_up(extents_product(y->dims, y->rank), rows_per_task(1));
    return true;
}

/* A reshape between axes that have no common refinement. */
static void copy_elements(const tensor *x, const tensor *y, int64_t task)
{
    int64_t count = extents_product(y->dims, y->rank), begin = task * rows_per_task(1);
    int64_t end = begin + rows_per_task(1) < count ? begin + rows_per_task(1) : count;
    row_walk from = row_walk_at(x->dims, x->rank, begin), to = row_walk_at(y->dims, y->rank, begin);
    for (int64_t i = begin; i < end; i++, row_walk_next(&from), row_walk_next(&to))
        ((uint32_t *)y->data)[row_offset(&to, y->strides)] =
            ((const uint32_t *)x->data)[row_offset(&from, x->strides)];
}

static void run_copy(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    box b;
    (void)phase, (void)scratch;
    if (call->choice[0] == AXES_REFUSE) {
        copy_elements(&call->inputs[0], &call->outputs[0], task);
        return;
    }
    copy_box(call, &b);
    box_run(&b, call->inputs[0].data, call->outputs[0].data, task);
}

const kernel kernel_copy = {"copy", plan_copy, run_copy};

/* ---- the same by oneDNN's reorder: the box cut along its outermost axis ---- */

static void reorder_part(box *b, int64_t tasks, int64_t task)
{
    int64_t each = divide_up(b->dims[0], tasks), first = task * each;
    b->from_start += first * b->from[0];
    b->to_start += first * b->to[0];
    b->dims[0] = b->dims[0] - first < each ? b->dims[0] - first : each;
}

static primitive reorder_wanted(const box *b)
{
    primitive p = {.kind = PRIMITIVE_REORDER};
    for (int i = 0; i < b->rank; i++) {
        primitive_axis(&p.tensors[0], b->dims[i], b->from[i]);
        primitive_axis(&p.tensors[1], b->dims[i], b->to[i]);
    }
    primitive_close(&p.tensors[0]);
    primitive_close(&p.tensors[1]);
    return p;
}

/* Its reorder cannot broadcast, converts integers to float, and in some versions (3.7) skips elements where
 * no axis of the target is dense. */
static bool plan_reorder(kernel_call *call)
{
    box b;
    int64_t elements = extents_product(call->outputs[0].dims, call->outputs[0].rank);
    if (!elements || call->outputs[0].type != RONDO_F32 || !copy_box(call, &b) || b.rank > MAX_RANK ||
        b.to[b.rank - 1] != 1)
        return false;
    bool alike = true;
    for (int i = 0; i < b.rank; i++) {
        if (!b.from[i])
            return false;
        alike = alike && b.from[i] == b.to[i];
    }
    if (alike && (b.rank > 1 || b.from[0] != 1))
        return false;
    call->phases = 1;
    call->tasks[0] = divide_up(b.dims[0], rows_per_task(elements / b.dims[0]));
    call->scratch_bytes = 0;
    for (int last = 0; last < 2; last++) {
        box part = b;
        reorder_part(&part, call->tasks[0], last ? call->tasks[0] - 1 : 0);
        primitive wanted = reorder_wanted(&part);
        if (!primitive_plan(&wanted, &call->scratch_bytes))
            return false;
    }
    return true;
}

static void run_reorder(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    box b;
    (void)phase;
    copy_box(call, &b);
    reorder_part(&b, call->tasks[0], task);
    primitive wanted = reorder_wanted(&b);
    float *from = (float *)call->inputs[0].data + b.from_start,
          *to = (float *)call->outputs[0].data + b.to_start;
    if (primitive_run(&wanted, (float *[PRIMITIVE_TENSORS]){from, to}, scratch))
        return;
    for (int64_t i = 0, tasks = box_tasks(&b); i < tasks; i++)
        box_run(&b, call->inputs[0].data, call->outputs[0].data, i);
}

const kernel kernel_copy_onednn = {"copy_onednn", plan_reorder, run_reorder};

/* ---- parts along an axis ---- */

/* `extent` of y from `start` on along the axis, out of x, or out of one number if x is NULL. */
static box part_box(const tensor *y, int axis, int64_t start, int64_t extent, const tensor *x)
{
    box b = {.to_start = start * y->strides[axis]};
    for (int i = 0; i < y->rank; i++)
        box_axis(&b, i == axis ? extent : y->dims[i], x ? x->strides[i] : 0, y->strides[i]);
    box_order(&b);
    return b;
}

/* Part number `part` of the result; false past the last. */
static bool pad_part(const kernel_call *call, int part, box *b, const void **from)
{
    static const uint32_t zero = 0;
    const tensor *x = &call->inputs[0], *y = &call->outputs[0];
    int axis = normal_axis(call->attributes[pad_axis].integer, y->rank);
    int64_t before = call->attributes[pad_before].integer, after = call->attributes[pad_after].integer;
    *from = part ? &zero : x->data;
    if (part == 0)
        *b = part_box(y, axis, before, x->dims[axis], x);
    else if (part == 1)
        *b = part_box(y, axis, 0, before, NULL);
    else if (part == 2)
        *b = part_box(y, axis, before + x->dims[axis], after, NULL);
    return part < 3;
}

static bool concat_part(const kernel_call *call, int part, box *b, const void **from)
{
    const tensor *y = &call->outputs[0];
    int axis = normal_axis(call->attributes[concat_axis].integer, y->rank);
    int64_t start = 0;
    if (part >= call->input_count)
        return false;
    for (int i = 0; i < part; i++)
        start += call->inputs[i].dims[axis];
    *from = call->inputs[part].data;
    *b = part_box(y, axis, start, call->inputs[part].dims[axis], &call->inputs[part]);
    return true;
}

static bool plan_pad(kernel_call *call)
{
    return box_parts_plan(call, pad_part);
}

static void run_pad(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    (void)phase, (void)scratch;
    box_parts_run(call, task, pad_part);
}

const kernel kernel_pad = {"pad", plan_pad, run_pad};

static bool plan_concat(kernel_call *call)
{
    return box_parts_plan(call, concat_part);
}

static void run_concat(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    (void)phase, (void)scratch;
    box_parts_run(call, task, concat_part);
}

const kernel kernel_concat = {"concat", plan_concat, run_concat};
