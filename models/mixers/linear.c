/* Linear attention (Katharopoulos et al. 2020, "Transformers are RNNs", eq. 4–9), φ(x) = elu(x) + 1, no
 * scale, ε = 1e-6 added to the normaliser. The T × T product is written as it is; the compiler derives the
 * scan, and the state of the decoder, from it. */
#include "models/mixers/mixer.h"

static rondo_value phi(rondo_value x)
{
    return rondo_add_scalar(rondo_elu(x), 1);
}

DECLARE_WEIGHING(linear)
{
    (void)m;
    weighing w = attention_features(a, phi(a->q), phi(a->k));
    w.sum = rondo_add_scalar(w.sum, 1e-6);
    return w;
}
