/* The discretised logistic mixture (Salimans et al. 2017, "PixelCNN++"), a composition. A bin's probability
 * σ(b) − σ(a) is never subtracted: it is σ(b) · σ(−a) · (1 − e^(a−b)), whose last factor depends on the scale
 * alone. */
#include "ops/dsl/losses.h"
#include "ops/infer.h"
#include <math.h>

typedef struct mixture {
    rondo_graph *g;
    value_id parameters; /* [..., n] */
    int64_t components;
    double levels;
} mixture;

/* Group `number` of K parameters: [..., K]. */
static value_id group(const mixture *m, int64_t number)
{
    return build_slice(m->g, m->parameters, -1, number * m->components, m->components);
}

/* log(1 − e^−d) for d > 0 = log tanh(d / 2) + log(1 + e^−d), exact for small and large d. */
static value_id log_width(rondo_graph *g, value_id d)
{
    value_id half = build_unary(g, OP_tanh, loss_scale(g, d, 0.5));
    return build_add(g, build_unary(g, OP_log, half), loss_softplus(g, loss_neg(g, d)));
}

static value_id less(rondo_graph *g, value_id x, double number)
{
    return build_binary(g, OP_less, x, build_number(g, number));
}

/* pixel [..., 1] as numbers 0 … levels − 1, x the same in [−1, 1], mean and log_scale [..., K] → log p of the
 * pixel's bin, [..., K]. */
static value_id log_bin(const mixture *m, value_id pixel, value_id x, value_id mean, value_id log_scale)
{
    rondo_graph *g = m->g;
    double half = 1 / (m->levels - 1); /* of a bin's width */
    value_id bounded = build_binary(g, OP_maximum, log_scale, build_number(g, -7));
    value_id inverse = build_unary(g, OP_exp, loss_neg(g, bounded));
    value_id from_mean = build_sub(g, x, mean);
    value_id above = build_mul(g, loss_shift(g, from_mean, half), inverse);
    value_id below = build_mul(g, loss_shift(g, from_mean, -half), inverse);
    value_id up_to = loss_neg(g, loss_softplus(g, loss_neg(g, above))); /* log σ(b) */
    value_id beyond = loss_neg(g, loss_softplus(g, below));             /* log(1 − σ(a)) */
    value_id inner =
        build_add(g, build_add(g, up_to, beyond), log_width(g, loss_scale(g, inverse, 2 * half)));
    value_id not_last = less(g, pixel, m->levels - 1.5), first = less(g, pixel, 0.5);
    return build_select(g, first, up_to, build_select(g, not_last, inner, beyond));
}

static value_id scaled(const mixture *m, value_id pixel)
{
    return loss_shift(m->g, loss_scale(m->g, pixel, 2 / (m->levels - 1)), -1);
}

/* pixels [..., channels] → Σ of log p over the channels, [..., K]. */
static value_id log_pixel(const mixture *m, value_id pixels, int channels)
{
    rondo_graph *g = m->g;
    value_id x[3], sum = NONE;
    for (int c = 0; c < channels; c++) {
        value_id pixel = build_slice(g, pixels, -1, c, 1), mean = group(m, 1 + 2 * c);
        x[c] = scaled(m, pixel);
        for (int before = 0; before < c;
             before++) { /* coefficients: green by red, blue by red, blue by green */
            value_id coefficient = build_unary(g, OP_tanh, group(m, 1 + 2 * channels + c - 1 + before));
            mean = build_add(g, mean, build_mul(g, coefficient, x[before]));
        }
        value_id log_p = log_bin(m, pixel, x[c], mean, group(m, 2 + 2 * c));
        sum = c ? build_add(g, sum, log_p) : log_p;
    }
    return sum;
}

static value_id log_mixture(const mixture *m, value_id pixels, int channels)
{
    rondo_graph *g = m->g;
    value_id logits = group(m, 0);
    value_id log_share = build_sub(g, logits, build_reduce(g, OP_logsumexp, logits, -1, true));
    return build_reduce(g, OP_logsumexp, build_add(g, log_pixel(m, pixels, channels), log_share), -1, false);
}

/* The parameters' groups of K, and whether the pixels have their rows. */
static bool check(mixture *m, const char *function, rondo_value pixels, int channels)
{
    rondo_graph *g = m->g;
    const shape *p = graph_shape_of(g, m->parameters), *x = graph_shape_of(g, pixels.id);
    int groups = channels == 1 ? 3 : 10;
    shape wanted = *p;
    if (channels == 1)
        wanted.rank--;
    else
        wanted.dims[p->rank - 1] = dim_number(channels);
    if (channels == 1 && p->rank)
        wanted.dims[wanted.rank] = (dim){0};
    int64_t width = dsl_channels(g, function, m->parameters);
    if (width < 0)
        return false;
    m->components = width / groups;
    if (!width || width % groups)
        return graph_refuse(g, RONDO_SHAPE, "%s: %s has %lld parameters for each pixel, not a multiple of %d",
                            function, shape_words(g, p), (long long)width, groups);
    return shape_equal(&wanted, x) ||
           graph_refuse(g, RONDO_SHAPE,
                        "%s: the pixels are %s; for parameters %s and channels = %d they must be %s",
                        function, shape_words(g, x), shape_words(g, p), channels, shape_words(g, &wanted));
}

rondo_value rondo_logistic_mixture_at(rondo_place place, rondo_value parameters,
                                      const rondo_logistic_mixture_options *options)
{
    static const char function[] = "rondo_logistic_mixture";
    rondo_logistic_mixture_options o;
    loss_choice c;
    rondo_graph *g = dsl_start(place, function, &parameters);
    if (!g || !dsl_options(g, function, &o, sizeof o, options) ||
        !loss_choose(g, function, o.length, o.mask, &c) || !dsl_operand(g, function, "pixels", &o.pixels))
        return dsl_value(parameters.graph, NONE);
    int channels = o.channels ? o.channels : 1, levels = o.levels ? o.levels : 256;
    if ((channels != 1 && channels != 3) || levels < 2)
        return dsl_value(g,
                         graph_fail(g, RONDO_ARGUMENT, "%s: %d channels of %d levels; 1 or 3 of at least 2",
                                    function, channels, levels));
    mixture m = {g, parameters.id, 0, levels};
    if (!check(&m, function, o.pixels, channels))
        return dsl_value(g, NONE);
    bool whole = g->values[o.pixels.id].type == RONDO_I32;
    value_id pixels = whole ? build_cast(g, o.pixels.id, RONDO_F32) : o.pixels.id;
    if (channels == 1)
        pixels = build_unsqueeze(g, pixels, graph_shape_of(g, pixels)->rank);
    m.parameters = loss_keep(g, &c, parameters.id, 1);
    value_id log_p = log_mixture(&m, loss_keep(g, &c, pixels, 1), channels);
    return dsl_value(g, loss_total(g, &c, loss_neg(g, log_p)));
}
