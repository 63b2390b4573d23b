/* Gated DeltaNet (Yang, Kautz & Hatamizadeh 2024): the delta rule on a state that first decays, S ← α_t S,
 * α_t = e^(−a softplus(w·x_t + b)) for each head, and a gated output. Keys are as wide as values. a begins
 * at 8 and softplus(b) at 0.01: the middle of what the paper draws them from. */
#include "models/mixers/mixer.h"
#include <math.h>

/* log α: [B, H, T, 1]. */
static rondo_value log_decay(rondo_value x, int64_t heads)
{
    rondo_value speed = rondo_parameter(x.graph, "log_speed", "f32[%lld]", (long long)heads);
    rondo_value shift = rondo_parameter(x.graph, "decay_shift", "f32[%lld]", (long long)heads);
    speed = rondo_exp(rondo_initialize(speed, RONDO_FILL, log(8)));
    shift = rondo_initialize(shift, RONDO_FILL, log(expm1(0.01)));
    rondo_value step = rondo_linear(x, heads, .name = "a_proj", .no_bias = true);
    step = rondo_softplus(rondo_add(step, shift));
    return rondo_split_heads(rondo_neg(rondo_mul(step, speed)), heads);
}

DECLARE_MIXER(gated_deltanet)
{
    (void)user;
    (void)y;
    (void)length;
    (void)causal;
    double scale = 1 / sqrt((double)(rondo_extent(x, -1) / heads));
    rondo_value q = rondo_mul_scalar(unit_length(short_projection(x, "q", heads)), scale);
    rondo_value k = unit_length(short_projection(x, "k", heads)), v = short_projection(x, "v", heads);
    rondo_value beta = rondo_sigmoid(rondo_linear(x, heads, .name = "b_proj", .no_bias = true));
    beta = rondo_split_heads(beta, heads);
    return gated_result(x, rondo_delta(q, k, v, .beta = beta, .log_decay = log_decay(x, heads)));
}
