/* Loops in programs: against the double interpreter, forward and with gradients; with the same bits for any
 * number of threads, in poisoned memory and in any order. */
#include "compiler/pipeline.h"
#include "compiler/program/choices.h"
#include "tests/autograd/loop_models.h"
#include "tests/compiler/graph_compare.h"
#include "tests/compiler/run_program.h"
#include <criterion/criterion.h>
#include <string.h>

static const int64_t bound[MAX_SYMBOLS] = {3, 5};

/* A number that depends on every element of x. */
static rondo_value squashed(rondo_value x)
{
    rondo_value y = rondo_tanh(x);
    while (graph_shape_of(y.graph, y.id)->rank)
        y = rondo_sum(y, -1);
    return y;
}

static rondo_graph *model_graph(rondo *r, const loop_case *c, rondo_value *y, bool training)
{
    rondo_error error = {0};
    rondo_graph *g = rondo_graph_new(r, &error);
    *y = c->make(rondo_input(g, "x", "f32[B,T,3]"));
    cr_assert(graph_check(g, &error), "%s: %s", c->name, error.message);
    rondo_graph *made =
        training ? pipeline_train(squashed(*y), NULL, &error) : pipeline_forward(*y, "y", NULL, &error);
    cr_assert(made && graph_verify(made, &error), "%s: %s", c->name, error.message);
    graph_free(g);
    return made;
}

static void check(const rondo_graph *g, const char *name)
{
    rondo_error error = {0};
    program_outputs expected, out, other;
    const char *where = "";
    cr_assert(run_interpreter(g, bound, 1, &expected, &error), "%s: %s", name, error.message);
    cr_assert(run_program(g, NULL, bound, 1, 1, &out, &error), "%s: %s", name, error.message);
    double d = outputs_difference(&out, &expected, &where);
    cr_expect_leq(d, 5e-6, "%s: %s differs by %g", name, where, d);
    static const program_options options[] = {
        {.poison = true}, {.no_in_place = true}, {.schedule_seed = 3, .poison = true}};
    for (int i = 0; i < 3; i++)
        for (int threads = 1; threads <= 7; threads += 2) {
            cr_assert(run_program(g, &options[i], bound, 1, threads, &other, &error), "%s: %s", name,
                      error.message);
            cr_expect(outputs_same(&out, &other, &where), "%s, %d threads: %s has other bits", name, threads,
                      where);
            outputs_free(&other);
        }
    outputs_free(&expected);
    outputs_free(&out);
}

Test(loop, programs_and_gradients_are_those_of_the_interpreter)
{
    for (int i = 0; i < loop_case_count; i++)
        for (int training = 0; training < 2; training++) {
            rondo *r = rondo_new(1);
            rondo_value y;
            rondo_graph *g = model_graph(r, &loop_cases[i], &y, training);
            check(g, loop_cases[i].name);
            graph_free(g);
            rondo_free(r);
        }
}

/* What is printed is read back as the same graph, bodies included. */
Test(loop, stands_in_the_text_form)
{
    rondo *r = rondo_new(1);
    for (int i = 0; i < loop_case_count; i++) {
        rondo_value y;
        rondo_error error = {0};
        rondo_graph *g = model_graph(r, &loop_cases[i], &y, true);
        char *printed = rondo_graph_print(g, &error);
        rondo_graph *again = graph_parse(r, printed, "loop.graph", &error);
        cr_assert(again, "%s: %s\n%s", loop_cases[i].name, error.message, printed);
        cr_expect(graph_same(g, again), "%s", loop_cases[i].name);
        rondo_text_free(r, printed);
        graph_free(again);
        graph_free(g);
    }
    rondo_free(r);
}

