/* The DSL's layers: products, shapes, masks, norms, tokens, dropout. Parameters are named after the
 * layer: NAME.weight and NAME.bias, in the current scope. */
#include "ops/dsl/dsl.h"
#include "ops/infer.h"
#include <stdio.h>
#include <string.h>

/* ---- products ---- */

rondo_value rondo_matmul_at(rondo_place place, rondo_value a, const rondo_matmul_options *options)
{
    rondo_matmul_options o;
    rondo_graph *g = dsl_start(place, "rondo_matmul", &a);
    bool good = g && dsl_options(g, "rondo_matmul", &o, sizeof o, options) &&
                dsl_operand(g, "rondo_matmul", "b", &o.b);
    return dsl_value(a.graph, good ? build_matmul(g, a.id, o.b.id, o.transpose_a, o.transpose_b) : NONE);
}

int64_t dsl_channels(rondo_graph *g, const char *function, value_id x)
{
    const shape *s = graph_shape_of(g, x);
    if (s->rank && dim_is_literal(s->dims[s->rank - 1]))
        return s->dims[s->rank - 1].factor;
    return graph_fail(g, RONDO_SHAPE, "%s of %s: the last extent sizes a parameter and must be a number",
                      function, shape_words(g, s));
}

value_id dsl_parameter(rondo_graph *g, const char *name, int64_t rows, int64_t columns)
{
    char full[DSL_TEXT_BYTES];
    shape s = {.rank = columns ? 2 : 1, .dims = {dim_number(rows), columns ? dim_number(columns) : (dim){0}}};
    return dsl_scoped(g, full, name) ? dsl_leaf(g, OP_parameter, full, RONDO_F32, &s) : NONE;
}

static value_id linear(rondo_graph *g, value_id x, const rondo_linear_options *o)
{
    int64_t channels = dsl_channels(g, "rondo_linear", x);
    if (o->width < 1)
        return graph_fail(g, RONDO_ARGUMENT, "rondo_linear: a width of %lld", (long long)o->width);
    if (channels < 0)
        return NONE;
    value_id weight = dsl_parameter(g, "weight", o->width, channels);
    if (weight != NONE && o->gain != 0)
        dsl_initial(g, weight, RONDO_XAVIER, dsl_decimal(o->gain));
    value_id y = build_matmul(g, x, weight, false, true);
    return o->no_bias ? y : build_add(g, y, dsl_parameter(g, "bias", o->width, 0));
}

rondo_value rondo_linear_at(rondo_place place, rondo_value x, const rondo_linear_options *options)
{
    rondo_linear_options o;
    rondo_graph *g = dsl_start(place, "rondo_linear", &x);
    if (!g || !dsl_options(g, "rondo_linear", &o, sizeof o, options))
        return dsl_value(x.graph, NONE);
    rondo_enter(g, "%s", o.name ? o.name : "linear");
    value_id y = graph_good(g) ? linear(g, x.id, &o) : NONE;
    rondo_leave(g);
    return dsl_value(g, y);
}

/* ---- shapes ---- */

typedef value_id build_shaped(rondo_graph *g, value_id x, const shape *s);

static rondo_value shaped(rondo_graph *g, const char *function, build_shaped *build, rondo_value x,
                          const char *format, va_list list)
{
    shape s;
    bool good = dsl_dims(g, function, &s, format, list);
    return dsl_value(g, good ? build(g, x.id, &s) : NONE);
}

rondo_value rondo_reshape_at(rondo_place place, rondo_value x, const char *dims, ...)
{
    rondo_graph *g = dsl_start(place, "rondo_reshape", &x);
    if (!g)
        return dsl_value(x.graph, NONE);
    va_list list;
    va_start(list, dims);
    rondo_value y = shaped(g, "rondo_reshape", build_reshape, x, dims, list);
    va_end(list);
    return y;
}

rondo_value rondo_broadcast_at(rondo_place place, rondo_value x, const char *dims, ...)
{
    rondo_graph *g = dsl_start(place, "rondo_broadcast", &x);
    if (!g)
        return dsl_value(x.graph, NONE);
    va_list list;
    va_start(list, dims);
    rondo_value y = shaped(g, "rondo_broadcast", build_broadcast, x, dims, list);
    va_end(list);
    return y;
}

rondo_value rondo_transpose_at(rondo_place place, rondo_value x, const char *order)
{
    char source[128];
    attribute attributes[MAX_ATTRIBUTES] = {0};
    rondo_graph *g = dsl_start(place, "rondo_transpose", &x);
    if (!g)
        return dsl_value(x.graph, NONE);
    int length = snprintf(source, sizeof source, "order=[%s]", order ? order : "");
    if (length < 0 || length >= (int)sizeof source)
        return dsl_value(g, graph_fail(g, RONDO_ARGUMENT,
                                       "rondo_transpose: an order names each axis once, like \"0,2,1,3\""));
    bool good = parse_attributes(g, OP_transpose, source, attributes);
    return dsl_value(g, good ? build_node(g, OP_transpose, 1, &x.id, attributes) : NONE);
}

