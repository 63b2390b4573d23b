/* Form rules of elementwise ops, of softmax and of dropout. An op that keeps a product over (t, s) separable
 * changes one of its factors; any other ends it and says why. */
#include "ops/form/form.h"
#include "ops/rules.h"

bool form_scale(form_context *c, const node *n, pair_form *outputs) /* neg */
{
    const pair_form *f = form_live(c, n->inputs[0]);
    if (!f)
        return form_ends(c, n, outputs);
    if (f->kind == FORM_DIFFERENCE)
        return form_scale_difference(c, n, NONE, outputs);
    outputs[0] = *f;
    outputs[0].query = build_unary(c->to, n->op, f->query);
    return form_good(c);
}

bool form_cast(form_context *c, const node *n, pair_form *outputs)
{
    const pair_form *f = form_live(c, n->inputs[0]);
    rondo_type type = c->from->values[n->first_output].type;
    if (!f || type == RONDO_I32)
        return form_end(c, n, outputs, "a cast to i32 rounds the product over t and s");
    outputs[0] = *f;
    value_id *factors[FORM_FACTORS];
    form_factors(&outputs[0], factors);
    for (int i = 0; i < FORM_FACTORS; i++)
        *factors[i] = build_cast(c->to, *factors[i], type);
    return form_good(c);
}

/* Of a product of constants: no gradient goes to any factor. */
bool form_stop_gradient(form_context *c, const node *n, pair_form *outputs)
{
    const pair_form *f = form_live(c, n->inputs[0]);
    if (!f)
        return form_ends(c, n, outputs);
    outputs[0] = *f;
    value_id *factors[FORM_FACTORS];
    form_factors(&outputs[0], factors);
    for (int i = 0; i < FORM_FACTORS; i++)
        *factors[i] = build_unary(c->to, OP_stop_gradient, *factors[i]);
    return form_good(c);
}

bool form_watch(form_context *c, const node *n, pair_form *outputs)
{
    return form_end(c, n, outputs, "its gradient is asked for");
}

/* A pair times (or divided by) an ordinary value that depends on t, on s, or on neither. */
static bool scale_by(form_context *c, const node *n, const pair_form *f, value_id other, pair_form *outputs)
{
    if (form_ended(c, other))
        return form_ends(c, n, outputs);
    const shape *factor = graph_shape_of(c->from, other), *whole = graph_shape_of(c->from, n->first_output);
    pair_form p = *f;
    form_raise(c->to, &p, whole->rank);
    bool on_t = form_spans(factor, p.rank, p.t_axis), on_s = form_spans(factor, p.rank, p.s_axis);
    if (on_t && on_s)
        return form_end(
            c, n, outputs,
            "its factor depends on t and s and is no product (a mask is causal_mask or key_mask)");
    value_id x = c->map[other];
    if (n->op == OP_div)
        x = build_div(c->to, build_constant(c->to, 1, c->to->values[x].type, &(shape){0}), x);
    value_id *slot = on_s ? &p.column : &p.row;
    *slot = form_product_of(c->to, *slot,
                            on_s ? form_factor(c->to, x, p.rank, p.s_axis, p.t_axis)
                                 : form_factor(c->to, x, p.rank, p.t_axis, p.s_axis));
    outputs[0] = p;
    return form_good(c);
}

/* The product of two pairs is a pair if one of them has a single feature: a mask written as ones, an outer
 * product of gates.
 *  */
static bool multiply_pairs(form_context *c, const node *n, const pair_form *f, const pair_form *g,
                           pair_form *outputs)
{
    rondo_graph *to = c->to;
    int rank = graph_shape_of(c->from, n->first_output)->rank;
    pair_form a = *f, b = *g;
    if (!form_align(c, n, &a, &b))
        return false;
    bool single = dim_is_number(graph_shape_of(to, a.query)->dims[rank - 1], 1) ||
                  dim_is_number(graph_shape_of(to, b.query)->dims[rank - 1], 1);
    if (!single || a.t_axis != b.t_axis || a.s_axis != b.s_axis)
        return form_end(c, n, outputs, "product of two forms over t and s");
    outputs[0] = dim_is_number(graph_shape_of(to, a.query)->dims[rank - 1], 1) ? b : a;
    outputs[0].query = build_mul(to, a.query, b.query);
    outputs[0].key = build_mul(to, a.key, b.key);
    outputs[0].row = form_product_of(to, a.row, b.row);
    outputs[0].column = form_product_of(to, a.column, b.column);
    outputs[0].log_decay = form_sum_of(to, a.log_decay, b.log_decay);
    outputs[0].causal = a.causal || b.causal;
    outputs[0].exclusive = a.exclusive || b.exclusive;
    return form_good(c);
}

