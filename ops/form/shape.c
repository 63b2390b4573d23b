/* The column `form`, part two: matmul, sums and changes of shape, that is where pairs begin and where they
 * are summed over s, and how batch axes are moved while t and s stay apart. */
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

/* The pair, as operand `which`, times ordinary values: Σ over s in either order and under any transposition.
 */
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
        return form_end(c, n, outputs,
                        "the mean over s divides by all keys, also by those to come: sum, then divide by t");
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

/* ---- where constants become pairs ---- */

bool form_constant(form_context *c, const node *n, pair_form *outputs)
{
    const value *v = &c->from->values[n->first_output];
    if (!form_times(&v->shape) || v->type == RONDO_I32)
        return true;
    shape one = {.rank = v->shape.rank};
    for (int i = 0; i < one.rank; i++)
        one.dims[i] = dim_number(1);
    value_id query = build_constant(c->to, n->attributes[constant_number].real, v->type, &one);
    outputs[0] = form_begin(c, n, one.rank - 2, one.rank - 1, query, build_constant(c->to, 1, v->type, &one));
    return form_good(c);
}

/* [..., T, 1], [..., 1, S] or a number repeated over both lengths. */
static bool begin_repeated(form_context *c, const node *n, pair_form *outputs)
{
    const value *v = &c->from->values[n->first_output];
    const shape *x = graph_shape_of(c->from, n->inputs[0]);
    int rank = v->shape.rank, t = rank - 2, s = rank - 1;
    if (!form_times(&v->shape) || v->type == RONDO_I32 || (form_spans(x, rank, t) && form_spans(x, rank, s)))
        return true;
    shape one = {.rank = rank};
    for (int i = 0; i < rank; i++)
        one.dims[i] = dim_number(1);
    value_id ones = build_constant(c->to, 1, v->type, &one);
    bool on_s = form_spans(x, rank, s);
    value_id factor = form_factor(c->to, c->map[n->inputs[0]], rank, on_s ? s : t, on_s ? t : s);
    outputs[0] = form_begin(c, n, t, s, on_s ? ones : factor, on_s ? factor : ones);
    return form_good(c);
}

bool form_broadcast(form_context *c, const node *n, pair_form *outputs)
{
    const pair_form *f = form_live(c, n->inputs[0]);
    if (form_ended(c, n->inputs[0]))
        return form_ends(c, n, outputs);
    if (!f)
        return begin_repeated(c, n, outputs);
    outputs[0] = *f; /* batch axes that grow stay 1 in the factors */
    form_raise(c->to, &outputs[0], graph_shape_of(c->from, n->first_output)->rank);
    return form_good(c);
}

/* ---- batch axes move, t and s stay apart ---- */

bool form_transpose(form_context *c, const node *n, pair_form *outputs)
{
    const pair_form *f = form_live(c, n->inputs[0]);
    if (!f)
        return form_ends(c, n, outputs);
    int order[MAX_RANK], batch[MAX_RANK], factor_order[MAX_RANK], count = 0;
    if (order_unpack(n->attributes[transpose_order].integer, order) != f->rank)
        return form_ends(c, n, outputs);
    for (int i = 0; i < f->rank; i++) /* where each old axis stands in a factor */
        if (i != f->t_axis && i != f->s_axis)
            batch[i] = count++;
    pair_form p = *f;
    count = 0;
    for (int i = 0; i < f->rank; i++) {
        if (order[i] == f->t_axis)
            p.t_axis = i;
        else if (order[i] == f->s_axis)
            p.s_axis = i;
        else
            factor_order[count++] = batch[order[i]];
    }
    factor_order[count] = count;
    factor_order[count + 1] = count + 1;
    value_id *factors[FORM_FACTORS];
    form_factors(&p, factors);
    for (int i = 0; i < FORM_FACTORS; i++)
        *factors[i] = build_transpose(c->to, *factors[i], factor_order);
    outputs[0] = p;
    return form_good(c);
}

/* The product of dims[first] … dims[end − 1]. */
static bool product_equals(const shape *a, int a_first, int a_end, const shape *b, int b_first, int b_end)
{
    dim x = dim_number(1), y = dim_number(1);
    for (int i = a_first; i < a_end; i++)
        if (!dim_multiply(x, a->dims[i], &x))
            return false;
    for (int i = b_first; i < b_end; i++)
        if (!dim_multiply(y, b->dims[i], &y))
            return false;
    return dim_equal(x, y);
}

/* Finds the two axes i < j of `to` that are axes first < second of `from`, in row-major order; false: they
 * were merged. */
static bool follow_axes(const shape *from, int first, int second, const shape *to, int *i, int *j)
{
    for (*i = 0; *i < to->rank; ++*i)
        for (*j = *i + 1; *j < to->rank; ++*j)
            if (dim_equal(to->dims[*i], from->dims[first]) && dim_equal(to->dims[*j], from->dims[second]) &&
                product_equals(from, 0, first, to, 0, *i) &&
                product_equals(from, first + 1, second, to, *i + 1, *j) &&
                product_equals(from, second + 1, from->rank, to, *j + 1, to->rank))
                return true;
    return false;
}

/* A factor [batch…, X, Y] under the batch axes of `after`, which hold the same elements as those of `before`.
 */
static value_id reshape_factor(rondo_graph *g, value_id factor, const pair_form *f, const shape *before,
                               const pair_form *p, const shape *after)
{
    if (factor == NONE)
        return NONE;
    shape full = {.rank = f->rank}, moved = {.rank = p->rank};
    int count = 0;
    for (int i = 0; i < f->rank; i++)
        if (i != f->t_axis && i != f->s_axis)
            full.dims[count++] = before->dims[i];
    shape s = *graph_shape_of(g, factor);
    bool shared = true; /* by all of the batch: it needs no copies */
    for (int i = 0; i < count; i++)
        shared = shared && dim_is_number(s.dims[i], 1);
    full.dims[count] = s.dims[count];
    full.dims[count + 1] = s.dims[count + 1];
    count = 0;
    for (int i = 0; i < p->rank; i++)
        if (i != p->t_axis && i != p->s_axis)
            moved.dims[count++] = shared ? dim_number(1) : after->dims[i];
    moved.dims[count] = s.dims[s.rank - 2];
    moved.dims[count + 1] = s.dims[s.rank - 1];
    return build_reshape(g, shared ? factor : build_broadcast(g, factor, &full), &moved);
}

bool form_reshape(form_context *c, const node *n, pair_form *outputs)
{
    const pair_form *f = form_live(c, n->inputs[0]);
    if (!f)
        return form_ends(c, n, outputs);
    const shape *before = graph_shape_of(c->from, n->inputs[0]),
                *after = graph_shape_of(c->from, n->first_output);
    pair_form p = *f;
    bool in_order = f->t_axis < f->s_axis;
    p.rank = after->rank;
    if (!follow_axes(before, in_order ? f->t_axis : f->s_axis, in_order ? f->s_axis : f->t_axis, after,
                     in_order ? &p.t_axis : &p.s_axis, in_order ? &p.s_axis : &p.t_axis))
        return form_end(c, n, outputs, "reshape that does not keep t and s as two axes");
    value_id *factors[FORM_FACTORS];
    form_factors(&p, factors);
    for (int i = 0; i < FORM_FACTORS; i++)
        *factors[i] = reshape_factor(c->to, *factors[i], f, before, &p, after);
    outputs[0] = p;
    return form_good(c);
}
