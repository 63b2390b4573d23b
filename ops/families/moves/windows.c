/* windows: overlapping pieces of an axis side by side, [A, n, D] → [A, n', width, D] for axis 1:
 *
 *   y[a, i, j, d] = x[a, i · stride + j − before, d]
 *
 * with `fill` where that lies outside, and n' as many as fit into before + n + after. A convolution is a
 * product over (j, d), a pooling a reduction over j. fold adds the pieces up again and is its gradient. In a
 * decoder the rows before the first come from the last advance: windows_next reads them, slide keeps them. */
#include "ops/infer.h"
#include "ops/reference.h"
#include "ops/rules.h"
#include <string.h>

/* The attributes that both have, at the same places. */
_Static_assert((int)windows_axis == (int)fold_axis && (int)windows_stride == (int)fold_stride &&
                   (int)windows_before == (int)fold_before && (int)windows_next_axis == (int)windows_axis &&
                   (int)windows_next_width == (int)windows_width,
               "windows, windows_next and fold read their attributes alike");

window_layout window_layout_of(int op, const attribute *attributes, int64_t width)
{
    if (op == OP_windows_next) {
        width = attributes[windows_next_width].integer;
        return (window_layout){width, 1, width - 1, 0, 0};
    }
    if (op == OP_convolution || op == OP_convolution_input || op == OP_convolution_weight)
        return (window_layout){attributes[convolution_width].integer, attributes[convolution_stride].integer,
                               attributes[convolution_before].integer, attributes[convolution_after].integer,
                               0};
    window_layout w = {width, attributes[windows_stride].integer, attributes[windows_before].integer,
                       attributes[windows_after].integer, 0};
    if (op == OP_windows) {
        w.width = attributes[windows_width].integer;
        w.fill = attributes[windows_fill].real;
    }
    return w;
}

/* ---- infer ---- */

bool infer_window_count(rondo_graph *g, const node *n, const shape *x, int axis, const window_layout *w,
                        dim *count)
{
    dim extent = x->dims[axis], stride = dim_number(w->stride);
    int64_t padding = w->before + w->after;
    if (w->width < 1 || w->stride < 1 || w->before < 0 || w->after < 0 || w->before >= w->width ||
        w->after >= w->width || w->width > INT32_MAX || w->stride > INT32_MAX)
        return infer_fail(g,
                          "%s of %s: a width of %lld, a stride of %lld, %lld before and %lld after; both "
                          "must be less than the width",
                          op_words(n), shape_words(g, x), (long long)w->width, (long long)w->stride,
                          (long long)w->before, (long long)w->after);
    if (dim_is_literal(extent)) {
        int64_t room = extent.factor + padding - w->width;
        if (room < 0 && extent.factor)
            return infer_fail(g, "%s of %s: a window of %lld is wider than axis %d with its padding",
                              op_words(n), shape_words(g, x), (long long)w->width, axis);
        *count = dim_number(room < 0 ? 0 : room / w->stride + 1);
        return true;
    }
    int64_t rest = padding - w->width + w->stride;
    if (rest >= 0 && rest < w->stride && dim_divide(extent, stride, count))
        return true;
    return infer_fail(
        g,
        "%s of %s: how many windows of %lld with stride %lld and padding %lld there are is no "
        "number times the symbols of %s; the padding of one axis must be from %lld to %lld, and "
        "its extent a multiple of the stride",
        op_words(n), shape_words(g, x), (long long)w->width, (long long)w->stride, (long long)padding,
        dim_words(g, extent), (long long)(w->width - w->stride), (long long)(w->width - 1));
}

/* x's shape with its windows. */
static bool infer_windows_of(rondo_graph *g, const node *n, const shape *x, const window_layout *w,
                             shape *out)
{
    int axis = infer_axis(g, n, n->attributes[windows_axis].integer, x->rank);
    if (axis < 0)
        return false;
    if (x->rank == MAX_RANK)
        return infer_fail(g, "%s of %s: it would have more than %d axes", op_words(n), shape_words(g, x),
                          MAX_RANK);
    *out = *x;
    memmove(&out->dims[axis + 2], &out->dims[axis + 1], sizeof *out->dims * (size_t)(x->rank - axis - 1));
    out->dims[axis + 1] = dim_number(w->width);
    out->rank++;
    return infer_window_count(g, n, x, axis, w, &out->dims[axis]);
}

