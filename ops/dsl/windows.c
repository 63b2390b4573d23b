/* The DSL's windows, and what is made of them: pooling reduces over their elements, a convolution is a
 * product over them. Axes between the first and the last are those of space or time. */
#include "ops/dsl/dsl.h"
#include "ops/infer.h"
#include <math.h>

/* ---- windows ---- */

/* False: there is no such padding. */
static bool layout_of(rondo_graph *g, const char *function, int64_t width, int64_t stride,
                      rondo_padding padding, double fill, window_layout *w)
{
    *w = (window_layout){width, stride, 0, 0, fill};
    if (width < 1 || stride < 1)
        return graph_refuse(g, RONDO_ARGUMENT, "%s: a width of %lld and a stride of %lld", function,
                            (long long)width, (long long)stride);
    if (padding == RONDO_CAUSAL) {
        w->before = width - 1;
    } else if (padding == RONDO_CENTRED) {
        w->before = (width - 1) / 2;
        w->after = width - 1 - w->before;
    } else if (padding != RONDO_UNPADDED) {
        return graph_refuse(g, RONDO_ARGUMENT, "%s: there is no padding %d", function, (int)padding);
    }
    return true;
}

rondo_value rondo_windows_at(rondo_place place, rondo_value x, int axis, const rondo_windows_options *options)
{
    static const char function[] = "rondo_windows";
    rondo_windows_options o;
    window_layout w;
    rondo_graph *g = dsl_start(place, function, &x);
    bool good = g && dsl_options(g, function, &o, sizeof o, options) &&
                layout_of(g, function, o.width, o.stride ? o.stride : 1, o.padding, dsl_decimal(o.fill), &w);
    return dsl_value(x.graph, good ? build_windows(g, x.id, axis, &w) : NONE);
}

/* The number of axes between the first and the last; 0: the graph failed. */
static int inner_axes(rondo_graph *g, const char *function, value_id x, rondo_padding padding)
{
    const shape *s = graph_shape_of(g, x);
    if (s->rank < 3)
        graph_fail(g, RONDO_SHAPE, "%s of %s: it needs [B,T,C] or [B,H,W,C]", function, shape_words(g, s));
    else if (padding == RONDO_CAUSAL && s->rank > 3)
        graph_fail(g, RONDO_ARGUMENT, "%s of %s: causal padding is for one axis, [B,T,C]", function,
                   shape_words(g, s));
    return graph_good(g) ? s->rank - 2 : 0;
}

/* ---- pooling ---- */

/* Axis after axis, which costs less than all windows at once. */
static rondo_value pool(rondo_place place, const char *function, op_id op, rondo_value x,
                        const rondo_windows_options *options)
{
    rondo_windows_options o;
    window_layout w;
    rondo_graph *g = dsl_start(place, function, &x);
    if (!g || !dsl_options(g, function, &o, sizeof o, options))
        return dsl_value(x.graph, NONE);
    int axes = inner_axes(g, function, x.id, o.padding);
    if (!axes || !layout_of(g, function, o.width, o.stride ? o.stride : o.width, o.padding,
                            op == OP_max ? -INFINITY : 0, &w))
        return dsl_value(g, NONE);
    value_id y = x.id;
    for (int axis = axes; axis > 0 && y != NONE; axis--)
        y = build_reduce(g, op, build_windows(g, y, axis, &w), axis + 1, false);
    return dsl_value(g, y);
}

rondo_value rondo_max_pool_at(rondo_place place, rondo_value x, const rondo_windows_options *options)
{
    return pool(place, "rondo_max_pool", OP_max, x, options);
}

rondo_value rondo_mean_pool_at(rondo_place place, rondo_value x, const rondo_windows_options *options)
{
    return pool(place, "rondo_mean_pool", OP_mean, x, options);
}

/* ---- convolution ---- */

