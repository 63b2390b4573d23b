/* Ops that take a tensor apart along an axis, or put parts together: slice, pad, concat. */
#include "ops/infer.h"
#include "ops/reference.h"
#include "ops/rules.h"
#include <string.h>

/* ---- infer ---- */

bool infer_slice(rondo_graph *g, node *n, value *outputs)
{
    const value *x = infer_operand(g, n, 0, 0);
    int axis = x ? infer_axis(g, n, n->attributes[slice_axis].integer, x->shape.rank) : -1;
    if (axis < 0)
        return false;
    int64_t start = n->attributes[slice_start].integer, length = n->attributes[slice_length].integer;
    dim extent = x->shape.dims[axis];
    if (!dim_is_literal(extent))
        return infer_fail(g, "slice of %s: the extent %s along axis %d must be a number",
                          shape_words(g, &x->shape), dim_words(g, extent), axis);
    if (start < 0 || length < 0 || start > extent.factor || length > extent.factor - start)
        return infer_fail(g, "slice of %s: %lld elements from %lld on lie outside the %s of axis %d",
                          shape_words(g, &x->shape), (long long)length, (long long)start,
                          dim_words(g, extent), axis);
    shape s = x->shape;
    s.dims[axis] = dim_number(length);
    return infer_result(outputs, x->type, &s);
}

bool infer_pad(rondo_graph *g, node *n, value *outputs)
{
    const value *x = infer_operand(g, n, 0, 0);
    int axis = x ? infer_axis(g, n, n->attributes[pad_axis].integer, x->shape.rank) : -1;
    if (axis < 0)
        return false;
    int64_t before = n->attributes[pad_before].integer, after = n->attributes[pad_after].integer, extent;
    shape s = x->shape;
    if (!dim_is_literal(s.dims[axis]))
        return infer_fail(g, "pad of %s: the extent %s along axis %d must be a number",
                          shape_words(g, &x->shape), dim_words(g, s.dims[axis]), axis);
    if (before < 0 || after < 0 || __builtin_add_overflow(s.dims[axis].factor, before, &extent) ||
        __builtin_add_overflow(extent, after, &extent))
        return infer_fail(g, "pad of %s: %lld before and %lld after axis %d", shape_words(g, &x->shape),
                          (long long)before, (long long)after, axis);
    s.dims[axis] = dim_number(extent);
    return infer_result(outputs, x->type, &s);
}

/* a + b where both are a number times the same symbols: 2·T + T = 3·T. */
static bool dim_add(dim a, dim b, dim *sum)
{
    if (!a.factor || !b.factor) {
        *sum = a.factor ? a : b;
        return true;
    }
    *sum = a;
    sum->factor = b.factor;
    return dim_equal(*sum, b) && !__builtin_add_overflow(a.factor, b.factor, &sum->factor);
}

bool infer_concat(rondo_graph *g, node *n, value *outputs)
{
    const value *first = infer_operand(g, n, 0, 0);
    int axis = first ? infer_axis(g, n, n->attributes[concat_axis].integer, first->shape.rank) : -1;
    if (axis < 0)
        return false;
    shape s = first->shape;
    for (int i = 1; i < n->input_count; i++) {
        const value *x = infer_operand(g, n, i, first->type);
        if (!x)
            return false;
        shape others = x->shape;
        if (others.rank == s.rank)
            others.dims[axis] = s.dims[axis];
        if (!shape_equal(&others, &s))
            return infer_fail(g, "concat: %s and %s differ beside axis %d", shape_words(g, &first->shape),
                              shape_words(g, &x->shape), axis);
        if (!dim_add(s.dims[axis], x->shape.dims[axis], &s.dims[axis]))
            return infer_fail(
                g, "concat: extents %s and %s along axis %d do not add up to one number of the same symbols",
                dim_words(g, s.dims[axis]), dim_words(g, x->shape.dims[axis]), axis);
    }
    return infer_result(outputs, first->type, &s);
}

/* ---- vjp ---- */

bool vjp_slice(rondo_graph *g, const node *n, const value_id *out_gradients, const bool *needs,
               value_id *in_gradients)
{
    const shape *s = graph_shape_of(g, n->inputs[0]);
    int axis = normal_axis(n->attributes[slice_axis].integer, s->rank);
    int64_t start = n->attributes[slice_start].integer, end = start + n->attributes[slice_length].integer;
    if (needs[0] && out_gradients[0] != NONE)
        in_gradients[0] = build_pad(g, out_gradients[0], axis, start, s->dims[axis].factor - end);
    return graph_good(g);
}

bool vjp_pad(rondo_graph *g, const node *n, const value_id *out_gradients, const bool *needs,
             value_id *in_gradients)
{
    const shape *s = graph_shape_of(g, n->inputs[0]);
    int axis = normal_axis(n->attributes[pad_axis].integer, s->rank);
    if (needs[0] && out_gradients[0] != NONE)
        in_gradients[0] =
            build_slice(g, out_gradients[0], axis, n->attributes[pad_before].integer, s->dims[axis].factor);
    return graph_good(g);
}

/* dy with the axis 3·T as two axes, [3, T], so that parts are slices by numbers even if T is a symbol. */
static value_id split_axis(rondo_graph *g, value_id dy, int axis, dim unit)
{
    shape s = *graph_shape_of(g, dy);
    int64_t factor = s.dims[axis].factor;
    if (dim_is_number(unit, 1))
        return dy;
    if (s.rank == MAX_RANK)
        return graph_fail(g, RONDO_NO_GRADIENT,
                          "concat of %d axes has no gradient along an extent that is no number", s.rank);
    memmove(&s.dims[axis + 2], &s.dims[axis + 1], sizeof *s.dims * (size_t)(s.rank - axis - 1));
    s.dims[axis] = dim_number(factor);
    s.dims[axis + 1] = unit;
    s.rank++;
    return build_reshape(g, dy, &s);
}

