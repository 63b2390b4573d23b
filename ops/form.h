/* What the form rules share. A pair is v[…, t, s] = mask · row[t] · column[s] · Σ_f query[t, f] · key[s, f];
 * see ops/op.h. */
#pragma once
#include "ops/build.h"

/* The pair that v is, or NULL. */
static inline const pair_form *form_pair(const form_context *c, value_id v)
{
    return v != NONE && c->forms[v].kind == FORM_PAIR ? &c->forms[v] : NULL;
}
static inline bool form_ended(const form_context *c, value_id v)
{
    return v != NONE && c->forms[v].kind == FORM_ENDED;
}
static inline node_id form_node(const form_context *c, const node *n)
{
    return (node_id)(n - c->from->nodes);
}
/* True unless the new graph failed: what a rule returns that only built. */
static inline bool form_good(const form_context *c)
{
    return !c->to->error.code;
}

/* What of n's operands carried time twice is no longer separable, for this reason; an operand that had ended
 * already keeps its own. */
bool form_end(form_context *c, const node *n, pair_form *outputs, const char *format, ...) RONDO_FORMAT(4, 5);

/* Whether axis `axis` of a value of `rank` axes exists and is not the literal 1 in s, which broadcasts to
 * that value. */
bool form_spans(const shape *s, int rank, int axis);
value_id form_rank(rondo_graph *g, value_id x, int rank); /* leading extents of 1 up to `rank` */
value_id form_extent(rondo_graph *g, value_id x, int axis,
                     dim extent); /* the literal 1 at axis becomes extent */
/* x, a new value that broadcasts to `rank` axes with extent 1 at `other`, as a factor: [batch…, axis, 1]. */
value_id form_factor(rondo_graph *g, value_id x, int rank, int axis, int other);
void form_swap_roles(pair_form *p);                      /* names t s and s t; not for a causal pair */
void form_raise(rondo_graph *g, pair_form *p, int rank); /* leading batch axes of extent 1 */
/* A pair that begins at node n: v[t, s] = query[t] · key[s]; query, key: [batch…, T or 1, F]. */
pair_form form_begin(form_context *c, const node *n, int t_axis, int s_axis, value_id query, value_id key);
/* Where the last two axes of s are both exactly one symbol. */
bool form_times(const shape *s);
