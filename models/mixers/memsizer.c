/* MemSizer (Zhang & Cai 2022, "Linearizing Transformer with Key-Value Memory"): each source token is
 * written into k slots by weights p (k_proj, normalised over the slots) times its value u (v_proj); a
 * query reads the slots by a softmax over learned keys (q_proj), the mean over heads. Divided by the root
 * of how many tokens were written. No output projection. Slots as in its translation models. */
#include "models/mixers/mixer.h"
#include <math.h>

DECLARE_MIXER(memsizer)
{
    int64_t d = rondo_extent(x, -1), slots = mixer_count(user, causal ? 4 : 32);
    const float gain = (float)sqrt(1.0 / 8);
    rondo_value keys = rondo_linear(x, heads * slots, .name = "q_proj", .gain = gain);
    rondo_value a = rondo_mean(rondo_softmax(rondo_split_heads(keys, heads)), 1); /* [B, T, slots] */
    rondo_value p = rondo_layer_norm(rondo_linear(y, slots, .name = "k_proj", .gain = gain), "k_norm");
    rondo_value u = rondo_layer_norm(rondo_linear(y, d, .name = "v_proj", .gain = gain), "v_norm");
    if (length.graph) /* after the norms, whose bias would make padding count */
        u = rondo_row_mask(u, length);
    rondo_value written = attention_visible(rondo_matmul(a, p, .transpose_b = true), length, causal, 0);
    rondo_value ones = rondo_constant(x.graph, 1, "f32[%s,%s,%s]", rondo_dim(x, 0), rondo_dim(x, 1),
                                      rondo_dim(y, 1)); /* [B, T, S] */
    rondo_value n = rondo_sum(attention_visible(ones, length, causal, 0), -1, .keep = true);
    n = rondo_maximum(n, rondo_constant(x.graph, 1, "f32[]"));
    return rondo_mul(rondo_matmul(written, u), rondo_rsqrt(n));
}
