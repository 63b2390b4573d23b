/* Form rules of exp and power, and decays. e^(c[t] − c[s]) of a running sum c is a pair with the decay
 * e^(c[t] − c[t−1]) per step, whether it is written as the exponential of a difference, as a power, or as e^c
 * on the queries and e^−c on the keys. */
#include "ops/form/form.h"
#include "ops/rules.h"
#include <math.h>

/* ---- differences ---- */

/* Operand 0 grows along axis t, operand 1 along s, by the same steps, or for a sum by their negatives. */
static bool begin_at(form_context *c, const node *n, int t, int s, pair_form *outputs)
{
    const shape *whole = graph_shape_of(c->from, n->first_output);
    int symbol = dim_only_symbol(whole->dims[t]);
    form_growth a = form_growth_of(c, n->inputs[0], symbol), b = form_growth_of(c, n->inputs[1], symbol);
    if (!a.known || !b.known || a.steps == NONE || b.steps == NONE)
        return form_good(c);
    value_id first = form_growth_factor(c->to, a.steps, whole->rank, t, s),
             second = form_growth_factor(c->to, b.steps, whole->rank, s, t);
    if (n->op == OP_add) /* c[t] + (−c[s]) */
        second = form_negative(c->to, second);
    if (first == NONE || first != second)
        return form_good(c);
    outputs[0] = (pair_form){.kind = FORM_DIFFERENCE,
                             .at = NONE,
                             .origin = form_node(c, n),
                             .t_axis = t,
                             .s_axis = s,
                             .rank = whole->rank,
                             .query = NONE,
                             .key = NONE,
                             .row = NONE,
                             .column = NONE,
                             .log_decay = first,
                             .operand = NONE};
    return form_good(c);
}

bool form_begin_difference(form_context *c, const node *n, pair_form *outputs)
{
    const shape *whole = graph_shape_of(c->from, n->first_output), *a = graph_shape_of(c->from, n->inputs[0]),
                *b = graph_shape_of(c->from, n->inputs[1]);
    for (int t = 0; t < whole->rank; t++)
        for (int s = 0; s < whole->rank; s++)
            if (t != s && dim_only_symbol(whole->dims[t]) >= 0 && dim_equal(whole->dims[t], whole->dims[s]) &&
                form_spans(a, whole->rank, t) && !form_spans(a, whole->rank, s) &&
                form_spans(b, whole->rank, s) && !form_spans(b, whole->rank, t))
                return begin_at(c, n, t, s, outputs);
    return true;
}

static bool is_positive_number(const form_context *c, value_id old)
{
    const node *n = old == NONE ? NULL : graph_node_of(c->from, old);
    return n && n->op == OP_constant && n->attributes[constant_number].real > 0;
}

/* A masked entry is −∞ and has to stay −∞. If the result is no difference of this form, it is an ordinary
 * value. */
bool form_scale_difference(form_context *c, const node *n, value_id factor, pair_form *outputs)
{
    const pair_form *f = form_live(c, n->inputs[0]) ? form_live(c, n->inputs[0]) : form_live(c, n->inputs[1]);
    pair_form p = *f;
    int rank = graph_shape_of(c->from, n->first_output)->rank;
    if (p.causal && !is_positive_number(c, factor))
        return true;
    form_raise(c->to, &p, rank);
    if (factor == NONE) {
        p.log_decay = form_negative(c->to, p.log_decay);
        outputs[0] = p;
        return form_good(c);
    }
    const shape *s = graph_shape_of(c->from, factor);
    if (form_live(c, factor) || form_ended(c, factor) || form_spans(s, rank, p.t_axis) ||
        form_spans(s, rank, p.s_axis))
        return true;
    value_id x = form_factor(c->to, c->map[factor], rank, p.t_axis, p.s_axis);
    p.log_decay = n->op == OP_div ? build_div(c->to, p.log_decay, x) : build_mul(c->to, p.log_decay, x);
    outputs[0] = p;
    return form_good(c);
}

/* ---- from a difference to a pair ---- */

static bool begin_decay(form_context *c, const node *n, const pair_form *difference, value_id log_decay,
                        pair_form *outputs)
{
    value_id ones = form_number(c->to, 1, c->from->values[n->first_output].type, difference->rank);
    outputs[0] = form_begin(c, n, difference->t_axis, difference->s_axis, ones, ones);
    outputs[0].log_decay = log_decay;
    outputs[0].causal = difference->causal;
    outputs[0].exclusive = difference->exclusive;
    return form_good(c);
}

bool form_exp(form_context *c, const node *n, pair_form *outputs)
{
    const pair_form *f = form_live(c, n->inputs[0]);
    if (!f || f->kind != FORM_DIFFERENCE)
        return form_ends(c, n, outputs);
    return begin_decay(c, n, f, f->log_decay, outputs);
}

/* base^(c[t] − c[s]), as in γ^(t − s). With a mask of −∞ the result is 0 only for a base above 1, so a masked
 * difference is refused. */
