/* Form rules of constants and of changes of shape: numbers that are repeated over t and s are pairs, and
 * batch axes may move as long as t and s stay two axes. */
#include "ops/form/form.h"
#include "ops/rules.h"

/* ---- where constants become pairs ---- */

bool form_constant(form_context *c, const node *n, pair_form *outputs)
{
    const value *v = &c->from->values[n->first_output];
    if (!form_times(&v->shape) || v->type == RONDO_I32)
        return true;
    int rank = v->shape.rank;
    value_id query = form_number(c->to, n->attributes[constant_number].real, v->type, rank);
    outputs[0] = form_begin(c, n, rank - 2, rank - 1, query, form_number(c->to, 1, v->type, rank));
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
    value_id ones = form_number(c->to, 1, v->type, rank);
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
    outputs[0] = *f; /* broadcast batch axes stay 1 in the factors */
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
    for (int i = 0; i < f->rank; i++) /* the position of each old axis in a factor */
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

/* A factor [batch…, X, Y] with the batch axes of `after`, which have the same elements as those of `before`.
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
    bool shared = true; /* one factor for the whole batch: no copies are needed */
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
