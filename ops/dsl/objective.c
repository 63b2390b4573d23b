/* What a graph is trained on, and what is reported beside it. */
#include "ops/dsl/dsl.h"
#include "ops/objective.h"
#include <string.h>

static bool is_new(rondo_graph *g, const char *function, const char *name)
{
    char place[PLACE_BYTES];
    for (node_id id = 0; id < g->node_count; id++)
        if (g->nodes[id].op == OP_objective &&
            !strcmp(g->names[g->nodes[id].attributes[objective_name].integer], name))
            return graph_refuse(g, RONDO_ARGUMENT,
                                "%s: %s is already the name of an objective or a metric, at %s", function,
                                name, graph_place(g, id, place));
    return true;
}

value_id dsl_objective(rondo_graph *g, const char *function, const char *name, value_id sum, value_id count,
                       double weight)
{
    char full[DSL_TEXT_BYTES];
    const char *scoped = sum == NONE ? NULL : dsl_scoped(g, full, name);
    if (!scoped || !is_new(g, function, scoped))
        return NONE;
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[objective_name] = integer_attribute(graph_name(g, scoped));
    attributes[objective_weight] = real_attribute(weight);
    value_id inputs[2] = {sum, count == NONE ? objective_count_of(g, sum) : count};
    return build_node(g, OP_objective, inputs[1] == NONE ? 1 : 2, inputs, attributes);
}

rondo_value rondo_objective_at(rondo_place place, rondo_value sum, const rondo_objective_options *options)
{
    rondo_objective_options o;
    rondo_graph *g = dsl_start(place, "rondo_objective", &sum);
    if (!g || !dsl_options(g, "rondo_objective", &o, sizeof o, options) ||
        (o.count.graph && !dsl_operand(g, "rondo_objective", "count", &o.count)))
        return dsl_value(sum.graph, NONE);
    return dsl_value(g, dsl_objective(g, "rondo_objective", o.name, sum.id, o.count.graph ? o.count.id : NONE,
                                      o.weight != 0 ? dsl_decimal(o.weight) : 1));
}

rondo_value rondo_metric_at(rondo_place place, rondo_value sum, rondo_value count, const char *name)
{
    rondo_graph *g = dsl_start(place, "rondo_metric", &sum);
    if (!g || (count.graph && !dsl_operand(g, "rondo_metric", "count", &count)))
        return dsl_value(sum.graph, NONE);
    return dsl_value(g, dsl_objective(g, "rondo_metric", name, sum.id, count.graph ? count.id : NONE, 0));
}

rondo_value rondo_count_at(rondo_place place, rondo_value sum)
{
    rondo_graph *g = dsl_start(place, "rondo_count", &sum);
    value_id count = g ? objective_count_of(g, sum.id) : NONE;
    if (g && count == NONE)
        graph_fail(g, RONDO_ARGUMENT,
                   "rondo_count: %s counts nothing; give the sum that a loss of rondo.h returned",
                   op_table[graph_op_of(g, sum.id)].signature.name);
    return dsl_value(sum.graph, count);
}
