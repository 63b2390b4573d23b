/* extract: a part of a graph as a graph.
 *
 *   needs: a verified graph     gives: only what the chosen values need     breaks: outputs that were not chosen */
#include "compiler/passes.h"

rondo_graph *extract(const rondo_graph *g, const value_id *values, const char *const *names, int count,
                     bool keep_ports, value_id **map, rondo_error *error)
{
    rewriter r;
    if (!rewrite_begin(&r, g, error))
        return NULL;
    for (node_id id = 0; id < g->node_count; id++)
        graph_copy_node(r.to, g, id, r.map);
    graph_copy_ends(r.to, g, r.map);
    r.to->output_count = 0;
    if (!keep_ports)
        r.to->port_count = 0;
    for (int i = 0; i < count; i++)
        graph_add_output(r.to, names[i], r.map[values[i]]);
    rondo_graph *clean = NULL;
    value_id *second = NULL;
    if (r.to->error.code)
        fail(error, r.to->error.code, "%s", r.to->error.message);
    else
        clean = graph_clean(r.to, &second, error);
    if (clean && map) {
        *map = graph_map_new(clean, g);
        for (value_id v = 0; *map && v < g->value_count; v++)
            (*map)[v] = r.map[v] == NONE ? NONE : second[r.map[v]];
        if (!*map) {
            fail_memory(error, sizeof(value_id) * (size_t)g->value_count, "a pass");
            graph_free(clean);
            clean = NULL;
        }
    }
    graph_free(r.to);
    return clean;
}
