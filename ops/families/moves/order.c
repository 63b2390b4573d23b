/* Where the elements of a line stand: argmax, sort, top_k, nonzero. Of equals the first comes first, in both
 * directions, and a NaN comes after all numbers. */
#include "ops/infer.h"
#include "ops/reference.h"
#include "ops/rules.h"
#include <math.h>

_Static_assert((int)argmax_axis == (int)sum_axis && (int)argmax_keep == (int)sum_keep,
               "infer_reduce and step_reduce read the attributes of argmax too");
_Static_assert((int)sort_axis == (int)top_k_axis && (int)sort_axis == (int)nonzero_axis,
               "vjp_order and step_along read the axis of both alike");

/* ---- infer ---- */

bool infer_argmax(rondo_graph *g, node *n, value *outputs)
{
    if (!infer_reduce(g, n, outputs))
        return false;
    outputs[0].type = RONDO_I32;
    return true;
}

static bool infer_order(const value *x, const shape *s, value *outputs)
{
    return infer_result(&outputs[0], x->type, s) && infer_result(&outputs[1], RONDO_I32, s);
}

bool infer_sort(rondo_graph *g, node *n, value *outputs)
{
    const value *x = infer_operand(g, n, 0, RONDO_F32);
    int axis = x ? infer_axis(g, n, n->attributes[sort_axis].integer, x->shape.rank) : -1;
    return axis >= 0 && infer_order(x, &x->shape, outputs);
}

bool infer_top_k(rondo_graph *g, node *n, value *outputs)
{
    const value *x = infer_operand(g, n, 0, RONDO_F32);
    int axis = x ? infer_axis(g, n, n->attributes[top_k_axis].integer, x->shape.rank) : -1;
    int64_t k = n->attributes[top_k_k].integer;
    if (axis < 0)
        return false;
    dim extent = x->shape.dims[axis];
    if (k < 1 || (dim_is_literal(extent) && k > extent.factor))
        return infer_fail(g, "top_k of %s: axis %d has %s elements, not %lld", shape_words(g, &x->shape),
                          axis, dim_words(g, extent), (long long)k);
    shape s = x->shape;
    s.dims[axis] = dim_number(k);
    return infer_order(x, &s, outputs);
}

bool infer_nonzero(rondo_graph *g, node *n, value *outputs)
{
    const value *x = infer_operand(g, n, 0, RONDO_F32);
    int axis = x ? infer_axis(g, n, n->attributes[nonzero_axis].integer, x->shape.rank) : -1;
    if (axis < 0)
        return false;
    shape lines = x->shape;
    lines.rank--;
    for (int i = axis; i < lines.rank; i++)
        lines.dims[i] = lines.dims[i + 1];
    lines.dims[lines.rank] = (dim){0};
    return infer_result(&outputs[0], RONDO_I32, &x->shape) && infer_result(&outputs[1], RONDO_I32, &lines);
}

/* ---- vjp ---- */

/* The values are gathered from x by the second result. */
bool vjp_order(rondo_graph *g, const node *n, const value_id *out_gradients, const bool *needs,
               value_id *in_gradients)
{
    if (needs[0] && out_gradients[0] != NONE)
        in_gradients[0] =
            build_scatter(g, out_gradients[0], n->first_output + 1, (int)n->attributes[sort_axis].integer,
                          graph_shape_of(g, n->inputs[0]));
    return graph_good(g);
}

/* ---- reference ---- */

bool reference_argmax(const reference_call *call)
{
    const reference_tensor *x = &call->inputs[0];
    reference_axis a = reference_around(x, call->attributes[argmax_axis].integer);
    for (int64_t o = 0; o < a.outer; o++)
        for (int64_t i = 0; i < a.inner; i++) {
            const double *line = x->data + o * a.extent * a.inner + i;
            int64_t best = -1;
            for (int64_t k = 0; k < a.extent; k++)
                if (!isnan(line[k * a.inner]) && (best < 0 || line[k * a.inner] > line[best * a.inner]))
                    best = k;
            call->outputs[0].data[o * a.inner + i] = best < 0 ? 0 : (double)best;
        }
    return true;
}

static bool comes_before(double a, double b, bool descending)
{
    if (isnan(a) || isnan(b))
        return !isnan(a);
    return descending ? a > b : a < b;
}

/* ids of the `count` elements of a line in order, by insertion. */
static void order_line(const double *x, int64_t count, int64_t stride, bool descending, int64_t *ids)
{
    for (int64_t i = 0; i < count; i++) {
        int64_t at = i;
        for (; at > 0 && comes_before(x[i * stride], x[ids[at - 1] * stride], descending); at--)
            ids[at] = ids[at - 1];
        ids[at] = i;
    }
}

