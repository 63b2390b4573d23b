/* linearize, decays and sums: e^(c[t] − c[s]) in every spelling becomes the scan's decay a step, traced back
 * to the summand of c. */
#include "ops/infer.h"
#include "tests/compiler/linearize_text.h"
#include <criterion/criterion.h>

#define QKV                                                                                                  \
    "q = input(name=\"q\", type=f32[B,2,T,3])\n"                                                             \
    "k = input(name=\"k\", type=f32[B,2,T,3])\n"                                                             \
    "v = input(name=\"v\", type=f32[B,2,T,5])\n"

/* One scan, and its log decay has these dims. */
static void decays_by(const char *body, const char *dims)
{
    rewritten r = becomes_one_scan(body);
    const rondo_graph *g = r.after;
    for (node_id id = 0; id < g->node_count; id++)
        if (g->nodes[id].op == OP_scan) {
            cr_assert_eq(g->nodes[id].input_count, 4, "no decay in the scan of\n%s", body);
            const char *words = shape_words((rondo_graph *)g, graph_shape_of(g, g->nodes[id].inputs[3]));
            cr_assert_str_eq(words, dims, "the decay of\n%sis %s", body, words);
        }
    cr_assert_eq(graph_count(g, OP_cumsum), 0, "a running sum is left of\n%s", body);
    rewritten_free(&r);
}

Test(linearize_decay, masked_before_the_exponential)
{
    decays_by(QKV "g = input(name=\"g\", type=f32[B,2,T,1])\n"
                  "c = cumsum(g, axis=2)\n"
                  "d = exp(causal_mask(sub(c, transpose(c, order=[0,1,3,2])), fill=-inf))\n"
                  "a = mul(matmul(q, k, transpose_b), d)\n"
                  "output y = div(matmul(a, v), add(sum(a, axis=-1, keep), 1e-3))\n",
              "[B,2,T,1]");
}

Test(linearize_decay, masked_after_it)
{
    decays_by(QKV "g = input(name=\"g\", type=f32[B,2,T,1])\n"
                  "c = cumsum(g, axis=2)\n"
                  "d = exp(sub(c, transpose(c, order=[0,1,3,2])))\n"
                  "output y = matmul(causal_mask(mul(matmul(q, k, transpose_b), d)), v)\n",
              "[B,2,T,1]");
}

/* The sum is computed for all heads at once and rearranged afterwards; the growth is rearranged in the same
 * way. */
Test(linearize_decay, the_running_sum_may_be_moved_scaled_and_added_to)
{
    decays_by(QKV "g = input(name=\"g\", type=f32[B,T,2])\n"
                  "b = input(name=\"b\", type=f32[2])\n"
                  "c = mul(add(cumsum(g, axis=1), b), 0.5)\n"
                  "ct = reshape(transpose(c, order=[0,2,1]), dims=[B,2,T,1])\n"
                  "cs = reshape(transpose(c, order=[0,2,1]), dims=[B,2,1,T])\n"
                  "d = exp(causal_mask(add(neg(cs), ct), fill=-inf))\n"
                  "output y = matmul(mul(d, matmul(q, k, transpose_b)), v)\n",
              "[B,2,T,1]");
}

/* γ^(t − s) needs one number, not one for each token. */
Test(linearize_decay, a_power_of_the_distance_is_a_constant_decay)
{
    decays_by(QKV "ids = input(name=\"ids\", type=i32[B,T])\n"
                  "gamma = input(name=\"gamma\", type=f32[2,1,1])\n"
                  "p = cast(positions(ids), type=f32)\n"
                  "distance = sub(reshape(p, dims=[B,1,T,1]), reshape(p, dims=[B,1,1,T]))\n"
                  "d = causal_mask(power(gamma, distance))\n"
                  "output y = matmul(mul(matmul(q, k, transpose_b), d), v)\n",
              "[B,2,1,1]");
    decays_by(QKV "gamma = input(name=\"gamma\", type=f32[2,1,1])\n"
                  "t = cumsum(constant(number=1, type=f32[B,1,T,1]), axis=2)\n"
                  "distance = sub(t, transpose(t, order=[0,1,3,2]))\n"
                  "d = exp(mul(distance, log(gamma)))\n"
                  "output y = matmul(causal_mask(mul(matmul(q, k, transpose_b), d)), v)\n",
              "[B,2,1,1]");
}

/* A decay for each key dimension: q∘e^c and k∘e^−c, in the usual ways to write it. */
Test(linearize_decay, a_decay_of_each_key_dimension)
{
    decays_by(QKV "g = input(name=\"g\", type=f32[B,2,T,3])\n"
                  "c = cumsum(g, axis=2)\n"
                  "a = causal_mask(matmul(mul(q, exp(c)), mul(k, exp(neg(c))), transpose_b))\n"
                  "output y = matmul(a, v)\n",
              "[B,2,T,3]");
    decays_by(QKV "g = input(name=\"g\", type=f32[B,2,T,3])\n"
                  "e = exp(cumsum(g, axis=2))\n"
                  "a = causal_mask(matmul(mul(mul(e, q), 0.5), div(k, e), transpose_b))\n"
                  "output y = div(matmul(a, v), maximum(sum(a, axis=-1, keep), 0.01))\n",
              "[B,2,T,3]");
    decays_by(QKV "g = input(name=\"g\", type=f32[B,2,T,1])\n"
                  "c = cumsum(g, axis=2)\n"
                  "kt = transpose(mul(exp(mul(c, -1)), k), order=[0,1,3,2])\n"
                  "output y = matmul(causal_mask(matmul(mul(exp(c), q), kt)), v)\n",
              "[B,2,T,1]");
    decays_by("x = input(name=\"x\", type=f32[B,T,6])\n"
              "v = input(name=\"v\", type=f32[B,2,T,5])\n"
              "g = input(name=\"g\", type=f32[B,T,6])\n"
              "e = exp(cumsum(g, axis=1))\n"
              "q = transpose(reshape(mul(x, e), dims=[B,T,2,3]), order=[0,2,1,3])\n"
              "k = transpose(reshape(div(x, e), dims=[B,T,2,3]), order=[0,2,1,3])\n"
              "output y = matmul(causal_mask(matmul(q, k, transpose_b)), v)\n",
              "[B,2,T,3]");
}

