/* The DSL's random numbers: three distributions, told apart by their op alone. */
#include "ops/dsl/dsl.h"

static value_id random_numbers(rondo_graph *g, op_id op, int axis, const shape *dims)
{
    value_id inputs[2];
    attribute attributes[MAX_ATTRIBUTES] = {0};
    if (dims->rank < 2)
        return graph_fail(g, RONDO_SHAPE, "%s: %d axes; it needs one of sentences and one more",
                          op_table[op].signature.name, dims->rank);
    if (!dsl_random_site(g, dims->dims[0], inputs, &attributes[random_uniform_site].integer))
        return NONE;
    attributes[random_uniform_axis] = integer_attribute(axis);
    attributes[random_uniform_dims].integer = graph_shape(g, dims);
    return build_node(g, op, 2, inputs, attributes);
}

#define DEFINE_RANDOM(name)                                                                                  \
    rondo_value rondo_##name##_at(rondo_place place, rondo_graph *graph, int axis, const char *dims, ...)    \
    {                                                                                                        \
        shape s;                                                                                             \
        rondo_graph *g = dsl_graph(place, graph);                                                            \
        if (!g)                                                                                              \
            return dsl_value(graph, NONE);                                                                   \
        va_list list;                                                                                        \
        va_start(list, dims);                                                                                \
        bool good = dsl_dims(g, "rondo_" #name, &s, dims, list);                                             \
        va_end(list);                                                                                        \
        return dsl_value(g, good ? random_numbers(g, OP_##name, axis, &s) : NONE);                           \
    }
DEFINE_RANDOM(random_uniform)
DEFINE_RANDOM(random_normal)
DEFINE_RANDOM(random_gumbel)
