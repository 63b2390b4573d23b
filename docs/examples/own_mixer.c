/* A mechanism of your own in the whole command: `./own_mixer train --decoder-self squared …` works, and so do
 * the other commands of `rondo`. The kernel is (q · k)² on a few learned directions; its feature map is the
 * product of a vector with itself. Only the parallel form is written.
 *
 *   cc own_mixer.c $(pkg-config --cflags --libs rondo) -o own_mixer && ./own_mixer check --mixer squared
 */
#include <rondo.h>

enum { DIRECTIONS = 4 };

/* [B, T, d] → [B, H, T, 16]: products of two of four learned directions, so φ(q)·φ(k) = (Wq · Wk)² ≥ 0. */
static rondo_value phi(rondo_value x, const char *name, int64_t heads)
{
    const char *b = rondo_dim(x, 0), *t = rondo_dim(x, 1);
    rondo_value w =
        rondo_split_heads(rondo_linear(x, DIRECTIONS * heads, .name = name, .no_bias = true), heads);
    rondo_value column = rondo_reshape(w, "[%s,%lld,%s,%d,1]", b, (long long)heads, t, DIRECTIONS);
    rondo_value row = rondo_reshape(w, "[%s,%lld,%s,1,%d]", b, (long long)heads, t, DIRECTIONS);
    return rondo_reshape(rondo_mul(column, row), "[%s,%lld,%s,%d]", b, (long long)heads, t,
                         DIRECTIONS * DIRECTIONS);
}

static rondo_value squared(void *user, rondo_value x, rondo_value y, rondo_value length, bool causal,
                           int64_t heads)
{
    (void)user;
    int64_t d = rondo_extent(x, -1);
    rondo_value q = phi(x, "q_proj", heads), k = phi(y, "k_proj", heads);
    rondo_value v = rondo_split_heads(rondo_linear(y, d, .name = "v_proj"), heads);
    rondo_value a = rondo_matmul(q, k, .transpose_b = true); /* [B, H, T, S] */
    if (length.graph) { /* what is padded is no key, and no value whatever it holds */
        a = rondo_key_mask(a, length, 0);
        v = rondo_row_mask(v, length);
    }
    if (causal)
        a = rondo_causal_mask(a);
    rondo_value n = rondo_add_scalar(rondo_sum(a, -1, .keep = true), 1e-3);
    return rondo_linear(rondo_merge_heads(rondo_div(rondo_matmul(a, v), n)), d, .name = "out_proj");
}

int main(int argc, char **argv)
{
    rondo *r = rondo_new(2);
    rondo_mixer_add(r, "squared", squared, NULL, NULL);
    int code = rondo_main(r, argc, argv);
    rondo_free(r);
    return code;
}
