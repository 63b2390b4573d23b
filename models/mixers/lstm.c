/* Long short-term memory (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000): i, f, o
 * = σ and g = tanh of W x_t + U h_{t−1} + b, c_t = f ∘ c_{t−1} + i ∘ g, h_t = o ∘ tanh(c_t). Where a mixer
 * may see all tokens, half of the channels go from the first to the last and half the other way. */
#include "models/mixers/mixer.h"

/* The gates of a step, [B, 4 w]: input, forget, output, new. */
static void step(rondo_graph *graph, rondo_loop_step *s, void *user)
{
    (void)graph, (void)user;
    int64_t w = rondo_extent(s->carries[0], -1);
    rondo_value z = rondo_linear(s->carries[0], 4 * w, .name = "h_proj", .no_bias = true);
    z = rondo_add(z, s->rows[0]);
    rondo_value kept = rondo_mul(rondo_sigmoid(rondo_slice(z, -1, w, w)), s->carries[1]);
    rondo_value new =
        rondo_mul(rondo_sigmoid(rondo_slice(z, -1, 0, w)), rondo_tanh(rondo_slice(z, -1, 3 * w, w)));
    s->carries[1] = rondo_add(kept, new);
    s->carries[0] = rondo_mul(rondo_sigmoid(rondo_slice(z, -1, 2 * w, w)), rondo_tanh(s->carries[1]));
    s->results[0] = s->carries[0];
}

static rondo_value one_way(rondo_value x, int64_t width, const char *name, rondo_value length, bool reverse)
{
    rondo_enter(x.graph, "%s", name);
    rondo_value gates = rondo_linear(x, 4 * width, .name = "x_proj"), start = rondo_loop_zeros(x, width);
    rondo_value h = rondo_loop(x.graph, step, .over = {gates}, .carries = {start, start}, .name = "cell",
                               .length = length, .reverse = reverse)
                        .results[0];
    rondo_leave(x.graph);
    return h;
}

DECLARE_MIXER(lstm)
{
    (void)user;
    (void)y;
    (void)heads;
    int64_t d = rondo_extent(x, -1);
    rondo_value none = {0};
    if (causal)
        return one_way(x, d, "lstm", none, false);
    rondo_value forth = one_way(x, d - d / 2, "forth", length, false);
    return rondo_concat(forth, one_way(x, d / 2, "back", length, true), -1);
}
