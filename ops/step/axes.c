/* Step rules of ops that move nothing along time: they only track where the time axes of the operands end up.
 *  */
#include "ops/rules.h"
#include "ops/step/step.h"
#include <math.h>

/* Constants and broadcasts may introduce a time axis. */
static time_fact made_axes(const step_context *c, const shape *s)
{
    int axes[MAX_RANK], count = step_time_axes(c, s, axes, MAX_RANK);
    if (count == 2)
        return (time_fact){TIME_PAIR, axes[0], axes[1], false, 0};
    return count == 1 ? step_now(axes[0]) : step_still;
}

bool step_constant(step_context *c, const node *n, time_fact *facts)
{
    const shape *s = graph_shape_of(c->from, n->first_output);
    facts[0] = made_axes(c, s);
    shape out = step_fact_shape(c, s, &facts[0]);
    return step_build(c, n, NULL, &out, constant_dims);
}

/* The positions of the operands' time axes in a result of this rank, aligned to the right. Operands whose
 * time axis falls on the result's key axis are appended. */
static bool align(step_context *c, const node *n, const shape *result, time_fact *out, value_id *inputs)
{
    *out = made_axes(c, result);
    step_inputs(c, n, inputs);
    for (int i = 0; i < n->input_count; i++) {
        const time_fact *f = step_fact(c, n->inputs[i]);
        int shift = n->inputs[i] == NONE ? 0 : result->rank - graph_shape_of(c->from, n->inputs[i])->rank;
        if (f->kind == TIME_PAIR && (out->kind != TIME_PAIR || f->axis + shift != out->axis ||
                                     f->key_axis + shift != out->key_axis)) {
            if (out->kind == TIME_PAIR && f->axis + shift == out->key_axis &&
                f->key_axis + shift == out->axis)
                *out = (time_fact){TIME_PAIR, f->axis + shift, f->key_axis + shift, false, 0};
            else
                return step_fail(c, n, "its operands' time axes do not line up");
        }
    }
    for (int i = 0; i < n->input_count; i++) {
        const time_fact *f = step_fact(c, n->inputs[i]);
        int shift = n->inputs[i] == NONE ? 0 : result->rank - graph_shape_of(c->from, n->inputs[i])->rank;
        if (f->kind != TIME_NOW)
            continue;
        if (out->kind == TIME_PAIR && f->axis + shift == out->key_axis)
            inputs[i] = step_append(c, inputs[i], f->axis);
        else if (f->axis + shift != out->axis)
            return step_fail(c, n, "its operands' time axes do not line up");
        if (inputs[i] == NONE)
            return false;
    }
    return true;
}

/* What masked entries (s > t) become: known for functions of one operand, and for zeros that are scaled. */
static void follow_fill(const step_context *c, const node *n, time_fact *out)
{
    const time_fact *pair = NULL;
    int at = 0;
    for (int i = 0; i < n->input_count; i++)
        if (step_fact(c, n->inputs[i])->kind == TIME_PAIR && (!pair || step_fact(c, n->inputs[i])->causal)) {
            pair = step_fact(c, n->inputs[i]);
            at = i;
        }
    out->causal = false;
    if (!pair || !pair->causal)
        return;
    if (n->input_count == 1 && op_table[n->op].reference) {
        double in = pair->fill, fill = 0;
        reference_tensor x = {.data = &in, .count = 1}, y = {.data = &fill, .count = 1};
        const reference_call call = {.graph = c->from,
                                     .attributes = n->attributes,
                                     .input_count = 1,
                                     .output_count = 1,
                                     .inputs = &x,
                                     .outputs = &y,
                                     .scratch = &c->to->arena};
        out->causal = op_table[n->op].reference(&call) && !isnan(fill);
        out->fill = fill;
    } else if (pair->fill == 0 && (n->op == OP_mul || (n->op == OP_div && at == 0))) {
        out->causal = true;
        out->fill = 0;
    }
}

