/* Softmax attention (Vaswani et al. 2017, §3.2): softmax(q kᵀ / √d_head) v over the keys that count and, when causal, that are not later.
 * Training: quadratic. Decoding: a key-value cache that the compiler derives. */
#include "models/mixers/mixer.h"
#include <math.h>

DECLARE_MIXER(softmax)
{
    (void)user;
    int64_t d = rondo_extent(x, -1);
    rondo_value q = rondo_split_heads(rondo_linear(x, d, .name = "q_proj"), heads); /* [B, H, T, D] */
    rondo_value k = rondo_split_heads(rondo_linear(y, d, .name = "k_proj"), heads); /* [B, H, S, D] */
    rondo_value v = rondo_split_heads(rondo_linear(y, d, .name = "v_proj"), heads);
    rondo_value scores =
        rondo_mul_scalar(rondo_matmul(q, k, .transpose_b = true), 1 / sqrt((double)(d / heads)));
    if (length.graph)
        scores = rondo_key_mask(scores, length, -INFINITY);
    if (causal)
        scores = rondo_causal_mask_fill(scores, -INFINITY);
    rondo_value mixed = rondo_matmul(rondo_softmax(scores), v); /* [B, H, T, D] */
    return rondo_linear(rondo_merge_heads(mixed), d, .name = "out_proj");
}
