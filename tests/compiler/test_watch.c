/* Passes replace patterns, but keep every value whose gradient is asked for. The compiled graph, after all
 * passes, has the gradients of the graph as written, to 1e-11 in double, and they agree with finite
 * differences. */
#include "autograd/differentiate.h"
#include "compiler/pipeline.h"
#include "tests/compiler/graph_compare.h"
#include <criterion/criterion.h>
#include <string.h>

static rondo *context;

static void begin(void)
{
    context = rondo_new(1);
}
static void end(void)
{
    rondo_free(context);
}
TestSuite(watch, .init = begin, .fini = end);

static const graph_inputs numbers = {.seed = 5, .low = 0.1, .high = 0.9, .shortest = 1, .longest = 4};

static rondo_graph *parsed(const char *source)
{
    rondo_error error = {0};
    rondo_graph *g = rondo_graph_parse(context, source, "watched.graph", &error);
    cr_assert(g, "%s", error.message);
    return g;
}

static rondo_graph *compiled(const rondo_graph *g, bool rewrite, const char *after)
{
    enum { MOST = 4 };
    rondo_error error = {0};
    value_id results[MOST];
    const char *names[MOST];
    for (int o = 0; o < g->output_count; o++) {
        results[o] = g->outputs[o].value;
        names[o] = g->names[g->outputs[o].name];
    }
    pipeline_options options = {.no_linearize = !rewrite, .after = after, .check = graph_verify};
    rondo_graph *done = pipeline_function(g, results, names, g->output_count, &options, &error);
    cr_assert(done, "%s", error.message);
    return done;
}

static double compare(rondo_graph *a, rondo_graph *b)
{
    int64_t bound[MAX_SYMBOLS] = {0};
    const char *worst;
    rondo_error error = {0};
    cr_assert(a && b && rondo_graph_check(a, &error) && rondo_graph_check(b, &error), "%s", error.message);
    for (int s = 0; s < a->symbol_count; s++)
        bound[s] = !strcmp(a->symbols[s], "B") ? 2 : 5;
    double d = graph_difference(a, b, bound, &numbers, &worst, &error);
    cr_assert_geq(d, 0, "%s: %s", worst, error.message);
    return d;
}

/* The loss where the watched value has step · direction added, without any pass. */
static value_id loss_beside(rondo_graph *to, const rondo_graph *g, value_id watched, double step)
{
    value_id *map = graph_map_new(to, g);
    for (node_id id = 0; id < g->node_count; id++) {
        if (g->nodes[id].op == OP_gradient)
            continue;
        cr_assert(graph_copy_node(to, g, id, map));
        if (g->values[watched].node == id) {
            value_id direction =
                build_leaf(to, OP_input, "direction", RONDO_F32, graph_shape_of(to, map[watched]));
            map[watched] = build_add(to, map[watched], build_mul(to, direction, build_number(to, step)));
        }
    }
    return map[graph_find_output(g, "loss")];
}

/* g has the outputs "loss" and "d", the gradient of the loss to `watched`. */
static void expect_slope(const rondo_graph *g, value_id watched, const char *name)
{
    const double step = 1e-4;
    shape flat = {.rank = 1};
    rondo_graph *differences = graph_new_like(g, NULL), *done = compiled(g, true, NULL);
    value_id above = loss_beside(differences, g, watched, step),
             below = loss_beside(differences, g, watched, -step);
    graph_add_output(differences, "slope",
                     build_mul(differences, build_sub(differences, above, below),
                               build_number(differences, 1 / (2 * step))));
    value_id d = graph_find_output(done, "d"),
             direction = build_leaf(done, OP_input, "direction", RONDO_F32, graph_shape_of(done, d));
    cr_assert(shape_elements(graph_shape_of(done, d), &flat.dims[0]));
    value_id slope =
        build_reduce(done, OP_sum, build_reshape(done, build_mul(done, d, direction), &flat), 0, false);
    done->output_count = 0;
    graph_add_output(done, "slope", slope);
    double off = compare(differences, done);
    cr_expect_leq(off, 1e-6, "%s: the slope is off by %g", name, off);
    graph_free(done);
    graph_free(differences);
}

static void expect_gradient(const rondo_graph *g, const char *name)
{
    rondo_error error = {0};
    rondo_graph *written = differentiate(g, NULL, &error), *rewritten = compiled(g, true, NULL);
    cr_expect_leq(compare(written, rewritten), 1e-11, "%s", name);
    graph_free(rewritten);
    graph_free(written);
}

#define QKV                                                                                                  \
    "q = input(name=\"q\", type=f32[B,2,T,3])\nk = input(name=\"k\", type=f32[B,2,T,3])\n"                   \
    "v = input(name=\"v\", type=f32[B,2,T,4])\nlength = input(name=\"length\", type=i32[B])\n"
#define LOSS "output loss = sum(reshape(tanh(y), dims=[8*B*T]), axis=0)\n"

static const char linear[] = QKV "s = matmul(q, k, transpose_b)\na = causal_mask(s)\n"
                                 "y = div(matmul(a, v), sum(a, axis=3, keep))\n" LOSS;
static const char softmax[] = QKV "s = matmul(q, k, transpose_b)\np = softmax(causal_mask(s, fill=-inf))\n"
                                  "y = matmul(p, v)\n" LOSS;