/* A checkpoint keeps them, so that a run that is resumed takes the same kernels in bodies too. */
Test(loop, choices_of_kernels_are_those_of_bodies_too)
{
    rondo *r = rondo_new(1);
    rondo_value y;
    rondo_error error = {0};
    program *p = program_new(model_graph(r, &loop_cases[0], &y, false), NULL, &error);
    const specialisation *s = program_specialise(p, bound, &error);
    cr_assert(s, "%s", error.message);
    arena a;
    arena_begin(&a, NULL);
    text t = {.arena = &a};
    choices_print(&t, &p, 1);
    const char *printed = text_done(&t);
    cr_expect(printed && strstr(printed, "matmul 3x4,4x4,"), "the product of a step is not among\n%s",
              printed);
    arena_end(&a);
    program_release(p, s);
    program_free(p);
    rondo_free(r);
}

/* ---- mistakes ---- */

#define CELL(lines, loop)                                                                                    \
    "body cell\n"                                                                                            \
    "  row = input(name=\"row.0\", type=f32[B,4])\n"                                                         \
    "  before = state(name=\"carry.0\", type=f32[B,4])\n" lines "end\n"                                      \
    "x = input(name=\"x\", type=f32[T,B,4])\n"                                                               \
    "start = constant(number=0, type=f32[B,4])\n" loop "\n"
#define PLAIN "  now = add(before, row)\n  port carry.0 carry in=before out=now initial=0\n"
#define LAST  "last = loop(start, x, body=\"cell\", carries=1, sequences=1)"

/* Text may be hostile: whatever it says, the result is a graph or a sentence. */
Test(loop, mistakes_in_text_are_sentences)
{
    static const struct {
        const char *text, *sentence;
    } cases[] = {
        {CELL(PLAIN, LAST), NULL},
        {CELL(PLAIN, "last = loop(start, x, body=\"sell\", carries=1, sequences=1)"),
         "there is no body \"sell\""},
        {CELL(PLAIN, "last = loop(start, x, body=\"cell\", carries=4294967297, sequences=1)"),
         "2 operands, but"},
        {CELL(PLAIN, "last = loop(start, x, body=\"cell\", carries=-1, sequences=1)"), "2 operands, but"},
        {CELL(PLAIN, "last = loop(start, x, body=\"cell\", carries=2)"), "no operand has an axis of time"},
        {CELL(PLAIN, "last = loop(start, x, body=\"cell\", carries=1, sequences=1, rows=1)"),
         "the body has 0 outputs, fewer than the 1 rows"},
        {CELL(PLAIN, "last = loop(start, x, body=\"cell\", carries=1, sequences=1, block=3)"),
         "do not divide"},
        {CELL(PLAIN, "last = loop(x, start, body=\"cell\", carries=1, sequences=1)"),
         "the body takes carry.0"},
        {CELL("  port carry.0 carry in=row out=before initial=0\n", LAST), "does not begin with a state"},
        {CELL("  now = sum(row, axis=1)\n  port carry.0 carry in=before out=now initial=0\n", LAST),
         "have different types"},
        {CELL(PLAIN "  w = parameter(name=\"w\", type=f32[4])\n", LAST), "none of the loop's operands"},
        {CELL(PLAIN "  more = input(name=\"row.0\", type=f32[B,4])\n", LAST), "none of the loop's operands"},
        {CELL(PLAIN "  z = constant(number=1, type=f32[Q])\n", LAST), "the symbol Q"},
        {"body cell\n  x = input(name=\"row.0\", type=f32[B])\n", "has no line `end`"},
        {"end\n", "without its `body NAME`"},
        {"body a\nend\nbody a\nend\n", "two bodies with the name a"},
        {"body a\nbody b\nbody c\nbody d\nbody e\nend\nend\nend\nend\nend\n", "nest deeper than 4"},
    };
    rondo *r = rondo_new(1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rondo_error error = {0};
        rondo_graph *g = graph_parse(r, cases[i].text, "hostile.graph", &error);
        if (cases[i].sentence)
            cr_expect(!g && strstr(error.message, cases[i].sentence) &&
                          strstr(error.message, "hostile.graph:"),
                      "%s\nsays: %s", cases[i].text, error.message);
        else
            cr_expect(g, "%s\nsays: %s", cases[i].text, error.message);
        graph_free(g);
    }
    rondo_free(r);
}

