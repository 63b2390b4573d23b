/* The pipelines as a whole: they do not change the graph that they are given, and end where they are told
 * to. */
#include "compiler/pipeline.h"
#include "tests/compiler/graph_compare.h"
#include <criterion/criterion.h>
#include <string.h>

static const char *printed(const rondo_graph *g, arena *a)
{
    text t = {.arena = a};
    graph_print(g, &t);
    const char *words = text_done(&t);
    cr_assert(words);
    return words;
}

/* The caller may continue building on it, and compile it again. */
Test(pipeline, leaves_the_graph_of_the_caller_alone)
{
    rondo_error error = {0};
    arena a;
    staged stages;
    rondo *r = rondo_new(1);
    rondo_graph *g = graph_parse(r,
                                 "symbols B T\n"
                                 "tokens = input(name=\"tokens\", type=i32[B,T])\n"
                                 "w = parameter(name=\"w\", type=f32[9,4])\n"
                                 "x = embed(w, tokens)\n"
                                 "y = matmul(x, w, transpose_b)\n"
                                 "logits = add(y, mul(y, 0.5))\n"
                                 "output loss = sum(sum(sum(logits), axis=0), axis=0)\n"
                                 "output logits = logits\n",
                                 "model.graph", &error);
    cr_assert(g, "%s", error.message);
    arena_begin(&a, NULL);
    const char *before = printed(g, &a);
    rondo_value loss = {g, graph_find_output(g, "loss")}, logits = {g, graph_find_output(g, "logits")};
    rondo_graph *made[] = {pipeline_train(loss, NULL, &error), pipeline_evaluate(loss, NULL, &error),
                           pipeline_forward(logits, "logits", NULL, &error),
                           pipeline_advance(logits, "T", NULL, &error)};
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) {
        cr_assert(made[i] && graph_verify(made[i], &error), "%d: %s", (int)i, error.message);
        graph_free(made[i]);
    }
    cr_assert(pipeline_decode(logits, "T", NULL, &stages, &error), "%s", error.message);
    staged_free(&stages);
    cr_expect_str_eq(printed(g, &a), before);
    arena_end(&a);
    graph_free(g);
    rondo_free(r);
}

/* `after` a pass of the stages ends each of them there. */
Test(pipeline, ends_after_hoist)
{
    rondo_error error = {0};
    staged whole, hoisted;
    const pipeline_options after = {.after = "hoist"};
    rondo *r = rondo_new(1);
    rondo_graph *g = graph_parse(r,
                                 "symbols B T\n"
                                 "tokens = input(name=\"tokens\", type=i32[B,T])\n"
                                 "w = parameter(name=\"w\", type=f32[9,4])\n"
                                 "logits = tanh(neg(matmul(embed(w, tokens), w, transpose_b)))\n"
                                 "output logits = logits\n",
                                 "model.graph", &error);
    cr_assert(g, "%s", error.message);
    rondo_value logits = {g, graph_find_output(g, "logits")};
    cr_assert(pipeline_decode(logits, "T", NULL, &whole, &error), "%s", error.message);
    cr_assert(pipeline_decode(logits, "T", &after, &hoisted, &error), "%s", error.message);
    cr_expect_eq(graph_count(whole.step, OP_fused), 1);
    cr_expect_eq(graph_count(hoisted.step, OP_fused), 0);
    cr_expect_eq(graph_count(hoisted.step, OP_tanh), 1);
    staged_free(&whole);
    staged_free(&hoisted);
    graph_free(g);
    rondo_free(r);
}
