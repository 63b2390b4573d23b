/* Gradients as values of the graph, and what they leave out. */
#include "ops/dsl/dsl.h"

bool rondo_gradient_at(rondo_place place, rondo_value scalar, const rondo_value *wrt, size_t count,
                       rondo_value *out)
{
    rondo_graph *g = dsl_start(place, "rondo_gradient", &scalar);
    for (size_t i = 0; i < count; i++) {
        rondo_value by = wrt[i];
        bool good = g && dsl_operand(g, "rondo_gradient", "what to differentiate by", &by);
        out[i] = dsl_value(scalar.graph, good ? build_binary(g, OP_gradient, scalar.id, by.id) : NONE);
        g = out[i].id == NONE ? NULL : g;
    }
    return g && graph_good(g);
}

rondo_value rondo_stop_gradient_at(rondo_place place, rondo_value x)
{
    rondo_graph *g = dsl_start(place, "rondo_stop_gradient", &x);
    return dsl_value(x.graph, g ? build_unary(g, OP_stop_gradient, x.id) : NONE);
}
