/* The basis of the DSL: leaves, outputs, elementwise ops, reductions, and any op by name. Layers are in
 * ops/dsl/layers.c. */
#include "ops/dsl/dsl.h"
#include "core/body.h"
#include "core/options.h"
#include "core/text/words.h"
#include "ops/infer.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what all calls share ---- */

rondo_graph *dsl_graph(rondo_place place, rondo_graph *graph)
{
    rondo_graph *g = graph && graph_good(graph) ? graph_innermost(graph) : NULL;
    if (!g || !graph_good(g))
        return NULL;
    g->file =
        place.file ? graph_intern(g, place.file) : NULL; /* a copy: the caller's text may be temporary */
    g->line = place.line;
    return graph_good(g) ? g : NULL;
}

/* Is `graph` g, or a graph around it? */
static bool surrounds(const rondo_graph *graph, const rondo_graph *g)
{
    while (g && g != graph)
        g = g->outer;
    return g;
}

bool dsl_operand(rondo_graph *g, const char *function, const char *what, rondo_value *y)
{
    if (!graph_good(g))
        return false;
    if (!y->graph)
        return graph_refuse(g, RONDO_ARGUMENT, "%s: %s is no value", function, what);
    if (!surrounds(y->graph, g))
        return graph_refuse(g, RONDO_ARGUMENT, "%s: %s belongs to another graph", function, what);
    if (y->id < 0 || y->id >= y->graph->value_count)
        return graph_refuse(g, RONDO_ARGUMENT, "%s: %s is not a value of this graph", function, what);
    *y = dsl_value(g, graph_capture_value(g, y->graph, y->id, OP_input));
    return y->id != NONE;
}

rondo_graph *dsl_start(rondo_place place, const char *function, rondo_value *x)
{
    rondo_graph *g = dsl_graph(place, x->graph);
    return g && dsl_operand(g, function, "its operand", x) ? g : NULL;
}

const char *dsl_format(rondo_graph *g, const char *function, char buffer[DSL_TEXT_BYTES], const char *format,
                       va_list list)
{
    int length = format ? vsnprintf(buffer, DSL_TEXT_BYTES, format, list) : -1;
    if (length >= 0 && length < DSL_TEXT_BYTES)
        return buffer;
    graph_fail(g, RONDO_ARGUMENT, "%s: a text is missing or longer than %d bytes", function,
               DSL_TEXT_BYTES - 1);
    return NULL;
}

bool dsl_dims(rondo_graph *g, const char *function, shape *s, const char *format, va_list list)
{
    char dims[DSL_TEXT_BYTES];
    rondo_type type;
    return dsl_format(g, function, dims, format, list) && parse_type(g, dims, false, &type, s);
}

bool dsl_optional(rondo_graph *g, const char *function, const char *what, rondo_value y, value_id *id)
{
    bool good = !y.graph || dsl_operand(g, function, what, &y);
    *id = good && y.graph ? y.id : NONE;
    return good;
}

const char *dsl_scoped(rondo_graph *g, char buffer[DSL_TEXT_BYTES], const char *name)
{
    const char *scope = g->names[g->scope];
    if (!name || !*name) {
        graph_fail(g, RONDO_ARGUMENT, "a name is missing");
        return NULL;
    }
    int length = snprintf(buffer, DSL_TEXT_BYTES, "%s%s%s", scope, *scope ? "." : "", name);
    if (length >= 0 && length < DSL_TEXT_BYTES)
        return buffer;
    graph_fail(g, RONDO_ARGUMENT, "the name %.40s… is longer than %d bytes with its scopes", name,
               DSL_TEXT_BYTES - 1);
    return NULL;
}

bool dsl_options(rondo_graph *g, const char *function, void *out, size_t size, const void *given)
{
    const char *wrong = options_read(out, size, given);
    return !wrong || graph_refuse(g, RONDO_ARGUMENT, "%s: %s", function, wrong);
}

double dsl_decimal(float number)
{
    char digits[40];
    for (int precision = 1; precision < 9; precision++) {
        snprintf(digits, sizeof digits, "%.*e", precision - 1, (double)number);
        double decimal = strtod(digits, NULL); /* whatever the locale, it is the same for both */
        if ((float)decimal == number)
            return decimal;
    }
    return number;
}

/* ---- leaves and outputs ---- */

