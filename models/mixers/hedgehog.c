/* Hedgehog (Zhang et al. 2024, "The Hedgehog & the Porcupine"): φ(x) = [softmax(W x); softmax(−W x)],
 * positive and spiky, with a matrix for each head that begins as the identity. A number behind the name
 * counts the rows of W; φ has twice as many. */
#include "models/mixers/mixer.h"

static rondo_value phi(rondo_value x, int64_t rows)
{
    rondo_value y = attention_per_head(x, rows, "weight", RONDO_IDENTITY, 1);
    return rondo_concat(rondo_softmax(y), rondo_softmax(rondo_neg(y)), -1);
}

DECLARE_WEIGHING(hedgehog)
{
    int64_t rows = mixer_count(m, rondo_extent(a->q, -1));
    rondo_enter(a->q.graph, "feature_map");
    rondo_value query = phi(a->q, rows), key = phi(a->k, rows);
    rondo_leave(a->q.graph);
    weighing w = attention_features(a, query, key);
    w.sum = rondo_add_scalar(w.sum, 1e-6);
    return w;
}
