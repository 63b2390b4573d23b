/* Loops in programs: against the double interpreter, forward and with gradients; with the same bits for any
 * number of threads, in poisoned memory and in any order. */
#include "compiler/pipeline.h"
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
