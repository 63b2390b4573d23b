/* simplify: algebra that changes no result. Each node is tried against the rules in the order of the table
 * while it is copied, so a rule sees operands that have been simplified already.
 *
 *   needs: a verified graph, after differentiate
 *   gives: no identities, no dead nodes, constants folded
 *   breaks: gradients that are still to be taken: nothing is stopped or watched any more */
#include "compiler/passes/passes.h"
#include <string.h>

/* A rule looks at a node that is about to be copied, with operands in the new graph, and returns the value
 * that replaces it, or NONE. */
typedef value_id rule(rondo_graph *g, const node *n, const value_id *in, const shape *result);

static bool same_shape(const rondo_graph *g, value_id v, const shape *s)
{
    return shape_equal(graph_shape_of(g, v), s);
}

static value_id identity_element(rondo_graph *g, const node *n, const value_id *in, const shape *result)
{
    static const struct {
        op_id op;
        double number;
        bool left;
    } table[] = {
        {OP_mul, 1, true}, {OP_add, 0, true}, {OP_div, 1, false}, {OP_sub, 0, false}, {OP_power, 1, false}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (table[i].op != n->op)
            continue;
        if (is_number(g, in[1], table[i].number) && same_shape(g, in[0], result))
            return in[0];
        if (table[i].left && is_number(g, in[0], table[i].number) && same_shape(g, in[1], result))
            return in[1];
    }
    return NONE;
}

static value_id double_negation(rondo_graph *g, const node *n, const value_id *in, const shape *result)
{
    (void)result;
    if (n->op == OP_neg && graph_op_of(g, in[0]) == OP_neg)
        return graph_node_of(g, in[0])->inputs[0];
    return NONE;
}

/* What x is a reshape of. */
static value_id reshaped(const rondo_graph *g, value_id x)
{
    while (graph_op_of(g, x) == OP_reshape)
        x = graph_node_of(g, x)->inputs[0];
    return x;
}

static value_id reshape_chain(rondo_graph *g, const node *n, const value_id *in, const shape *result)
{
    if (n->op != OP_reshape)
        return NONE;
    value_id x = reshaped(g, in[0]);
    if (graph_op_of(g, x) == OP_constant)
        return build_constant(g, graph_node_of(g, x)->attributes[constant_number].real, g->values[x].type,
                              result);
    return same_shape(g, x, result) || x != in[0] ? build_reshape(g, x, result) : NONE;
}

static value_id transpose_chain(rondo_graph *g, const node *n, const value_id *in, const shape *result)
{
    int outer[MAX_RANK], inner[MAX_RANK], both[MAX_RANK];
    if (n->op != OP_transpose)
        return NONE;
    if (graph_op_of(g, in[0]) == OP_constant)
        return build_constant(g, graph_node_of(g, in[0])->attributes[constant_number].real,
                              g->values[in[0]].type, result);
    if (graph_op_of(g, in[0]) == OP_transpose) {
        order_unpack(n->attributes[transpose_order].integer, outer);
        order_unpack(graph_node_of(g, in[0])->attributes[transpose_order].integer, inner);
        for (int a = 0; a < result->rank; a++)
            both[a] = inner[outer[a]];
        return build_transpose(g, graph_node_of(g, in[0])->inputs[0], both);
    }
    order_unpack(n->attributes[transpose_order].integer, outer);
    for (int a = 0; a < result->rank; a++)
        if (outer[a] != a)
            return NONE;
    return in[0];
}

static value_id broadcast_of_same(rondo_graph *g, const node *n, const value_id *in, const shape *result)
{
    if (n->op != OP_broadcast)
        return NONE;
    if (graph_op_of(g, in[0]) == OP_constant)
        return build_constant(g, graph_node_of(g, in[0])->attributes[constant_number].real,
                              g->values[in[0]].type, result);
    return same_shape(g, in[0], result) ? in[0] : NONE;
}

/* Elementwise ops broadcast their operands: they can read the operand of a broadcast if the result keeps its
 * shape. */
static value_id implicit_broadcast(rondo_graph *g, const node *n, const value_id *in, const shape *result)
{
    value_id inputs[MAX_INPUTS];
    bool changed = false;
    if (!(op_table[n->op].flags & OP_ELEMENTWISE) || n->input_count < 2)
        return NONE;
    memcpy(inputs, in, sizeof *in * (size_t)n->input_count);
    for (int i = 0; i < n->input_count; i++) {
        if (graph_op_of(g, inputs[i]) != OP_broadcast)
            continue;
        value_id narrow = graph_node_of(g, inputs[i])->inputs[0], wide = inputs[i];
        inputs[i] = narrow;
        shape joined = *graph_shape_of(g, inputs[0]);
        bool fits = true;
        for (int k = 1; k < n->input_count && fits; k++) {
            shape next;
            fits = shape_broadcast(&joined, graph_shape_of(g, inputs[k]), &next);
            joined = next;
        }
        if (fits && shape_equal(&joined, result))
            changed = true;
        else
            inputs[i] = wide;
    }
    return changed ? graph_add(g, n->op, inputs, n->input_count, n->attributes) : NONE;
}

