/* What the losses of the DSL share: which elements count. */
#pragma once
#include "ops/dsl/dsl.h"

/* What counts of a tensor whose first axes are those of the loss; NONE: everything. */
typedef struct loss_choice {
    value_id length; /* i32[B], of axis 1 */
    value_id mask;   /* f32, repeats to the loss */
} loss_choice;

/* The operands `length` and `mask` of a loss; false: the graph failed. */
bool loss_choose(rondo_graph *g, const char *function, rondo_value length, rondo_value mask,
                 loss_choice *out);
/* x, or 0 where it does not count. inner: how many axes at the end of x the loss does not have. */
value_id loss_keep(rondo_graph *g, const loss_choice *c, value_id x, int inner);
/* The sum of the elements of x that count. */
value_id loss_total(rondo_graph *g, const loss_choice *c, value_id x);
/* `targets` as f32, without a gradient, if they repeat to x; NONE: the graph failed. */
value_id loss_targets(rondo_graph *g, const char *function, value_id x, rondo_value targets);

/* Chains of what the formulas need; NONE in, NONE out. */
static inline value_id loss_scale(rondo_graph *g, value_id x, double factor)
{
    return build_mul(g, x, build_number(g, factor));
}
static inline value_id loss_shift(rondo_graph *g, value_id x, double number)
{
    return build_add(g, x, build_number(g, number));
}
static inline value_id loss_softplus(rondo_graph *g, value_id x) { return build_unary(g, OP_softplus, x); }
static inline value_id loss_neg(rondo_graph *g, value_id x) { return build_unary(g, OP_neg, x); }
