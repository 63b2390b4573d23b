/* differentiate: puts the graph of a gradient in the place of each `gradient` node. Nodes are copied in their
 * order. At the first gradient of a scalar, the copy is walked backwards from that scalar, once for all of
 * its gradients, and each op adds its part. A gradient of gradients comes after those, which have been
 * expanded by then, so its walk sees ordinary ops only.
 *
 *   needs: a verified graph, before `fuse` (chains have no gradient)
 *   gives: no `gradient` node; each new node is at the scope and line of the node that it belongs to
 *   breaks: nothing; other values, ports and outputs stay */
#include "autograd/differentiate.h"
#include "autograd/loop.h"
#include "ops/build.h"
#include <string.h>

/* Nodes first … last − 1 are the work of a walk. */
typedef struct stretch {
    node_id first, last;
} stretch;

/* A loop of `to`, and how it is differentiated. */
typedef struct kept_loop {
    node_id node;
    loop_gradient gradient;
} kept_loop;

typedef struct expansion {
    const rondo_graph *from;
    rondo_graph *to;
    value_id *map; /* from → to */
    arena *scratch;
    stretch *walks;
    int walk_count, walk_capacity;
    kept_loop *loops; /* those that keep what their gradient reads */
    int loop_count, loop_capacity;
} expansion;

/* One walk back through `to`, whose values may have a gradient if they were there when it began. */
typedef struct walk {
    expansion *e;
    rondo_graph *to;
    bool *needed;        /* by value: does the scalar depend on a wrt through it? */
    value_id *gradients; /* by value; NONE: zero so far */
} walk;

/* ---- what needs a gradient ---- */

/* Is an op's result a constant in every gradient, whatever it is made from? */
static bool is_constant(op_id op)
{
    return op_table[op].flags & OP_CONSTANT;
}

/* A value needs one if it is asked for, or is made from a value that needs one. Integers have none, nor has
 * what counts as a constant: what depends on them alone costs nothing. `needed` holds what is asked for. */
