/* differentiate: walks the copy backwards from the loss and lets each op add its part.
 *
 *   needs: a verified graph, before `fuse` (chains have no gradient)
 *   gives: the gradients behind the old nodes, each at the scope and line of the node that it belongs to
 *   breaks: nothing; old values, ports and outputs stay */
#include "autograd/differentiate.h"
#include "ops/build.h"
#include <string.h>

typedef struct walk {
    const rondo_graph *from;
    rondo_graph *to;
    value_id *map;       /* from → to */
    bool *needed;        /* of each value of `from`: does the result depend on a wrt through it? */
    value_id *gradients; /* of each value of `from`, in `to`; NONE: zero so far */
} walk;

/* ---- what needs a gradient ---- */

/* A value needs one if it is asked for, or is made from a value that needs one. Integers have none: what hangs on them alone
 * costs nothing. */
static void mark_needed(walk *w, const value_id *wrt, int count)
{
    const rondo_graph *g = w->from;
    for (int i = 0; i < count; i++)
        w->needed[wrt[i]] = true;
    for (node_id id = 0; id < g->node_count; id++) {
        const node *n = &g->nodes[id];
        bool any = false;
        for (int i = 0; i < n->input_count; i++)
            any = any || (n->inputs[i] != NONE && w->needed[n->inputs[i]]);
        for (int p = 0; any && p < n->output_count; p++)
            w->needed[n->first_output + p] = g->values[n->first_output + p].type == RONDO_F32;
    }
}

/* ---- one node back ---- */

/* Adds `part` to the gradient of value v. */
static bool accumulate(walk *w, const char *op, value_id v, value_id part)
{
    rondo_graph *to = w->to;
    if (part == NONE)
        return true;
    if (!shape_equal(graph_shape_of(to, part), graph_shape_of(to, w->map[v])))
        return graph_fail(to, RONDO_SHAPE, "the gradient that %s gives has another shape than its operand",
                          op),
               false;
    w->gradients[v] = w->gradients[v] == NONE ? part : build_add(to, w->gradients[v], part);
    return w->gradients[v] != NONE;
}

/* The node as its copy stands in `to`, with inputs of its own array: the copy's table moves while it grows. */
static node copied_node(const walk *w, const node *n, value_id inputs[MAX_INPUTS])
{
    node copy = *graph_node_of(w->to, w->map[n->first_output]);
    for (int i = 0; i < MAX_INPUTS; i++)
        inputs[i] = i < n->input_count && n->inputs[i] != NONE ? w->map[n->inputs[i]] : NONE;
    copy.inputs = inputs;
    return copy;
}

static bool step_back(walk *w, node_id id)
{
    const node *n = &w->from->nodes[id];
    value_id out_gradients[MAX_OUTPUTS], in_gradients[MAX_INPUTS], inputs[MAX_INPUTS];
    bool needs[MAX_INPUTS] = {false}, reached = false, any = false;
    for (int p = 0; p < MAX_OUTPUTS; p++) {
        out_gradients[p] = p < n->output_count ? w->gradients[n->first_output + p] : NONE;
        reached = reached || out_gradients[p] != NONE;
    }
    for (int i = 0; i < MAX_INPUTS; i++) {
        in_gradients[i] = NONE;
        needs[i] = i < n->input_count && n->inputs[i] != NONE && w->needed[n->inputs[i]];
        any = any || needs[i];
    }
    if (!reached || !any)
        return true;
    const char *name = op_table[n->op].signature.name;
    graph_at(w->to, w->from, id);
    if (!op_table[n->op].vjp)
        return graph_fail(w->to, RONDO_NO_GRADIENT,
                          "%s has no gradient, and the loss depends on a parameter through it", name),
               false;
    node copy = copied_node(w, n, inputs);
    if (!op_table[n->op].vjp(w->to, &copy, out_gradients, needs, in_gradients))
        return graph_fail(w->to, RONDO_NO_GRADIENT, "the gradient of %s cannot be built", name), false;
    for (int i = 0; i < n->input_count; i++)
        if (needs[i] && !accumulate(w, name, n->inputs[i], in_gradients[i]))
            return false;
    return true;
}

/* ---- the walk ---- */

static bool check_request(rondo_graph *to, const rondo_graph *g, value_id loss, const value_id *wrt,
                          int count)
{
    if (loss < 0 || loss >= g->value_count)
        return graph_fail(to, RONDO_ARGUMENT, "the loss is no value of the graph"), false;
    const value *v = &g->values[loss];
    bool single = v->type == RONDO_F32;
    for (int i = 0; i < v->shape.rank; i++)
        single = single && dim_is_number(v->shape.dims[i], 1);
    text t = {.arena = &to->arena};
    graph_at(to, g, v->node);
    if (!single)
        return graph_fail(to, RONDO_SHAPE, "the loss is %s%s, it must be one f32; sum it", type_name(v->type),
                          shape_text(&t, g, &v->shape) ? t.data : ""),
               false;
    for (int i = 0; i < count; i++)
        if (wrt[i] < 0 || wrt[i] >= g->value_count || g->values[wrt[i]].type != RONDO_F32)
            return graph_fail(to, RONDO_ARGUMENT,
                              "a gradient is asked for what is no f32 value of the graph"),
                   false;
    return true;
}