static const char decayed[] =
    QKV "c = cumsum(mul(sum(q, axis=3, keep), -0.1), axis=2)\ne = exp(c)\nqe = mul(q, e)\n"
        "ke = mul(k, exp(neg(c)))\na = causal_mask(matmul(qe, ke, transpose_b))\n"
        "y = matmul(a, v)\n" LOSS;
static const char scaled[] =
    QKV "qs = mul(q, 0.25)\n"
        "y = matmul(softmax(key_mask(matmul(qs, k, transpose_b), length, fill=-inf)), v)\n" LOSS;

static void check_asked(const char *source, const char *const *asked)
{
    for (; *asked; asked++) {
        text t = {0};
        arena a;
        arena_begin(&a, NULL);
        t.arena = &a;
        text_add(&t, "%soutput d = gradient(loss, %s)\n", source, *asked);
        rondo_graph *g = parsed(text_done(&t));
        value_id watched = graph_node_of(g, graph_find_output(g, "d"))->inputs[1];
        expect_gradient(g, *asked);
        expect_slope(g, watched, *asked);
        graph_free(g);
        arena_end(&a);
    }
}

Test(watch, values_of_linear_attention_keep_their_gradients)
{
    check_asked(linear, (const char *const[]){"s", "a", "y", "q", "v", NULL});
}

Test(watch, values_of_softmax_attention_keep_their_gradients)
{
    check_asked(softmax, (const char *const[]){"s", "p", "y", "k", NULL});
}

Test(watch, values_of_decayed_attention_keep_their_gradients)
{
    check_asked(decayed, (const char *const[]){"c", "e", "qe", "ke", "a", "y", NULL});
}

Test(watch, a_scaled_query_keeps_its_gradient)
{
    check_asked(scaled, (const char *const[]){"qs", "q", NULL});
}

Test(watch, the_value_dropout_makes_is_not_the_one_it_takes)
{
    rondo_graph *g = parsed(
        "x = input(name=\"x\", type=f32[B,T,3])\nseed = input(name=\"seed\", type=i32[2])\n"
        "ids = input(name=\"ids\", type=i32[B])\nh = tanh(x)\nd = dropout(h, seed, ids, rate=0.5, site=0)\n"
        "loss = sum(reshape(add(mul(d, d), h), dims=[3*B*T]), axis=0)\noutput half = gradient(loss, d)\n"
        "output whole = gradient(loss, h)\n");
    rondo_graph *done = compiled(g, true, NULL);
    cr_expect_neq(graph_find_output(done, "half"), graph_find_output(done, "whole"));
    graph_free(done);
    graph_free(g);
}

Test(watch, only_what_is_asked_for_keeps_its_place)
{
    rondo_graph *g = parsed(QKV "s = matmul(q, k, transpose_b)\ny = matmul(causal_mask(s), v)\n" LOSS
                                "output d = gradient(loss, y)\n"),
                *done = compiled(g, true, NULL);
    cr_expect_eq(graph_count(done, OP_scan), 1);
    cr_expect_not(graph_has_pair(done, "T"), "nothing over t and s was asked for");
    cr_expect_eq(graph_count(done, OP_watch), 0, "simplify removes it");
    graph_free(done);
    graph_free(g);
}

Test(watch, a_stopped_product_is_a_scan_without_a_gradient)
{
    rondo_graph *g = parsed(
                    QKV "s = stop_gradient(matmul(q, k, transpose_b))\ny = matmul(causal_mask(s), v)\n" LOSS
                        "output dv = gradient(loss, v)\noutput dq = gradient(loss, q)\n"),
                *done = compiled(g, true, NULL);
    cr_expect_eq(graph_count(done, OP_scan), 1);
    cr_expect_eq(graph_count(done, OP_stop_gradient), 0, "simplify removes it");
    cr_expect_eq(graph_op_of(done, graph_find_output(done, "dq")), OP_constant);
    expect_gradient(g, "dv");
    graph_free(done);
    graph_free(g);
}

Test(watch, explain_says_why_the_product_stays)
{
    rondo_error error = {0};
    rondo_graph *g = parsed(QKV "s = matmul(q, k, transpose_b)\ny = matmul(causal_mask(s), v)\n" LOSS
                                "output d = gradient(loss, s)\n");
    char *page = rondo_graph_explain(g, NULL, &error);
    cr_assert(page, "%s", error.message);
    cr_expect(strstr(page, "its gradient is asked for"), "%s", page);
    rondo_text_free(context, page);
    graph_free(g);
}

Test(watch, a_decoder_computes_no_gradients)
{
    rondo_error error = {0};
    rondo_graph *g = parsed("tokens = input(name=\"tokens\", type=i32[B,T])\n"
                            "table = parameter(name=\"table\", type=f32[7,4])\nx = embed(table, tokens)\n"
                            "loss = sum(reshape(mul(x, x), dims=[4*B*T]), axis=0)\n"
                            "output logits = gradient(loss, x)\n");
    rondo_value logits = {g, graph_find_output(g, "logits")};
    cr_expect_null(pipeline_advance(logits, "T", NULL, &error));
    cr_expect_eq(error.code, RONDO_NOT_CAUSAL);
    cr_expect(
        strstr(error.message, "watched.graph:5: gradient has no step form: a decoder computes no gradients,"),
        "%s", error.message);
    graph_free(g);
}