bool infer_windows(rondo_graph *g, node *n, value *outputs)
{
    const value *x = infer_operand(g, n, 0, RONDO_F32);
    shape s;
    if (!x)
        return false;
    window_layout w = window_layout_of(n->op, n->attributes, 0);
    return infer_windows_of(g, n, &x->shape, &w, &s) && infer_result(outputs, RONDO_F32, &s);
}

bool infer_windows_next(rondo_graph *g, node *n, value *outputs)
{
    const value *x = infer_operand(g, n, 0, RONDO_F32);
    shape s;
    if (!x)
        return false;
    window_layout w = window_layout_of(n->op, n->attributes, 0);
    if (!infer_windows_of(g, n, &x->shape, &w, &s))
        return false;
    shape before = x->shape;
    before.dims[normal_axis(n->attributes[windows_next_axis].integer, before.rank)] = dim_number(w.before);
    return infer_operand(g, n, 1, RONDO_F32) && infer_fits(g, n, 1, "rows before", &before) &&
           infer_result(outputs, RONDO_F32, &s);
}

bool infer_fold(rondo_graph *g, node *n, value *outputs)
{
    const value *x = infer_operand(g, n, 0, RONDO_F32);
    const shape *to = &g->shapes[n->attributes[fold_dims].integer];
    shape expected;
    if (!x)
        return false;
    int axis = infer_axis(g, n, n->attributes[fold_axis].integer, to->rank);
    if (axis < 0)
        return false;
    bool whole = x->shape.rank == to->rank + 1 && dim_is_literal(x->shape.dims[axis + 1]);
    window_layout w = window_layout_of(n->op, n->attributes, whole ? x->shape.dims[axis + 1].factor : 1);
    if (whole && !infer_windows_of(g, n, to, &w, &expected))
        return false;
    if (!whole || !shape_equal(&expected, &x->shape))
        return infer_fail(g, "fold: %s are no windows of %s", shape_words(g, &x->shape), shape_words(g, to));
    return infer_result(outputs, RONDO_F32, to);
}

bool infer_slide(rondo_graph *g, node *n, value *outputs)
{
    const value *state = infer_operand(g, n, 0, 0),
                *rows = state ? infer_operand(g, n, 1, state->type) : NULL;
    if (!rows || !infer_per_sentence(g, n, 2, state))
        return false;
    int axis = infer_axis(g, n, n->attributes[slide_axis].integer, state->shape.rank);
    if (axis < 0)
        return false;
    shape expected = state->shape;
    if (axis > 0 && rows->shape.rank == expected.rank)
        expected.dims[axis] = rows->shape.dims[axis];
    if (axis == 0 || !shape_equal(&expected, &rows->shape))
        return infer_fail(g, "slide along axis %d: rows %s do not follow on %s", axis,
                          shape_words(g, &rows->shape), shape_words(g, &state->shape));
    return infer_result(outputs, state->type, &state->shape);
}

/* ---- vjp ---- */

bool vjp_windows(rondo_graph *g, const node *n, const value_id *out_gradients, const bool *needs,
                 value_id *in_gradients)
{
    attribute attributes[MAX_ATTRIBUTES] = {0};
    if (!needs[0] || out_gradients[0] == NONE)
        return true;
    attributes[fold_axis] = integer_attribute(
        normal_axis(n->attributes[windows_axis].integer, graph_shape_of(g, n->inputs[0])->rank));
    attributes[fold_stride] = n->attributes[windows_stride];
    attributes[fold_before] = n->attributes[windows_before];
    attributes[fold_after] = n->attributes[windows_after];
    attributes[fold_dims].integer = graph_shape(g, graph_shape_of(g, n->inputs[0]));
    in_gradients[0] = build_node(g, OP_fold, 1, out_gradients, attributes);
    return graph_good(g);
}

bool vjp_fold(rondo_graph *g, const node *n, const value_id *out_gradients, const bool *needs,
              value_id *in_gradients)
{
    const shape *pieces = graph_shape_of(g, n->inputs[0]);
    int axis = normal_axis(n->attributes[fold_axis].integer, pieces->rank - 1);
    window_layout w = window_layout_of(n->op, n->attributes, pieces->dims[axis + 1].factor);
    if (needs[0] && out_gradients[0] != NONE)
        in_gradients[0] = build_windows(g, out_gradients[0], axis, &w);
    return graph_good(g);
}

