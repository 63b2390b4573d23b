/* The DSL's losses. Each is a sum that has its count beside it: an op with both, or a composition that
 * ends in the op `total`. What a length or a mask leaves out is replaced before anything is computed from
 * it, so that garbage and NaN there reach neither the loss nor a gradient. */
#include "ops/dsl/losses.h"
#include "ops/infer.h"
#include <math.h>

/* ---- cross entropy ---- */

rondo_value rondo_cross_entropy_at(rondo_place place, rondo_value logits,
                                   const rondo_cross_entropy_options *options)
{
    rondo_cross_entropy_options o;
    rondo_graph *g = dsl_start(place, "rondo_cross_entropy", &logits);
    if (!g || !dsl_options(g, "rondo_cross_entropy", &o, sizeof o, options) ||
        !dsl_operand(g, "rondo_cross_entropy", "targets", &o.targets))
        return dsl_value(logits.graph, NONE);
    if (o.ignore && o.ignore_padding)
        return dsl_value(
            g, graph_fail(g, RONDO_ARGUMENT,
                          "rondo_cross_entropy: both ignore = %d and ignore_padding; only one id can "
                          "be ignored",
                          o.ignore));
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[cross_entropy_smoothing] = real_attribute(dsl_decimal(o.smoothing));
    attributes[cross_entropy_ignore] = integer_attribute(o.ignore_padding ? 0 : o.ignore ? o.ignore : NO_ID);
    return dsl_value(g,
                     build_node(g, OP_cross_entropy, 2, (value_id[]){logits.id, o.targets.id}, attributes));
}

/* ---- which elements count ---- */

bool loss_choose(rondo_graph *g, const char *function, rondo_value length, rondo_value mask, loss_choice *out)
{
    *out = (loss_choice){NONE, NONE};
    if ((length.graph && !dsl_operand(g, function, "length", &length)) ||
        (mask.graph && !dsl_operand(g, function, "mask", &mask)))
        return false;
    out->length = length.graph ? length.id : NONE;
    out->mask = mask.graph ? mask.id : NONE;
    return true;
}

value_id loss_keep(rondo_graph *g, const loss_choice *c, value_id x, int inner)
{
    value_id mask = c->mask;
    if (x == NONE)
        return NONE;
    for (int i = 0; mask != NONE && i < inner; i++)
        mask = build_unsqueeze(g, mask, graph_shape_of(g, mask)->rank);
    if (mask != NONE)
        x = build_select(g, mask, x, build_number(g, 0));
    return c->length == NONE ? x : build_row_mask(g, x, c->length, 1, 0);
}

/* 1 where x counts; NONE: everywhere. */
static value_id counting(rondo_graph *g, const loss_choice *c, value_id x)
{
    if (c->length == NONE)
        return c->mask;
    shape s = *graph_shape_of(g, x);
    for (int i = 2; i < s.rank && c->mask == NONE; i++)
        s.dims[i] = dim_number(1);
    return loss_keep(g, c, build_constant(g, 1, RONDO_F32, &s), 0);
}

value_id loss_total(rondo_graph *g, const loss_choice *c, value_id x)
{
    if (x == NONE)
        return NONE;
    value_id mask = counting(g, c, x);
    return graph_good(g) ? build_node(g, OP_total, mask == NONE ? 1 : 2, (value_id[]){x, mask}, NULL) : NONE;
}

value_id loss_targets(rondo_graph *g, const char *function, value_id x, rondo_value targets)
{
    shape both;
    if (!dsl_operand(g, function, "targets", &targets))
        return NONE;
    const shape *own = graph_shape_of(g, targets.id), *s = graph_shape_of(g, x);
    if (!shape_broadcast(own, s, &both) || !shape_equal(&both, s))
        return graph_fail(g, RONDO_SHAPE, "%s: the targets are %s, which does not repeat to %s", function,
                          shape_words(g, own), shape_words(g, s));
    if (g->values[targets.id].type == RONDO_I32)
        return build_broadcast(g, build_cast(g, targets.id, RONDO_F32), s);
    return build_broadcast(g, targets.id, s);
}

rondo_value rondo_total_at(rondo_place place, const rondo_total_options *options)
{
    rondo_total_options o;
    loss_choice c;
    rondo_value x = options ? options->x : dsl_none();
    rondo_graph *g = dsl_start(place, "rondo_total", &x);
    bool good = g && dsl_options(g, "rondo_total", &o, sizeof o, options) &&
                loss_choose(g, "rondo_total", o.length, o.mask, &c);
    return dsl_value(x.graph, good ? loss_total(g, &c, o.x.id) : NONE);
}

/* ---- of elements ---- */

/* The loss of each element from x and its target, both of the same shape. */
typedef value_id element_loss(rondo_graph *g, value_id x, value_id target);

static rondo_value of_elements(rondo_place place, const char *function, element_loss *loss, rondo_value x,
                               const rondo_loss_options *options)
{
    rondo_loss_options o;
    loss_choice c;
    rondo_graph *g = dsl_start(place, function, &x);
    if (!g || !dsl_options(g, function, &o, sizeof o, options) ||
        !loss_choose(g, function, o.length, o.mask, &c))
        return dsl_value(x.graph, NONE);
    value_id target = loss_targets(g, function, x.id, o.targets);
    value_id kept = target == NONE ? NONE : loss_keep(g, &c, x.id, 0);
    target = loss_keep(g, &c, target, 0);
    return dsl_value(g, kept == NONE ? NONE : loss_total(g, &c, loss(g, kept, target)));
}