/* [B, n, …, C] → [B, n', …, width · …, C]: the windows of all inner axes. */
static value_id patches(rondo_graph *g, value_id x, int axes, const window_layout *w)
{
    int order[MAX_RANK];
    for (int axis = axes; axis > 0 && x != NONE; axis--)
        x = build_windows(g, x, axis, w);
    if (x == NONE)
        return NONE;
    order[0] = 0;
    order[2 * axes + 1] = 2 * axes + 1;
    for (int i = 0; i < axes; i++) {
        order[1 + i] = 1 + 2 * i;
        order[1 + axes + i] = 2 + 2 * i;
    }
    value_id y = build_transpose(g, x, order);
    if (y == NONE)
        return NONE;
    shape s = *graph_shape_of(g, y);
    for (int i = 1; i < axes; i++)
        s.dims[1 + axes].factor *= w->width;
    s.dims[2 + axes] = s.dims[1 + 2 * axes];
    s.rank = axes + 3;
    for (int i = s.rank; i < MAX_RANK; i++)
        s.dims[i] = (dim){0};
    return build_reshape(g, y, &s);
}

static value_id conv_depthwise(rondo_graph *g, value_id x, int axes, const window_layout *w, value_id length,
                               int64_t taps, int64_t channels)
{
    value_id weight = dsl_taps(g, taps, channels);
    if (weight != NONE && axes == 1 && w->stride == 1 && w->before == w->width - 1)
        return build_node(g, OP_convolve, 3, (value_id[]){x, weight, length}, NULL);
    if (length != NONE)
        x = build_row_mask(g, x, length, 1, 0);
    return build_reduce(g, OP_sum, build_mul(g, patches(g, x, axes, w), weight), -2, false);
}

static value_id conv_full(rondo_graph *g, value_id x, const window_layout *w, value_id length,
                          int64_t columns, int64_t out)
{
    value_id weight = dsl_parameter(g, "weight", out, columns);
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[convolution_width] = integer_attribute(w->width);
    attributes[convolution_stride] = integer_attribute(w->stride);
    attributes[convolution_before] = integer_attribute(w->before);
    attributes[convolution_after] = integer_attribute(w->after);
    x = length == NONE ? x : build_row_mask(g, x, length, 1, 0);
    return x == NONE || weight == NONE
               ? NONE
               : build_node(g, OP_convolution, 2, (value_id[]){x, weight}, attributes);
}

static value_id conv(rondo_graph *g, const char *function, value_id x, const rondo_conv_options *o,
                     value_id length)
{
    window_layout w;
    int axes = inner_axes(g, function, x, o->padding);
    int64_t channels = axes ? dsl_channels(g, function, x) : -1, taps = 1,
            out = o->depthwise && !o->channels ? channels : o->channels;
    if (channels < 0 || !layout_of(g, function, o->width, o->stride ? o->stride : 1, o->padding, 0, &w))
        return NONE;
    for (int i = 0; i < axes; i++)
        if (__builtin_mul_overflow(taps, w.width, &taps) || taps > INT32_MAX / (channels + 1))
            return graph_fail(g, RONDO_ARGUMENT, "%s: a width of %lld", function, (long long)w.width);
    if (out < 1 || (o->depthwise && out != channels))
        return graph_fail(g, RONDO_ARGUMENT, "%s: %lld channels of the %lld of x%s", function, (long long)out,
                          (long long)channels, o->depthwise ? ", each by itself" : "");
    value_id y = o->depthwise ? conv_depthwise(g, x, axes, &w, length, taps, channels)
                              : conv_full(g, x, &w, length, taps * channels, out);
    return o->no_bias || y == NONE ? y : build_add(g, y, dsl_parameter(g, "bias", out, 0));
}

rondo_value rondo_conv_at(rondo_place place, rondo_value x, const rondo_conv_options *options)
{
    static const char function[] = "rondo_conv";
    rondo_conv_options o;
    value_id length;
    rondo_graph *g = dsl_start(place, function, &x);
    if (!g || !dsl_options(g, function, &o, sizeof o, options) ||
        !dsl_optional(g, function, "length", o.length, &length))
        return dsl_value(x.graph, NONE);
    rondo_enter(g, "%s", o.name ? o.name : "conv");
    value_id y = graph_good(g) ? conv(g, function, x.id, &o, length) : NONE;
    rondo_leave(g);
    return dsl_value(g, y);
}