/* Elementwise on constants is a constant; the number comes from the op's own reference. */
static value_id fold(rondo_graph *g, const node *n, const value_id *in, const shape *result)
{
    if (!(op_table[n->op].flags & OP_ELEMENTWISE) || n->op == OP_cast)
        return NONE;
    double numbers[3], number = 0;
    reference_tensor inputs[3], output = {.data = &number, .count = 1};
    for (int i = 0; i < n->input_count; i++) {
        const node *made = graph_node_of(g, in[i]);
        if (made->op != OP_constant)
            return NONE;
        numbers[i] = made->attributes[constant_number].real;
        inputs[i] = (reference_tensor){.data = &numbers[i], .count = 1};
    }
    const reference_call call = {.graph = g,
                                 .attributes = n->attributes,
                                 .input_count = n->input_count,
                                 .output_count = 1,
                                 .inputs = inputs,
                                 .outputs = &output,
                                 .scratch = &g->arena};
    if (!op_table[n->op].reference(&call))
        return NONE;
    return build_constant(g, number, RONDO_F32, result);
}

static value_id sum_of_one(rondo_graph *g, const node *n, const value_id *in, const shape *result)
{
    if (n->op != OP_sum && n->op != OP_mean && n->op != OP_max)
        return NONE;
    const shape *s = graph_shape_of(g, in[0]);
    int axis = normal_axis(n->attributes[sum_axis].integer, s->rank);
    return axis >= 0 && dim_is_number(s->dims[axis], 1) ? build_reshape(g, reshaped(g, in[0]), result) : NONE;
}

static value_id whole_slice(rondo_graph *g, const node *n, const value_id *in, const shape *result)
{
    return n->op == OP_slice && same_shape(g, in[0], result) ? in[0] : NONE;
}

static value_id same_sum_to(rondo_graph *g, const node *n, const value_id *in, const shape *result)
{
    return n->op == OP_sum_to && same_shape(g, in[0], result) ? in[0] : NONE;
}

static value_id same_cast(rondo_graph *g, const node *n, const value_id *in, const shape *result)
{
    (void)result;
    return n->op == OP_cast && g->values[in[0]].type == (rondo_type)n->attributes[cast_type].integer ? in[0]
                                                                                                     : NONE;
}

/* What only differentiate, or the trainer, asked for. */
static value_id identity(rondo_graph *g, const node *n, const value_id *in, const shape *result)
{
    (void)g;
    (void)result;
    bool same = n->op == OP_watch || n->op == OP_stop_gradient || n->op == OP_objective;
    return same ? in[0] : NONE;
}

static rule *const rules[] = {identity,          fold,
                              identity_element,  double_negation,
                              reshape_chain,     transpose_chain,
                              broadcast_of_same, implicit_broadcast,
                              sum_of_one,        whole_slice,
                              same_sum_to,       same_cast};

static value_id first_rule(rewriter *r, const node *n)
{
    value_id in[MAX_INPUTS];
    if (n->output_count != 1 || !n->input_count)
        return NONE;
    for (int i = 0; i < n->input_count; i++) {
        in[i] = n->inputs[i] == NONE ? NONE : r->map[n->inputs[i]];
        if (in[i] == NONE)
            return NONE;
    }
    for (size_t k = 0; k < sizeof rules / sizeof *rules; k++) {
        node copy = *n;
        value_id v = rules[k](r->to, &copy, in, graph_shape_of(r->from, n->first_output));
        if (v != NONE || !graph_good(r->to))
            return v;
    }
    return NONE;
}

rondo_graph *simplify(const rondo_graph *g, value_id **map, rondo_error *error)
{
    rewriter r;
    if (!rewrite_begin(&r, g, error))
        return NULL;
    for (node_id id = 0; graph_good(r.to) && id < g->node_count; id++) {
        const node *n = &g->nodes[id];
        graph_at(r.to, g, id);
        value_id v = first_rule(&r, n);
        if (v == NONE)
            graph_copy_node(r.to, g, id, r.map);
        else
            r.map[n->first_output] = v;
    }
    return rewrite_end(&r, map, error);
}
