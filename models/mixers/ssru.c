/* The simpler simple recurrent unit (Kim et al. 2019; Marian's SSRU): f = σ(W_f x + b), c_t = f_t c_{t−1}
 * + (1 − f_t) W x_t, o = relu(c). Written as an attention whose heads are the channels, without queries or
 * keys: c_t = Σ_s (1 − f_s) (W x_s) times all f between. */
#include "models/mixers/mixer.h"

DECLARE_MIXER(ssru)
{
    (void)user;
    (void)y;
    (void)length;
    (void)causal;
    (void)heads;
    int64_t d = rondo_extent(x, -1);
    rondo_value forget = rondo_split_heads(rondo_linear(x, d, .name = "f_proj"), d); /* [B, d, T, 1] */
    rondo_value v = rondo_split_heads(rondo_linear(x, d, .name = "v_proj", .no_bias = true), d);
    rondo_value written = rondo_mul(rondo_sigmoid(rondo_neg(forget)), v);
    rondo_value c = rondo_matmul(decay_between(log_sigmoid(forget)), written);
    return rondo_relu(rondo_merge_heads(c));
}
