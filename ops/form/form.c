/* What form rules share: ending a product with a reason, and laying out, moving and renaming its factors. */
#include "ops/form/form.h"
#include "ops/rules.h"
#include <stdarg.h>
#include <stdio.h>

/* ---- the end of a product ---- */

/* The operand to report if an op ends several pairs: a product of two sequences rather than a mask of
 * constants. */
static const pair_form *foremost(const form_context *c, const node *n)
{
    const pair_form *best = NULL;
    int best_rank = -1;
    for (int i = 0; i < n->input_count; i++) {
        if (!form_pair(c, n->inputs[i]) && !form_ended(c, n->inputs[i]))
            continue;
        const pair_form *f = &c->forms[n->inputs[i]];
        int rank = 2 * (c->from->nodes[f->origin].op == OP_matmul) + (f->kind == FORM_PAIR);
        if (rank > best_rank) {
            best = f;
            best_rank = rank;
        }
    }
    return best;
}

bool form_end(form_context *c, const node *n, pair_form *outputs, const char *format, ...)
{
    const pair_form *f = foremost(c, n);
    if (!f)
        return true;
    pair_form ended = *f;
    if (f->kind == FORM_PAIR) {
        char reason[256];
        va_list list;
        va_start(list, format);
        vsnprintf(reason, sizeof reason, format, list);
        va_end(list);
        ended.kind = FORM_ENDED;
        ended.at = form_node(c, n);
        ended.reason = arena_text(&c->to->arena, "%s", reason);
        if (!ended.reason)
            return graph_refuse(c->to, RONDO_MEMORY, "out of memory for a reason");
    }
    for (int p = 0; p < n->output_count; p++)
        outputs[p] = ended;
    return true;
}

bool form_ends(form_context *c, const node *n, pair_form *outputs)
{
    return form_end(c, n, outputs, "%s is not linear in the product over t and s",
                    op_table[n->op].signature.name);
}

/* ---- factors ---- */

bool form_spans(const shape *s, int rank, int axis)
{
    int at = axis - (rank - s->rank);
    return at >= 0 && !dim_is_number(s->dims[at], 1);
}

bool form_times(const shape *s)
{
    return s->rank >= 2 && dim_only_symbol(s->dims[s->rank - 1]) >= 0 &&
           dim_only_symbol(s->dims[s->rank - 2]) >= 0;
}

value_id form_rank(rondo_graph *g, value_id x, int rank)
{
    if (x == NONE)
        return NONE;
    shape s = *graph_shape_of(g, x), raised = {.rank = rank};
    for (int i = 0, missing = rank - s.rank; i < rank; i++)
        raised.dims[i] = i < missing ? dim_number(1) : s.dims[i - missing];
    return build_reshape(g, x, &raised);
}

value_id form_extent(rondo_graph *g, value_id x, int axis, dim extent)
{
    if (x == NONE)
        return NONE;
    shape s = *graph_shape_of(g, x);
    s.dims[axis < 0 ? axis + s.rank : axis] = extent;
    return build_broadcast(g, x, &s);
}

value_id form_factor(rondo_graph *g, value_id x, int rank, int axis, int other)
{
    int order[MAX_RANK], count = 0;
    for (int i = 0; i < rank; i++)
        if (i != axis && i != other)
            order[count++] = i;
    order[count++] = axis;
    order[count] = other;
    return build_transpose(g, form_rank(g, x, rank), order);
}

void form_factors(pair_form *p, value_id *factors[FORM_FACTORS])
{
    factors[0] = &p->query;
    factors[1] = &p->key;
    factors[2] = &p->row;
    factors[3] = &p->column;
    factors[4] = &p->log_decay;
}

/* c[t] − c[s] with t and s exchanged is −(c[t] − c[s]). */
void form_swap_roles(rondo_graph *g, pair_form *p)
{
    int axis = p->t_axis;
    value_id query = p->query, row = p->row;
    if (p->log_decay != NONE)
        p->log_decay = form_negative(g, p->log_decay);
    p->t_axis = p->s_axis;
    p->s_axis = axis;
    p->query = p->key;
    p->key = query;
    p->row = p->column;
    p->column = row;
}

void form_raise(rondo_graph *g, pair_form *p, int rank)
{
    p->t_axis += rank - p->rank;
    p->s_axis += rank - p->rank;
    p->rank = rank;
    value_id *factors[FORM_FACTORS];
    form_factors(p, factors);
    for (int i = 0; i < FORM_FACTORS; i++)
        *factors[i] = form_rank(g, *factors[i], rank);
}

pair_form form_begin(form_context *c, const node *n, int t_axis, int s_axis, value_id query, value_id key)
{
    const shape *s = graph_shape_of(c->from, n->first_output);
    return (pair_form){.kind = FORM_PAIR,
                       .at = NONE,
                       .origin = form_node(c, n),
                       .t_axis = t_axis,
                       .s_axis = s_axis,
                       .rank = s->rank,
                       .query = form_extent(c->to, query, -2, s->dims[t_axis]),
                       .key = form_extent(c->to, key, -2, s->dims[s_axis]),
                       .row = NONE,
                       .column = NONE,
                       .log_decay = NONE,
                       .operand = NONE};
}

value_id form_negative(rondo_graph *g, value_id x)
{
    if (x != NONE && graph_op_of(g, x) == OP_neg)
        return graph_node_of(g, x)->inputs[0];
    return build_unary(g, OP_neg, x);
}

value_id form_sum_of(rondo_graph *g, value_id a, value_id b)
{
    return a == NONE ? b : b == NONE ? a : build_add(g, a, b);
}

value_id form_product_of(rondo_graph *g, value_id a, value_id b)
{
    return a == NONE ? b : b == NONE ? a : build_mul(g, a, b);
}

value_id form_number(rondo_graph *g, double number, rondo_type type, int rank)
{
    shape one = {.rank = rank};
    for (int i = 0; i < rank; i++)
        one.dims[i] = dim_number(1);
    return build_constant(g, number, type, &one);
}

bool form_align(form_context *c, const node *n, pair_form *a, pair_form *b)
{
    int rank = graph_shape_of(c->from, n->first_output)->rank;
    form_raise(c->to, a, rank);
    form_raise(c->to, b, rank);
    if (a->t_axis != b->t_axis && !b->causal)
        form_swap_roles(c->to, b);
    else if (a->t_axis != b->t_axis && !a->causal)
        form_swap_roles(c->to, a);
    return form_good(c);
}
