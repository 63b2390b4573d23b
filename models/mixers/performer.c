/* Performer (Choromanski et al. 2021, "Rethinking Attention with Performers", lemma 1): e^(q·k) is the
 * mean of φ(q) φ(k) over random w, φ(x) = e^(w·x − |x|²/2), positive. The w are drawn once, orthogonal in
 * blocks, and not trained; about d log d of them. No maximum over time is taken out of the exponent: it
 * would let a token see later ones. ε = 1e-4 is added to each feature. */
#include "models/mixers/mixer.h"
#include <math.h>

static rondo_value phi(rondo_value x, int64_t features)
{
    rondo_value w = rondo_parameter(x.graph, "random", "f32[%lld,%lld,%lld]", (long long)rondo_extent(x, 1),
                                    (long long)features, (long long)rondo_extent(x, -1));
    w = rondo_freeze(rondo_initialize(w, RONDO_ORTHOGONAL, 1));
    rondo_value square = rondo_sum(rondo_mul(x, x), -1, .keep = true);
    rondo_value exponent = rondo_sub(rondo_matmul(x, w, .transpose_b = true), rondo_mul_scalar(square, 0.5));
    return rondo_mul_scalar(rondo_add_scalar(rondo_exp(exponent), 1e-4), 1 / sqrt((double)features));
}

DECLARE_WEIGHING(performer)
{
    double width = (double)rondo_extent(a->q, -1), scale = pow(width, -0.25);
    int64_t features = mixer_count(m, llround(fmax(1, width * log(width))));
    rondo_enter(a->q.graph, "feature_map");
    rondo_value query = phi(rondo_mul_scalar(a->q, scale), features);
    rondo_value key = phi(rondo_mul_scalar(a->k, scale), features);
    rondo_leave(a->q.graph);
    weighing w = attention_features(a, query, key);
    w.sum = rondo_add_scalar(w.sum, 1e-6);
    return w;
}
