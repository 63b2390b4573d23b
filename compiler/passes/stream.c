/* stream: makes the graph that advances a state by P tokens from the parallel graph, by the step rules of its
 * ops alone.
 *
 *   needs: evaluation form, one time symbol, its batch symbol on the first axis of what carries it
 *   gives: the same outputs over P new tokens, with state ports; P = 1 is the step, P = n a prefill
 *   breaks: vjp through ports (differentiate first) */
#include "compiler/passes/stream.h"
#include <string.h>

/* The batch: first axis of the inputs that carry time. */
static bool find_batch(step_context *c)
{
    const rondo_graph *g = c->from;
    for (node_id id = 0; id < g->node_count; id++) {
        const node *n = &g->nodes[id];
        const shape *s = graph_shape_of(g, n->first_output);
        bool timed = false;
        for (int a = 0; a < s->rank; a++)
            timed = timed || dim_has(s->dims[a], c->time);
        if (n->op != OP_input || !timed)
            continue;
        c->batch = s->rank > 1 ? dim_only_symbol(s->dims[0]) : -1;
        if (c->batch < 0 || c->batch == c->time) {
            graph_at(c->to, g, id);
            return graph_refuse(c->to, RONDO_NOT_CAUSAL,
                                "input \"%s\" carries %s but no batch symbol on its first axis",
                                g->names[n->attributes[input_name].integer], g->symbols[c->time]);
        }
        return true;
    }
    return graph_refuse(c->to, RONDO_NOT_CAUSAL, "no input carries the time symbol %s", g->symbols[c->time]);
}

/* position is a port like any other; f32 counts tokens exactly up to 2^24. */
static bool begin_position(step_context *c)
{
    rondo_graph *g = c->to;
    shape s = {.rank = 1};
    s.dims[0] = dim_symbol(c->batch);
    c->position = build_leaf(g, OP_state, "position", RONDO_I32, &s);
    c->count = build_leaf(g, OP_input, "count", RONDO_I32, &s);
    value_id sum = build_add(g, build_cast(g, c->position, RONDO_F32), build_cast(g, c->count, RONDO_F32));
    c->filled = build_cast(g, sum, RONDO_I32);
    return c->filled != NONE &&
           graph_add_port(g, "position", c->position, c->filled, PORT_CARRY, 0, -1, 0) >= 0;
}

static bool walk(step_context *c, time_fact *facts)
{
    for (node_id id = 0; id < c->from->node_count && graph_good(c->to); id++) {
        const node *n = &c->from->nodes[id];
        graph_at(c->to, c->from, id);
        if (!op_table[n->op].step(c, n, &facts[n->first_output]))
            graph_fail(c->to, RONDO_NOT_CAUSAL, "%s has no step form", op_table[n->op].signature.name);
    }
    return graph_good(c->to);
}

static bool finish(step_context *c)
{
    const rondo_graph *g = c->from;
    for (int o = 0; o < g->output_count; o++)
        if (c->facts[g->outputs[o].value].kind == TIME_PAIR)
            return graph_refuse(c->to, RONDO_NOT_CAUSAL, "output %s carries the time axis twice",
                                g->names[g->outputs[o].name]);
    for (int o = 0; o < g->output_count; o++)
        graph_add_output(c->to, g->names[g->outputs[o].name], c->map[g->outputs[o].value]);
    return graph_good(c->to);
}

/* Checked before the step rules: an op that a gradient depends on may sum over all of time, and would refuse
 * for that reason. */
static bool check_gradients(step_context *c)
{
    for (node_id id = 0; id < c->from->node_count; id++)
        if (c->from->nodes[id].op == OP_gradient)
            return step_fail(c, &c->from->nodes[id],
                             "a decoder computes no gradients, a rondo_function does");
    return true;
}

rondo_graph *stream(const rondo_graph *g, const char *time, rondo_error *error)
{
    rewriter r;
    if (!rewrite_begin(&r, g, error))
        return NULL;
    time_fact *facts = ARENA_NEW(&r.to->arena, time_fact, g->value_count + 1);
    step_context c = {
        .from = g, .to = r.to, .map = r.map, .facts = facts, .time = graph_find_symbol(g, time)};
    if (!facts)
        graph_fail(r.to, RONDO_MEMORY, "out of memory in stream");
    else if (c.time < 0)
        graph_fail(r.to, RONDO_ARGUMENT, "the graph has no symbol %s to advance along", time);
    else if (graph_find_symbol(g, STEP_SYMBOL) >= 0 || graph_find_symbol(g, CAPACITY_SYMBOL) >= 0)
        graph_fail(r.to, RONDO_ARGUMENT,
                   "the symbols " STEP_SYMBOL " and " CAPACITY_SYMBOL
                   " are the decoder's own: give those of the model other names");
    else if (g->port_count)
        graph_fail(r.to, RONDO_ARGUMENT, "the graph has state already; stream takes a parallel model");
    c.step = graph_symbol(r.to, STEP_SYMBOL);
    c.capacity = graph_symbol(r.to, CAPACITY_SYMBOL);
    if (graph_good(r.to) && check_gradients(&c) && find_batch(&c) && begin_position(&c) && walk(&c, facts))
        finish(&c);
    return rewrite_clean(&r, NULL, error);
}

/* ---- the last token only ---- */

/* The axis of the new tokens; 1, where logits have it, if there is none. */
static int new_token_axis(const rondo_graph *g, value_id v, int step)
{
    const shape *s = graph_shape_of(g, v);
    for (int i = 0; i < s->rank; i++)
        if (dim_only_symbol(s->dims[i]) == step)
            return i;
    return 1;
}

/* The value to gather instead of v: through products and elementwise ops whose other operands have no rows of
 * their own. */
static value_id narrow(rondo_graph *g, value_id v, value_id count, int step)
{
    node n = *graph_node_of(g, v);
    value_id inputs[MAX_INPUTS];
    memcpy(inputs, n.inputs, sizeof *inputs * (size_t)n.input_count);
    bool wide = n.op == OP_matmul && !n.attributes[matmul_transpose_a].integer && n.input_count == 2 &&
                graph_shape_of(g, inputs[0])->rank == 3 && graph_shape_of(g, inputs[1])->rank == 2;
    if (n.op == OP_add)
        wide = graph_shape_of(g, inputs[0])->rank == 3 && graph_shape_of(g, inputs[1])->rank == 1;
    if (wide && dim_only_symbol(graph_shape_of(g, inputs[0])->dims[1]) == step) {
        inputs[0] = narrow(g, inputs[0], count, step);
        return inputs[0] == NONE ? NONE : graph_add(g, n.op, inputs, n.input_count, n.attributes);
    }
    attribute attributes[MAX_ATTRIBUTES] = {{.integer = new_token_axis(g, v, step)}};
    return build_node(g, OP_last_row, 2, (value_id[]){v, count}, attributes);
}

rondo_graph *last_only(const rondo_graph *advance, const char *name, rondo_error *error)
{
    rewriter r;
    if (!rewrite_copy(&r, advance, error))
        return NULL;
    value_id count = graph_find_leaf(r.to, OP_input, "count");
    for (int o = 0; o < r.to->output_count; o++)
        if (!strcmp(r.to->names[r.to->outputs[o].name], name))
            r.to->outputs[o].value =
                narrow(r.to, r.to->outputs[o].value, count, graph_find_symbol(r.to, STEP_SYMBOL));
    return rewrite_clean(&r, NULL, error);
}