/* y · −log σ(x) + (1 − y) · −log(1 − σ(x)): both logarithms are softplus, which neither overflows nor
 * cancels. */
static value_id binary_cross_entropy(rondo_graph *g, value_id x, value_id y)
{
    value_id other = loss_shift(g, loss_neg(g, y), 1);
    return build_add(g, build_mul(g, y, loss_softplus(g, loss_neg(g, x))),
                     build_mul(g, other, loss_softplus(g, x)));
}

static value_id squared_error(rondo_graph *g, value_id x, value_id y)
{
    value_id difference = build_sub(g, x, y);
    return build_mul(g, difference, difference);
}

rondo_value rondo_binary_cross_entropy_at(rondo_place place, rondo_value logits,
                                          const rondo_loss_options *options)
{
    return of_elements(place, "rondo_binary_cross_entropy", binary_cross_entropy, logits, options);
}

rondo_value rondo_squared_error_at(rondo_place place, rondo_value x, const rondo_loss_options *options)
{
    return of_elements(place, "rondo_squared_error", squared_error, x, options);
}

/* ---- of rows ---- */

static value_id log_softmax(rondo_graph *g, value_id x)
{
    return build_sub(g, x, build_reduce(g, OP_logsumexp, x, -1, true));
}

/* Σ p (log p − log q) over the last axis, where 0 log 0 is 0. */
static value_id divergence(rondo_graph *g, value_id x, value_id teacher, bool probabilities)
{
    value_id one = build_number(g, 1), p = teacher, log_p;
    if (probabilities)
        log_p = build_unary(g, OP_log, build_select(g, p, p, one));
    else {
        log_p = log_softmax(g, teacher);
        p = build_unary(g, OP_softmax, teacher);
    }
    value_id terms = build_mul(g, p, build_sub(g, log_p, log_softmax(g, x)));
    return build_reduce(g, OP_sum, build_select(g, p, terms, build_number(g, 0)), -1, false);
}

rondo_value rondo_divergence_at(rondo_place place, rondo_value logits,
                                const rondo_divergence_options *options)
{
    static const char function[] = "rondo_divergence";
    rondo_divergence_options o;
    loss_choice c;
    rondo_graph *g = dsl_start(place, function, &logits);
    if (!g || !dsl_options(g, function, &o, sizeof o, options) ||
        !loss_choose(g, function, o.length, o.mask, &c))
        return dsl_value(logits.graph, NONE);
    double heat = o.temperature != 0 ? dsl_decimal(o.temperature) : 1;
    if (!(heat > 0 && isfinite(heat)) || (o.probabilities && heat != 1))
        return dsl_value(g, graph_fail(g, RONDO_ARGUMENT,
                                       "%s: the temperature %g must be above 0, and 1 for probabilities",
                                       function, heat));
    value_id teacher = loss_targets(g, function, logits.id, o.teacher);
    if (teacher == NONE)
        return dsl_value(g, NONE);
    teacher = loss_keep(g, &c, build_unary(g, OP_stop_gradient, teacher), 1);
    value_id x = loss_keep(g, &c, logits.id, 1);
    if (heat != 1) {
        x = loss_scale(g, x, 1 / heat);
        teacher = loss_scale(g, teacher, 1 / heat);
    }
    value_id rows = divergence(g, x, teacher, o.probabilities);
    return dsl_value(g, loss_total(g, &c, heat != 1 ? loss_scale(g, rows, heat * heat) : rows));
}

/* ---- of sequences ---- */

rondo_value rondo_ctc_at(rondo_place place, rondo_value logits, const rondo_ctc_options *options)
{
    static const char function[] = "rondo_ctc";
    rondo_ctc_options o;
    rondo_graph *g = dsl_start(place, function, &logits);
    if (!g || !dsl_options(g, function, &o, sizeof o, options) ||
        !dsl_operand(g, function, "labels", &o.labels) ||
        (o.frames.graph && !dsl_operand(g, function, "frames", &o.frames)) ||
        (o.label_lengths.graph && !dsl_operand(g, function, "label_lengths", &o.label_lengths)))
        return dsl_value(logits.graph, NONE);
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[ctc_blank] = integer_attribute(o.blank);
    value_id inputs[4] = {logits.id, o.labels.id, o.frames.graph ? o.frames.id : NONE,
                          o.label_lengths.graph ? o.label_lengths.id : NONE};
    value_id loss = build_node(g, OP_ctc, 4, inputs, attributes);
    value_id impossible = build_output(g, loss, 2);
    rondo_enter(g, "%s", o.name ? o.name : "ctc");
    dsl_objective(g, function, "impossible", impossible, build_add(g, build_output(g, loss, 1), impossible),
                  0);
    rondo_leave(g);
    return dsl_value(g, graph_good(g) ? loss : NONE);
}
