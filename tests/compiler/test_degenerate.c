/* Attentions that can hardly be normalised: features that are tiny or all zero, and decays to zero. Results
 * and gradients of the kernels are finite and agree with double precision. */
#include "compiler/passes/linearize.h"
#include "tests/compiler/graph_compare.h"
#include "tests/compiler/run_program.h"
#include <criterion/criterion.h>
#include <math.h>

#define QKV                                                                                                  \
    "symbols B T\n"                                                                                          \
    "q = input(name=\"q\", type=f32[B,2,T,8])\n"                                                             \
    "k = input(name=\"k\", type=f32[B,2,T,8])\n"                                                             \
    "v = input(name=\"v\", type=f32[B,2,T,8])\n"

enum { TIME = 100 };

static void all_finite(const program_outputs *o, const char *body)
{
    for (int i = 0; i < o->count; i++)
        for (int64_t e = 0; e < o->items[i].elements; e++)
            cr_assert(isfinite(o->items[i].data[e]), "%s[%ld] is %g in\n%s", o->items[i].name, (long)e,
                      (double)o->items[i].data[e], body);
}

/* The rewritten graph with its gradients, on kernels and in double precision. bound: docs/NUMERICS.md,
 * gradients of a mixer. */
static void is_finite_and_right(const char *body)
{
    rondo *context = rondo_new(1);
    rondo_error error = {0};
    rondo_graph *written = graph_parse(context, body, "test.graph", &error);
    cr_assert(written, "%s", error.message);
    rondo_graph *loss = graph_with_loss(written, &error), *linear = linearize(loss, NULL, NULL, &error);
    cr_assert(linear, "%s", error.message);
    cr_assert(!graph_has_pair(linear, "T"));
    rondo_graph *g = graph_with_gradients(linear, &error);
    cr_assert(g, "%s", error.message);
    const int64_t bound[MAX_SYMBOLS] = {2, TIME, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    program_outputs kernels, exact;
    const char *where;
    cr_assert(run_program(g, NULL, bound, 1, 2, &kernels, &error), "%s", error.message);
    cr_assert(run_interpreter(g, bound, 1, &exact, &error), "%s", error.message);
    all_finite(&kernels, body);
    double difference = outputs_difference(&kernels, &exact, &where);
    cr_assert_leq(difference, 5e-6, "%s differs by %g in\n%s", where, difference, body);
    outputs_free(&exact);
    outputs_free(&kernels);
    graph_free(g);
    graph_free(linear);
    graph_free(loss);
    graph_free(written);
    rondo_free(context);
}

Test(degenerate, a_normaliser_of_almost_nothing)
{
    is_finite_and_right(QKV "a = causal_mask(matmul(exp(sub(q, 20)), exp(sub(k, 20)), transpose_b))\n"
                            "output y = div(matmul(a, v), add(sum(a, axis=-1, keep), 1e-6))\n");
    is_finite_and_right(QKV "a = causal_mask(matmul(exp(sub(q, 60)), exp(k), transpose_b))\n"
                            "output y = div(matmul(a, v), add(sum(a, axis=-1, keep), 1e-6))\n");
}

Test(degenerate, features_that_are_all_zero)
{
    is_finite_and_right(QKV "a = causal_mask(matmul(relu(sub(q, 100)), relu(k), transpose_b))\n"
                            "output y = div(matmul(a, v), maximum(sum(a, axis=-1, keep), 0.01))\n");
    is_finite_and_right(QKV "a = causal_mask(matmul(relu(q), relu(sub(k, 100)), transpose_b))\n"
                            "output y = div(matmul(a, v), maximum(sum(a, axis=-1, keep), 0.01))\n");
}

/* e^(c[t] − c[s]) underflows from one token to the next, and e^−c of the formula as written would be
 * infinite. */
Test(degenerate, decays_that_leave_nothing)
{
    is_finite_and_right(QKV "g = mul(softplus(input(name=\"g\", type=f32[B,2,T,1])), -1e4)\n"
                            "c = cumsum(g, axis=2)\n"
                            "d = exp(causal_mask(sub(c, transpose(c, order=[0,1,3,2])), fill=-inf))\n"
                            "output y = matmul(mul(matmul(q, k, transpose_b), d), v)\n");
    is_finite_and_right(QKV "g = mul(softplus(input(name=\"g\", type=f32[B,2,T,8])), -50)\n"
                            "e = exp(cumsum(g, axis=2))\n"
                            "output y = matmul(causal_mask(matmul(mul(q, e), div(k, e), transpose_b)), v)\n");
}
