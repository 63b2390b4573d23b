/* DeltaNet (Yang et al. 2024, "Parallelizing Linear Transformers with the Delta Rule"): the state is
 * corrected by what it got wrong, S_t = S_{t−1} + β_t k_t (v_t − S_{t−1}ᵀ k_t)ᵀ, with queries, keys and
 * values from short convolutions, queries and keys of length 1, β = σ(w·x) for each head; each head is
 * normed by its root mean square. */
#include "models/mixers/mixer.h"
#include <math.h>

DECLARE_MIXER(deltanet)
{
    (void)user;
    (void)y;
    (void)length;
    (void)causal;
    int64_t d = rondo_extent(x, -1);
    double scale = 1 / sqrt((double)(d / heads));
    rondo_value q = rondo_mul_scalar(unit_length(short_projection(x, "q", heads)), scale);
    rondo_value k = unit_length(short_projection(x, "k", heads)), v = short_projection(x, "v", heads);
    rondo_value beta = rondo_sigmoid(rondo_linear(x, heads, .name = "b_proj", .no_bias = true));
    rondo_value mixed = rondo_delta(q, k, v, .beta = rondo_split_heads(beta, heads)); /* [B, H, T, D] */
    rondo_value normed = rondo_merge_heads(rondo_rms_norm(mixed, "norm"));
    return rondo_linear(normed, d, .name = "out_proj", .no_bias = true);
}
