/* Recognising softmax attention: weights · v, where weights = dropout?(softmax(masks and scales, in any
 * order, of q kᵀ)). Matching starts at the result and goes backwards; no value on the way may have another
 * reader. */
#include "compiler/passes/contract.h"
#include "compiler/passes/heads.h"
#include <math.h>

/* n = x · number, x / number or −x: a scale that changes no shape. */
static bool take_scale(const rondo_graph *g, const node *n, value_id *x, double *scale)
{
    if (n->op == OP_neg) {
        *x = n->inputs[0];
        *scale = -*scale;
        return true;
    }
    for (int i = 0; i < 2 && (n->op == OP_mul || (n->op == OP_div && !i)); i++) {
        value_id number = n->inputs[1 - i];
        while (graph_op_of(g, number) == OP_broadcast || graph_op_of(g, number) == OP_reshape)
            number = graph_node_of(g, number)->inputs[0];
        if (graph_op_of(g, number) != OP_constant ||
            !shape_equal(graph_shape_of(g, n->inputs[i]), graph_shape_of(g, n->first_output)))
            continue;
        double by = graph_node_of(g, number)->attributes[constant_number].real;
        *x = n->inputs[i];
        *scale = n->op == OP_mul ? *scale * by : *scale / by;
        return true;
    }
    return false;
}

/* Lengths, offsets and sentence ids belong to axis 0 of the value they are used on; it must be one axis for
 * all. */
static bool fix_batch(softmax_attention *m, const shape *s)
{
    shape batch = heads_batch(s);
    if (!batch.rank)
        return false;
    if (m->batch_fixed)
        return dim_equal(m->batch.dims[0], batch.dims[0]);
    m->batch = batch;
    m->batch_fixed = true;
    return true;
}

/* [batch…, T, S] under other batch axes. */
static bool keeps_last_two(const shape *a, const shape *b)
{
    return a->rank >= 2 && b->rank >= 2 && dim_equal(a->dims[a->rank - 1], b->dims[b->rank - 1]) &&
           dim_equal(a->dims[a->rank - 2], b->dims[b->rank - 2]);
}

static bool take_reshape(const rondo_graph *g, const node *n, value_id *x)
{
    if (n->op != OP_reshape ||
        !keeps_last_two(graph_shape_of(g, n->inputs[0]), graph_shape_of(g, n->first_output)))
        return false;
    *x = n->inputs[0];
    return true;
}

static bool take_mask(const rondo_graph *g, const node *n, value_id *x, softmax_attention *m)
{
    const shape *s = graph_shape_of(g, n->first_output);
    if (m->scale <= 0) /* a negative scale after the mask would make −∞ of it +∞ */
        return false;
    if (n->op == OP_causal_mask) {
        if (n->attributes[causal_mask_fill].real != -INFINITY ||
            n->attributes[causal_mask_exclusive].integer || n->attributes[causal_mask_transposed].integer ||
            m->causal)
            return false;
        m->causal = true;
        m->offset = n->input_count > 1 ? n->inputs[1] : NONE;
        if (m->offset != NONE && !fix_batch(m, s))
            return false;
    } else if (n->op == OP_key_mask) {
        if (n->attributes[key_mask_fill].real != -INFINITY ||
            (m->length != NONE && m->length != n->inputs[1]) || !fix_batch(m, s))
            return false;
        m->length = n->inputs[1];
    } else {
        return false;
    }
    *x = n->inputs[0];
    return true;
}

static bool take_dropout(const rondo_graph *g, const node *n, value_id *x, softmax_attention *m)
{
    const shape *s = graph_shape_of(g, n->first_output);
    if (n->op != OP_dropout || m->rate != 0 ||
        normal_axis(n->attributes[dropout_axis].integer, s->rank) != s->rank - 2 || !fix_batch(m, s))
        return false;
    m->rate = n->attributes[dropout_rate].real;
    m->site = n->attributes[dropout_site].integer;
    m->seed = n->inputs[1];
    m->sentences = n->inputs[2];
    *x = n->inputs[0];
    return true;
}

/* From the weights to the softmax: its operand, or NONE. */
static value_id match_weights(const rondo_graph *g, value_id v, const int *readers, softmax_attention *m)
{
    while (readers[v] == 1) {
        const node *n = graph_node_of(g, v);
        if (n->op == OP_softmax)
            return n->inputs[0];
        if (!take_reshape(g, n, &v) && !take_dropout(g, n, &v, m))
            return NONE;
    }
    return NONE;
}

/* From the softmax to q kᵀ. */
static bool match_scores(const rondo_graph *g, value_id v, const int *readers, softmax_attention *m)
{
    while (readers[v] == 1) {
        const node *n = graph_node_of(g, v);
        if (n->op == OP_matmul) {
            m->scores = g->values[v].node;
            return n->input_count == 2 && !n->attributes[matmul_activation].integer;
        }
        if (!take_reshape(g, n, &v) && !take_mask(g, n, &v, m) && !take_scale(g, n, &v, &m->scale))
            return false;
    }
    return false;
}

bool match_attention(const rondo_graph *g, node_id id, const int *readers, softmax_attention *m)
{
    const node *n = &g->nodes[id];
    if (n->op != OP_matmul || n->input_count != 2 || n->attributes[matmul_activation].integer)
        return false;
    for (int which = 0; which < 2; which++) {
        *m = (softmax_attention){
            .length = NONE, .offset = NONE, .seed = NONE, .sentences = NONE, .scale = 1, .transposed = which};
        bool over_keys =
            which ? n->attributes[matmul_transpose_b].integer : !n->attributes[matmul_transpose_a].integer;
        value_id v = over_keys ? match_weights(g, n->inputs[which], readers, m) : NONE;
        if (v == NONE || !match_scores(g, v, readers, m))
            continue;
        const node *scores = &g->nodes[m->scores];
        shape written = heads_batch(graph_shape_of(g, scores->first_output));
        shape weights = heads_batch(graph_shape_of(g, n->inputs[which])),
              out = heads_batch(graph_shape_of(g, n->first_output));
        if (!shape_equal(&weights, &out)) /* there are values for more sentences or heads than weights */
            continue;
        if (!m->batch_fixed)
            m->batch = written;
        m->values = n->inputs[1 - which];
        m->query = scores->inputs[0];
        m->key = scores->inputs[1];
        while (take_scale(g, graph_node_of(g, m->query), &m->query, &m->scale)) {
        }
        while (take_scale(g, graph_node_of(g, m->key), &m->key, &m->scale)) {
        }
        return true;
    }
    return false;
}
