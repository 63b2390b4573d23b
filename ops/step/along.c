/* Step rules of ops that move elements along an axis, by their order or by ids: row by row unless the axis is
 * time. */
#include "ops/rules.h"
#include "ops/step/step.h"

/* Whether the op leaves time and the sequences alone; if not, the reason. */
static bool moves_elsewhere(step_context *c, const node *n, int axis)
{
    const time_fact *f = step_fact(c, n->inputs[0]);
    if (step_joins(c, n, 0, axis))
        return step_fail(c, n, "it combines sequences, which are at different tokens");
    if (f->kind != TIME_STILL && (axis == f->axis || axis == f->key_axis))
        return step_fail(c, n, "it moves rows along time, so it needs later tokens");
    return true;
}

/* reverse, roll, sort, top_k, nonzero. */
bool step_along(step_context *c, const node *n, time_fact *facts)
{
    const time_fact *f = step_fact(c, n->inputs[0]);
    int rank = graph_shape_of(c->from, n->inputs[0])->rank,
        axis = normal_axis(n->attributes[0].integer, rank);
    if (!moves_elsewhere(c, n, axis))
        return false;
    for (int o = 0; o < n->output_count; o++) {
        facts[o] = *f;
        facts[o].causal = false;                                                     /* of ids */
        bool lacks_axis = graph_shape_of(c->from, n->first_output + o)->rank < rank; /* counts */
        facts[o].axis -= lacks_axis && f->axis > axis;
        facts[o].key_axis -= lacks_axis && f->key_axis > axis;
    }
    bool puts_zeros = n->input_count > 1 && n->inputs[1] != NONE;
    facts[0].causal = f->causal && (!puts_zeros || f->fill == 0) && n->op != OP_nonzero;
    return step_same(c, n);
}

/* gather and scatter: by ids that do not move, or that are a token's own. */
bool step_gather(step_context *c, const node *n, time_fact *facts)
{
    const time_fact *f = step_fact(c, n->inputs[0]), *ids = step_fact(c, n->inputs[1]);
    const shape *result = graph_shape_of(c->from, n->first_output);
    value_id inputs[2];
    int axis = normal_axis(n->attributes[gather_axis].integer, result->rank);
    if (!moves_elsewhere(c, n, axis))
        return false;
    if (dim_has(result->dims[axis], c->time))
        return step_fail(c, n, "it places rows along time, so a row may need later tokens");
    if (ids->kind != TIME_STILL && (f->kind != TIME_NOW || ids->kind != TIME_NOW || ids->axis != f->axis))
        return step_fail(c, n, "its ids carry time where its operand does not");
    facts[0] = *f;
    facts[0].causal = f->causal && f->fill == 0;
    step_inputs(c, n, inputs);
    if (n->op == OP_gather)
        return step_build(c, n, inputs, NULL, 0);
    shape to = step_fact_shape(c, result, &facts[0]);
    return step_build(c, n, inputs, &to, scatter_dims);
}
