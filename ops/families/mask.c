/* Masks select: what is masked becomes `fill`, whatever it was, and its gradient is 0. */
#include "ops/infer.h"
#include "ops/reference.h"
#include "ops/rules.h"
#include <math.h>

/* ---- infer ---- */

bool infer_causal_mask(rondo_graph *g, node *n, value *outputs)
{
    const value *x = infer_operand(g, n, 0, RONDO_F32), *offset;
    if (!x || !infer_optional(g, n, 1, RONDO_I32, &offset))
        return false;
    if (x->shape.rank < (offset ? 3 : 2))
        return infer_fail(g, "causal_mask: %s needs two axes of time%s", shape_words(g, &x->shape),
                          offset ? " after the axis of its offsets" : "");
    return (!offset || infer_per_sentence(g, n, 1, x)) && infer_result(outputs, RONDO_F32, &x->shape);
}

bool infer_length_mask(rondo_graph *g, node *n, value *outputs)
{
    const value *x = infer_operand(g, n, 0, RONDO_F32);
    if (!x)
        return false;
    int axis =
        infer_axis(g, n, n->op == OP_row_mask ? n->attributes[row_mask_axis].integer : -1, x->shape.rank);
    if (axis < 0)
        return false;
    if (axis == 0)
        return infer_fail(g, "%s: axis 0 of %s is that of the lengths", op_words(n),
                          shape_words(g, &x->shape));
    return infer_per_sentence(g, n, 1, x) && infer_result(outputs, RONDO_F32, &x->shape);
}

/* ---- vjp ---- */

/* The same mask over dy, filled with 0. */
static bool vjp_mask(rondo_graph *g, const node *n, int fill, const value_id *out_gradients,
                     const bool *needs, value_id *in_gradients)
{
    if (!needs[0] || out_gradients[0] == NONE)
        return true;
    value_id inputs[2] = {out_gradients[0], n->input_count > 1 ? n->inputs[1] : NONE};
    attribute attributes[MAX_ATTRIBUTES];
    for (int i = 0; i < MAX_ATTRIBUTES; i++)
        attributes[i] = n->attributes[i];
    attributes[fill] = real_attribute(0);
    in_gradients[0] = build_node(g, n->op, 2, inputs, attributes);
    return graph_good(g);
}

bool vjp_causal_mask(rondo_graph *g, const node *n, const value_id *out_gradients, const bool *needs,
                     value_id *in_gradients)
{
    return vjp_mask(g, n, causal_mask_fill, out_gradients, needs, in_gradients);
}

bool vjp_key_mask(rondo_graph *g, const node *n, const value_id *out_gradients, const bool *needs,
                  value_id *in_gradients)
{
    return vjp_mask(g, n, key_mask_fill, out_gradients, needs, in_gradients);
}

bool vjp_row_mask(rondo_graph *g, const node *n, const value_id *out_gradients, const bool *needs,
                  value_id *in_gradients)
{
    return vjp_mask(g, n, row_mask_fill, out_gradients, needs, in_gradients);
}

/* ---- reference ---- */

bool reference_causal_mask(const reference_call *call)
{
    const reference_tensor *x = &call->inputs[0];
    const double *offset = call->input_count > 1 ? call->inputs[1].data : NULL;
    bool transposed = call->attributes[causal_mask_transposed].integer;
    int64_t index[MAX_RANK] = {0};
    for (int64_t i = 0; i < x->count; i++, reference_next(index, x->dims, x->rank)) {
        int64_t row = index[x->rank - 2], column = index[x->rank - 1];
        double t = (double)(transposed ? column : row) + (offset ? offset[index[0]] : 0);
        double s = (double)(transposed ? row : column);
        bool kept = call->attributes[causal_mask_exclusive].integer ? s < t : s <= t;
        call->outputs[0].data[i] = kept ? x->data[i] : call->attributes[causal_mask_fill].real;
    }
    return true;
}

