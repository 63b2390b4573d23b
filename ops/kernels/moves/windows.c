/* Kernels of windows, fold and slide. Windows that lie inside of the operand are one box, which overlaps
 * on its side; the few at the ends are up to three boxes each. fold and slide make rows of their result. */
#include "ops/build.h"
#include "ops/kernels/box.h"
#include "ops/kernels/row_tasks.h"
#include "ops/rules.h"

/* ---- windows ---- */

typedef struct window_boxes {
    window_layout layout;
    int axis;
    int64_t first, last; /* windows first … last − 1 lie inside */
} window_boxes;

static window_boxes window_boxes_of(const kernel_call *call)
{
    const tensor *x = &call->inputs[0], *y = &call->outputs[0];
    window_boxes b = {.layout = window_layout_of(call->op, call->attributes, 0),
                      .axis = normal_axis(call->attributes[windows_axis].integer, x->rank)};
    const window_layout *w = &b.layout;
    int64_t count = y->dims[b.axis], room = x->dims[b.axis] + w->before - w->width;
    b.first = divide_up(w->before, w->stride);
    b.first = b.first < count ? b.first : count;
    b.last = room < 0 ? 0 : room / w->stride + 1;
    b.last = b.last < count ? b.last : count;
    b.last = b.last < b.first ? b.first : b.last;
    return b;
}

/* Taps j … end − 1 of windows i … i + count − 1, from row `row` of `from`, or from one number if that is
 * NULL; the windows are `stride` rows apart. */
static box taps_box(const tensor *y, int axis, int64_t i, int64_t count, int64_t j, int64_t end,
                    const tensor *from, int64_t row, int64_t stride)
{
    box b = {.to_start = i * y->strides[axis] + j * y->strides[axis + 1],
             .from_start = from ? row * from->strides[axis] : 0};
    int64_t step = from ? from->strides[axis] : 0;
    for (int a = 0; a < y->rank; a++) {
        if (a == axis)
            box_axis(&b, count, stride * step, y->strides[a]);
        else if (a == axis + 1)
            box_axis(&b, end - j, step, y->strides[a]);
        else
            box_axis(&b, y->dims[a], from ? from->strides[a - (a > axis)] : 0, y->strides[a]);
    }
    box_order(&b);
    return b;
}

/* One of the three boxes of a window at an end: what is before x, in x, behind x. */
static box end_box(const kernel_call *call, const window_boxes *b, int64_t i, int part, const void **from)
{
    const tensor *x = &call->inputs[0], *rows = call->input_count > 1 ? &call->inputs[1] : NULL;
    const window_layout *w = &b->layout;
    int64_t row = i * w->stride - w->before, begin = row < 0 ? -row : 0, end = x->dims[b->axis] - row;
    begin = begin < w->width ? begin : w->width;
    end = end < begin ? begin : end < w->width ? end : w->width;
    if (part == 1) {
        *from = x->data;
        return taps_box(&call->outputs[0], b->axis, i, 1, begin, end, x, row + begin, 0);
    }
    bool kept = part == 0 && rows;
    *from = kept ? rows->data : (const void *)&call->choice[0];
    return taps_box(&call->outputs[0], b->axis, i, 1, part ? end : 0, part ? w->width : begin,
                    kept ? rows : NULL, row + w->before, 0);
}

static bool windows_part(const kernel_call *call, int part, box *b, const void **from)
{
    const tensor *x = &call->inputs[0], *y = &call->outputs[0];
    window_boxes all = window_boxes_of(call);
    if (part == 0) {
        *from = x->data;
        *b = taps_box(y, all.axis, all.first, all.last - all.first, 0, all.layout.width, x,
                      all.first * all.layout.stride - all.layout.before, all.layout.stride);
        return true;
    }
    int64_t end = (part - 1) / 3, i = end < all.first ? end : end + all.last - all.first;
    if (i >= y->dims[all.axis])
        return false;
    *b = end_box(call, &all, i, (part - 1) % 3, from);
    return true;
}

/* The fill is kept as a float at the beginning of choice[0], where boxes read it. */
static bool plan_windows(kernel_call *call)
{
    const float fill = (float)window_layout_of(call->op, call->attributes, 0).fill;
    memcpy(&call->choice[0], &fill, sizeof fill);
    return box_parts_plan(call, windows_part);
}

static void run_windows(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    (void)phase, (void)scratch;
    box_parts_run(call, task, windows_part);
}

const kernel kernel_windows = {"windows", plan_windows, run_windows};

/* ---- fold ---- */

static void add_row(const float *from, int64_t from_stride, float *to, int64_t to_stride, int64_t count)
{
    if (from_stride == 1 && to_stride == 1)
        for (int64_t i = 0; i < count; i++)
            to[i] += from[i];
    else
        for (int64_t i = 0; i < count; i++)
            to[i * to_stride] += from[i * from_stride];
}

