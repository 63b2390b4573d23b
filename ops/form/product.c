/* Form rules of matmul and of sums: most pairs begin at a matmul, and at a matmul or a sum they are summed
 * over s. */
#include "ops/form/form.h"
#include "ops/rules.h"

/* ---- matmul ---- */

static value_id swap_last(rondo_graph *g, value_id x, bool swap)
{
    return swap ? build_swap(g, x, -2, -1) : x;
}

/* q kᵀ with literal features and two lengths. */
static bool begin_product(form_context *c, const node *n, pair_form *outputs)
{
    const shape *whole = graph_shape_of(c->from, n->first_output), *a = graph_shape_of(c->from, n->inputs[0]);
    bool transpose_a = n->attributes[matmul_transpose_a].integer,
         transpose_b = n->attributes[matmul_transpose_b].integer;
    if (!form_times(whole) || !dim_is_literal(a->dims[a->rank - (transpose_a ? 2 : 1)]))
        return true;
    value_id query = swap_last(c->to, c->map[n->inputs[0]], transpose_a);
    value_id key = swap_last(c->to, c->map[n->inputs[1]], !transpose_b);
    outputs[0] = form_begin(c, n, whole->rank - 2, whole->rank - 1, form_rank(c->to, query, whole->rank),
                            form_rank(c->to, key, whole->rank));
    return form_good(c) && form_take_decay(c, n, &outputs[0]);
}

/* The pair, operand `which`, times ordinary values: Σ over s, in either order and with any transposition. */
static bool contract(form_context *c, const node *n, int which, pair_form *outputs)
{
    pair_form p = c->forms[n->inputs[which]];
    value_id other = n->inputs[1 - which];
    bool transpose_a = n->attributes[matmul_transpose_a].integer,
         transpose_b = n->attributes[matmul_transpose_b].integer;
    bool last = which ? transpose_b : !transpose_a; /* the contracted axis is the pair's last one */
    int contracted = p.rank - (last ? 1 : 2), kept = p.rank - (last ? 2 : 1);
    if (!p.causal && p.t_axis == contracted)
        form_swap_roles(c->to, &p);
    if (p.causal && p.t_axis == contracted && p.s_axis == kept)
        return form_end(c, n, outputs, "summed over t: each s would need the tokens after it");
    if (p.s_axis != contracted || p.t_axis != kept)
        return form_end(c, n, outputs, "matmul over other axes than those of the product");
    if (form_pair(c, other) || form_ended(c, other))
        return form_end(c, n, outputs, "product of two forms over t and s");
    if (form_grows(&p))
        return form_end(c, n, outputs, FORM_GROWS);
    p.operand = swap_last(c->to, c->map[other], which ? !transpose_a : transpose_b);
    if (p.operand == NONE)
        return false;
    const shape *values = graph_shape_of(c->to, p.operand);
    if (!dim_is_literal(values->dims[values->rank - 1]))
        return form_end(c, n, outputs, "the values' width is a symbol: the state would have no fixed size");
    p.kind = FORM_CONTRACTED;
    p.transposed = which == 1;
    outputs[0] = p;
    return true;
}

bool form_matmul(form_context *c, const node *n, pair_form *outputs)
{
    const pair_form *a = form_pair(c, n->inputs[0]), *b = form_pair(c, n->inputs[1]);
    bool plain = n->input_count == 2 && !n->attributes[matmul_activation].integer;
    if (a && b)
        return form_end(c, n, outputs, "product of two forms over t and s");
    if ((a || b) && plain)
        return contract(c, n, b != NULL, outputs);
    for (int i = 0; i < n->input_count; i++)
        if (form_pair(c, n->inputs[i]) || form_ended(c, n->inputs[i]))
            return form_ends(c, n, outputs);
    return !plain || begin_product(c, n, outputs);
}

/* ---- sums ---- */

static bool reduce(form_context *c, const node *n, bool mean, pair_form *outputs)
{
    if (!form_pair(c, n->inputs[0]))
        return form_ends(c, n, outputs);
    pair_form p = c->forms[n->inputs[0]];
    int axis = normal_axis(n->attributes[sum_axis].integer, p.rank);
    if (!p.causal && axis == p.t_axis)
        form_swap_roles(c->to, &p);
    if (axis == p.t_axis)
        return form_end(c, n, outputs, "summed over t: each s would need the tokens after it");
    if (axis != p.s_axis)
        return form_end(c, n, outputs, "summed over an axis that is neither t nor s");
    if (form_grows(&p))
        return form_end(c, n, outputs, FORM_GROWS);
    if (mean && p.causal)
        return form_end(
            c, n, outputs,
            "the mean over s divides by the number of all keys, including later ones: sum, then divide by t");
    p.kind = FORM_NORMALISER;
    p.keep = n->attributes[sum_keep].integer;
    p.mean = mean;
    outputs[0] = p;
    return true;
}

bool form_sum(form_context *c, const node *n, pair_form *outputs)
{
    return reduce(c, n, false, outputs);
}
bool form_mean(form_context *c, const node *n, pair_form *outputs)
{
    return reduce(c, n, true, outputs);
}