static bool reference_length(const reference_call *call, int64_t axis, double fill)
{
    const reference_tensor *x = &call->inputs[0];
    int at = normal_axis(axis, x->rank);
    int64_t index[MAX_RANK] = {0};
    for (int64_t i = 0; i < x->count; i++, reference_next(index, x->dims, x->rank))
        call->outputs[0].data[i] = (double)index[at] < call->inputs[1].data[index[0]] ? x->data[i] : fill;
    return true;
}

bool reference_key_mask(const reference_call *call)
{
    return reference_length(call, -1, call->attributes[key_mask_fill].real);
}

bool reference_row_mask(const reference_call *call)
{
    return reference_length(call, call->attributes[row_mask_axis].integer,
                            call->attributes[row_mask_fill].real);
}

/* ---- samples ---- */

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

value_id samples_causal_mask(rondo_graph *g, sampler *s, int index)
{
    static const struct {
        int rank;
        int64_t dims[4];
        double fill;
        bool exclusive, transposed, offset;
    } cases[] = {
        {2, {1, 1}, 0, true, false, false},          {2, {5, 5}, 0, false, false, false},
        {2, {5, 7}, -3, false, true, false},         {3, {2, 7, 5}, 1, true, true, false},
        {3, {3, 2, 11}, 0, false, false, true},      {4, {2, 3, 4, 13}, -1, true, false, true},
        {4, {2, 3, 13, 4}, 0, false, true, true},    {3, {2, 0, 5}, 0, false, false, false},
        {4, {2, 2, 67, 67}, 0, false, false, false},
    };
    if (index >= COUNT(cases))
        return NONE;
    value_id inputs[2] = {sample_input(g, s, -2, 2, cases[index].rank, cases[index].dims), NONE};
    if (cases[index].offset)
        inputs[1] = sample_ids(g, s, 9, 1, cases[index].dims);
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[causal_mask_fill].real = cases[index].fill;
    attributes[causal_mask_exclusive].integer = cases[index].exclusive;
    attributes[causal_mask_transposed].integer = cases[index].transposed;
    return build_node(g, OP_causal_mask, 2, inputs, attributes);
}

value_id samples_key_mask(rondo_graph *g, sampler *s, int index)
{
    static const struct {
        int rank;
        int64_t dims[4];
        double fill;
    } cases[] = {
        {2, {1, 1}, 0},        {2, {5, 7}, -3}, {3, {3, 2, 5}, 0},
        {4, {5, 2, 3, 11}, 1}, {2, {3, 0}, 0},  {3, {7, 67, 66}, 0},
    };
    if (index >= COUNT(cases))
        return NONE;
    const int64_t *dims = cases[index].dims, rank = cases[index].rank;
    value_id inputs[2] = {sample_input(g, s, -2, 2, (int)rank, dims), NONE};
    inputs[1] = sample_ids(g, s, dims[rank - 1] + 1, 1, dims);
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[key_mask_fill].real = cases[index].fill;
    return build_node(g, OP_key_mask, 2, inputs, attributes);
}

value_id samples_row_mask(rondo_graph *g, sampler *s, int index)
{
    static const struct {
        int rank;
        int64_t dims[4];
        int axis;
        double fill;
    } cases[] = {
        {2, {5, 7}, 1, -3},       {3, {3, 5, 2}, -2, 0}, {4, {5, 2, 11, 3}, 2, 1},
        {4, {5, 11, 2, 3}, 1, 0}, {3, {3, 0, 2}, 1, 0},  {3, {7, 67, 66}, -2, 0},
    };
    if (index >= COUNT(cases))
        return NONE;
    const int64_t *dims = cases[index].dims;
    value_id x = sample_input(g, s, -2, 2, cases[index].rank, dims);
    value_id length = sample_ids(g, s, dims[normal_axis(cases[index].axis, cases[index].rank)] + 1, 1, dims);
    return build_row_mask(g, x, length, cases[index].axis, cases[index].fill);
}