/* [..., T, 1] · [..., 1, S]: one operand has the one of the last two axes, the other has the other. */
static bool begin_outer(form_context *c, const node *n, pair_form *outputs)
{
    const shape *whole = graph_shape_of(c->from, n->first_output);
    for (int s = whole->rank - 1; s > 0; s--)
        for (int t = s - 1; t >= 0; t--)
            for (int i = 0; i < 2; i++) {
                const shape *row = graph_shape_of(c->from, n->inputs[i]),
                            *column = graph_shape_of(c->from, n->inputs[1 - i]);
                if (dim_only_symbol(whole->dims[t]) < 0 || dim_only_symbol(whole->dims[s]) < 0 ||
                    !form_spans(row, whole->rank, t) || form_spans(row, whole->rank, s) ||
                    form_spans(column, whole->rank, t) || !form_spans(column, whole->rank, s))
                    continue;
                outputs[0] =
                    form_begin(c, n, t, s, form_factor(c->to, c->map[n->inputs[i]], whole->rank, t, s),
                               form_factor(c->to, c->map[n->inputs[1 - i]], whole->rank, s, t));
                return form_good(c);
            }
    return true;
}

bool form_mul(form_context *c, const node *n, pair_form *outputs)
{
    const pair_form *a = form_pair(c, n->inputs[0]), *b = form_pair(c, n->inputs[1]);
    if (a && b)
        return multiply_pairs(c, n, a, b, outputs);
    if (a || b)
        return scale_by(c, n, a ? a : b, n->inputs[a ? 1 : 0], outputs);
    if (form_ended(c, n->inputs[0]) || form_ended(c, n->inputs[1]))
        return form_ends(c, n, outputs);
    if (form_live(c, n->inputs[0]) || form_live(c, n->inputs[1]))
        return form_scale_difference(c, n, n->inputs[form_live(c, n->inputs[0]) ? 1 : 0], outputs);
    return begin_outer(c, n, outputs);
}

bool form_div(form_context *c, const node *n, pair_form *outputs)
{
    const pair_form *a = form_pair(c, n->inputs[0]);
    if (form_pair(c, n->inputs[1]))
        return form_end(c, n, outputs, "it is a divisor: 1 / (q·k) is not linear in it");
    if (!a && form_live(c, n->inputs[0]))
        return form_scale_difference(c, n, n->inputs[1], outputs);
    return a ? scale_by(c, n, a, n->inputs[1], outputs) : form_ends(c, n, outputs);
}

bool form_softmax(form_context *c, const node *n, pair_form *outputs)
{
    pair_form f = c->forms[n->inputs[0]];
    bool masked = false; /* a mask with fill −inf or a bias is part of a softmax attention, not what makes it
                            quadratic */
    if (f.kind == FORM_ENDED) {
        int op = c->from->nodes[f.at].op;
        masked = op == OP_causal_mask || op == OP_key_mask || op == OP_row_mask || op == OP_add ||
                 op == OP_sub || op == OP_select;
    }
    if (f.kind != FORM_PAIR && !masked)
        return form_ends(c, n, outputs);
    outputs[0] = f;
    outputs[0].kind = FORM_ENDED;
    outputs[0].at = form_node(c, n);
    outputs[0].reason = "softmax couples t and s";
    return true;
}

bool form_dropout(form_context *c, const node *n, pair_form *outputs)
{
    return form_end(c, n, outputs, "dropout drawn on the weights over t and s is no product");
}
