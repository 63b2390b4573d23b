/* Adds up the ports of the step graph, with the extents of the session. */
#include "tools/graphs/state_bytes.h"

state_bytes state_bytes_of(const rondo_session *s)
{
    state_bytes sum = {0, 0};
    const rondo_graph *g = s->program->step->graph;
    for (int p = 0; p < g->port_count; p++) {
        const shape *dims = graph_shape_of(g, g->ports[p].in);
        double bytes = (double)type_bytes(g->values[g->ports[p].in].type) / (double)s->batch;
        for (int a = 0; a < dims->rank; a++)
            bytes *= (double)dim_value(dims->dims[a], s->bound);
        if (g->ports[p].kind == PORT_CARRY)
            sum.fixed += bytes;
        else if (g->ports[p].kind == PORT_APPEND)
            sum.a_token += bytes / (double)s->capacity;
    }
    return sum;
}
