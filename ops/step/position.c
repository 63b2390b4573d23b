/* Step rules of ops that depend on the position of a token: masks, ids and positions. Padding of the target
 * is on the right, so `count` describes it fully. */
#include "ops/rules.h"
#include "ops/step/step.h"
#include <string.h>

bool step_causal_mask(step_context *c, const node *n, time_fact *facts)
{
    const time_fact *f = step_fact(c, n->inputs[0]);
    value_id inputs[2] = {c->map[n->inputs[0]], c->position};
    int rank = graph_shape_of(c->from, n->inputs[0])->rank;
    bool transposed = n->attributes[causal_mask_transposed].integer;
    facts[0] = *f;
    if (f->kind == TIME_STILL)
        return step_same(c, n);
    if (f->kind != TIME_PAIR || f->axis != rank - 2 + transposed || f->key_axis != rank - 1 - transposed)
        return step_fail(c, n, "its operand does not carry time on both of its last two axes");
    if (n->input_count > 1 && n->inputs[1] != NONE)
        return step_fail(c, n, "it has an offset of its own");
    if (!step_batch_first(c, graph_shape_of(c->to, inputs[0])))
        return step_fail(
            c, n, "sequences are at different positions, so the mask needs the batch on its first axis");
    facts[0].causal = true;
    facts[0].fill = n->attributes[causal_mask_fill].real;
    return step_finish(c, n, graph_add(c->to, n->op, inputs, 2, n->attributes));
}

/* A mask along an axis other than time; it may put another number into entries with s > t. */
static bool step_mask_elsewhere(step_context *c, const node *n, double fill, time_fact *facts)
{
    facts[0].causal = facts[0].causal && facts[0].fill == fill;
    return step_same(c, n);
}

bool step_key_mask(step_context *c, const node *n, time_fact *facts)
{
    const time_fact *f = step_fact(c, n->inputs[0]);
    int last = graph_shape_of(c->from, n->inputs[0])->rank - 1;
    facts[0] = *f;
    bool along_time = f->kind != TIME_STILL && (f->axis == last || f->key_axis == last);
    if (!along_time)
        return step_mask_elsewhere(c, n, n->attributes[key_mask_fill].real, facts);
    c->map[n->first_output] = c->map[n->inputs[0]];
    return true;
}

bool step_row_mask(step_context *c, const node *n, time_fact *facts)
{
    const time_fact *f = step_fact(c, n->inputs[0]);
    int axis = normal_axis(n->attributes[row_mask_axis].integer, graph_shape_of(c->from, n->inputs[0])->rank);
    facts[0] = *f;
    if (f->kind == TIME_STILL || (axis != f->axis && axis != f->key_axis))
        return step_mask_elsewhere(c, n, n->attributes[row_mask_fill].real, facts);
    value_id x = c->map[n->inputs[0]];
    return step_finish(c, n,
                       axis == f->key_axis
                           ? x
                           : build_row_mask(c->to, x, c->count, axis, n->attributes[row_mask_fill].real));
}

bool step_embed(step_context *c, const node *n, time_fact *facts)
{
    const id_lookup *l = &op_table[n->op].lookup;
    facts[0] = *step_fact(c, n->inputs[l->ids]);
    if (l->ids != l->table && step_fact(c, n->inputs[l->table])->kind != TIME_STILL)
        return step_fail(c, n, "its table depends on time");
    if (facts[0].kind == TIME_PAIR)
        return step_fail(c, n, "its ids carry time twice");
    return step_same(c, n);
}

bool step_positions(step_context *c, const node *n, time_fact *facts)
{
    facts[0] = *step_fact(c, n->inputs[0]);
    if (facts[0].kind == TIME_STILL)
        return step_same(c, n);
    if (n->input_count > 1 && n->inputs[1] != NONE)
        return step_fail(c, n, "it has an offset of its own");
    value_id inputs[2] = {c->map[n->inputs[0]], c->position};
    return step_finish(c, n, graph_add(c->to, n->op, inputs, 2, n->attributes));
}

/* Random numbers of a token are those of its position. */
bool step_random(step_context *c, const node *n, time_fact *facts)
{
    const shape *s = graph_shape_of(c->from, n->first_output);
    value_id inputs[3] = {NONE, NONE, NONE};
    int axes[2], count = step_time_axes(c, s, axes, 2),
                 axis = normal_axis(n->attributes[random_uniform_axis].integer, s->rank);
    if (!step_all_still(c, n))
        return step_fail(c, n, "its seed or its sentences depend on time");
    if (!count)
        return step_refuse(c, n, facts);
    if (count > 1 || axes[0] != axis || dim_only_symbol(s->dims[axis]) != c->time)
        return step_fail(c, n, "time is not its axis %d alone", axis);
    if (n->input_count > 2 && n->inputs[2] != NONE)
        return step_fail(c, n, "it has an offset of its own");
    if (!step_batch_first(c, s))
        return step_fail(c, n,
                         "sequences are at different positions, so it needs the batch on its first axis");
    facts[0] = step_now(axis);
    step_inputs(c, n, inputs);
    inputs[2] = c->position;
    attribute attributes[MAX_ATTRIBUTES];
    memcpy(attributes, n->attributes, sizeof attributes);
    shape out = step_shape(c, s);
    attributes[random_uniform_dims].integer = graph_shape(c->to, &out);
    return step_finish(c, n, graph_add(c->to, n->op, inputs, 3, attributes));
}