rondo_value rondo_slice_at(rondo_place place, rondo_value x, int axis, int64_t start, int64_t length)
{
    rondo_graph *g = dsl_start(place, "rondo_slice", &x);
    return dsl_value(x.graph, g ? build_slice(g, x.id, axis, start, length) : NONE);
}

rondo_value rondo_concat_at(rondo_place place, rondo_value a, rondo_value b, int axis)
{
    rondo_graph *g = dsl_start(place, "rondo_concat", &a);
    if (!g || !dsl_operand(g, "rondo_concat", "b", &b))
        return dsl_value(a.graph, NONE);
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[concat_axis] = integer_attribute(axis);
    return dsl_value(g, build_node(g, OP_concat, 2, (value_id[]){a.id, b.id}, attributes));
}

rondo_value rondo_split_heads_at(rondo_place place, rondo_value x, int64_t heads)
{
    rondo_graph *g = dsl_start(place, "rondo_split_heads", &x);
    if (!g)
        return dsl_value(x.graph, NONE);
    shape s = *graph_shape_of(g, x.id);
    dim width;
    if (s.rank < 2 || s.rank == MAX_RANK || heads < 1 ||
        !dim_divide(s.dims[s.rank - 1], dim_number(heads), &width))
        return dsl_value(g, graph_fail(g, RONDO_SHAPE,
                                       "rondo_split_heads: %lld heads do not divide the last axis of %s",
                                       (long long)heads, shape_words(g, &s)));
    s.dims[s.rank - 1] = dim_number(heads);
    s.dims[s.rank++] = width;
    return dsl_value(g, build_swap(g, build_reshape(g, x.id, &s), -3, -2));
}

rondo_value rondo_merge_heads_at(rondo_place place, rondo_value x)
{
    rondo_graph *g = dsl_start(place, "rondo_merge_heads", &x);
    if (!g)
        return dsl_value(x.graph, NONE);
    shape s = *graph_shape_of(g, x.id);
    dim width;
    if (s.rank < 3 || !dim_multiply(s.dims[s.rank - 3], s.dims[s.rank - 1], &width))
        return dsl_value(
            g, graph_fail(g, RONDO_SHAPE, "rondo_merge_heads: %s is not [B,H,T,D]", shape_words(g, &s)));
    s.dims[s.rank - 3] = s.dims[s.rank - 2];
    s.dims[s.rank - 2] = width;
    s.dims[--s.rank] = (dim){0};
    return dsl_value(g, build_reshape(g, build_swap(g, x.id, -3, -2), &s));
}

/* ---- masks, softmax ---- */

rondo_value rondo_causal_mask_at(rondo_place place, rondo_value x, double fill)
{
    rondo_graph *g = dsl_start(place, "rondo_causal_mask", &x);
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[causal_mask_fill] = real_attribute(fill);
    return dsl_value(x.graph, g ? build_node(g, OP_causal_mask, 1, &x.id, attributes) : NONE);
}

rondo_value rondo_key_mask_at(rondo_place place, rondo_value x, rondo_value length, double fill)
{
    rondo_graph *g = dsl_start(place, "rondo_key_mask", &x);
    bool good = g && dsl_operand(g, "rondo_key_mask", "length", &length);
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[key_mask_fill] = real_attribute(fill);
    return dsl_value(x.graph,
                     good ? build_node(g, OP_key_mask, 2, (value_id[]){x.id, length.id}, attributes) : NONE);
}

rondo_value rondo_row_mask_at(rondo_place place, rondo_value x, rondo_value length)
{
    rondo_graph *g = dsl_start(place, "rondo_row_mask", &x);
    bool good = g && dsl_operand(g, "rondo_row_mask", "length", &length);
    return dsl_value(x.graph, good ? build_row_mask(g, x.id, length.id, -2, 0) : NONE);
}

rondo_value rondo_softmax_at(rondo_place place, rondo_value x)
{
    rondo_graph *g = dsl_start(place, "rondo_softmax", &x);
    return dsl_value(x.graph, g ? build_unary(g, OP_softmax, x.id) : NONE);
}

/* ---- norms ---- */

