/* The DSL's recurrences: ops that carry a state along time and cannot be written as a product over (t, s). */
#include "ops/dsl/dsl.h"
#include "ops/infer.h"
#include <math.h>

rondo_value rondo_delta_at(rondo_place place, rondo_value q, rondo_value k, rondo_value v,
                           const rondo_delta_options *options)
{
    static const char function[] = "rondo_delta";
    rondo_delta_options o;
    rondo_graph *g = dsl_start(place, function, &q);
    value_id inputs[6] = {NONE, NONE, NONE, NONE, NONE, NONE};
    bool good = g && dsl_options(g, function, &o, sizeof o, options) && dsl_operand(g, function, "k", &k) &&
                dsl_operand(g, function, "v", &v) && dsl_operand(g, function, "beta", &o.beta) &&
                dsl_optional(g, function, "log_decay", o.log_decay, &inputs[4]) &&
                dsl_optional(g, function, "length", o.length, &inputs[5]);
    if (!good)
        return dsl_value(q.graph, NONE);
    inputs[0] = q.id;
    inputs[1] = k.id;
    inputs[2] = v.id;
    inputs[3] = o.beta.id;
    return dsl_value(g, build_node(g, OP_delta, 6, inputs, NULL));
}

/* Uniform in ± 1/√K, by the fan-in of each channel: Xavier's ± scale √(6 / (K + D)) with the scale that gives
 * this range. */
value_id dsl_taps(rondo_graph *g, int64_t width, int64_t channels)
{
    value_id weight = dsl_parameter(g, "weight", width, channels);
    double scale = sqrt((double)(width + channels) / (6.0 * (double)width));
    return dsl_initial(g, weight, RONDO_XAVIER, scale);
}

rondo_value rondo_convolve_at(rondo_place place, rondo_value x, const rondo_convolve_options *options)
{
    static const char function[] = "rondo_convolve";
    rondo_convolve_options o;
    rondo_graph *g = dsl_start(place, function, &x);
    value_id inputs[3] = {x.id, NONE, NONE};
    if (!g || !dsl_options(g, function, &o, sizeof o, options) ||
        !dsl_optional(g, function, "length", o.length, &inputs[2]))
        return dsl_value(x.graph, NONE);
    if (o.width < 1)
        return dsl_value(g,
                         graph_fail(g, RONDO_ARGUMENT, "%s: a width of %lld", function, (long long)o.width));
    int64_t channels = dsl_channels(g, function, x.id);
    rondo_enter(g, "%s", o.name ? o.name : "conv");
    inputs[1] = graph_good(g) ? dsl_taps(g, o.width, channels) : NONE;
    value_id y = graph_good(g) ? build_node(g, OP_convolve, 3, inputs, NULL) : NONE;
    rondo_leave(g);
    return dsl_value(g, y);
}
