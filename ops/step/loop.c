/* The step rule of loops: a loop over the new tokens, whose carries become ports. A sequence that has fewer
 * new tokens than others keeps its carries where it has none. */
#include "ops/loop.h"
#include "ops/rules.h"
#include "ops/step/step.h"

/* Is result `v` of the loop read by anything? */
static bool is_read(const rondo_graph *g, value_id v)
{
    for (node_id id = g->values[v].node + 1; id < g->node_count; id++)
        for (int i = 0; i < g->nodes[id].input_count; i++)
            if (g->nodes[id].inputs[i] == v)
                return true;
    for (int o = 0; o < g->output_count; o++)
        if (g->outputs[o].value == v)
            return true;
    return false;
}

/* Whether the loop goes over time and over nothing else; why not. */
static const char *obstacle(const step_context *c, const node *n, const loop_parts *p)
{
    for (int i = 0; i < n->input_count; i++) {
        const time_fact *f = step_fact(c, n->inputs[i]);
        loop_kind kind = loop_operand(p, i).kind;
        bool along = kind == LOOP_ROW || kind == LOOP_STACK;
        if (along && (f->kind != TIME_NOW || f->axis != 0))
            return "it goes over another axis than time";
        if (!along && f->kind != TIME_STILL)
            return "what a step finds, or reads at every step, depends on all of time";
    }
    if (p->reverse)
        return "it goes from the last token to the first";
    if (p->block)
        return "its body sees a block of tokens at once";
    for (int k = 0; k < p->carries; k++) {
        if (is_read(c->from, n->first_output + k))
            return "what the last step leaves is read, and that depends on later tokens";
        if (!step_batch_first(c, graph_shape_of(c->from, n->inputs[k])))
            return "what it carries has to have the sequences on its first axis";
    }
    return NULL;
}

/* ---- the body that may keep its carries ---- */

static rondo_graph *guarded_body(step_context *c, const loop_parts *p)
{
    const rondo_graph *body = p->body;
    rondo_graph *to = graph_new_like(body, NULL);
    value_id *map = to ? graph_map_new(to, body) : NULL;
    const shape batch = {.rank = 1, .dims = {dim_symbol(c->batch)}};
    shape inside = batch;
    if (!map || !graph_map_shape(to, c->to, &inside))
        return to;
    value_id alive = loop_add_leaf(to, (loop_place){LOOP_ROW, p->sequences}, RONDO_F32, &inside);
    for (node_id id = 0; id < body->node_count; id++)
        graph_copy_node(to, body, id, map);
    for (int i = 0; i < loop_output_count(p); i++) {
        value_id v = map[loop_made(p, i)];
        if (i < p->carries)
            v = loop_guard(to, alive, v, map[loop_leaf(p, i)]);
        loop_add_output(to, loop_result(p, i), v);
    }
    return to;
}

/* ---- the loop ---- */

/* What the first new token finds: the port, or where the sequence begins what the model says. */
static value_id carried(step_context *c, value_id start, int *port)
{
    const shape *s = graph_shape_of(c->from, start);
    rondo_type type = c->from->values[start].type;
    const node *n = graph_node_of(c->from, start);
    bool plain = n->op == OP_constant;
    double initial = plain ? n->attributes[constant_number].real : 0;
    value_id in = step_carry(c, s, type, 0, initial, port);
    if (plain || in == NONE)
        return in;
    value_id begins =
        build_binary(c->to, OP_equal, build_cast(c->to, c->position, RONDO_F32), build_number(c->to, 0));
    return loop_guard(c->to, begins, c->map[start], in);
}

bool step_loop(step_context *c, const node *n, time_fact *facts)
{
    loop_parts p;
    value_id inputs[MAX_INPUTS + 1];
    int ports[MAX_INPUTS];
    if (step_all_still(c, n)) {
        for (int o = 0; o < n->output_count; o++)
            facts[o] = step_still;
        return graph_copy_node(c->to, c->from, c->from->values[n->first_output].node, c->map);
    }
    loop_parts_of(c->from, n->attributes, n->input_count, &p);
    const char *why = obstacle(c, n, &p);
    if (why)
        return step_fail(c, n, "%s", why);
    if (n->input_count == MAX_INPUTS)
        return step_fail(c, n, "it has %d operands, and the decoder's needs one more", n->input_count);
    int at = 0;
    for (int i = 0; i < n->input_count; i++) {
        if (i == p.carries + p.sequences) {
            const shape rows = {2, {dim_symbol(c->batch), dim_symbol(c->step)}};
            inputs[at++] = loop_alive(c->to, &rows, c->count);
        }
        inputs[at++] = i < p.carries ? carried(c, n->inputs[i], &ports[i]) : c->map[n->inputs[i]];
    }
    if (at == n->input_count)
        inputs[at++] = loop_alive(c->to, &(shape){2, {dim_symbol(c->batch), dim_symbol(c->step)}}, c->count);
    loop_parts wider = p;
    wider.sequences++;
    const char *name = c->from->names[n->attributes[loop_body].integer];
    value_id first = graph_good(c->to) ? loop_build(c->to, name, guarded_body(c, &p), &wider, inputs) : NONE;
    for (int o = 0; first != NONE && o < n->output_count; o++) {
        facts[o] = o < p.carries ? step_still : step_now(0);
        if (o < p.carries)
            step_carry_out(c, ports[o], build_output(c->to, first, o));
    }
    return step_finish(c, n, first);
}