static bool copy_all(walk *w)
{
    for (node_id id = 0; id < w->from->node_count; id++)
        if (!graph_copy_node(w->to, w->from, id, w->map))
            return false;
    return graph_copy_ends(w->to, w->from, w->map);
}

static bool walk_back(walk *w, value_id loss, arena *scratch)
{
    const rondo_graph *g = w->from;
    w->gradients = ARENA_NEW(scratch, value_id, g->value_count);
    if (!w->gradients)
        return graph_fail(w->to, RONDO_MEMORY, "out of memory for the gradients of %d values",
                          g->value_count),
               false;
    for (value_id v = 0; v < g->value_count; v++)
        w->gradients[v] = NONE;
    if (!w->needed[loss])
        return true;
    graph_at(w->to, g, g->values[loss].node);
    w->gradients[loss] = build_constant(w->to, 1, RONDO_F32, graph_shape_of(w->to, w->map[loss]));
    for (node_id id = g->values[loss].node; id >= 0 && !w->to->error.code; id--)
        step_back(w, id);
    return !w->to->error.code;
}

static bool differentiate_into(walk *w, value_id loss, const value_id *wrt, int count, value_id *gradients,
                               arena *scratch)
{
    if (!check_request(w->to, w->from, loss, wrt, count) || !(w->map = graph_map_new(w->to, w->from)) ||
        !copy_all(w))
        return false;
    w->needed = ARENA_NEW(scratch, bool, w->from->value_count);
    if (!w->needed)
        return graph_fail(w->to, RONDO_MEMORY, "out of memory to differentiate %d values",
                          w->from->value_count),
               false;
    mark_needed(w, wrt, count);
    if (!walk_back(w, loss, scratch))
        return false;
    for (int i = 0; i < count; i++)
        gradients[i] = w->gradients[wrt[i]];
    w->to->scope = 0;
    w->to->file = NULL;
    w->to->line = 0;
    return true;
}

rondo_graph *differentiate(const rondo_graph *g, value_id loss, const value_id *wrt, int count,
                           value_id *gradients, rondo_error *error)
{
    walk w = {.from = g, .to = graph_new_like(g, error)};
    if (!w.to)
        return NULL;
    arena scratch;
    arena_begin(&scratch, &g->context->allocator);
    bool good = differentiate_into(&w, loss, wrt, count, gradients, &scratch);
    arena_end(&scratch);
    if (good && graph_check(w.to, error))
        return w.to;
    fail(error, w.to->error.code, "%s", w.to->error.message);
    graph_free(w.to);
    return NULL;
}

static bool add_outputs(rondo_graph *to, const rondo_graph *g, const value_id *wrt, int count,
                        const value_id *gradients)
{
    for (int i = 0; i < count; i++) {
        if (gradients[i] == NONE)
            continue;
        const char *name = g->names[graph_node_of(g, wrt[i])->attributes[parameter_name].integer];
        const char *label = arena_text(&to->arena, "gradient.%s", name);
        if (!label)
            return graph_fail(to, RONDO_MEMORY, "out of memory for the name of a gradient"), false;
        if (!graph_add_output(to, label, gradients[i]))
            return false;
    }
    return true;
}

static bool is_trained(const rondo_graph *g, const node *n)
{
    return n->op == OP_parameter && g->values[n->first_output].type == RONDO_F32 &&
           !n->attributes[parameter_frozen].integer;
}

rondo_graph *differentiate_parameters(const rondo_graph *g, value_id loss, rondo_error *error)
{
    if (!g || !graph_check(g, error))
        return NULL;
    arena scratch;
    arena_begin(&scratch, &g->context->allocator);
    value_id *wrt = ARENA_NEW(&scratch, value_id, g->node_count + 1),
             *gradients = ARENA_NEW(&scratch, value_id, g->node_count + 1);
    rondo_graph *to = NULL;
    int count = 0;
    for (node_id id = 0; wrt && id < g->node_count; id++)
        if (is_trained(g, &g->nodes[id]))
            wrt[count++] = g->nodes[id].first_output;
    if (!wrt || !gradients)
        fail(error, RONDO_MEMORY, "out of memory to differentiate a graph of %d nodes", g->node_count);
    else
        to = differentiate(g, loss, wrt, count, gradients, error);
    if (to && !add_outputs(to, g, wrt, count, gradients)) {
        fail(error, to->error.code, "%s", to->error.message);
        graph_free(to);
        to = NULL;
    }
    arena_end(&scratch);
    return to;
}