static value_id known_leaf(rondo_graph *g, value_id known, const char *name, rondo_type type, const shape *s)
{
    const value *v = &g->values[known];
    if (v->type == type && shape_equal(&v->shape, s))
        return known;
    return graph_fail(g, RONDO_SHAPE, "%.120s is %s%s already, it cannot be %s%s too", name,
                      type_name(v->type), shape_words(g, &v->shape), type_name(type), shape_words(g, s));
}

/* The leaf is one of the graph around the body, which reads it as a constant. */
static value_id outer_leaf(rondo_graph *body, op_id op, const char *name, rondo_type type, const shape *s)
{
    shape outside = *s;
    bool good = graph_map_shape(body->outer, body, &outside);
    value_id leaf = good ? dsl_leaf(body->outer, op, name, type, &outside) : NONE;
    return leaf == NONE ? NONE : graph_capture_value(body, body->outer, leaf, OP_input);
}

value_id dsl_leaf(rondo_graph *g, op_id op, const char *name, rondo_type type, const shape *s)
{
    if (g->outer)
        return outer_leaf(g, op, name, type, s);
    value_id known = graph_find_leaf(g, op, name),
             other = graph_find_leaf(g, op == OP_input ? OP_parameter : OP_input, name);
    if (other != NONE)
        return graph_fail(g, RONDO_ARGUMENT, "%.120s is both an input and a parameter", name);
    return known != NONE ? known_leaf(g, known, name, type, s) : build_leaf(g, op, name, type, s);
}

static rondo_value named_leaf(rondo_graph *g, const char *function, op_id op, const char *name,
                              const char *format, va_list list)
{
    char type_text[DSL_TEXT_BYTES], full[DSL_TEXT_BYTES];
    rondo_type type;
    shape s;
    if (!dsl_format(g, function, type_text, format, list) || !parse_type(g, type_text, true, &type, &s) ||
        !dsl_scoped(g, full, name))
        return dsl_value(g, NONE);
    return dsl_value(g, dsl_leaf(g, op, full, type, &s));
}

rondo_value rondo_input_at(rondo_place place, rondo_graph *graph, const char *name, const char *type, ...)
{
    rondo_graph *g = dsl_graph(place, graph);
    if (!g)
        return dsl_value(graph, NONE);
    va_list list;
    va_start(list, type);
    rondo_value v = named_leaf(g, "rondo_input", OP_input, name, type, list);
    va_end(list);
    return v;
}

rondo_value rondo_parameter_at(rondo_place place, rondo_graph *graph, const char *name, const char *type, ...)
{
    rondo_graph *g = dsl_graph(place, graph);
    if (!g)
        return dsl_value(graph, NONE);
    va_list list;
    va_start(list, type);
    rondo_value v = named_leaf(g, "rondo_parameter", OP_parameter, name, type, list);
    va_end(list);
    if (v.id == NONE)
        return v;
    const shape *s = graph_shape_of(g, v.id);
    for (int i = 0; i < s->rank; i++)
        if (!dim_is_literal(s->dims[i]))
            return dsl_value(
                g, graph_fail(g, RONDO_SHAPE,
                              "the parameter %.120s has a symbol in its type; its extents must be numbers",
                              name));
    return v;
}

/* What a body reads as a constant, outside of all bodies. */
static rondo_value outermost(rondo_value v)
{
    for (bool found = true; found && v.graph && v.graph->outer;) {
        found = false;
        for (int i = 0; i < v.graph->capture_count && !found; i++)
            if (v.graph->captures[i].inner == v.id) {
                v = dsl_value(v.graph->outer, v.graph->captures[i].outer);
                found = true;
            }
    }
    return v;
}

value_id dsl_initial(rondo_graph *g, value_id parameter, rondo_initial kind, double scale)
{
    rondo_value p = outermost(dsl_value(g, parameter));
    return parameter != NONE && graph_add_initial(p.graph, p.id, kind, scale) >= 0 ? parameter : NONE;
}

/* The graph of a parameter; NULL: it is not a parameter, or the graph has failed. */
static rondo_graph *parameter_graph(const char *function, rondo_value *given)
{
    rondo_value parameter = *given = outermost(*given);
    rondo_graph *g = parameter.graph;
    if (!g || !graph_good(g) || !dsl_operand(g, function, "its operand", &parameter))
        return NULL;
    if (graph_op_of(g, parameter.id) == OP_parameter)
        return g;
    graph_fail(g, RONDO_ARGUMENT, "%s: only a parameter has initial numbers, not the result of %s", function,
               op_table[graph_op_of(g, parameter.id)].signature.name);
    return NULL;
}

