/* Ops that put the elements of an axis into a fixed order: reverse, roll. */
#include "ops/infer.h"
#include "ops/reference.h"
#include "ops/rules.h"

_Static_assert((int)reverse_axis == (int)roll_axis, "step_along reads the axis of all ops alike");

/* ---- infer ---- */

bool infer_reverse(rondo_graph *g, node *n, value *outputs)
{
    const value *x = infer_operand(g, n, 0, 0), *length;
    int axis = x ? infer_axis(g, n, n->attributes[reverse_axis].integer, x->shape.rank) : -1;
    if (axis < 0 || !infer_optional(g, n, 1, RONDO_I32, &length))
        return false;
    if (length && axis == 0)
        return infer_fail(g, "reverse of %s: axis 0 is that of the sequences, which have the lengths",
                          shape_words(g, &x->shape));
    return (!length || infer_per_sentence(g, n, 1, x)) && infer_result(outputs, x->type, &x->shape);
}

bool infer_roll(rondo_graph *g, node *n, value *outputs)
{
    const value *x = infer_operand(g, n, 0, 0);
    int axis = x ? infer_axis(g, n, n->attributes[roll_axis].integer, x->shape.rank) : -1;
    int64_t shift = n->attributes[roll_shift].integer;
    if (axis >= 0 && (shift > INT32_MAX || shift < -INT32_MAX))
        return infer_fail(g, "roll of %s: a shift of %lld", shape_words(g, &x->shape), (long long)shift);
    return axis >= 0 && infer_result(outputs, x->type, &x->shape);
}

/* ---- vjp ---- */

bool vjp_reverse(rondo_graph *g, const node *n, const value_id *out_gradients, const bool *needs,
                 value_id *in_gradients)
{
    if (needs[0] && out_gradients[0] != NONE)
        in_gradients[0] = build_reverse(g, out_gradients[0], n->input_count > 1 ? n->inputs[1] : NONE,
                                        (int)n->attributes[reverse_axis].integer);
    return graph_good(g);
}

bool vjp_roll(rondo_graph *g, const node *n, const value_id *out_gradients, const bool *needs,
              value_id *in_gradients)
{
    attribute back[MAX_ATTRIBUTES] = {0};
    back[roll_axis] = n->attributes[roll_axis];
    back[roll_shift] = integer_attribute(-n->attributes[roll_shift].integer);
    if (needs[0] && out_gradients[0] != NONE)
        in_gradients[0] = build_node(g, OP_roll, 1, out_gradients, back);
    return graph_good(g);
}

/* ---- reference ---- */

bool reference_reverse(const reference_call *call)
{
    const reference_tensor *x = &call->inputs[0];
    const double *length = reference_data(call, 1);
    reference_axis a = reference_around(x, call->attributes[reverse_axis].integer);
    int64_t in_sentence = x->dims[0] ? a.outer / x->dims[0] : 1;
    for (int64_t o = 0; o < a.outer; o++) {
        int64_t rows = a.extent;
        if (length && (int64_t)length[o / in_sentence] < rows)
            rows = (int64_t)length[o / in_sentence];
        for (int64_t t = 0; t < rows; t++)
            for (int64_t i = 0; i < a.inner; i++)
                call->outputs[0].data[(o * a.extent + t) * a.inner + i] =
                    x->data[(o * a.extent + rows - 1 - t) * a.inner + i];
    }
    return true;
}

bool reference_roll(const reference_call *call)
{
    const reference_tensor *x = &call->inputs[0];
    reference_axis a = reference_around(x, call->attributes[roll_axis].integer);
    for (int64_t o = 0; o < a.outer; o++)
        for (int64_t t = 0; t < a.extent; t++) {
            int64_t to = (t + call->attributes[roll_shift].integer % a.extent + a.extent) % a.extent;
            for (int64_t i = 0; i < a.inner; i++)
                call->outputs[0].data[(o * a.extent + to) * a.inner + i] =
                    x->data[(o * a.extent + t) * a.inner + i];
        }
    return true;
}

/* ---- samples ---- */

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

value_id samples_reverse(rondo_graph *g, sampler *s, int index)
{
    static const struct {
        int rank;
        int64_t dims[4];
        int axis;
        int64_t longest; /* −1: without lengths */
    } cases[] = {
        {1, {1}, 0, -1},      {1, {7}, -1, -1},          {3, {3, 5, 7}, 1, 5},       {3, {2, 7, 3}, 1, -1},
        {2, {3, 7}, 1, 9},    {4, {3, 2, 5, 13}, -2, 4}, {3, {2, 0, 3}, 1, -1},      {3, {5, 2, 3}, 0, -1},
        {3, {0, 5, 2}, 1, 5}, {3, {5, 67, 33}, -1, 67},  {3, {5, 131, 66}, -2, 131},
    };
    if (index >= COUNT(cases))
        return NONE;
    value_id inputs[2] = {sample_input(g, s, -2, 2, cases[index].rank, cases[index].dims), NONE};
    if (cases[index].longest >= 0)
        inputs[1] = sample_ids(g, s, cases[index].longest, 1, cases[index].dims);
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[reverse_axis] = integer_attribute(cases[index].axis);
    return build_node(g, OP_reverse, 2, inputs, attributes);
}

value_id samples_roll(rondo_graph *g, sampler *s, int index)
{
    static const struct {
        int rank;
        int64_t dims[4];
        int axis;
        int64_t shift;
    } cases[] = {
        {1, {1}, 0, 5},           {1, {7}, -1, 2},          {3, {3, 5, 7}, 1, -1}, {4, {2, 3, 5, 13}, -2, 3},
        {3, {2, 0, 3}, 1, 1},     {3, {5, 2, 3}, 0, -12},   {2, {3, 5}, 1, 0},     {3, {0, 5, 2}, 1, 4},
        {3, {5, 67, 33}, -1, 30}, {3, {5, 131, 66}, 1, -7},
    };
    if (index >= COUNT(cases))
        return NONE;
    value_id x = sample_input(g, s, -2, 2, cases[index].rank, cases[index].dims);
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[roll_axis] = integer_attribute(cases[index].axis);
    attributes[roll_shift] = integer_attribute(cases[index].shift);
    return build_node(g, OP_roll, 1, &x, attributes);
}
