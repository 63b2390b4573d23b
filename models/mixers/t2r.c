/* T2R (Kasai et al. 2021, "Finetuning Pretrained Transformers into RNNs"): φ(x) = relu(W x + b) with a
 * matrix for each head, the same for queries and keys; only queries are scaled; the normaliser is clamped
 * at 1e-2, for all features of a token may be 0. Features as in its translation models: 32 for a source, 4
 * for what was said so far. */
#include "models/mixers/mixer.h"
#include <math.h>

static rondo_value phi(rondo_value x, int64_t features)
{
    rondo_value b = rondo_parameter(x.graph, "bias", "f32[%lld,1,%lld]", (long long)rondo_extent(x, 1),
                                    (long long)features);
    rondo_value y = attention_per_head(x, features, "weight", RONDO_XAVIER, sqrt(1.0 / 8));
    return rondo_relu(rondo_add(y, rondo_initialize(b, RONDO_FILL, 0)));
}

DECLARE_WEIGHING(t2r)
{
    int64_t features = mixer_count(m, a->causal ? 4 : 32);
    double scale = 1 / sqrt((double)rondo_extent(a->q, -1));
    rondo_enter(a->q.graph, "feature_map");
    rondo_value query = phi(rondo_mul_scalar(a->q, scale), features), key = phi(a->k, features);
    rondo_leave(a->q.graph);
    weighing w = attention_features(a, query, key);
    w.sum = rondo_maximum(w.sum, rondo_constant(a->q.graph, 1e-2, "f32[]"));
    return w;
}