static void mark_needed(walk *w, node_id last)
{
    const rondo_graph *g = w->to;
    for (node_id id = 0; id <= last; id++) {
        const node *n = &g->nodes[id];
        bool any = false;
        for (int i = 0; i < n->input_count; i++)
            any = any || (n->inputs[i] != NONE && w->needed[n->inputs[i]]);
        if (is_constant(n->op))
            any = false;
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
    if (!shape_equal(graph_shape_of(to, part), graph_shape_of(to, v)))
        return graph_refuse(to, RONDO_SHAPE, "the gradient that %s gives has another shape than its operand",
                            op);
    w->gradients[v] = w->gradients[v] == NONE ? part : build_add(to, w->gradients[v], part);
    return w->gradients[v] != NONE;
}

static bool is_work_of_a_walk(const expansion *e, node_id id)
{
    for (int i = 0; i < e->walk_count; i++)
        if (id >= e->walks[i].first && id < e->walks[i].last)
            return true;
    return false;
}

static bool fail_without_gradient(const walk *w, node_id id)
{
    const char *name = op_table[w->to->nodes[id].op].signature.name;
    if (is_work_of_a_walk(w->e, id))
        graph_fail(
            w->to, RONDO_NO_GRADIENT,
            "%s has no gradient: it belongs to a gradient already, and this would be a second derivative",
            name);
    else
        graph_fail(w->to, RONDO_NO_GRADIENT,
                   "%s has no gradient, and a gradient that is asked for depends on it", name);
    return false;
}

static bool add_gradients(walk *w, const node *n, const bool *needs, const value_id *gradients)
{
    for (int i = 0; i < n->input_count; i++)
        if (needs[i] && !accumulate(w, op_table[n->op].signature.name, n->inputs[i], gradients[i]))
            return false;
    return true;
}

/* NULL: the node is no loop, or was made by a gradient. */
static kept_loop *find_loop(const expansion *e, node_id id)
{
    for (int i = 0; i < e->loop_count; i++)
        if (e->loops[i].node == id)
            return &e->loops[i];
    return NULL;
}

static bool step_back(walk *w, node_id id)
{
    node n = w->to->nodes[id]; /* copies: the tables move while they grow */
    value_id out_gradients[MAX_OUTPUTS], in_gradients[MAX_INPUTS];
    bool needs[MAX_INPUTS] = {false}, reached = false, any = false;
    for (int p = 0; p < MAX_OUTPUTS; p++) {
        out_gradients[p] = p < n.output_count ? w->gradients[n.first_output + p] : NONE;
        reached = reached || out_gradients[p] != NONE;
    }
    for (int i = 0; i < MAX_INPUTS; i++) {
        in_gradients[i] = NONE;
        needs[i] = i < n.input_count && n.inputs[i] != NONE && w->needed[n.inputs[i]];
        any = any || needs[i];
    }
    if (!reached || !any || is_constant(n.op))
        return true;
    const char *name = op_table[n.op].signature.name;
    graph_at(w->to, w->to, id);
    kept_loop *loop = find_loop(w->e, id);
    if (loop) {
        if (!loop_gradient_apply(w->to, id, &loop->gradient, out_gradients, needs, in_gradients))
            return graph_refuse(w->to, RONDO_NO_GRADIENT, "the gradient of a loop cannot be built");
        return add_gradients(w, &n, needs, in_gradients);
    }
    if (!op_table[n.op].vjp)
        return fail_without_gradient(w, id);
    if (!op_table[n.op].vjp(w->to, &n, out_gradients, needs, in_gradients))
        return graph_refuse(w->to, RONDO_NO_GRADIENT, "the gradient of %s cannot be built", name);
    return add_gradients(w, &n, needs, in_gradients);
}

/* ---- one scalar ---- */

static bool walk_back(walk *w, value_id scalar)
{
    expansion *e = w->e;
    node_id last = w->to->values[scalar].node, first_new = w->to->node_count;
    mark_needed(w, last);
    if (!w->needed[scalar])
        return true;
    graph_at(w->to, w->to, last);
    w->gradients[scalar] = build_constant(w->to, 1, RONDO_F32, graph_shape_of(w->to, scalar));
    for (node_id id = last; id >= 0 && graph_good(w->to); id--)
        step_back(w, id);
    if (!ARENA_PUSH(e->scratch, e->walks, e->walk_count, e->walk_capacity))
        return graph_refuse(w->to, RONDO_MEMORY, "out of memory for a gradient");
    e->walks[e->walk_count++] = (stretch){first_new, w->to->node_count};
    return graph_good(w->to);
}

static bool is_gradient_of(const node *n, value_id scalar)
{
    return n->op == OP_gradient && n->inputs[0] == scalar;
}

/* Replaces gradient node n, and takes over its label. */
static bool replace(expansion *e, const node *n, value_id by)
{
    rondo_graph *to = e->to;
    int label = e->from->values[n->first_output].name;
    if (by == NONE) {
        graph_at(to, e->from, e->from->values[n->first_output].node);
        by = build_constant(to, 0, RONDO_F32, graph_shape_of(to, e->map[n->inputs[1]]));
    }
    if (by != NONE && label && !to->values[by].name)
        to->values[by].name = graph_name(to, e->from->names[label]);
    e->map[n->first_output] = by;
    return graph_good(to);
}

/* All gradients of the scalar of node `first` to values before it; nothing can depend on the others. */
static bool expand_scalar(expansion *e, node_id first)
{
    const rondo_graph *from = e->from;
    value_id old = from->nodes[first].inputs[0], scalar = e->map[old];
    walk w = {.e = e, .to = e->to};
    int count = e->to->value_count;
    w.needed = ARENA_NEW(e->scratch, bool, count);
    w.gradients = ARENA_NEW(e->scratch, value_id, count);
    if (!w.needed || !w.gradients)
        return graph_refuse(e->to, RONDO_MEMORY, "out of memory for the gradients of %d values", count);
    for (value_id v = 0; v < count; v++)
        w.gradients[v] = NONE;
    for (node_id id = first; id < from->node_count; id++)
        if (is_gradient_of(&from->nodes[id], old) && from->nodes[id].inputs[1] <= old)
            w.needed[e->map[from->nodes[id].inputs[1]]] = true;
    if (!walk_back(&w, scalar))
        return false;
    for (node_id id = first; id < from->node_count; id++) {
        const node *n = &from->nodes[id];
        if (is_gradient_of(n, old) && n->inputs[1] <= old &&
            !replace(e, n, w.gradients[e->map[n->inputs[1]]]))
            return false;
    }
    return true;
}

static bool has_gradients(const rondo_graph *g, node_id after)
{
    for (node_id id = after; id < g->node_count; id++)
        if (g->nodes[id].op == OP_gradient)
            return true;
    return false;
}

/* Copies a loop so that it keeps what its gradient will read; the results come first as before. */
static bool copy_loop(expansion *e, node_id id)
{
    const node *n = &e->from->nodes[id];
    rondo_graph *keeping = NULL;
    graph_at(e->to, e->from, id);
    if (!ARENA_PUSH(e->scratch, e->loops, e->loop_count, e->loop_capacity))
        return graph_refuse(e->to, RONDO_MEMORY, "out of memory for the gradient of a loop");
    kept_loop *loop = &e->loops[e->loop_count];
    if (!loop_gradient_make(e->to, e->from, n, &loop->gradient, &keeping))
        return false;
    e->loop_count++;
    value_id inputs[MAX_INPUTS];
    for (int i = 0; i < n->input_count; i++)
        inputs[i] = e->map[n->inputs[i]];
    value_id first = loop_build(e->to, e->from->names[n->attributes[loop_body].integer], keeping,
                                &loop->gradient.forward, inputs);
    for (int o = 0; o < n->output_count; o++)
        e->map[n->first_output + o] = build_output(e->to, first, o);
    loop->node = first == NONE ? NONE : e->to->values[first].node;
    return first != NONE;
}

static bool expand_node(expansion *e, node_id id)
{
    const node *n = &e->from->nodes[id];
    if (n->op == OP_loop && has_gradients(e->from, id))
        return copy_loop(e, id);
    if (n->op != OP_gradient)
        return graph_copy_node(e->to, e->from, id, e->map);
    if (e->map[n->first_output] != NONE)
        return true;
    return n->inputs[1] > n->inputs[0] ? replace(e, n, NONE) : expand_scalar(e, id);
}

/* ---- the pass ---- */

static void expand_all(expansion *e)
{
    bool good = (e->map = graph_map_new(e->to, e->from)) != NULL;
    for (node_id id = 0; good && id < e->from->node_count; id++)
        good = expand_node(e, id);
    if (good)
        graph_copy_ends(e->to, e->from, e->map);
    e->to->scope = 0;
    e->to->file = NULL;
    e->to->line = 0;
}

rondo_graph *differentiate(const rondo_graph *g, value_id **map, rondo_error *error)
{
    expansion e = {.from = g, .to = graph_new_like(g, error)};
    arena scratch;
    if (!e.to)
        return NULL;
    arena_begin(&scratch, &g->context->allocator);
    e.scratch = &scratch;
    expand_all(&e);
    for (int i = 0; i < e.loop_count; i++)
        graph_free(e.loops[i].gradient.body);
    arena_end(&scratch);
    if (map)
        *map = e.map;
    if (graph_check(e.to, error))
        return e.to;
    graph_free(e.to);
    return NULL;
}

/* ---- gradients for a caller ---- */

static rondo_graph *copy_whole(const rondo_graph *g, rondo_error *error)
{
    rondo_graph *to = graph_new_like(g, error);
    value_id *map = to ? graph_map_new(to, g) : NULL;
    for (node_id id = 0; map && id < g->node_count; id++)
        graph_copy_node(to, g, id, map);
    if (map)
        graph_copy_ends(to, g, map);
    return to;
}

static value_id add_gradient(rondo_graph *g, value_id scalar, value_id wrt)
{
    graph_at(g, g, g->values[scalar].node);
    return build_binary(g, OP_gradient, scalar, wrt);
}

rondo_graph *differentiate_values(const rondo_graph *g, value_id scalar, const value_id *wrt, int count,
                                  value_id *gradients, rondo_error *error)
{
    rondo_graph *asked = copy_whole(g, error);
    value_id *map = NULL;
    for (int i = 0; asked && i < count; i++)
        gradients[i] = add_gradient(asked, scalar, wrt[i]);
    rondo_graph *to = asked && graph_check(asked, error) ? differentiate(asked, &map, error) : NULL;
    for (int i = 0; to && i < count; i++)
        gradients[i] = map[gradients[i]];
    graph_free(asked);
    return to;
}

static bool is_trained(const rondo_graph *g, const node *n)
{
    return n->op == OP_parameter && g->values[n->first_output].type == RONDO_F32 &&
           !n->attributes[parameter_frozen].integer;
}

/* reached: by node, zero; set for what `root` is made from. */
static void mark_reached(const rondo_graph *g, value_id root, bool *reached)
{
    reached[g->values[root].node] = true;
    for (node_id id = g->values[root].node; id >= 0; id--)
        for (int i = 0; reached[id] && i < g->nodes[id].input_count; i++)
            if (g->nodes[id].inputs[i] != NONE)
                reached[g->values[g->nodes[id].inputs[i]].node] = true;
}

static bool add_output(rondo_graph *g, value_id loss, const char *prefix, node_id parameter)
{
    const node *n = &g->nodes[parameter];
    const char *name =
        arena_text(&g->arena, "%sgradient.%s", prefix, g->names[n->attributes[parameter_name].integer]);
    if (!name)
        return graph_refuse(g, RONDO_MEMORY, "out of memory for the name of a gradient");
    value_id gradient = add_gradient(g, loss, n->first_output);
    return gradient != NONE && graph_add_output(g, name, gradient);
}

bool add_parameter_gradients(rondo_graph *g, value_id loss, const char *prefix, rondo_error *error)
{
    if (!graph_check(g, error))
        return false;
    node_id last = g->node_count;
    bool *reached = ARENA_NEW(&g->arena, bool, last + 1), good = reached != NULL;
    if (reached)
        mark_reached(g, loss, reached);
    else
        graph_fail(g, RONDO_MEMORY, "out of memory to differentiate a graph of %d nodes", last);
    for (node_id id = 0; good && id < last; id++)
        if (reached[id] && is_trained(g, &g->nodes[id]))
            good = add_output(g, loss, prefix, id);
    g->scope = 0;
    g->file = NULL;
    g->line = 0;
    return graph_check(g, error);
}
