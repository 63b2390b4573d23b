/* step for recurrences that are ops of their own: what they carry from row to row becomes a state port. */
#include "ops/rules.h"
#include "ops/step/step.h"

/* What the rule needs to know of a recurrent op. */
typedef struct recurrent_op {
    int time_axis;      /* of every operand that carries time, and of result 0 */
    unsigned timed;     /* operands that carry time, a bit each */
    int length, state;  /* operands */
    const char *reason; /* of a refusal */
    shape state_shape;
} recurrent_op;

static bool carries_time(const step_context *c, const node *n, const recurrent_op *r)
{
    for (int i = 0; i < r->length && i < n->input_count; i++) {
        const time_fact *f = step_fact(c, n->inputs[i]);
        bool moves = r->timed >> i & 1 && n->inputs[i] != NONE;
        if (moves ? f->kind != TIME_NOW || f->axis != r->time_axis : f->kind != TIME_STILL)
            return false;
    }
    return true;
}

static bool step_recurrence(step_context *c, const node *n, time_fact *facts, const recurrent_op *r)
{
    value_id inputs[MAX_INPUTS] = {NONE, NONE, NONE, NONE, NONE, NONE, NONE};
    int port;
    step_inputs(c, n, inputs);
    if (!carries_time(c, n, r))
        return step_fail(c, n, "%s", r->reason);
    if (n->input_count > r->state && n->inputs[r->state] != NONE)
        return step_fail(c, n, "it has an initial state of its own");
    inputs[r->length] = c->count;
    inputs[r->state] = step_carry(c, &r->state_shape, RONDO_F32, 0, 0, &port);
    value_id out =
        inputs[r->state] == NONE ? NONE : graph_add(c->to, n->op, inputs, r->state + 1, n->attributes);
    step_carry_out(c, port, build_output(c->to, out, 1));
    facts[0] = step_now(r->time_axis);
    facts[1] = step_still;
    return step_finish(c, n, out);
}

/* (q, k, v, β, log decay?, length?, state?), all with time on their third axis; the state is [B, H, Dk, Dv]. */
bool step_delta(step_context *c, const node *n, time_fact *facts)
{
    if (step_all_still(c, n))
        return step_refuse(c, n, facts);
    recurrent_op r = {.time_axis = 2,
                      .timed = 0x1f,
                      .length = 5,
                      .state = 6,
                      .reason = "its operands must carry time on their third axis",
                      .state_shape = *graph_shape_of(c->from, n->inputs[1])};
    r.state_shape.dims[2] = r.state_shape.dims[3];
    r.state_shape.dims[3] = graph_shape_of(c->from, n->inputs[2])->dims[3];
    return step_recurrence(c, n, facts, &r);
}

/* (x, weight, length?, state?), x with time on its second axis; the state is the K − 1 rows before. */
bool step_convolve(step_context *c, const node *n, time_fact *facts)
{
    if (step_all_still(c, n))
        return step_refuse(c, n, facts);
    recurrent_op r = {.time_axis = 1,
                      .timed = 1,
                      .length = 2,
                      .state = 3,
                      .reason = "its operand must carry time on its second axis, and its weights must not",
                      .state_shape = *graph_shape_of(c->from, n->inputs[0])};
    r.state_shape.dims[1] = dim_number(graph_shape_of(c->from, n->inputs[1])->dims[0].factor - 1);
    return step_recurrence(c, n, facts, &r);
}
