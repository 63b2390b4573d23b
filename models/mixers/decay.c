/* What recurrent mixers share: short convolutions in front, gates as logarithms, their products between two
 * tokens, and the gated output. */
#include "models/mixers/mixer.h"
#include <math.h>
#include <stdio.h>

rondo_value unit_length(rondo_value x)
{
    rondo_value square = rondo_sum(rondo_mul(x, x), -1, .keep = true);
    return rondo_mul(x, rondo_rsqrt(rondo_add_scalar(square, 1e-6)));
}

rondo_value short_projection(rondo_value x, const char *name, int64_t heads)
{
    char projection[32], convolution[32];
    snprintf(projection, sizeof projection, "%s_proj", name);
    snprintf(convolution, sizeof convolution, "%s_conv", name);
    rondo_value y = rondo_linear(x, rondo_extent(x, -1), .name = projection, .no_bias = true);
    return rondo_split_heads(rondo_silu(rondo_convolve(y, 4, .name = convolution)), heads);
}

rondo_value log_sigmoid(rondo_value x)
{
    return rondo_neg(rondo_softplus(rondo_neg(x)));
}

rondo_value decay_between(rondo_value log_decay)
{
    rondo_value c = rondo_cumsum(log_decay, 2); /* [B, H, T, 1] */
    rondo_value between = rondo_sub(c, rondo_transpose(c, "0,1,3,2"));
    return rondo_exp(rondo_causal_mask_fill(between, -INFINITY));
}

rondo_value gated_result(rondo_value x, rondo_value mixed)
{
    int64_t d = rondo_extent(x, -1);
    rondo_value gate = rondo_silu(rondo_linear(x, d, .name = "g_proj"));
    rondo_value normed = rondo_merge_heads(rondo_rms_norm(mixed, "norm"));
    return rondo_linear(rondo_mul(normed, gate), d, .name = "out_proj");
}
