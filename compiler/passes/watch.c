/* watch: a value whose gradient is asked for stays on the way to what is differentiated. Passes put scans,
 * attention or nothing at all in the place of nodes that they recognise; a value that only those nodes read
 * would have no gradient any more. So its readers get it through the op `watch`, an identity that no pass
 * recognises. A leaf needs none: whatever takes the place of its readers reads it too.
 *
 *   needs: a verified graph, before any pass that puts one node in the place of several
 *   gives: gradients are those of leaves and of watched values; simplify removes `watch` behind differentiate
 *   breaks: nothing */
#include "compiler/passes/passes.h"

static bool *find_asked(arena *a, const rondo_graph *g)
{
    bool *asked = ARENA_NEW(a, bool, g->value_count + 1);
    for (node_id id = 0; asked && id < g->node_count; id++) {
        const node *n = &g->nodes[id];
        if (n->op != OP_gradient)
            continue;
        int op = graph_op_of(g, n->inputs[1]);
        asked[n->inputs[1]] = op != OP_watch && !(op_table[op].flags & OP_LEAF);
    }
    return asked;
}

/* The label goes from the value to what its readers see. */
static bool watch_value(rewriter *r, value_id old)
{
    value_id plain = r->map[old], watched = build_unary(r->to, OP_watch, plain);
    if (watched == NONE)
        return false;
    r->to->values[watched].name = r->to->values[plain].name;
    r->to->values[plain].name = 0;
    r->map[old] = watched;
    return true;
}

rondo_graph *watch(const rondo_graph *g, value_id **map, rondo_error *error)
{
    rewriter r;
    if (!rewrite_begin(&r, g, error))
        return NULL;
    bool *asked = find_asked(&r.to->arena, g);
    bool good = asked || graph_refuse(r.to, RONDO_MEMORY, "out of memory for watch");
    for (node_id id = 0; good && id < g->node_count; id++) {
        good = graph_copy_node(r.to, g, id, r.map);
        for (int p = 0; good && p < g->nodes[id].output_count; p++)
            if (asked[g->nodes[id].first_output + p])
                good = watch_value(&r, g->nodes[id].first_output + p);
    }
    return rewrite_end(&r, map, error);
}