static value_id norm(rondo_graph *g, const char *function, op_id op, value_id x, double epsilon)
{
    int64_t channels = dsl_channels(g, function, x);
    if (channels < 0)
        return NONE;
    value_id inputs[3] = {x, dsl_parameter(g, "weight", channels, 0), NONE};
    if (op == OP_layer_norm)
        inputs[2] = dsl_parameter(g, "bias", channels, 0);
    return build_node(g, op, op == OP_layer_norm ? 3 : 2, inputs,
                      (attribute[MAX_ATTRIBUTES]){{.real = epsilon}});
}

static rondo_value norm_at(rondo_place place, const char *function, op_id op, rondo_value x,
                           const rondo_norm_options *options)
{
    rondo_norm_options o;
    rondo_graph *g = dsl_start(place, function, &x);
    if (!g || !dsl_options(g, function, &o, sizeof o, options))
        return dsl_value(x.graph, NONE);
    if (!(o.epsilon >= 0))
        return dsl_value(g,
                         graph_fail(g, RONDO_ARGUMENT, "%s: an epsilon of %g", function, (double)o.epsilon));
    rondo_enter(g, "%s", o.name ? o.name : "norm");
    value_id y =
        graph_good(g) ? norm(g, function, op, x.id, o.epsilon > 0 ? dsl_decimal(o.epsilon) : 1e-5) : NONE;
    rondo_leave(g);
    return dsl_value(g, y);
}

rondo_value rondo_layer_norm_at(rondo_place place, rondo_value x, const rondo_norm_options *options)
{
    return norm_at(place, "rondo_layer_norm", OP_layer_norm, x, options);
}

rondo_value rondo_rms_norm_at(rondo_place place, rondo_value x, const rondo_norm_options *options)
{
    return norm_at(place, "rondo_rms_norm", OP_rms_norm, x, options);
}

/* ---- tokens ---- */

rondo_value rondo_embed_at(rondo_place place, rondo_value table, rondo_value ids)
{
    rondo_graph *g = dsl_start(place, "rondo_embed", &table);
    bool good = g && dsl_operand(g, "rondo_embed", "ids", &ids);
    return dsl_value(table.graph,
                     good ? build_node(g, OP_embed, 2, (value_id[]){table.id, ids.id}, NULL) : NONE);
}

rondo_value rondo_positions_at(rondo_place place, rondo_value ids)
{
    rondo_graph *g = dsl_start(place, "rondo_positions", &ids);
    return dsl_value(ids.graph, g ? build_node(g, OP_positions, 1, &ids.id, NULL) : NONE);
}

rondo_value rondo_sinusoid_at(rondo_place place, rondo_value positions, int64_t width)
{
    rondo_graph *g = dsl_start(place, "rondo_sinusoid", &positions);
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[sinusoid_width] = integer_attribute(width);
    return dsl_value(positions.graph, g ? build_node(g, OP_sinusoid, 1, &positions.id, attributes) : NONE);
}

/* ---- dropout ---- */

bool dsl_random_site(rondo_graph *g, dim sentences, value_id inputs[2], int64_t *site)
{
    shape pair = {.rank = 1, .dims = {dim_number(2)}}, ids = {.rank = 1, .dims = {sentences}};
    inputs[0] = dsl_leaf(g, OP_input, "dropout.seed", RONDO_I32, &pair);
    inputs[1] = inputs[0] == NONE ? NONE : dsl_leaf(g, OP_input, "sentences", RONDO_I32, &ids);
    *site = g->site_count++;
    return inputs[1] != NONE;
}

static value_id dropout(rondo_graph *g, value_id x, double rate)
{
    const shape *of = graph_shape_of(g, x);
    if (of->rank < 3)
        return graph_fail(g, RONDO_SHAPE, "rondo_dropout of %s: it needs [B,T,D] or [B,...,T,D]",
                          shape_words(g, of));
    value_id inputs[3] = {x};
    int64_t site;
    if (!dsl_random_site(g, of->dims[0], inputs + 1, &site))
        return NONE;
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[dropout_rate] = real_attribute(rate);
    attributes[dropout_site] = integer_attribute(site);
    attributes[dropout_axis] = integer_attribute(-2);
    return build_node(g, OP_dropout, 3, inputs, attributes);
}

rondo_value rondo_dropout_at(rondo_place place, rondo_value x, float rate)
{
    rondo_graph *g = dsl_start(place, "rondo_dropout", &x);
    if (!g)
        return dsl_value(x.graph, NONE);
    if (!(rate >= 0 && rate < 1))
        return dsl_value(g, graph_fail(g, RONDO_ARGUMENT,
                                       "rondo_dropout: the rate %g must be at least 0 and below 1",
                                       (double)rate));
    return dsl_value(g, rate > 0 ? dropout(g, x.id, dsl_decimal(rate)) : x.id);
}
