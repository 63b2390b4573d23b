/* contract: recognises softmax attention, softmax(q kᵀ / √d) v, and the loss with its output projection,
 * cross_entropy(h Wᵀ), where a model writes them out, and replaces them by ops with gradients of their own.
 */
#pragma once
#include "compiler/passes/passes.h"

rondo_graph *contract(const rondo_graph *g, value_id **map, rondo_error *error);

/* A softmax attention, as old values. */
typedef struct softmax_attention {
    node_id scores;      /* the matmul q kᵀ */
    value_id query, key; /* before their scale was taken out */
    value_id values;
    value_id length, offset; /* NONE: no such mask */
    value_id seed, sentences;
    double scale, rate;
    int64_t site;
    bool causal, transposed; /* transposed: the result is [..., Dv, T] */
    shape batch; /* its first axis is that of length, offset, sentences; else the batch axes of the scores */
    bool batch_fixed;
} softmax_attention;
/* Whether node n of g multiplies softmax weights, which have no other reader, by values. readers:
 * count_readers(g). */
bool match_attention(const rondo_graph *g, node_id n, const int *readers, softmax_attention *match);
