/* The frame of a multi-head attention (Vaswani et al. 2017, §3.2.2), and parts that several mixers are
 * made of. */
#include "models/mixers/mixer.h"
#include <math.h>

attention attention_of(rondo_value x, rondo_value y, rondo_value length, bool causal, int64_t heads)
{
    int64_t d = rondo_extent(x, -1);
    attention a = {.x = x, .length = length, .causal = causal};
    a.q = rondo_split_heads(rondo_linear(x, d, .name = "q_proj"), heads);
    a.k = rondo_split_heads(rondo_linear(y, d, .name = "k_proj"), heads);
    a.v = rondo_split_heads(rondo_linear(y, d, .name = "v_proj"), heads);
    return a;
}

rondo_value attention_result(const attention *a, const weighing *w)
{
    /* A softmax has no weights for what is padded; a product has zeros there, and 0 · NaN is NaN. */
    rondo_value v = a->length.graph && w->sum.graph ? rondo_row_mask(a->v, a->length) : a->v;
    rondo_value mixed = rondo_matmul(w->weights, v); /* [B, H, T, D] */
    if (w->sum.graph)
        mixed = rondo_div(mixed, w->sum);
    mixed = rondo_merge_heads(mixed);
    return rondo_linear(mixed, rondo_extent(mixed, -1), .name = "out_proj");
}

rondo_value attention_make(void *user, rondo_value x, rondo_value y, rondo_value length, bool causal,
                           int64_t heads)
{
    const mixer *m = user;
    attention a = attention_of(x, y, length, causal, heads);
    weighing w = m->weigh(&a, m);
    return attention_result(&a, &w);
}

weighing attention_features(const attention *a, rondo_value query, rondo_value key)
{
    rondo_value products = rondo_matmul(query, key, .transpose_b = true); /* [B, H, T, S] */
    rondo_value weights = attention_visible(products, a->length, a->causal, 0);
    return (weighing){weights, rondo_sum(weights, -1, .keep = true), query, key};
}

rondo_value attention_visible(rondo_value scores, rondo_value length, bool causal, double fill)
{
    if (length.graph)
        scores = rondo_key_mask(scores, length, fill);
    return causal ? rondo_causal_mask_fill(scores, fill) : scores;
}

rondo_value attention_per_head(rondo_value x, int64_t width, const char *name, rondo_initial kind,
                               double scale)
{
    rondo_value w = rondo_parameter(x.graph, name, "f32[%lld,%lld,%lld]", (long long)rondo_extent(x, 1),
                                    (long long)width, (long long)rondo_extent(x, -1));
    return rondo_matmul(x, rondo_initialize(w, kind, scale), .transpose_b = true);
}