/* 40 loops in 40 loops in 40 loops would be 64,000 programs. */
Test(loop, a_small_text_does_not_become_many_programs)
{
    static const char *const names[] = {"a", "b", "c", "d"};
    rondo *r = rondo_new(1);
    rondo_error error = {0};
    arena a;
    arena_begin(&a, NULL);
    text t = {.arena = &a};
    for (int depth = 0; depth < 4; depth++)
        text_add(&t, "body %s\n", names[depth]);
    for (int depth = 3; depth >= 0; depth--) {
        text_add(&t,
                 "x = input(name=\"row.0\", type=f32[3,3,3,3])\ns = state(name=\"carry.0\", type=f32[3])\n"
                 "y = input(name=\"constant.0\", type=f32[3,3,3,3,3])\n");
        text_add(&t, "l0 = add(s, s)\n");
        for (int i = 1; depth < 3 && i <= 40; i++)
            text_add(&t, "l%d = loop(l%d, y, y, body=\"%s\", carries=1, sequences=1)\n", i, i - 1,
                     names[depth + 1]);
        text_add(&t, "port carry.0 carry in=s out=s initial=0\nend\n");
    }
    const char *source = text_done(&t);
    cr_assert(source);
    rondo_graph *g = graph_parse(r, source, "many.graph", &error);
    cr_expect(!g && strstr(error.message, "more than 4096 places"), "%s", error.message);
    graph_free(g);
    arena_end(&a);
    rondo_free(r);
}

/* ---- mistakes in a model ---- */

static void narrows(rondo_graph *g, rondo_loop_step *s, void *user)
{
    (void)g, (void)user;
    s->carries[0] = s->results[0] = rondo_slice(s->carries[0], 1, 0, 1);
}

static void drops(rondo_graph *g, rondo_loop_step *s, void *user)
{
    (void)g, (void)user;
    s->results[0] = rondo_dropout(rondo_reshape(s->rows[0], "[B,1,3]"), 0.5f);
}

static void names_an_output(rondo_graph *g, rondo_loop_step *s, void *user)
{
    (void)g, (void)user;
    s->results[0] = s->rows[0];
    rondo_output(s->rows[0], "row");
}

static void passes_on(rondo_graph *g, rondo_loop_step *s, void *user)
{
    (void)g, (void)user;
    s->results[0] = s->rows[0];
}

static void forgets(rondo_graph *g, rondo_loop_step *s, void *user)
{
    (void)g, (void)user;
    s->carries[0] = (rondo_value){0};
}

Test(loop, mistakes_in_a_model_name_the_line)
{
    static const struct {
        rondo_loop_body *body;
        int64_t block;
        const char *sentence;
    } cases[] = {{narrows, 0, "carry 0 is f32[B,3], but the body leaves f32[B,1]"},
                 {drops, 0, "would draw the same numbers at every step"},
                 {names_an_output, 0, "rondo_output inside a loop"},
                 {forgets, 0, "the body leaves 0 carries, the loop has 1"},
                 {NULL, 0, "no function that builds the body"},
                 {passes_on, 2, "do not divide into blocks of 2"},
                 {passes_on, -1, "a block of -1 rows"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rondo_error error = {0};
        rondo *r = rondo_new(1);
        rondo_graph *g = rondo_graph_new(r, &error);
        rondo_value x = rondo_input(g, "x", "f32[B,T,3]"), start = rondo_loop_zeros(x, 3);
        rondo_loop(g, cases[i].body, .over = {x}, .carries = {start}, .block = cases[i].block);
        cr_expect_not(rondo_graph_check(g, &error));
        cr_expect(strstr(error.message, cases[i].sentence) && strstr(error.message, "test_loop.c:"),
                  "the error is\n  %s\nnot\n  %s", error.message, cases[i].sentence);
        rondo_graph_free(g);
        rondo_free(r);
    }
}
