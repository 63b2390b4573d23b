/* What the form rules share. A pair is v[…, t, s] = mask · row[t] · column[s] · Σ_f query[t, f] · key[s, f];
 * see ops/op.h. */
#pragma once
#include "ops/build.h"

/* The pair that v is, or NULL. */
static inline const pair_form *form_pair(const form_context *c, value_id v)
{
    return v != NONE && c->forms[v].kind == FORM_PAIR ? &c->forms[v] : NULL;
}
/* The pair or difference that v is: both follow changes of shape. NULL: neither. */
static inline const pair_form *form_live(const form_context *c, value_id v)
{
    return v != NONE && (c->forms[v].kind == FORM_PAIR || c->forms[v].kind == FORM_DIFFERENCE) ? &c->forms[v]
                                                                                               : NULL;
}
static inline bool form_ended(const form_context *c, value_id v)
{
    return v != NONE && c->forms[v].kind == FORM_ENDED;
}
static inline node_id form_node(const form_context *c, const node *n)
{
    return (node_id)(n - c->from->nodes);
}
/* True unless the new graph failed; for rules that only build. */
static inline bool form_good(const form_context *c)
{
    return graph_good(c->to);
}

/* Ends the pairs among n's operands, which are no longer separable for this reason; an operand that had ended
 * before keeps its own reason. */
bool form_end(form_context *c, const node *n, pair_form *outputs, const char *format, ...) RONDO_FORMAT(4, 5);

/* Whether axis `axis` of a value of `rank` axes exists and is not the literal 1 in s, which broadcasts to
 * that value. */
bool form_spans(const shape *s, int rank, int axis);
value_id form_rank(rondo_graph *g, value_id x, int rank); /* leading extents of 1 up to `rank` */
value_id form_extent(rondo_graph *g, value_id x, int axis,
                     dim extent); /* the literal 1 at axis becomes extent */
/* x, a new value that broadcasts to `rank` axes with extent 1 at `other`, as a factor: [batch…, axis, 1]. */
value_id form_factor(rondo_graph *g, value_id x, int rank, int axis, int other);
enum { FORM_FACTORS = 5 };
void form_factors(pair_form *p, value_id *factors[FORM_FACTORS]); /* query, key, row, column, log_decay */
void form_swap_roles(rondo_graph *g, pair_form *p);      /* exchanges t and s; not for a causal pair */
void form_raise(rondo_graph *g, pair_form *p, int rank); /* leading batch axes of extent 1 */
/* A pair that begins at node n: v[t, s] = query[t] · key[s]; query, key: [batch…, T or 1, F]. */
pair_form form_begin(form_context *c, const node *n, int t_axis, int s_axis, value_id query, value_id key);
/* Whether each of the last two axes of s is exactly one symbol. */
bool form_times(const shape *s);
value_id form_negative(rondo_graph *g, value_id x);           /* −x; y where x is −y */
value_id form_sum_of(rondo_graph *g, value_id a, value_id b);     /* NONE is 0 */
value_id form_product_of(rondo_graph *g, value_id a, value_id b); /* NONE is 1 */
/* A number as a factor of a pair of `rank` axes: all extents are 1. */
value_id form_number(rondo_graph *g, double number, rondo_type type, int rank);
/* The pairs a and b, operands of node n, get the rank of its result, and the same t axis where one of them
 * may swap its roles. False: the new graph failed. */
bool form_align(form_context *c, const node *n, pair_form *a, pair_form *b);

/* ---- decays (ops/form/decay.c) ---- */

/* A pair with a decay can be summed over s where a causal mask keeps s ≤ t only. */
static inline bool form_grows(const pair_form *p)
{
    return p->log_decay != NONE && !p->causal;
}
#define FORM_GROWS "a decay without a causal mask: it would grow without bound where s > t"

/* q∘e^c and k∘e^−c with the same running sum c: e^c leaves the factors of the pair that matmul node n begins
 * and becomes its decay. Leaves p as it is where there is no such c. */
bool form_take_decay(form_context *c, const node *n, pair_form *p);
/* c[t] − c[s], as [..., T, 1] − [..., 1, T] or the sum with the negative: begins a difference. */
bool form_begin_difference(form_context *c, const node *n, pair_form *outputs);
/* A difference times, or divided by, an old value that depends neither on t nor on s; NONE: times −1. */
bool form_scale_difference(form_context *c, const node *n, value_id factor, pair_form *outputs);

/* ---- growth along time (ops/form/growth.c) ---- */

/* How much a value grows from one step to the next along the time axis `symbol`: a value of the new graph
 * with the shape of the old one, but extent 1 along time if it is the same at every step. A running sum grows
 * by its summand, positions by 1; both may be scaled, added, cast and moved. known false: cannot tell; steps
 * NONE: it does not grow. */
typedef struct form_growth {
    bool known;
    value_id steps;
} form_growth;
form_growth form_growth_of(const form_context *c, value_id old, int symbol);
/* Growth x of n's operand after node n, a transpose, reshape, broadcast or cast. */
form_growth form_growth_moved(const form_context *c, const node *n, form_growth x, int symbol);
/* steps, which broadcasts to `rank` axes with extent 1 at `other`, as a factor [batch…, axis, 1]; equal
 * growths that were moved in different ways become the same value. */
value_id form_growth_factor(rondo_graph *g, value_id steps, int rank, int axis, int other);
