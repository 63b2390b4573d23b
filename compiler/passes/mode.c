/* mode: the same model for evaluation.
 *
 *   needs: a verified graph     gives: no dropout, anywhere     breaks: nothing */
#include "compiler/passes/passes.h"
#include <string.h>

static bool plain_attention(rewriter *r, const node *n, node_id id)
{
    value_id inputs[MAX_INPUTS];
    attribute attributes[MAX_ATTRIBUTES];
    memcpy(attributes, n->attributes, sizeof attributes);
    attributes[attention_rate].real = 0;
    attributes[attention_site].integer = 0;
    for (int i = 0; i < n->input_count; i++)
        inputs[i] = n->inputs[i] == NONE || i >= 5 ? NONE : r->map[n->inputs[i]];
    graph_at(r->to, r->from, id);
    value_id out = graph_add(r->to, OP_attention, inputs, n->input_count, attributes);
    r->map[n->first_output] = out;
    r->map[n->first_output + 1] = build_output(r->to, out, 1);
    return out != NONE;
}

rondo_graph *mode_evaluate(const rondo_graph *g, value_id **map, rondo_error *error)
{
    rewriter r;
    if (!rewrite_begin(&r, g, error))
        return NULL;
    for (node_id id = 0; graph_good(r.to) && id < g->node_count; id++) {
        const node *n = &g->nodes[id];
        if (n->op == OP_dropout)
            r.map[n->first_output] = r.map[n->inputs[0]];
        else if (n->op == OP_attention && n->attributes[attention_rate].real != 0)
            plain_attention(&r, n, id);
        else
            graph_copy_node(r.to, g, id, r.map);
    }
    return rewrite_end(&r, map, error);
}
