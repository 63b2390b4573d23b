/* Linear attention (Katharopoulos et al. 2020, "Transformers are RNNs", eq. 4–9), φ(x) = elu(x) + 1, no scale, ε = 1e-6 added to the
 * normaliser. The T × T product is spelled out; the compiler makes the scan, and the state of the decoder, of it. */
#include "models/mixers/mixer.h"

static rondo_value phi(rondo_value x)
{
    return rondo_add_scalar(rondo_elu(x), 1);
}

DECLARE_MIXER(linear)
{
    (void)user;
    int64_t d = rondo_extent(x, -1);
    rondo_value q = phi(rondo_split_heads(rondo_linear(x, d, .name = "q_proj"), heads)); /* [B, H, T, D] */
    rondo_value k = phi(rondo_split_heads(rondo_linear(y, d, .name = "k_proj"), heads)); /* [B, H, S, D] */
    rondo_value v = rondo_split_heads(rondo_linear(y, d, .name = "v_proj"), heads);
    rondo_value a = rondo_matmul(q, k, .transpose_b = true); /* [B, H, T, S] */
    if (length.graph) { /* what is padded is no key, and no value whatever it holds */
        a = rondo_key_mask(a, length, 0);
        v = rondo_row_mask(v, length);
    }
    if (causal)
        a = rondo_causal_mask(a);
    rondo_value n = rondo_add_scalar(rondo_sum(a, -1, .keep = true), 1e-6);
    rondo_value mixed = rondo_div(rondo_matmul(a, v), n);
    return rondo_linear(rondo_merge_heads(mixed), d, .name = "out_proj");
}