/* ---- reference ---- */

/* The row of x at which tap j of window i reads; it may lie outside. */
static int64_t row_of(const window_layout *w, int64_t i, int64_t j)
{
    return i * w->stride + j - w->before;
}

/* y [outer, count, width, inner]; rows: those before the first, or NULL. */
static void reference_pieces(const reference_call *call, const window_layout *w, const reference_tensor *rows)
{
    const reference_tensor *x = &call->inputs[0];
    reference_axis a = reference_around(x, call->attributes[windows_axis].integer);
    int64_t count = a.outer && a.inner ? call->outputs[0].count / (a.outer * a.inner * w->width) : 0;
    double *y = call->outputs[0].data;
    for (int64_t o = 0; o < a.outer; o++)
        for (int64_t i = 0; i < count; i++)
            for (int64_t j = 0; j < w->width; j++) {
                int64_t row = row_of(w, i, j);
                bool inside = row >= 0 && row < a.extent;
                for (int64_t c = 0; c < a.inner; c++)
                    *y++ = inside            ? x->data[(o * a.extent + row) * a.inner + c]
                           : rows && row < 0 ? rows->data[(o * w->before + row + w->before) * a.inner + c]
                                             : w->fill;
            }
}

bool reference_windows(const reference_call *call)
{
    window_layout w = window_layout_of(OP_windows, call->attributes, 0);
    reference_pieces(call, &w, NULL);
    return true;
}

bool reference_windows_next(const reference_call *call)
{
    window_layout w = window_layout_of(OP_windows_next, call->attributes, 0);
    reference_pieces(call, &w, &call->inputs[1]);
    return true;
}

bool reference_fold(const reference_call *call)
{
    const reference_tensor *x = &call->inputs[0], *y = &call->outputs[0];
    reference_axis a = reference_around(y, call->attributes[fold_axis].integer);
    int axis = normal_axis(call->attributes[fold_axis].integer, y->rank);
    window_layout w = window_layout_of(OP_fold, call->attributes, x->dims[axis + 1]);
    const double *from = x->data;
    for (int64_t o = 0; o < a.outer; o++)
        for (int64_t i = 0; i < x->dims[axis]; i++)
            for (int64_t j = 0; j < w.width; j++, from += a.inner) {
                int64_t row = row_of(&w, i, j);
                for (int64_t c = 0; row >= 0 && row < a.extent && c < a.inner; c++)
                    y->data[(o * a.extent + row) * a.inner + c] += from[c];
            }
    return true;
}

bool reference_slide(const reference_call *call)
{
    const reference_tensor *state = &call->inputs[0], *rows = &call->inputs[1];
    reference_axis a = reference_around(state, call->attributes[slide_axis].integer),
                   r = reference_around(rows, call->attributes[slide_axis].integer);
    int64_t in_sentence = state->dims[0] ? a.outer / state->dims[0] : 1;
    double *y = call->outputs[0].data;
    for (int64_t o = 0; o < a.outer; o++) {
        int64_t count = (int64_t)call->inputs[2].data[o / in_sentence];
        count = count < 0 ? 0 : count < r.extent ? count : r.extent;
        for (int64_t t = 0; t < a.extent; t++)
            for (int64_t c = 0; c < a.inner; c++)
                *y++ = count + t < a.extent ? state->data[(o * a.extent + count + t) * a.inner + c]
                                            : rows->data[(o * r.extent + count + t - a.extent) * a.inner + c];
    }
    return true;
}

/* ---- samples ---- */

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

