/* The form rule of add and sub. Two separable products under the same mask are one product with the features
 * of both: a[t]·b[s] + c[t]·d[s] = [a, c][t] · [b, d][s]. So 1 + q·k is separable, and so is a difference of
 * two products. */
#include "ops/form/form.h"
#include "ops/rules.h"

static const char *verb(const node *n)
{
    return n->op == OP_sub ? "difference" : "sum";
}

/* Multiplies the scales into the features. */
static void absorb(rondo_graph *g, pair_form *p)
{
    p->query = p->row == NONE ? p->query : build_mul(g, p->query, p->row);
    p->key = p->column == NONE ? p->key : build_mul(g, p->key, p->column);
    p->row = p->column = NONE;
}

/* a and b concatenated along the last axis; their other extents broadcast. */
static value_id joined(rondo_graph *g, value_id a, value_id b)
{
    shape x = *graph_shape_of(g, a), y = *graph_shape_of(g, b);
    for (int i = 0; i < x.rank - 1; i++) {
        if (dim_is_number(x.dims[i], 1))
            x.dims[i] = y.dims[i];
        y.dims[i] = x.dims[i];
    }
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[concat_axis] = integer_attribute(x.rank - 1);
    return build_node(g, OP_concat, 2, (value_id[]){build_broadcast(g, a, &x), build_broadcast(g, b, &y)},
                      attributes);
}

static bool add_pairs(form_context *c, const node *n, pair_form a, pair_form b, pair_form *outputs)
{
    if (!form_align(c, n, &a, &b))
        return false;
    if (a.t_axis != b.t_axis || a.s_axis != b.s_axis || a.causal != b.causal || a.exclusive != b.exclusive ||
        a.log_decay != b.log_decay)
        return form_end(c, n, outputs,
                        "%s of two separable forms with different masks or decays: contract each with the "
                        "values, then add",
                        verb(n));
    absorb(c->to, &a);
    absorb(c->to, &b);
    if (n->op == OP_sub)
        b.query = build_unary(c->to, OP_neg, b.query);
    outputs[0] = a;
    outputs[0].query = joined(c->to, a.query, b.query);
    outputs[0].key = joined(c->to, a.key, b.key);
    return form_good(c);
}

/* Adds a value that depends on t, on s, or on neither, as a pair with one feature. */
static bool add_value(form_context *c, const node *n, const pair_form *p, value_id other, pair_form *outputs)
{
    int rank = graph_shape_of(c->from, n->first_output)->rank;
    const shape *s = graph_shape_of(c->from, other);
    pair_form a = *p;
    form_raise(c->to, &a, rank);
    bool on_t = form_spans(s, rank, a.t_axis), on_s = form_spans(s, rank, a.s_axis);
    if ((on_t && on_s) || form_ended(c, other))
        return form_end(c, n, outputs, "%s with a value that is no product over t and s", verb(n));
    if (a.causal)
        return form_end(c, n, outputs, "%s with a value that is not masked as the product is", verb(n));
    value_id ones = form_number(c->to, 1, c->from->values[n->first_output].type, rank);
    value_id factor =
        form_factor(c->to, c->map[other], rank, on_s ? a.s_axis : a.t_axis, on_s ? a.t_axis : a.s_axis);
    pair_form b = form_begin(c, n, a.t_axis, a.s_axis, on_s ? ones : factor, on_s ? factor : ones);
    bool first = form_pair(c, n->inputs[0]) == p;
    b.origin = a.origin;
    return add_pairs(c, n, first ? a : b, first ? b : a, outputs);
}

bool form_add(form_context *c, const node *n, pair_form *outputs)
{
    const pair_form *a = form_pair(c, n->inputs[0]), *b = form_pair(c, n->inputs[1]);
    if (a && b)
        return add_pairs(c, n, *a, *b, outputs);
    if (a || b)
        return add_value(c, n, a ? a : b, n->inputs[a ? 1 : 0], outputs);
    if (form_ended(c, n->inputs[0]) || form_ended(c, n->inputs[1]))
        return form_end(c, n, outputs, "%s with a value that is no product over t and s", verb(n));
    return form_begin_difference(c, n, outputs);
}