bool vjp_concat(rondo_graph *g, const node *n, const value_id *out_gradients, const bool *needs,
                value_id *in_gradients)
{
    if (out_gradients[0] == NONE)
        return true;
    const shape *whole = graph_shape_of(g, out_gradients[0]);
    int axis = normal_axis(n->attributes[concat_axis].integer, whole->rank);
    dim unit = whole->dims[axis];
    unit.factor = 1;
    value_id parts = split_axis(g, out_gradients[0], axis, unit);
    int64_t start = 0;
    for (int i = 0; i < n->input_count && parts != NONE; i++) {
        const shape *s = graph_shape_of(g, n->inputs[i]);
        if (needs[i])
            in_gradients[i] = build_reshape(g, build_slice(g, parts, axis, start, s->dims[axis].factor), s);
        start += s->dims[axis].factor;
    }
    return graph_good(g);
}

/* ---- reference ---- */

/* Copies part to whole, or back, at `start` along the axis. */
static void reference_part(const reference_tensor *whole, const reference_tensor *part, int64_t axis,
                           int64_t start, bool back)
{
    reference_axis w = reference_around(whole, axis), p = reference_around(part, axis);
    for (int64_t o = 0; o < p.outer; o++)
        for (int64_t i = 0; i < p.extent * p.inner; i++) {
            double *in_whole = &whole->data[(o * w.extent + start) * w.inner + i],
                   *in_part = &part->data[o * p.extent * p.inner + i];
            *(back ? in_part : in_whole) = *(back ? in_whole : in_part);
        }
}

bool reference_slice(const reference_call *call)
{
    reference_part(&call->inputs[0], &call->outputs[0], call->attributes[slice_axis].integer,
                   call->attributes[slice_start].integer, true);
    return true;
}

bool reference_pad(const reference_call *call)
{
    reference_part(&call->outputs[0], &call->inputs[0], call->attributes[pad_axis].integer,
                   call->attributes[pad_before].integer, false);
    return true;
}

bool reference_concat(const reference_call *call)
{
    int64_t axis = call->attributes[concat_axis].integer, start = 0;
    for (int i = 0; i < call->input_count; i++) {
        reference_part(&call->outputs[0], &call->inputs[i], axis, start, false);
        start += reference_around(&call->inputs[i], axis).extent;
    }
    return true;
}

/* ---- samples ---- */

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

/* slice: start, length; pad: before, after. */
typedef struct ranged_sample {
    int rank;
    int64_t dims[4];
    int axis;
    int64_t first, second;
} ranged_sample;

value_id samples_slice(rondo_graph *g, sampler *s, int index)
{
    static const ranged_sample cases[] = {
        {1, {7}, 0, 2, 3},    {2, {3, 5}, 1, 4, 1},     {2, {5, 3}, -2, 0, 2},       {3, {2, 5, 3}, 1, 1, 3},
        {2, {3, 5}, 1, 2, 0}, {3, {0, 5, 3}, -1, 1, 2}, {2, {67, 1031}, 1, 3, 1000},
    };
    if (index >= COUNT(cases))
        return NONE;
    const ranged_sample *c = &cases[index];
    return build_slice(g, sample_input(g, s, -2, 2, c->rank, c->dims), c->axis, c->first, c->second);
}

value_id samples_pad(rondo_graph *g, sampler *s, int index)
{
    static const ranged_sample cases[] = {
        {1, {7}, 0, 2, 3},    {2, {3, 5}, 1, 0, 1},     {2, {5, 3}, -2, 4, 0},     {3, {2, 5, 3}, 1, 1, 3},
        {2, {3, 0}, 1, 2, 1}, {3, {0, 5, 3}, -1, 1, 2}, {2, {67, 1001}, 1, 3, 27},
    };
    if (index >= COUNT(cases))
        return NONE;
    const ranged_sample *c = &cases[index];
    return build_pad(g, sample_input(g, s, -2, 2, c->rank, c->dims), c->axis, c->first, c->second);
}

value_id samples_concat(rondo_graph *g, sampler *s, int index)
{
    static const struct {
        int rank;
        int64_t dims[4];
        int axis, count;
        int64_t extents[4];
    } cases[] = {
        {1, {0}, 0, 2, {1, 1}},         {2, {3, 0}, 1, 3, {2, 5, 1}},        {2, {0, 3}, -2, 2, {4, 3}},
        {3, {2, 0, 3}, 1, 2, {0, 5}},   {3, {2, 3, 0}, -1, 4, {7, 1, 2, 3}}, {3, {0, 2, 2}, 1, 2, {1, 2}},
        {2, {67, 0}, 1, 2, {513, 130}},
    };
    if (index >= COUNT(cases))
        return NONE;
    value_id inputs[4] = {NONE, NONE, NONE, NONE};
    for (int i = 0; i < cases[index].count; i++) {
        int64_t dims[4];
        memcpy(dims, cases[index].dims, sizeof dims);
        dims[normal_axis(cases[index].axis, cases[index].rank)] = cases[index].extents[i];
        inputs[i] = sample_input(g, s, -2, 2, cases[index].rank, dims);
    }
    attribute attributes[MAX_ATTRIBUTES] = {integer_attribute(cases[index].axis)};
    return build_node(g, OP_concat, cases[index].count, inputs, attributes);
}