bool step_pointwise(step_context *c, const node *n, time_fact *facts)
{
    value_id inputs[MAX_INPUTS];
    const shape *result = graph_shape_of(c->from, n->first_output);
    if (!align(c, n, result, &facts[0], inputs))
        return false;
    if (n->op == OP_concat) {
        int axis = normal_axis(n->attributes[concat_axis].integer, result->rank);
        if (facts[0].kind != TIME_STILL && (axis == facts[0].axis || axis == facts[0].key_axis))
            return step_fail(c, n, "it concatenates along time");
    }
    if (facts[0].kind == TIME_PAIR)
        follow_fill(c, n, &facts[0]);
    return step_build(c, n, inputs, NULL, 0);
}

bool step_broadcast(step_context *c, const node *n, time_fact *facts)
{
    value_id inputs[1];
    const shape *result = graph_shape_of(c->from, n->first_output);
    if (!align(c, n, result, &facts[0], inputs))
        return false;
    shape out = step_fact_shape(c, result, &facts[0]);
    facts[0].causal = false;
    return step_build(c, n, inputs, &out, broadcast_dims);
}

/* The product of what varies faster than time: the dims after the axis and the literal factor of its own dim.
 */
static dim after_time(const shape *s, int axis)
{
    dim product = dim_number(s->dims[axis].factor);
    for (int a = axis + 1; a < s->rank; a++)
        dim_multiply(product, s->dims[a], &product);
    return product;
}

bool step_reshape(step_context *c, const node *n, time_fact *facts)
{
    const time_fact *f = step_fact(c, n->inputs[0]);
    const shape *from = graph_shape_of(c->from, n->inputs[0]), *to = graph_shape_of(c->from, n->first_output);
    int axes[MAX_RANK], count = step_time_axes(c, to, axes, MAX_RANK);
    value_id inputs[1] = {c->map[n->inputs[0]]};
    if (f->kind == TIME_STILL) {
        facts[0] = step_still;
        return step_same(c, n);
    }
    bool apart = count == (f->kind == TIME_PAIR ? 2 : 1);
    facts[0] = *f;
    if (apart && f->kind == TIME_NOW) {
        facts[0].axis = axes[0];
        apart = dim_equal(after_time(from, f->axis), after_time(to, axes[0]));
    } else if (apart) {
        bool first = f->axis < f->key_axis;
        facts[0].axis = axes[first ? 0 : 1];
        facts[0].key_axis = axes[first ? 1 : 0];
        apart = dim_equal(after_time(from, f->axis), after_time(to, facts[0].axis)) &&
                dim_equal(after_time(from, f->key_axis), after_time(to, facts[0].key_axis));
    }
    if (!apart)
        return step_fail(c, n, "it mixes the time axis with others");
    shape out = step_fact_shape(c, to, &facts[0]);
    return step_build(c, n, inputs, &out, reshape_dims);
}

bool step_transpose(step_context *c, const node *n, time_fact *facts)
{
    int order[MAX_RANK], rank = order_unpack(n->attributes[transpose_order].integer, order);
    facts[0] = *step_fact(c, n->inputs[0]);
    const time_fact f = facts[0];
    for (int a = 0; a < rank; a++) {
        if (f.kind != TIME_STILL && order[a] == f.axis)
            facts[0].axis = a;
        if (f.kind == TIME_PAIR && order[a] == f.key_axis)
            facts[0].key_axis = a;
    }
    return step_same(c, n);
}

bool step_slice(step_context *c, const node *n, time_fact *facts)
{
    facts[0] = *step_fact(c, n->inputs[0]);
    facts[0].causal = facts[0].causal && (n->op != OP_pad || facts[0].fill == 0);
    int axis = normal_axis(n->attributes[slice_axis].integer, graph_shape_of(c->from, n->inputs[0])->rank);
    if (facts[0].kind != TIME_STILL && (axis == facts[0].axis || axis == facts[0].key_axis))
        return step_fail(c, n, "it cuts along time");
    return step_same(c, n);
}
