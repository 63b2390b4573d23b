/* contract: patterns for which there is an op with its own gradient become one node.
 *
 *   needs: a verified graph, after linearize and before differentiate
 *   gives: no softmax attention and no logits with a single reader that is their loss
 *   breaks: nothing */
#include "compiler/passes/contract.h"
#include "compiler/passes/heads.h"
#include <string.h>

typedef struct contractor {
    rewriter r;
    const int *readers;
} contractor;

/* ---- attention ---- */

/* x: [scores' or values' batch…, X, Y] → [B, H, X, Y] under the batch axes of the match. */
static value_id to_heads(contractor *c, value_id x, bool swap, const shape *written, const shape *batch)
{
    rondo_graph *g = c->r.to;
    x = heads_in(g, swap ? build_swap(g, x, -2, -1) : x, written);
    return x == NONE ? NONE : heads_in(g, heads_out(g, x, batch), batch);
}

static bool contract_attention(contractor *c, const node *n, const softmax_attention *m)
{
    const rondo_graph *from = c->r.from;
    rondo_graph *g = c->r.to;
    const node *scores = &from->nodes[m->scores];
    shape s = heads_batch(graph_shape_of(from, scores->first_output)),
          out = heads_batch(graph_shape_of(from, n->first_output));
    bool swap_values = m->transposed ? !n->attributes[matmul_transpose_a].integer
                                     : n->attributes[matmul_transpose_b].integer;
    value_id inputs[7] = {
        to_heads(c, c->r.map[m->query], scores->attributes[matmul_transpose_a].integer, &s, &m->batch),
        to_heads(c, c->r.map[m->key], !scores->attributes[matmul_transpose_b].integer, &s, &m->batch),
        to_heads(c, c->r.map[m->values], swap_values, &out, &m->batch),
        m->length == NONE ? NONE : c->r.map[m->length],
        m->offset == NONE ? NONE : c->r.map[m->offset],
        m->seed == NONE ? NONE : c->r.map[m->seed],
        m->sentences == NONE ? NONE : c->r.map[m->sentences]};
    if (inputs[0] == NONE || inputs[1] == NONE || inputs[2] == NONE)
        return false;
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[attention_scale] = real_attribute(m->scale);
    attributes[attention_causal] = integer_attribute(m->causal);
    attributes[attention_rate] = real_attribute(m->rate);
    attributes[attention_site] = integer_attribute(m->site);
    value_id y = heads_out(g, build_node(g, OP_attention, 7, inputs, attributes), &out);
    c->r.map[n->first_output] = m->transposed ? build_swap(g, y, -2, -1) : y;
    return y != NONE;
}

/* ---- the loss with its projection ---- */

static bool is_bias(const rondo_graph *g, value_id v, dim width)
{
    const shape *s = graph_shape_of(g, v);
    return s->rank == 1 && dim_equal(s->dims[0], width);
}

typedef struct projection {
    node_id product;
    value_id bias;
} projection;

/* logits = reshape*(h W (+ bias)), with no other reader anywhere. */
static bool match_projection(const rondo_graph *g, value_id logits, const int *readers, projection *p)
{
    dim width = graph_shape_of(g, logits)->dims[graph_shape_of(g, logits)->rank - 1];
    *p = (projection){NONE, NONE};
    for (value_id v = logits; readers[v] == 1;) {
        const node *n = graph_node_of(g, v);
        const shape *s = graph_shape_of(g, v);
        if (!s->rank || !dim_equal(s->dims[s->rank - 1], width))
            return false;
        if (n->op == OP_reshape) {
            v = n->inputs[0];
        } else if (n->op == OP_add && p->bias == NONE &&
                   (is_bias(g, n->inputs[0], width) || is_bias(g, n->inputs[1], width))) {
            int bias = is_bias(g, n->inputs[1], width);
            p->bias = n->inputs[bias];
            v = n->inputs[1 - bias];
        } else {
            p->product = g->values[v].node;
            return n->op == OP_matmul && n->input_count == 2 && !n->attributes[matmul_activation].integer &&
                   !n->attributes[matmul_transpose_a].integer && graph_shape_of(g, n->inputs[1])->rank == 2;
        }
    }
    return false;
}

static bool contract_loss(contractor *c, const node *n, const projection *p)
{
    const rondo_graph *from = c->r.from;
    rondo_graph *g = c->r.to;
    const node *product = &from->nodes[p->product];
    const shape *h = graph_shape_of(from, product->inputs[0]);
    shape rows = *graph_shape_of(from, n->inputs[0]);
    rows.dims[rows.rank - 1] = h->dims[h->rank - 1];
    value_id weight = c->r.map[product->inputs[1]];
    value_id inputs[4] = {build_reshape(g, c->r.map[product->inputs[0]], &rows),
                          product->attributes[matmul_transpose_b].integer ? weight
                                                                          : build_swap(g, weight, 0, 1),
                          c->r.map[n->inputs[1]], p->bias == NONE ? NONE : c->r.map[p->bias]};
    if (inputs[0] == NONE || inputs[1] == NONE)
        return false;
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[linear_cross_entropy_smoothing] = n->attributes[cross_entropy_smoothing];
    attributes[linear_cross_entropy_ignore] = n->attributes[cross_entropy_ignore];
    value_id loss = build_node(g, OP_linear_cross_entropy, 4, inputs, attributes);
    for (int i = 0; i < n->output_count; i++)
        c->r.map[n->first_output + i] = build_output(g, loss, i);
    return loss != NONE;
}

static bool contract_node(contractor *c, node_id id)
{
    const node *n = &c->r.from->nodes[id];
    softmax_attention attention;
    projection projected;
    graph_at(c->r.to, c->r.from, id);
    if (n->op == OP_matmul && match_attention(c->r.from, id, c->readers, &attention))
        return contract_attention(c, n, &attention);
    if (n->op == OP_cross_entropy && match_projection(c->r.from, n->inputs[0], c->readers, &projected))
        return contract_loss(c, n, &projected);
    return graph_copy_node(c->r.to, c->r.from, id, c->r.map);
}

rondo_graph *contract(const rondo_graph *g, value_id **map, rondo_error *error)
{
    contractor c;
    if (!rewrite_begin(&c.r, g, error))
        return NULL;
    c.readers = count_readers(&c.r.to->arena, g);
    bool good = c.readers || graph_refuse(c.r.to, RONDO_MEMORY, "out of memory to count readers");
    for (node_id id = 0; good && id < g->node_count; id++)
        good = contract_node(&c, id);
    return rewrite_end(&c.r, map, error);
}
