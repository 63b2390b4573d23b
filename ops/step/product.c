/* Step rules of products over (t, s): matmul and attention append what runs along s to a cache. */
#include "ops/rules.h"
#include "ops/step/step.h"

/* The role of axis `axis` of an operand in the product: 'b'atch, 'r'ow or column of the result, or 'k',
 * summed. */
static char role(int axis, int rank, bool transposed, bool first)
{
    if (axis < rank - 2)
        return 'b';
    bool last = axis == rank - 1;
    return (last != transposed) == first ? 'k' : 'r';
}

bool step_matmul(step_context *c, const node *n, time_fact *facts)
{
    const time_fact *a = step_fact(c, n->inputs[0]), *b = step_fact(c, n->inputs[1]);
    bool ta = n->attributes[matmul_transpose_a].integer, tb = n->attributes[matmul_transpose_b].integer;
    int rank_a = graph_shape_of(c->from, n->inputs[0])->rank,
        rank_b = graph_shape_of(c->from, n->inputs[1])->rank;
    int rank = graph_shape_of(c->from, n->first_output)->rank;
    value_id inputs[MAX_INPUTS];
    step_inputs(c, n, inputs);
    facts[0] = step_still;
    if (step_all_still(c, n))
        return step_same(c, n);
    if (n->input_count > 2)
        return step_fail(c, n, "fused products come after streaming");
    if (step_joins(c, n, 0, ta ? rank_a - 2 : rank_a - 1) ||
        step_joins(c, n, 1, tb ? rank_b - 1 : rank_b - 2))
        return step_fail(c, n, "it combines sequences, which are at different tokens");
    char ra = a->kind == TIME_STILL ? 's' : role(a->axis, rank_a, ta, true);
    char rb = b->kind == TIME_STILL ? 's' : role(b->axis, rank_b, tb, false);
    if (a->kind == TIME_PAIR || b->kind == TIME_PAIR) {
        if (a->kind != TIME_PAIR || b->kind != TIME_NOW || ra != 'r' ||
            role(a->key_axis, rank_a, ta, true) != 'k' || rb != 'k')
            return step_fail(c, n, "one operand carries time twice and the other does not carry s");
        if (!a->causal || a->fill != 0)
            return step_fail(c, n,
                             "it sums over s without a causal mask before it, so a row sees later tokens");
        inputs[1] = step_append(c, inputs[1], b->axis);
        facts[0] = step_now(rank - 2);
        return inputs[1] != NONE && step_build(c, n, inputs, NULL, 0);
    }
    if (ra == 'k' || rb == 'k')
        return step_fail(c, n, "it sums over time, so it needs later tokens");
    if (ra == 'r' && rb == 'r') {
        inputs[1] = step_append(c, inputs[1], b->axis);
        facts[0] = (time_fact){TIME_PAIR, rank - 2, rank - 1, false, 0};
        return inputs[1] != NONE && step_build(c, n, inputs, NULL, 0);
    }
    if ((ra == 'b' && rb == 'r') || (ra == 'r' && rb == 'b') ||
        (ra == 'b' && rb == 'b' && a->axis - rank_a != b->axis - rank_b))
        return step_fail(c, n, "its operands' time axes do not line up");
    int axis = ra == 'r'   ? rank - 2
               : rb == 'r' ? rank - 1
               : ra == 'b' ? a->axis + rank - rank_a
                           : b->axis + rank - rank_b;
    facts[0] = step_now(axis);
    return step_build(c, n, inputs, NULL, 0);
}

bool step_attention(step_context *c, const node *n, time_fact *facts)
{
    value_id inputs[MAX_INPUTS];
    step_inputs(c, n, inputs);
    const time_fact *q = step_fact(c, n->inputs[0]), *k = step_fact(c, n->inputs[1]),
                    *v = step_fact(c, n->inputs[2]);
    for (int o = 0; o < 2; o++)
        facts[o] = *q;
    if (k->kind == TIME_STILL && v->kind == TIME_STILL) {
        if (n->attributes[attention_causal].integer && q->kind != TIME_STILL)
            return step_fail(c, n, "it is causal over keys that do not depend on time");
        return q->kind == TIME_STILL || (q->kind == TIME_NOW && q->axis == 2)
                   ? step_same(c, n)
                   : step_fail(c, n, "its queries' time axis is not the third");
    }
    if (n->input_count > 4 && n->inputs[4] != NONE)
        return step_fail(c, n, "it has an offset of its own");
    if (!n->attributes[attention_causal].integer)
        return step_fail(c, n, "it attends to later tokens (no causal mask)");
    if (q->kind != TIME_NOW || k->kind != TIME_NOW || v->kind != TIME_NOW || q->axis != 2 || k->axis != 2 ||
        v->axis != 2)
        return step_fail(c, n, "queries, keys and values must carry time on their third axis");
    inputs[1] = step_append(c, inputs[1], 2);
    inputs[2] = step_append(c, inputs[2], 2);
    inputs[3] = c->filled;
    inputs[4] = c->position;
    if (inputs[1] == NONE || inputs[2] == NONE)
        return false;
    return step_finish(c, n, graph_add(c->to, n->op, inputs, 5, n->attributes));
}
