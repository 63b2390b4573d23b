/* extract: a part of a graph as a graph of its own.
 *
 *   needs: a verified graph
 *   gives: only what the chosen values need
 *   breaks: outputs that were not chosen */
#include "compiler/passes/passes.h"

rondo_graph *extract(const rondo_graph *g, const value_id *values, const char *const *names, int count,
                     bool keep_ports, value_id **map, rondo_error *error)
{
    rewriter r;
    if (!rewrite_copy(&r, g, error))
        return NULL;
    r.to->output_count = 0;
    if (!keep_ports)
        r.to->port_count = 0;
    for (int i = 0; i < count; i++)
        graph_add_output(r.to, names[i], r.map[values[i]]);
    return rewrite_clean(&r, map, error);
}
