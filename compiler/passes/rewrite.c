/* How a pass copies a graph: begin, one node after the other with a map, end. */
#include "compiler/passes/passes.h"
#include <string.h>

bool rewrite_begin(rewriter *r, const rondo_graph *from, rondo_error *error)
{
    *r = (rewriter){.from = from};
    if (!graph_check(from, error))
        return false;
    r->to = graph_new_like(from, error);
    r->map = r->to ? graph_map_new(r->to, from) : NULL;
    if (r->to && !r->map) {
        graph_free(r->to);
        r->to = NULL;
        return fail_memory(error, sizeof(value_id) * (size_t)from->value_count, "a pass");
    }
    return r->to != NULL;
}

bool rewrite_copy(rewriter *r, const rondo_graph *from, rondo_error *error)
{
    if (!rewrite_begin(r, from, error))
        return false;
    for (node_id id = 0; id < from->node_count; id++)
        graph_copy_node(r->to, from, id, r->map);
    graph_copy_ends(r->to, from, r->map);
    return true;
}

bool compose_maps(const rondo_graph *from, const value_id *first, const value_id *second, rondo_graph **to,
                  value_id **map, rondo_error *error)
{
    if (!map || !*to)
        return true;
    *map = graph_map_new(*to, from);
    for (value_id v = 0; *map && v < from->value_count; v++)
        (*map)[v] = first[v] == NONE ? NONE : second[first[v]];
    if (*map)
        return true;
    graph_free(*to);
    *to = NULL;
    return fail_memory(error, sizeof(value_id) * (size_t)from->value_count, "a map from old to new values");
}

rondo_graph *rewrite_clean(rewriter *r, value_id **map, rondo_error *error)
{
    value_id *second = NULL;
    rondo_graph *clean = graph_check(r->to, error) ? graph_clean(r->to, &second, error) : NULL;
    compose_maps(r->from, r->map, second, &clean, map, error);
    graph_free(r->to);
    r->to = NULL;
    return clean;
}

rondo_graph *rewrite_end(rewriter *r, value_id **map, rondo_error *error)
{
    graph_copy_ends(r->to, r->from, r->map);
    return rewrite_clean(r, map, error);
}

int *count_readers(arena *a, const rondo_graph *g)
{
    int *readers = ARENA_NEW(a, int, g->value_count + 1);
    if (!readers)
        return NULL;
    for (node_id id = 0; id < g->node_count; id++)
        for (int i = 0; i < g->nodes[id].input_count; i++)
            if (g->nodes[id].inputs[i] != NONE)
                readers[g->nodes[id].inputs[i]]++;
    for (int o = 0; o < g->output_count; o++)
        readers[g->outputs[o].value]++;
    for (int p = 0; p < g->port_count; p++)
        if (g->ports[p].out != NONE)
            readers[g->ports[p].out]++;
    return readers;
}

bool is_number(const rondo_graph *g, value_id v, double number)
{
    while (v != NONE && (graph_op_of(g, v) == OP_broadcast || graph_op_of(g, v) == OP_reshape ||
                         graph_op_of(g, v) == OP_transpose))
        v = graph_node_of(g, v)->inputs[0];
    return v != NONE && graph_op_of(g, v) == OP_constant &&
           graph_node_of(g, v)->attributes[constant_number].real == number;
}