/* Heads of one feature and one value: a recurrence for each channel. */
Test(linearize_decay, a_channel_is_a_head_of_size_1)
{
    decays_by("x = input(name=\"x\", type=f32[B,T,4])\n"
              "f = sigmoid(input(name=\"f\", type=f32[B,T,4]))\n"
              "c = reshape(transpose(cumsum(log(f), axis=1), order=[0,2,1]), dims=[B,4,T,1])\n"
              "d = exp(causal_mask(sub(c, transpose(c, order=[0,1,3,2])), fill=-inf))\n"
              "u = reshape(transpose(mul(sub(1, f), x), order=[0,2,1]), dims=[B,4,T,1])\n"
              "output y = matmul(d, u)\n",
              "[B,4,T,1]");
}

Test(linearize_decay, strictly_before_and_written_the_other_way_round)
{
    decays_by(
        QKV "g = input(name=\"g\", type=f32[B,2,T,1])\n"
            "c = cumsum(g, axis=2)\n"
            "d = exp(causal_mask(sub(transpose(c, order=[0,1,3,2]), c), fill=-inf, exclusive, transposed))\n"
            "a = mul(matmul(k, q, transpose_b), d)\n"
            "output y = matmul(a, v, transpose_a)\n",
        "[B,2,T,1]");
}

Test(linearize_decay, two_decays_multiply)
{
    decays_by(QKV "g = input(name=\"g\", type=f32[B,2,T,1])\n"
                  "h = input(name=\"h\", type=f32[B,2,T,3])\n"
                  "c = cumsum(g, axis=2)\n"
                  "e = exp(cumsum(h, axis=2))\n"
                  "d = exp(causal_mask(sub(c, transpose(c, order=[0,1,3,2])), fill=-inf))\n"
                  "output y = matmul(mul(matmul(mul(q, e), div(k, e), transpose_b), d), v)\n",
              "[B,2,T,3]");
}

Test(linearize_decay, sums_under_one_mask_are_one_scan)
{
    rewritten r = becomes_one_scan(QKV "a = causal_mask(add(matmul(q, k, transpose_b), 1))\n"
                                       "output y = div(matmul(a, v), sum(a, axis=-1, keep))\n");
    rewritten_free(&r);
    r = becomes_one_scan(
        QKV "a = causal_mask(sub(matmul(q, k, transpose_b), mul(matmul(k, q, transpose_b), 0.5)))\n"
            "output y = matmul(a, v)\n");
    rewritten_free(&r);
}

Test(linearize_decay, refuses_a_decay_that_nothing_masks)
{
    is_refused(QKV "g = input(name=\"g\", type=f32[B,2,T,1])\n"
                   "c = cumsum(g, axis=2)\n"
                   "d = exp(sub(c, transpose(c, order=[0,1,3,2])))\n"
                   "output y = matmul(mul(matmul(q, k, transpose_b), d), v)\n",
               7, "a decay without a causal mask");
}

Test(linearize_decay, refuses_differences_of_two_sums)
{
    is_refused(QKV "g = input(name=\"g\", type=f32[B,2,T,1])\n"
                   "h = input(name=\"h\", type=f32[B,2,T,1])\n"
                   "d = exp(sub(cumsum(g, axis=2), transpose(cumsum(h, axis=2), order=[0,1,3,2])))\n"
                   "output y = matmul(causal_mask(mul(matmul(q, k, transpose_b), d)), v)\n",
               7, "depends on t and s");
}

Test(linearize_decay, refuses_sums_under_different_masks)
{
    is_refused(QKV "a = causal_mask(matmul(q, k, transpose_b))\n"
                   "output y = matmul(add(a, 1), v)\n",
               5, "not masked as the product is");
}

/* Where c is long, e^(c[t] − c[s]) in f32 is wrong in the third digit; the decay of each step is not. Only
 * the graph is checked here: no sum of T terms is left in it. */
Test(linearize_decay, the_exponential_of_no_running_sum_is_left)
{
    rewritten r = becomes_one_scan(
        QKV "g = input(name=\"g\", type=f32[B,2,T,3])\n"
            "e = exp(cumsum(g, axis=2))\n"
            "output y = matmul(causal_mask(matmul(mul(q, e), div(k, e), transpose_b)), v)\n");
    cr_assert_eq(graph_count(r.after, OP_exp), 0);
    cr_assert_eq(graph_count(r.after, OP_div), 0);
    rewritten_free(&r);
}
