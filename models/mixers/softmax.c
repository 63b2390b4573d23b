/* Softmax attention (Vaswani et al. 2017, §3.2): softmax(q kᵀ / √d_head) v over the keys that count and, when
 * causal, that are not later. Training: quadratic. Decoding: a key-value cache that the compiler derives. */
#include "models/mixers/mixer.h"
#include <math.h>

DECLARE_WEIGHING(softmax)
{
    (void)m;
    double scale = 1 / sqrt((double)rondo_extent(a->q, -1));
    rondo_value scores = rondo_mul_scalar(rondo_matmul(a->q, a->k, .transpose_b = true), scale);
    return (weighing){.weights = rondo_softmax(attention_visible(scores, a->length, a->causal, -INFINITY))};
}
