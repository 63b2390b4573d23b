/* The step rule of recurrences: what an op carries from row to row (its column RECURRENCE) becomes a state
 * port. */
#include "ops/rules.h"
#include "ops/step/step.h"

/* Whether each operand before the lengths carries time where the op expects it, and nowhere else. */
static bool carries_time(const step_context *c, const node *n, const recurrence *r)
{
    for (int i = 0; i < r->length && i < n->input_count; i++) {
        const time_fact *f = step_fact(c, n->inputs[i]);
        bool still = f->kind == TIME_STILL, along = f->kind == TIME_NOW && f->axis == r->time_axis;
        bool must = r->timed >> i & 1, may = must || r->either >> i & 1;
        if (n->inputs[i] != NONE && !(along && may) && !(still && !must))
            return false;
    }
    return true;
}

bool step_recurrence(step_context *c, const node *n, time_fact *facts)
{
    const recurrence *r = op_table[n->op].recurrence;
    const int state = op_table[n->op].state.operand, result = op_table[n->op].state.result;
    value_id inputs[MAX_INPUTS];
    int port;
    if (step_all_still(c, n))
        return step_refuse(c, n, facts);
    if (!carries_time(c, n, r))
        return step_fail(c, n, "%s", r->untimed);
    if (state < n->input_count && n->inputs[state] != NONE)
        return step_fail(c, n, "it has an initial state of its own");
    for (int i = 0; i < MAX_INPUTS; i++)
        inputs[i] = NONE;
    step_inputs(c, n, inputs);
    inputs[r->length] = c->count;
    inputs[state] = step_carry(c, graph_shape_of(c->from, n->first_output + result), RONDO_F32, 0, 0, &port);
    value_id out = inputs[state] == NONE ? NONE : graph_add(c->to, n->op, inputs, state + 1, n->attributes);
    step_carry_out(c, port, build_output(c->to, out, result));
    for (int o = 0; o < n->output_count; o++)
        facts[o] = o == result ? step_still : step_now(r->time_axis);
    return step_finish(c, n, out);
}
