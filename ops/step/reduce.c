/* Step rules of ops that sum along an axis: along an axis that is not time they stay as they are, along s
 * they need a causal mask before them, and a running sum over time carries its total. */
#include "ops/rules.h"
#include "ops/step/step.h"
#include <math.h>

static bool step_reduce_pair(step_context *c, const node *n, const time_fact *f, int axis, bool keep,
                             time_fact *out)
{
    bool largest = n->op == OP_max || n->op == OP_logsumexp || n->op == OP_argmax;
    double wanted = n->op == OP_sum ? 0 : largest ? -INFINITY : NAN;
    if (axis == f->axis)
        return step_fail(c, n, "it reduces over t, so every row needs all later tokens");
    if (axis != f->key_axis) {
        *out = *f;
        out->axis -= !keep && axis < f->axis;
        out->key_axis -= !keep && axis < f->key_axis;
        if (n->op == OP_sum ||
            n->op == OP_logsumexp) /* whether reducing entries that are all `fill` gives `fill` */
            out->causal = out->causal && (isinf(f->fill) || (n->op == OP_sum && f->fill == 0));
        if (n->op == OP_argmax) /* a place, not fill */
            out->causal = false;
        return true;
    }
    if (!f->causal || f->fill != wanted)
        return step_fail(c, n,
                         "it reduces over s without a causal mask before it, so a row sees later tokens");
    *out = step_now(f->axis - (!keep && axis < f->axis));
    return true;
}

bool step_reduce(step_context *c, const node *n, time_fact *facts)
{
    const time_fact *f = step_fact(c, n->inputs[0]);
    int axis = normal_axis(n->attributes[sum_axis].integer, graph_shape_of(c->from, n->inputs[0])->rank);
    bool keep = n->attributes[sum_keep].integer;
    if (f->kind == TIME_NOW && axis == f->axis)
        return step_fail(c, n, "it reduces over time, so it needs later tokens");
    if (step_joins(c, n, 0, axis))
        return step_fail(c, n, "it combines sequences, which are at different tokens");
    facts[0] = *f;
    if (f->kind == TIME_NOW)
        facts[0].axis -= !keep && axis < f->axis;
    else if (f->kind == TIME_PAIR && !step_reduce_pair(c, n, f, axis, keep, &facts[0]))
        return false;
    return step_same(c, n);
}

bool step_cumsum(step_context *c, const node *n, time_fact *facts)
{
    const time_fact *f = step_fact(c, n->inputs[0]);
    value_id x = c->map[n->inputs[0]];
    int axis = normal_axis(n->attributes[cumsum_axis].integer, graph_shape_of(c->from, n->inputs[0])->rank),
        port;
    facts[0] = *f;
    if (step_joins(c, n, 0, axis))
        return step_fail(c, n, "it combines sequences, which are at different tokens");
    facts[0].causal = f->causal && f->fill == 0;
    if (f->kind == TIME_STILL || (axis != f->axis && axis != f->key_axis))
        return step_same(c, n);
    if (f->kind == TIME_PAIR || n->attributes[cumsum_reverse].integer)
        return step_fail(c, n, "it runs over time %s",
                         f->kind == TIME_PAIR ? "on a value that has it twice" : "backwards");
    shape s = *graph_shape_of(c->to, x);
    if (!step_batch_first(c, &s))
        return step_fail(c, n, "a running sum needs the batch on its first axis");
    s.dims[axis] = dim_number(1);
    value_id before = step_carry(c, &s, RONDO_F32, 0, 0, &port);
    value_id live = build_row_mask(c->to, x, c->count, axis, 0);
    value_id sums = build_cumsum(c->to, live, axis, n->attributes[cumsum_exclusive].integer, false);
    step_carry_out(c, port, build_add(c->to, before, build_reduce(c->to, OP_sum, live, axis, true)));
    return step_finish(c, n, build_add(c->to, sums, before));
}

bool step_last_axis(step_context *c, const node *n, time_fact *facts)
{
    const time_fact f = *step_fact(c, n->inputs[0]);
    int last = graph_shape_of(c->from, n->inputs[0])->rank - 1;
    for (int i = 1; i < n->input_count; i++)
        if (step_fact(c, n->inputs[i])->kind != TIME_STILL)
            return step_fail(c, n, "its gain or bias depends on time");
    for (int o = 0; o < n->output_count; o++)
        facts[o] = f;
    facts[0].causal = false; /* reducing a row of fill gives something else */
    if (step_joins(c, n, 0, last))
        return step_fail(c, n, "it combines sequences, which are at different tokens");
    if (f.kind == TIME_NOW && f.axis == last)
        return step_fail(c, n, "it normalises over time, so every row needs all later tokens");
    if (f.kind == TIME_PAIR && f.axis == last)
        return step_fail(c, n, "it normalises over t");
    if (f.kind == TIME_PAIR && f.key_axis == last) {
        if (n->op != OP_softmax || !f.causal || f.fill != -INFINITY)
            return step_fail(
                c, n,
                "it normalises over s without a causal mask (fill −∞) before it, so a row sees later tokens");
        facts[0].causal = true;
        facts[0].fill = 0;
    }
    return step_same(c, n);
}
