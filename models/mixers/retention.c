/* Retention (Sun et al. 2023, "Retentive Network"): q kᵀ / √d_head times γ_h^(t − s), γ_h = 1 − 2^(−5 − h)
 * for head h = 0, 1, …; each head normed by its root mean square, and a swish gate. Values are as wide as
 * keys, and there are no rotations: positions are added by the model. */
#include "models/mixers/mixer.h"
#include <math.h>

/* log γ_h for each token, [B, H, T, 1]. */
static rondo_value log_decay(const attention *a)
{
    long long heads = rondo_extent(a->q, 1);
    rondo_value number = rondo_cumsum(rondo_constant(a->q.graph, 1, "f32[%lld,1,1]", heads), 0);
    rondo_value half = rondo_constant(a->q.graph, 0.5, "f32[]");
    rondo_value share = rondo_power(half, rondo_add_scalar(number, 4)); /* 2^(−5 − h) */
    rondo_value decay = rondo_log(rondo_add_scalar(rondo_neg(share), 1));
    return rondo_broadcast(decay, "[%s,%lld,%s,1]", rondo_dim(a->q, 0), heads, rondo_dim(a->q, 2));
}

DECLARE_MIXER(retention)
{
    (void)user;
    attention a = attention_of(x, y, length, causal, heads);
    double scale = 1 / sqrt((double)rondo_extent(a.q, -1));
    rondo_value products = rondo_mul_scalar(rondo_matmul(a.q, a.k, .transpose_b = true), scale);
    rondo_value weights = rondo_mul(products, decay_between(log_decay(&a))); /* [B, H, T, T] */
    return gated_result(x, rondo_matmul(weights, a.v));
}
