/* RFA-Gate (Peng et al. 2021, §3.2): random feature attention that forgets, S_t = g_t S_{t−1} + (1 − g_t)
 * φ(k_t) v_tᵀ and so its normaliser, g = σ(w·x + b) for each head. As one product: φ(q_t) · φ(k_s) (1 −
 * g_s) times all g between s and t. */
#include "models/mixers/mixer.h"

DECLARE_WEIGHING(rfa_gate)
{
    int64_t features = mixer_count(m, 64), heads = rondo_extent(a->q, 1);
    rondo_enter(a->q.graph, "feature_map");
    rondo_value query = random_features(a->q, features), key = random_features(a->k, features);
    rondo_value gate = rondo_split_heads(rondo_linear(a->x, heads, .name = "gate"), heads); /* [B, H, T, 1] */
    rondo_leave(a->q.graph);
    key = rondo_mul(key, rondo_sigmoid(rondo_neg(gate)));
    rondo_value products = rondo_matmul(query, key, .transpose_b = true); /* [B, H, T, T] */
    rondo_value weights = rondo_mul(products, decay_between(log_sigmoid(gate)));
    rondo_value sum = rondo_sum(weights, -1, .keep = true);
    sum = rondo_maximum(sum, rondo_constant(a->q.graph, 1e-2, "f32[]"));
    return (weighing){weights, sum, query, key};
}
