/* simplify and fuse do not change numbers: random graphs with and without the pass in double; and their
 * results on small graphs. */
#include "compiler/passes/passes.h"
#include "tests/compiler/graph_compare.h"
#include "tests/compiler/random_graph.h"
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static const double algebra = 1e-11;
static const int64_t bound[MAX_SYMBOLS] = {3, 5}; /* B, T */
typedef rondo_graph *pass(const rondo_graph *g, value_id **map, rondo_error *error);

static void check_pass(pass *first, pass *second, const char *what)
{
    for (uint64_t seed = 1; seed <= 300; seed++) {
        rondo_error error = {0};
        const char *worst;
        graph_inputs inputs = {.seed = seed, .low = -1, .high = 1, .shortest = 1, .longest = 4};
        rondo *r = rondo_new(1);
        value_id *map = NULL;
        rondo_graph *g = random_graph(
            r, seed, (random_graph_options){6 + (int)(seed % 50), seed % 3 == 0, true, true}, &error);
        cr_assert(g, "%s", error.message);
        rondo_graph *middle = first(g, NULL, &error),
                    *after = second ? second(middle, &map, &error) : first(g, &map, &error);
        cr_assert(after && graph_verify(after, &error), "%s, graph %d: %s", what, (int)seed, error.message);
        double d = graph_difference(g, after, bound, &inputs, &worst, &error);
        cr_expect(d >= 0 && d <= algebra, "%s, graph %d: %s differs by %g %s", what, (int)seed, worst, d,
                  error.message);
        cr_expect_eq(after->port_count, g->port_count);
        const rondo_graph *from = second ? middle : g;
        for (int o = 0; o < from->output_count; o++)
            cr_expect_eq(map[from->outputs[o].value], after->outputs[o].value, "%s: the map loses an output",
                         what);
        for (value_id v = 0; v < from->value_count; v++)
            cr_expect(map[v] == NONE || shape_equal(graph_shape_of(from, v), graph_shape_of(after, map[v])),
                      "%s: %%%d maps to another shape", what, v);
        graph_free(middle);
        graph_free(after);
        rondo_graph_free(g);
        rondo_free(r);
    }
}

Test(simplify, changes_no_number)
{
    check_pass(simplify, NULL, "simplify");
}
Test(fuse, changes_no_number)
{
    check_pass(fuse, NULL, "fuse");
}
Test(fuse, after_simplify_changes_no_number)
{
    check_pass(simplify, fuse, "simplify and fuse");
}

/* ---- small graphs, in and out ---- */

#define LEAVES                                                                                               \
    "symbols B T\nx = input(name=\"x\", type=f32[B,T,4])\nb = input(name=\"b\", type=f32[4])\n"              \
    "w = input(name=\"w\", type=f32[4,4])\nr = input(name=\"r\", type=f32[B,T,4])\n"

static void becomes(pass *p, const char *before, const char *after)
{
    rondo_error error = {0};
    rondo *c = rondo_new(1);
    rondo_graph *g = graph_parse(c, before, "before", &error),
                *expected = graph_parse(c, after, "after", &error);
    cr_assert(g && expected, "%s", error.message);
    rondo_graph *made = p(g, NULL, &error), *clean = graph_clean(expected, NULL, &error);
    cr_assert(made, "%s", error.message);
    char *text = rondo_graph_print(made, &error), *wanted = rondo_graph_print(clean, &error);
    cr_expect(graph_same(made, clean), "got\n%s\nnot\n%s", text, wanted);
    rondo_text_free(c, text);
    rondo_text_free(c, wanted);
    graph_free(g);
    graph_free(expected);
    graph_free(made);
    graph_free(clean);
    rondo_free(c);
}

#define SAYS(before, after) LEAVES before "output y = y\n", LEAVES after "output y = y\n"

Test(simplify, identities)
{
    becomes(simplify,
            SAYS("o = constant(number=1, type=f32[])\nm = mul(x, o)\ny = exp(m)\n", "y = exp(x)\n"));
    becomes(simplify,
            SAYS("o = constant(number=0, type=f32[B,T,4])\nm = add(o, x)\ny = exp(m)\n", "y = exp(x)\n"));
    becomes(simplify,
            SAYS("o = constant(number=1, type=f32[4])\nm = div(x, o)\nn = sub(m, m)\ny = add(n, m)\n",
                 "n = sub(x, x)\ny = add(n, x)\n"));
    becomes(simplify, SAYS("m = neg(x)\nn = neg(m)\ny = exp(n)\n", "y = exp(x)\n"));
    becomes(simplify, SAYS("o = constant(number=2, type=f32[])\np = constant(number=3, type=f32[])\nq = "
                           "mul(o, p)\ny = mul(x, q)\n",
                           "q = constant(number=6, type=f32[])\ny = mul(x, q)\n"));
}