bool form_power(form_context *c, const node *n, pair_form *outputs)
{
    const pair_form *f = form_live(c, n->inputs[1]);
    int rank = graph_shape_of(c->from, n->first_output)->rank;
    if (!f || f->kind != FORM_DIFFERENCE || f->causal || form_live(c, n->inputs[0]) ||
        form_ended(c, n->inputs[0]))
        return form_ends(c, n, outputs);
    pair_form p = *f;
    form_raise(c->to, &p, rank);
    const shape *s = graph_shape_of(c->from, n->inputs[0]);
    if (form_spans(s, rank, p.t_axis) || form_spans(s, rank, p.s_axis))
        return form_ends(c, n, outputs);
    value_id base = form_factor(c->to, c->map[n->inputs[0]], rank, p.t_axis, p.s_axis);
    return begin_decay(c, n, &p, build_mul(c->to, p.log_decay, build_unary(c->to, OP_log, base)), outputs);
}

/* ---- e^c on the queries, e^−c on the keys ---- */

typedef struct peeled {
    value_id rest,
        steps; /* old value = rest ∘ e^x, and x grows by steps; NONE: there is no such exponential */
} peeled;

static peeled peel(const form_context *c, value_id old, int symbol);

/* Moves both parts as the whole was moved. The growth may have extent 1 where the value has more, so it is
 * broadcast before a reshape. */
static peeled peel_moved(const form_context *c, const node *n, int symbol)
{
    peeled p = peel(c, n->inputs[0], symbol);
    int order[MAX_RANK];
    if (p.steps == NONE)
        return p;
    shape s = *graph_shape_of(c->to, p.rest), grown = *graph_shape_of(c->to, p.steps);
    for (int i = 0, missing = s.rank - grown.rank; i < s.rank; i++)
        if (dim_only_symbol(s.dims[i]) == symbol && i >= missing)
            s.dims[i] = grown.dims[i - missing];
    if (n->op == OP_reshape || grown.rank < s.rank)
        p.steps = build_broadcast(c->to, p.steps, &s);
    form_growth moved = form_growth_moved(c, n, (form_growth){true, p.steps}, symbol);
    p.steps = moved.known ? moved.steps : NONE;
    if (n->op == OP_reshape)
        p.rest = build_reshape(c->to, p.rest, graph_shape_of(c->from, n->first_output));
    else if (order_unpack(n->attributes[transpose_order].integer, order) > 0)
        p.rest = build_transpose(c->to, p.rest, order);
    return p;
}

/* The rest has the shape of the whole. */
static peeled peel(const form_context *c, value_id old, int symbol)
{
    const peeled none = {NONE, NONE};
    const node *n = graph_node_of(c->from, old);
    const shape *s = graph_shape_of(c->from, old);
    if (n->op == OP_exp) {
        form_growth x = form_growth_of(c, n->inputs[0], symbol);
        return x.known && x.steps != NONE
                   ? (peeled){build_constant(c->to, 1, c->from->values[old].type, s), x.steps}
                   : none;
    }
    if (n->op == OP_transpose || n->op == OP_reshape)
        return peel_moved(c, n, symbol);
    if (n->op != OP_mul && n->op != OP_div)
        return none;
    for (int i = 0; i < 2; i++) {
        peeled p = peel(c, n->inputs[i], symbol);
        if (p.steps == NONE)
            continue;
        value_id other = c->map[n->inputs[1 - i]];
        bool divided = n->op == OP_div && i == 0, divides = n->op == OP_div && i == 1;
        if (divided)
            p.rest = build_div(c->to, p.rest, other);
        else if (graph_op_of(c->to, p.rest) == OP_constant) /* e^x alone */
            p.rest = build_broadcast(c->to, other, s);
        else
            p.rest = divides ? build_div(c->to, other, p.rest) : build_mul(c->to, p.rest, other);
        if (divides)
            p.steps = form_negative(c->to, p.steps);
        return p;
    }
    return none;
}

/* A matmul operand [..., T, F], or [..., F, T] if `swap`, as [batch…, T, F]. */
static value_id laid_out(rondo_graph *g, value_id x, bool swap, int rank)
{
    return form_rank(g, swap ? build_swap(g, x, -2, -1) : x, rank);
}

bool form_take_decay(form_context *c, const node *n, pair_form *p)
{
    const shape *whole = graph_shape_of(c->from, n->first_output);
    int symbol = dim_only_symbol(whole->dims[p->t_axis]);
    if (symbol < 0 || !dim_equal(whole->dims[p->t_axis], whole->dims[p->s_axis]))
        return true;
    peeled a = peel(c, n->inputs[0], symbol), b = peel(c, n->inputs[1], symbol);
    if (a.steps == NONE || b.steps == NONE)
        return form_good(c);
    bool swap_a = n->attributes[matmul_transpose_a].integer,
         swap_b = !n->attributes[matmul_transpose_b].integer;
    int rank = p->rank, last = rank - 1, before = rank - 2;
    value_id grows = form_growth_factor(c->to, a.steps, rank, swap_a ? last : before, swap_a ? before : last);
    value_id shrinks = form_growth_factor(c->to, form_negative(c->to, b.steps), rank, swap_b ? last : before,
                                          swap_b ? before : last);
    if (grows == NONE || grows != shrinks)
        return form_good(c);
    p->query = form_extent(c->to, laid_out(c->to, a.rest, swap_a, rank), -2, whole->dims[p->t_axis]);
    p->key = form_extent(c->to, laid_out(c->to, b.rest, swap_b, rank), -2, whole->dims[p->s_axis]);
    p->log_decay = grows;
    return form_good(c);
}