/* The first `wanted` of each line; past its end −∞ and −1. */
static bool reference_order(const reference_call *call, int64_t axis, bool descending)
{
    const reference_tensor *x = &call->inputs[0];
    reference_axis a = reference_around(x, axis);
    int64_t wanted = reference_around(&call->outputs[0], axis).extent,
            *ids = ARENA_NEW(call->scratch, int64_t, a.extent + 1);
    if (!ids)
        return false;
    for (int64_t o = 0; o < a.outer; o++)
        for (int64_t i = 0; i < a.inner; i++) {
            const double *line = x->data + o * a.extent * a.inner + i;
            order_line(line, a.extent, a.inner, descending, ids);
            for (int64_t k = 0; k < wanted; k++) {
                int64_t to = (o * wanted + k) * a.inner + i;
                call->outputs[0].data[to] = k < a.extent ? line[ids[k] * a.inner] : -INFINITY;
                call->outputs[1].data[to] = k < a.extent ? (double)ids[k] : -1;
            }
        }
    return true;
}

bool reference_sort(const reference_call *call)
{
    return reference_order(call, call->attributes[sort_axis].integer,
                           call->attributes[sort_descending].integer);
}

bool reference_top_k(const reference_call *call)
{
    return reference_order(call, call->attributes[top_k_axis].integer, true);
}

bool reference_nonzero(const reference_call *call)
{
    const reference_tensor *x = &call->inputs[0];
    reference_axis a = reference_around(x, call->attributes[nonzero_axis].integer);
    for (int64_t o = 0; o < a.outer; o++)
        for (int64_t i = 0; i < a.inner; i++) {
            const double *line = x->data + o * a.extent * a.inner + i;
            double *ids = call->outputs[0].data + o * a.extent * a.inner + i;
            int64_t count = 0;
            for (int64_t k = 0; k < a.extent; k++)
                if (line[k * a.inner] != 0)
                    ids[count++ * a.inner] = (double)k;
            call->outputs[1].data[o * a.inner + i] = (double)count;
            for (; count < a.extent; count++)
                ids[count * a.inner] = -1;
        }
    return true;
}

/* ---- samples ---- */

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

static const struct {
    int rank;
    int64_t dims[4];
    int axis;
    int64_t k;
    bool flag; /* keep, descending */
} line_cases[] = {
    {1, {1}, 0, 1, false},           {1, {7}, -1, 3, true},       {3, {2, 7, 3}, 1, 2, false},
    {3, {3, 5, 7}, -1, 5, true},     {2, {3, 5}, 0, 1, false},    {4, {2, 3, 5, 7}, -2, 4, true},
    {3, {0, 5, 2}, 1, 5, false},     {2, {5, 1031}, 1, 9, false}, {2, {67, 5}, 0, 67, true},
    {3, {3, 301, 33}, 1, 40, false},
};

value_id samples_argmax(rondo_graph *g, sampler *s, int index)
{
    if (index >= COUNT(line_cases))
        return NONE;
    value_id x = sample_input(g, s, -2, 2, line_cases[index].rank, line_cases[index].dims);
    return build_reduce(g, OP_argmax, x, line_cases[index].axis, line_cases[index].flag);
}

/* Few different numbers in every other sample, so that there are equals: they are the ids of leaves. */
static value_id line_input(rondo_graph *g, sampler *s, int index)
{
    if (index % 2)
        return build_cast(g, sample_ids(g, s, 5, line_cases[index].rank, line_cases[index].dims), RONDO_F32);
    return sample_input(g, s, -2, 2, line_cases[index].rank, line_cases[index].dims);
}

value_id samples_sort(rondo_graph *g, sampler *s, int index)
{
    if (index >= COUNT(line_cases))
        return NONE;
    value_id x = line_input(g, s, index);
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[sort_axis] = integer_attribute(line_cases[index].axis);
    attributes[sort_descending] = integer_attribute(line_cases[index].flag);
    return build_node(g, OP_sort, 1, &x, attributes);
}

value_id samples_nonzero(rondo_graph *g, sampler *s, int index)
{
    if (index >= COUNT(line_cases))
        return NONE;
    value_id x =
        build_cast(g, sample_ids(g, s, 1, line_cases[index].rank, line_cases[index].dims), RONDO_F32);
    return build_node(g, OP_nonzero, 1, &x, (attribute[MAX_ATTRIBUTES]){{.integer = line_cases[index].axis}});
}

value_id samples_top_k(rondo_graph *g, sampler *s, int index)
{
    if (index >= COUNT(line_cases))
        return NONE;
    value_id x = line_input(g, s, index);
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[top_k_axis] = integer_attribute(line_cases[index].axis);
    attributes[top_k_k] = integer_attribute(line_cases[index].k);
    return build_node(g, OP_top_k, 1, &x, attributes);
}
