/* Random feature attention (Peng et al. 2021): φ(x) = [sin(W x); cos(W x)] / √D of queries and keys of
 * length 1, W = σ ⊙ a normal draw that is not trained, σ learned for each head. Features of both signs may
 * cancel in the normaliser, which is clamped. D = 64. */
#include "models/mixers/mixer.h"
#include <math.h>

rondo_value random_features(rondo_value x, int64_t features)
{
    long long heads = rondo_extent(x, 1), width = rondo_extent(x, -1);
    rondo_value drawn =
        rondo_parameter(x.graph, "random", "f32[%lld,%lld,%lld]", heads, (long long)features, width);
    rondo_value deviation = rondo_parameter(x.graph, "deviation", "f32[%lld,1,%lld]", heads, width);
    drawn = rondo_freeze(rondo_initialize(drawn, RONDO_NORMAL, 1));
    rondo_value w = rondo_mul(drawn, rondo_initialize(deviation, RONDO_FILL, 1));
    rondo_value angle = rondo_matmul(unit_length(x), w, .transpose_b = true);
    return rondo_mul_scalar(rondo_concat(rondo_sin(angle), rondo_cos(angle), -1), 1 / sqrt((double)features));
}

DECLARE_WEIGHING(rfa)
{
    int64_t features = mixer_count(m, 64);
    rondo_enter(a->q.graph, "feature_map");
    rondo_value query = random_features(a->q, features), key = random_features(a->k, features);
    rondo_leave(a->q.graph);
    weighing w = attention_features(a, query, key);
    w.sum = rondo_maximum(w.sum, rondo_constant(a->q.graph, 1e-2, "f32[]"));
    return w;
}
