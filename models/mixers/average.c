/* Average attention (Zhang, Xiong & Su 2018; as in Marian): g_t = mean of x_1 … x_t, a feed-forward layer
 * on it, and gates: o = σ(W_i x) ⊙ x + σ(W_f g) ⊙ g. The running mean is tril(1) · X / t, the smallest
 * member of the scan family. */
#include "models/mixers/mixer.h"

DECLARE_MIXER(average)
{
    (void)user;
    (void)y;
    (void)length; /* padding is on the right, where a causal mean does not see it */
    (void)causal;
    (void)heads;
    int64_t d = rondo_extent(x, -1);
    const char *t = rondo_dim(x, 1);
    rondo_value a = rondo_causal_mask(rondo_constant(x.graph, 1.0, "f32[%s,%s]", t ? t : "T", t ? t : "T"));
    rondo_value g = rondo_div(rondo_matmul(a, x), rondo_sum(a, -1, .keep = true)); /* [B, T, d] */
    g = rondo_linear(rondo_relu(rondo_linear(g, d, .name = "linear1")), d, .name = "linear2");
    rondo_value input_gate = rondo_sigmoid(rondo_linear(x, d, .name = "input_gate"));
    rondo_value forget_gate = rondo_sigmoid(rondo_linear(g, d, .name = "forget_gate"));
    return rondo_add(rondo_mul(input_gate, x), rondo_mul(forget_gate, g));
}