/* The pieces of row `row` of the result, in the order of their taps. */
static void fold_row(const tensor *x, const window_layout *w, int axis, int64_t row, const float *from,
                     float *to, int64_t to_stride, int64_t count)
{
    int64_t from_stride = x->strides[x->rank - 1];
    bool begun = false;
    for (int64_t j = 0; j < w->width && j <= row + w->before; j++) {
        int64_t i = (row + w->before - j) / w->stride;
        if ((row + w->before - j) % w->stride || i >= x->dims[axis])
            continue;
        const float *piece = from + i * x->strides[axis] + j * x->strides[axis + 1];
        if (begun)
            add_row(piece, from_stride, to, to_stride, count);
        else
            move_row((const uint32_t *)piece, from_stride, (uint32_t *)to, to_stride, count);
        begun = true;
    }
    if (!begun)
        move_row(NULL, 0, (uint32_t *)to, to_stride, count);
}

static bool plan_fold(kernel_call *call)
{
    return plan_rows(call, &call->outputs[0]);
}

static void run_fold(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    const tensor *x = &call->inputs[0], *y = &call->outputs[0];
    int axis = normal_axis(call->attributes[fold_axis].integer, y->rank), last = y->rank - 1;
    window_layout w = window_layout_of(OP_fold, call->attributes, x->dims[axis + 1]);
    int64_t strides[MAX_RANK]; /* of x along y's axes */
    (void)phase, (void)scratch;
    for (int a = 0; a < y->rank; a++)
        strides[a] = a == axis ? 0 : x->strides[a + (a > axis)];
    row_range rows = rows_of_task(y, task);
    row_walk row = row_walk_at(y->dims, last, rows.begin);
    for (int64_t r = rows.begin; r < rows.end; r++, row_walk_next(&row)) {
        const float *from = (const float *)x->data + row_offset(&row, strides);
        float *to = (float *)y->data + row_offset(&row, y->strides);
        if (axis < last)
            fold_row(x, &w, axis, row.index[axis], from, to, y->strides[last], y->dims[last]);
        for (int64_t i = 0; axis == last && i < y->dims[last]; i++)
            fold_row(x, &w, axis, i, from, to + i * y->strides[last], y->strides[last], 1);
    }
}

const kernel kernel_fold = {"fold", plan_fold, run_fold};

/* ---- slide ---- */

static bool plan_slide(kernel_call *call)
{
    return plan_rows(call, &call->outputs[0]);
}

/* Rows `first` … of state and rows, one behind the other along the last axis. */
static void slide_line(const tensor *state, const uint32_t *kept, const tensor *rows, const uint32_t *new,
                       int64_t first, const tensor *y, uint32_t *to)
{
    int last = y->rank - 1;
    int64_t old = first < y->dims[last] ? y->dims[last] - first : 0;
    move_row(kept + first * state->strides[last], state->strides[last], to, y->strides[last], old);
    move_row(new + (first + old - y->dims[last]) * rows->strides[last], rows->strides[last],
             to + old * y->strides[last], y->strides[last], y->dims[last] - old);
}

static void run_slide(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    const tensor *state = &call->inputs[0], *rows = &call->inputs[1], *counts = &call->inputs[2],
                 *y = &call->outputs[0];
    int axis = normal_axis(call->attributes[slide_axis].integer, y->rank), last = y->rank - 1;
    row_range some = rows_of_task(y, task);
    row_walk row = row_walk_at(y->dims, last, some.begin);
    (void)phase, (void)scratch;
    for (int64_t r = some.begin; r < some.end; r++, row_walk_next(&row)) {
        int64_t count = integer_at(counts, row.index[0] * counts->strides[0]);
        count = count < 0 ? 0 : count < rows->dims[axis] ? count : rows->dims[axis];
        const uint32_t *kept = (const uint32_t *)state->data + row_offset(&row, state->strides),
                       *new = (const uint32_t *)rows->data + row_offset(&row, rows->strides);
        uint32_t *to = (uint32_t *)y->data + row_offset(&row, y->strides);
        int64_t at = axis < last ? row.index[axis] : 0, from = at + count - y->dims[axis];
        if (axis == last)
            slide_line(state, kept, rows, new, count, y, to);
        else if (from < 0)
            move_row(kept + count * state->strides[axis], last_stride(state), to, last_stride(y),
                     last_extent(y));
        else
            move_row(new + (from - at) * rows->strides[axis], last_stride(rows), to, last_stride(y),
                     last_extent(y));
    }
}

const kernel kernel_slide = {"slide", plan_slide, run_slide};