rondo_value rondo_initialize(rondo_value parameter, rondo_initial kind, double scale)
{
    rondo_value given = parameter;
    rondo_graph *g = parameter_graph("rondo_initialize", &parameter);
    bool good = g && graph_add_initial(g, parameter.id, kind, scale) >= 0;
    return dsl_value(given.graph, good ? given.id : NONE);
}

rondo_value rondo_freeze(rondo_value parameter)
{
    rondo_value given = parameter;
    rondo_graph *g = parameter_graph("rondo_freeze", &parameter);
    if (g)
        g->nodes[g->values[parameter.id].node].attributes[parameter_frozen].integer = 1;
    return dsl_value(given.graph, g ? given.id : NONE);
}

void rondo_output(rondo_value v, const char *name)
{
    char full[DSL_TEXT_BYTES];
    rondo_graph *g = v.graph;
    if (g && graph_good(g) && g->outer)
        graph_fail(g, RONDO_ARGUMENT, "rondo_output inside a loop: make the value a result of the loop");
    if (g && graph_good(g) && dsl_operand(g, "rondo_output", "its operand", &v) && dsl_scoped(g, full, name))
        graph_add_output(g, full, v.id);
}

rondo_value rondo_graph_value(rondo_graph *graph, const char *name)
{
    for (value_id v = 0; graph && name && *name && v < graph->value_count; v++)
        if (!strcmp(graph->names[graph->values[v].name], name))
            return dsl_value(graph, v);
    return dsl_none();
}

/* ---- any op by name ---- */

static void unknown_op(rondo_graph *g, const char *name)
{
    suggestion near = {.word = name};
    for (int op = 0; op < OP_COUNT; op++)
        if (!(op_table[op].flags & OP_LEAF))
            suggestion_offer(&near, op_table[op].signature.name);
    if (near.closest)
        graph_fail(g, RONDO_ARGUMENT, "rondo_apply: there is no op %.60s; did you mean %s?", name,
                   near.closest);
    else
        graph_fail(g, RONDO_ARGUMENT, "rondo_apply: there is no op %.60s", name);
}

static int op_by_name(rondo_graph *g, const char *name)
{
    int op = name ? op_find(name) : -1;
    if (op < 0)
        unknown_op(g, name ? name : "without a name");
    else if (op_table[op].flags & OP_LEAF)
        graph_fail(g, RONDO_ARGUMENT,
                   "rondo_apply: %s is made by rondo_input, rondo_parameter or the compiler", name);
    else
        return op;
    return -1;
}

rondo_value rondo_apply_at(rondo_place place, rondo_graph *graph, const char *op, const char *attributes,
                           int count, ...)
{
    rondo_graph *g = dsl_graph(place, graph);
    int id = g ? op_by_name(g, op) : -1;
    if (id < 0)
        return dsl_value(graph, NONE);
    if (count < 0 || count > MAX_INPUTS)
        return dsl_value(g,
                         graph_fail(g, RONDO_ARGUMENT, "rondo_apply %s: %d operands; at most %d are possible",
                                    op, count, MAX_INPUTS));
    value_id inputs[MAX_INPUTS];
    attribute parsed[MAX_ATTRIBUTES] = {0};
    bool good = parse_attributes(g, id, attributes ? attributes : "", parsed);
    va_list list;
    va_start(list, count);
    for (int i = 0; i < count; i++) {
        rondo_value v = va_arg(list, rondo_value);
        good = good && (!v.graph || dsl_operand(g, op, "an operand", &v));
        inputs[i] = v.graph ? v.id : NONE; /* no value: an optional operand that is absent */
    }
    va_end(list);
    return dsl_value(g, good ? build_node(g, (op_id)id, count, inputs, parsed) : NONE);
}

/* ---- elementwise ---- */

static rondo_value unary(rondo_place place, const char *function, op_id op, rondo_value x)
{
    rondo_graph *g = dsl_start(place, function, &x);
    return dsl_value(x.graph, g ? build_unary(g, op, x.id) : NONE);
}