static const struct window_case {
    int rank;
    int64_t dims[4];
    int axis;
    int64_t width, stride, before, after;
    double fill;
} window_cases[] = {
    {1, {1}, 0, 1, 1, 0, 0, 0},         {1, {7}, -1, 3, 1, 2, 0, 0},
    {3, {2, 7, 3}, 1, 3, 1, 1, 1, 0},   {3, {3, 5, 7}, 1, 4, 1, 3, 0, 0},
    {3, {3, 5, 7}, -1, 2, 2, 0, 0, 1},  {4, {2, 6, 5, 3}, 1, 3, 2, 1, 0, -2},
    {3, {0, 5, 2}, 1, 3, 1, 2, 0, 0},   {3, {2, 0, 3}, 1, 3, 1, 2, 0, 0},
    {2, {5, 11}, 1, 3, 4, 0, 0, 0},     {3, {3, 4, 2}, 1, 7, 3, 6, 6, 3},
    {3, {3, 67, 33}, 1, 5, 1, 2, 2, 0}, {3, {2, 33, 1031}, -1, 4, 3, 1, 2, 0},
};

static window_layout layout_of(const struct window_case *c)
{
    return (window_layout){c->width, c->stride, c->before, c->after, c->fill};
}

value_id samples_windows(rondo_graph *g, sampler *s, int index)
{
    if (index >= COUNT(window_cases))
        return NONE;
    const struct window_case *c = &window_cases[index];
    window_layout w = layout_of(c);
    return build_windows(g, sample_input(g, s, -2, 2, c->rank, c->dims), c->axis, &w);
}

value_id samples_fold(rondo_graph *g, sampler *s, int index)
{
    if (index >= COUNT(window_cases))
        return NONE;
    const struct window_case *c = &window_cases[index];
    int axis = normal_axis(c->axis, c->rank);
    int64_t pieces[5], room = c->dims[axis] + c->before + c->after - c->width;
    shape to = {.rank = c->rank};
    for (int i = 0; i < c->rank; i++) {
        to.dims[i] = dim_number(c->dims[i]);
        pieces[i + (i > axis)] = c->dims[i];
    }
    pieces[axis] = room < 0 ? 0 : room / c->stride + 1;
    pieces[axis + 1] = c->width;
    value_id x = sample_input(g, s, -2, 2, c->rank + 1, pieces);
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[fold_axis] = integer_attribute(c->axis);
    attributes[fold_stride] = integer_attribute(c->stride);
    attributes[fold_before] = integer_attribute(c->before);
    attributes[fold_after] = integer_attribute(c->after);
    attributes[fold_dims].integer = graph_shape(g, &to);
    return build_node(g, OP_fold, 1, &x, attributes);
}

/* x with its time axis, and that of the rows kept. */
static const struct {
    int rank;
    int64_t dims[4];
    int axis;
    int64_t kept;
} step_cases[] = {
    {2, {1, 1}, 1, 1},  {3, {3, 2, 5}, 1, 3}, {3, {3, 7, 2}, 1, 0},   {4, {2, 3, 5, 13}, -2, 4},
    {2, {5, 1}, -1, 6}, {3, {0, 3, 2}, 1, 2}, {3, {3, 67, 33}, 1, 3},
};

static value_id kept_rows(rondo_graph *g, sampler *s, int index)
{
    int64_t dims[4];
    memcpy(dims, step_cases[index].dims, sizeof dims);
    dims[normal_axis(step_cases[index].axis, step_cases[index].rank)] = step_cases[index].kept;
    return sample_input(g, s, -2, 2, step_cases[index].rank, dims);
}

value_id samples_windows_next(rondo_graph *g, sampler *s, int index)
{
    if (index >= COUNT(step_cases))
        return NONE;
    value_id x = sample_input(g, s, -2, 2, step_cases[index].rank, step_cases[index].dims);
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[windows_next_axis] = integer_attribute(step_cases[index].axis);
    attributes[windows_next_width] = integer_attribute(step_cases[index].kept + 1);
    return build_node(g, OP_windows_next, 2, (value_id[]){x, kept_rows(g, s, index)}, attributes);
}

value_id samples_slide(rondo_graph *g, sampler *s, int index)
{
    if (index >= COUNT(step_cases))
        return NONE;
    int axis = normal_axis(step_cases[index].axis, step_cases[index].rank);
    value_id state = kept_rows(g, s, index),
             rows = sample_input(g, s, -2, 2, step_cases[index].rank, step_cases[index].dims),
             count = sample_ids(g, s, step_cases[index].dims[axis], 1, step_cases[index].dims);
    return build_node(g, OP_slide, 3, (value_id[]){state, rows, count},
                      (attribute[MAX_ATTRIBUTES]){{.integer = step_cases[index].axis}});
}