/* x · 1 is not x where the 1 makes the result wider. */
Test(simplify, an_identity_that_broadcasts_stays)
{
    becomes(simplify, SAYS("o = constant(number=1, type=f32[B,T,4])\nm = mul(b, o)\ny = exp(m)\n",
                           "o = constant(number=1, type=f32[B,T,4])\nm = mul(b, o)\ny = exp(m)\n"));
}

Test(simplify, shapes)
{
    becomes(simplify, SAYS("t = transpose(x, order=[1,0,2])\nu = transpose(t, order=[1,0,2])\ny = exp(u)\n",
                           "y = exp(x)\n"));
    becomes(simplify, SAYS("t = transpose(x, order=[1,0,2])\nu = transpose(t, order=[0,2,1])\ny = exp(u)\n",
                           "u = transpose(x, order=[1,2,0])\ny = exp(u)\n"));
    becomes(simplify, SAYS("t = reshape(x, dims=[4*B*T])\nu = reshape(t, dims=[B,T,2,2])\ny = exp(u)\n",
                           "u = reshape(x, dims=[B,T,2,2])\ny = exp(u)\n"));
    becomes(simplify, SAYS("t = broadcast(b, dims=[B,T,4])\ny = add(x, t)\n", "y = add(x, b)\n"));
    becomes(simplify, SAYS("t = broadcast(b, dims=[B,T,4])\nu = broadcast(b, dims=[B,T,4])\ny = mul(t, u)\n",
                           "u = broadcast(b, dims=[B,T,4])\ny = mul(b, u)\n"));
    becomes(simplify,
            SAYS("t = reshape(x, dims=[B,1,T,4])\nu = sum(t, axis=1)\ny = exp(u)\n", "y = exp(x)\n"));
    becomes(simplify, SAYS("t = slice(x, axis=2, start=0, length=4)\ny = exp(t)\n", "y = exp(x)\n"));
}

Test(simplify, drops_what_nobody_reads)
{
    becomes(simplify, SAYS("d = exp(r)\ny = exp(x)\n", "y = exp(x)\n"));
}

Test(fuse, products)
{
    becomes(fuse,
            SAYS("p = matmul(x, w)\nq = add(p, b)\ny = relu(q)\n", "y = matmul(x, w, _, b, activation=1)\n"));
    becomes(fuse, SAYS("p = matmul(x, w)\nq = add(b, p)\ny = add(r, q)\n", "y = matmul(x, w, r, b)\n"));
    becomes(fuse, SAYS("p = matmul(x, w)\ny = gelu(p)\n", "y = matmul(x, w, activation=2)\n"));
}

/* relu(p) + r is not relu(p + r); a product with two readers is not computed twice; one that is an output
 * stays. */
Test(fuse, not_what_would_change_numbers_or_cost_more)
{
    becomes(fuse, SAYS("p = matmul(x, w)\nq = relu(p)\ny = add(q, r)\n",
                       "q = matmul(x, w, activation=1)\ny = add(q, r)\n"));
    becomes(fuse, SAYS("p = matmul(x, w)\nq = add(p, r)\ny = mul(q, p)\n",
                       "p = matmul(x, w)\ny = fused(p, r, program=\"0 1 add 0 mul =0\")\n"));
    becomes(fuse, SAYS("p = matmul(x, w)\nq = add(p, p)\ny = exp(q)\n",
                       "p = matmul(x, w)\ny = fused(p, program=\"0 0 add exp =0\")\n"));
}

Test(fuse, chains)
{
    becomes(fuse, SAYS("m = mul(x, r)\nn = tanh(m)\no = constant(number=0.5, type=f32[])\ny = sub(n, o)\n",
                       "y = fused(x, r, program=\"0 1 mul tanh #0.5 sub =0\")\n"));
    becomes(fuse, SAYS("y = exp(x)\n", "y = exp(x)\n"));
    becomes(fuse, SAYS("m = tanh(x)\nn = exp(m)\ny = mul(m, n)\n",
                       "m = tanh(x)\ny = fused(m, program=\"0 0 exp mul =0\")\n"));
    becomes(fuse, SAYS("m = tanh(b)\ny = mul(x, m)\n",
                       "m = tanh(b)\ny = mul(x, m)\n")); /* of another shape: computed once */
}