/* A call uses the graph of a, or that of b if a has none, so that the missing operand is reported there. */
static rondo_value binary(rondo_place place, const char *function, op_id op, rondo_value a, rondo_value b)
{
    rondo_graph *g = dsl_graph(place, a.graph ? a.graph : b.graph);
    bool good = g && dsl_operand(g, function, "its first operand", &a) &&
                dsl_operand(g, function, "its second operand", &b);
    return dsl_value(good ? g : a.graph ? a.graph : b.graph, good ? build_binary(g, op, a.id, b.id) : NONE);
}

#define DEFINE_UNARY(name)                                                                                   \
    rondo_value rondo_##name##_at(rondo_place place, rondo_value x)                                          \
    {                                                                                                        \
        return unary(place, "rondo_" #name, OP_##name, x);                                                   \
    }
#define DEFINE_BINARY(name)                                                                                  \
    rondo_value rondo_##name##_at(rondo_place place, rondo_value a, rondo_value b)                           \
    {                                                                                                        \
        return binary(place, "rondo_" #name, OP_##name, a, b);                                               \
    }
RONDO_UNARY_OPS(DEFINE_UNARY)
RONDO_BINARY_OPS(DEFINE_BINARY)

static rondo_value with_scalar(rondo_place place, const char *function, op_id op, rondo_value x,
                               double scalar)
{
    rondo_graph *g = dsl_start(place, function, &x);
    return dsl_value(x.graph, g ? build_binary(g, op, x.id, build_number(g, scalar)) : NONE);
}

rondo_value rondo_add_scalar_at(rondo_place place, rondo_value x, double scalar)
{
    return with_scalar(place, "rondo_add_scalar", OP_add, x, scalar);
}

rondo_value rondo_mul_scalar_at(rondo_place place, rondo_value x, double scalar)
{
    return with_scalar(place, "rondo_mul_scalar", OP_mul, x, scalar);
}

rondo_value rondo_select_at(rondo_place place, rondo_value condition, rondo_value a, rondo_value b)
{
    rondo_graph *g = dsl_start(place, "rondo_select", &condition);
    bool good = g && dsl_operand(g, "rondo_select", "a", &a) && dsl_operand(g, "rondo_select", "b", &b);
    return dsl_value(condition.graph, good ? build_select(g, condition.id, a.id, b.id) : NONE);
}

rondo_value rondo_constant_at(rondo_place place, rondo_graph *graph, double number, const char *format, ...)
{
    char type_text[DSL_TEXT_BYTES];
    rondo_type type;
    shape s;
    rondo_graph *g = dsl_graph(place, graph);
    if (!g)
        return dsl_value(graph, NONE);
    va_list list;
    va_start(list, format);
    bool good = dsl_format(g, "rondo_constant", type_text, format, list);
    va_end(list);
    return dsl_value(
        g, good && parse_type(g, type_text, true, &type, &s) ? build_constant(g, number, type, &s) : NONE);
}

/* ---- reductions ---- */

static rondo_value reduce(rondo_place place, const char *function, op_id op, rondo_value x,
                          const rondo_reduce_options *options)
{
    rondo_reduce_options o;
    rondo_graph *g = dsl_start(place, function, &x);
    bool good = g && dsl_options(g, function, &o, sizeof o, options);
    return dsl_value(x.graph, good ? build_reduce(g, op, x.id, o.axis, o.keep) : NONE);
}

rondo_value rondo_sum_at(rondo_place place, rondo_value x, const rondo_reduce_options *options)
{
    return reduce(place, "rondo_sum", OP_sum, x, options);
}

rondo_value rondo_mean_at(rondo_place place, rondo_value x, const rondo_reduce_options *options)
{
    return reduce(place, "rondo_mean", OP_mean, x, options);
}

rondo_value rondo_max_at(rondo_place place, rondo_value x, const rondo_reduce_options *options)
{
    return reduce(place, "rondo_max", OP_max, x, options);
}

rondo_value rondo_logsumexp_at(rondo_place place, rondo_value x, const rondo_reduce_options *options)
{
    return reduce(place, "rondo_logsumexp", OP_logsumexp, x, options);
}

rondo_value rondo_cumsum_at(rondo_place place, rondo_value x, int axis)
{
    rondo_graph *g = dsl_start(place, "rondo_cumsum", &x);
    return dsl_value(x.graph, g ? build_cumsum(g, x.id, axis, false, false) : NONE);
}
