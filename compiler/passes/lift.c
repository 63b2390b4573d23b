/* compiler/passes/lift.h.
 *
 *   needs: a verified graph     gives: constants over [T, T] with a batch axis     breaks: nothing */
#include "compiler/passes/lift.h"

typedef struct lifting {
    const rondo_graph *g;
    bool *below; /* by value: made from the current constant and values without a batch axis */
    shape to;    /* what the constant becomes; rank 0: no reader had a batch yet */
} lifting;

/* A constant, or one number repeated, of shape [T, T]. */
static bool is_candidate(const rondo_graph *g, const node *n)
{
    const shape *s = graph_shape_of(g, n->first_output);
    bool repeated = n->op == OP_broadcast && graph_op_of(g, n->inputs[0]) == OP_constant &&
                    graph_shape_of(g, n->inputs[0])->rank == 0;
    return (n->op == OP_constant || repeated) && s->rank == 2 && dim_only_symbol(s->dims[0]) >= 0 &&
           dim_equal(s->dims[0], s->dims[1]);
}

/* x has more axes than [T, T]: those before the last two are the batch, on which all such x must agree. */
static bool meet(lifting *l, const shape *x)
{
    if (!l->to.rank) {
        l->to = *x;
        return !dim_is_literal(x->dims[0]);
    }
    for (int i = 0; i < x->rank - 2 && l->to.rank == x->rank; i++)
        if (dim_is_number(l->to.dims[i], 1))
            l->to.dims[i] = x->dims[i];
        else if (!dim_is_number(x->dims[i], 1) && !dim_equal(l->to.dims[i], x->dims[i]))
            return false;
    return l->to.rank == x->rank;
}

static bool keeps_axes(const node *n)
{
    if (n->op == OP_sum || n->op == OP_mean)
        return n->attributes[sum_keep].integer && n->attributes[sum_axis].integer < 0;
    return n->op == OP_causal_mask || n->op == OP_matmul || op_table[n->op].flags & OP_ELEMENTWISE;
}

/* Follows the constant through reader n. False: n would compute something else if there were batch axes in
 * front. */
static bool follow(lifting *l, const node *n)
{
    bool reads = false, meets = false;
    for (int i = 0; i < n->input_count; i++)
        reads = reads || (n->inputs[i] != NONE && l->below[n->inputs[i]]);
    if (!reads)
        return true;
    if (!keeps_axes(n))
        return false;
    for (int i = 0; i < n->input_count; i++) {
        value_id x = n->inputs[i];
        if (x == NONE || l->below[x] || graph_shape_of(l->g, x)->rank <= 2)
            continue;
        meets = true;
        if (!meet(l, graph_shape_of(l->g, x)))
            return false;
    }
    if (!meets)
        l->below[n->first_output] = true;
    return meets || n->op != OP_matmul;
}

static bool is_read_outside(const lifting *l)
{
    for (int o = 0; o < l->g->output_count; o++)
        if (l->below[l->g->outputs[o].value])
            return true;
    for (int p = 0; p < l->g->port_count; p++)
        if (l->g->ports[p].out != NONE && l->below[l->g->ports[p].out])
            return true;
    return false;
}

/* The shape that the constant of node `id` gets; rank 0: it stays. */
static shape lifted_shape(lifting *l, node_id id)
{
    const rondo_graph *g = l->g;
    const shape none = {0}, *s = graph_shape_of(g, g->nodes[id].first_output);
    for (value_id v = 0; v < g->value_count; v++)
        l->below[v] = v == g->nodes[id].first_output;
    l->to = none;
    for (node_id reader = id + 1; reader < g->node_count; reader++)
        if (!follow(l, &g->nodes[reader]))
            return none;
    if (!l->to.rank || is_read_outside(l))
        return none;
    l->to.dims[l->to.rank - 2] = s->dims[0];
    l->to.dims[l->to.rank - 1] = s->dims[1];
    return l->to;
}

rondo_graph *lift_constants(const rondo_graph *g, bool *lifted, value_id **map, rondo_error *error)
{
    rewriter r;
    bool any = false;
    *lifted = false;
    for (node_id id = 0; g && id < g->node_count; id++)
        any = any || is_candidate(g, &g->nodes[id]);
    if (!any || !rewrite_begin(&r, g, error))
        return NULL;
    lifting l = {.g = g, .below = ARENA_NEW(&r.to->arena, bool, g->value_count + 1)};
    bool good = l.below || graph_refuse(r.to, RONDO_MEMORY, "out of memory to lift constants");
    for (node_id id = 0; good && id < g->node_count; id++) {
        const node *n = &g->nodes[id];
        shape to = is_candidate(g, n) ? lifted_shape(&l, id) : (shape){0};
        if (!to.rank) {
            good = graph_copy_node(r.to, g, id, r.map);
            continue;
        }
        const node *number = n->op == OP_constant ? n : graph_node_of(g, n->inputs[0]);
        graph_at(r.to, g, id);
        r.map[n->first_output] = build_constant(r.to, number->attributes[constant_number].real,
                                                g->values[n->first_output].type, &to);
        good = *lifted = r.map[n->first_output] != NONE;
    }
    rondo_graph *result = rewrite_end(&r, map, error);
    if (result && *lifted)
        return result;
    graph_free(result);
    return NULL;
}
