/* The DSL's ops that move elements along an axis: backwards, around, by size, by ids. */
#include "ops/dsl/dsl.h"

rondo_value rondo_reverse_at(rondo_place place, rondo_value x, const rondo_reverse_options *options)
{
    static const char function[] = "rondo_reverse";
    rondo_reverse_options o;
    value_id length;
    rondo_graph *g = dsl_start(place, function, &x);
    bool good = g && dsl_options(g, function, &o, sizeof o, options) &&
                dsl_optional(g, function, "length", o.length, &length);
    return dsl_value(x.graph, good ? build_reverse(g, x.id, length, o.axis) : NONE);
}

rondo_value rondo_roll_at(rondo_place place, rondo_value x, int axis, int64_t shift)
{
    rondo_graph *g = dsl_start(place, "rondo_roll", &x);
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[roll_axis] = integer_attribute(axis);
    attributes[roll_shift] = integer_attribute(shift);
    return dsl_value(x.graph, g ? build_node(g, OP_roll, 1, &x.id, attributes) : NONE);
}

/* ---- by size ---- */

/* Result 1 of y, a node of g, as well. */
static rondo_value with_second(rondo_graph *g, value_id y, rondo_value *second)
{
    if (second)
        *second = dsl_value(g, build_output(g, y, 1));
    return dsl_value(g, y);
}

rondo_value rondo_sort_at(rondo_place place, rondo_value x, int axis, bool descending, rondo_value *ids)
{
    rondo_graph *g = dsl_start(place, "rondo_sort", &x);
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[sort_axis] = integer_attribute(axis);
    attributes[sort_descending] = integer_attribute(descending);
    return with_second(x.graph, g ? build_node(g, OP_sort, 1, &x.id, attributes) : NONE, ids);
}

rondo_value rondo_argsort_at(rondo_place place, rondo_value x, int axis, bool descending)
{
    rondo_value ids;
    rondo_sort_at(place, x, axis, descending, &ids);
    return ids;
}

rondo_value rondo_top_k_at(rondo_place place, rondo_value x, int64_t k, int axis, rondo_value *ids)
{
    rondo_graph *g = dsl_start(place, "rondo_top_k", &x);
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[top_k_axis] = integer_attribute(axis);
    attributes[top_k_k] = integer_attribute(k);
    return with_second(x.graph, g ? build_node(g, OP_top_k, 1, &x.id, attributes) : NONE, ids);
}

rondo_value rondo_nonzero_at(rondo_place place, rondo_value x, int axis, rondo_value *count)
{
    rondo_graph *g = dsl_start(place, "rondo_nonzero", &x);
    value_id ids =
        g ? build_node(g, OP_nonzero, 1, &x.id, (attribute[MAX_ATTRIBUTES]){{.integer = axis}}) : NONE;
    return with_second(x.graph, ids, count);
}

rondo_value rondo_argmax_at(rondo_place place, rondo_value x, const rondo_reduce_options *options)
{
    rondo_reduce_options o;
    rondo_graph *g = dsl_start(place, "rondo_argmax", &x);
    bool good = g && dsl_options(g, "rondo_argmax", &o, sizeof o, options);
    return dsl_value(x.graph, good ? build_reduce(g, OP_argmax, x.id, o.axis, o.keep) : NONE);
}

/* ---- by ids ---- */

rondo_value rondo_gather_at(rondo_place place, rondo_value x, rondo_value ids, int axis)
{
    rondo_graph *g = dsl_start(place, "rondo_gather", &x);
    bool good = g && dsl_operand(g, "rondo_gather", "ids", &ids);
    return dsl_value(x.graph, good ? build_gather(g, x.id, ids.id, axis) : NONE);
}

rondo_value rondo_scatter_at(rondo_place place, rondo_value x, rondo_value ids, int axis, const char *dims,
                             ...)
{
    shape s;
    rondo_graph *g = dsl_start(place, "rondo_scatter", &x);
    if (!g || !dsl_operand(g, "rondo_scatter", "ids", &ids))
        return dsl_value(x.graph, NONE);
    va_list list;
    va_start(list, dims);
    bool good = dsl_dims(g, "rondo_scatter", &s, dims, list);
    va_end(list);
    return dsl_value(g, good ? build_scatter(g, x.id, ids.id, axis, &s) : NONE);
}

rondo_value rondo_one_hot_at(rondo_place place, rondo_value ids, int64_t extent)
{
    rondo_graph *g = dsl_start(place, "rondo_one_hot", &ids);
    return dsl_value(
        ids.graph,
        g ? build_node(g, OP_one_hot, 1, &ids.id, (attribute[MAX_ATTRIBUTES]){{.integer = extent}}) : NONE);
}
