/* Gated linear attention (Yang et al. 2024): S_t = diag(α_t) S_{t−1} + k_t v_tᵀ, a decay for each feature,
 * α = σ(W₂ W₁ x + b)^(1/16) with W₁ of rank 16. With c the running sum of log α it is one product, (q e^c)
 * (k e^−c)ᵀ under the causal mask. Keys are half as wide as values; each head is normed by its root mean
 * square and gated. */
#include "models/mixers/mixer.h"
#include <math.h>

enum { RANK = 16, TEMPER = 16 };

DECLARE_MIXER(gla)
{
    (void)user;
    (void)y;
    (void)length;
    (void)causal;
    int64_t d = rondo_extent(x, -1), width = heads * (d / heads > 1 ? d / heads / 2 : 1);
    rondo_value q = rondo_split_heads(rondo_linear(x, width, .name = "q_proj", .no_bias = true), heads);
    rondo_value k = rondo_split_heads(rondo_linear(x, width, .name = "k_proj", .no_bias = true), heads);
    rondo_value v = rondo_split_heads(rondo_linear(x, d, .name = "v_proj", .no_bias = true), heads);
    rondo_value low = rondo_linear(x, RANK, .name = "decay1", .no_bias = true);
    rondo_value decay = rondo_split_heads(rondo_linear(low, width, .name = "decay2"), heads);
    rondo_value c = rondo_cumsum(rondo_mul_scalar(log_sigmoid(decay), 1.0 / TEMPER), 2); /* [B, H, T, D] */
    q = rondo_mul_scalar(rondo_mul(q, rondo_exp(c)), 1 / sqrt((double)rondo_extent(q, -1)));
    k = rondo_mul(k, rondo_exp(rondo_neg(c)));
    rondo_value weights = rondo_causal_mask(rondo_matmul(q, k, .transpose_b = true)); /* [B, H, T, T] */
    return gated_result(x, rondo_matmul(weights, v));
}
