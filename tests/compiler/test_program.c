/* Programs against the double interpreter on random graphs: in any order of calls, with any choice of
 * kernels, with and without in-place results, fused or not, in poisoned memory; and with the same bits where
 * these may not differ. */
#include "compiler/passes/passes.h"
#include "tests/compiler/random_graph.h"
#include "tests/compiler/run_program.h"
#include <criterion/criterion.h>
#include <string.h>

/* Chains of up to 40 f32 ops on numbers near 1. */
static const double bound_f32 = 5e-6;
enum { GRAPHS = 60, RUNS = 2 };
static const int64_t bounds[][MAX_SYMBOLS] = {{2, 5}, {1, 1}, {3, 7}, {4, 4}}; /* B, T */

static rondo_graph *fused(const rondo_graph *g, rondo_error *error)
{
    rondo_graph *simple = simplify(g, NULL, error), *out = simple ? fuse(simple, NULL, error) : NULL;
    graph_free(simple);
    cr_assert(out && graph_verify(out, error), "%s", error->message);
    return out;
}

static program_outputs ran(const rondo_graph *g, program_options options, const int64_t *bound, int threads,
                           int seed)
{
    program_outputs out;
    rondo_error error = {0};
    cr_assert(run_program(g, &options, bound, RUNS, threads, &out, &error), "graph %d: %s", seed,
              error.message);
    return out;
}

static void same_as(const program_outputs *expected, const rondo_graph *g, program_options options,
                    const int64_t *bound, int threads, int seed, const char *what)
{
    const char *where;
    program_outputs out = ran(g, options, bound, threads, seed);
    cr_expect(outputs_same(&out, expected, &where), "graph %d, %s: %s has other bits", seed, what, where);
    outputs_free(&out);
}

static void close_to(const program_outputs *expected, const program_outputs *out, int seed, const char *what)
{
    const char *where;
    double d = outputs_difference(out, expected, &where);
    cr_expect_leq(d, bound_f32, "graph %d, %s: %s differs by %g", seed, what, where, d);
}

static void check(const rondo_graph *g, const int64_t *bound, int seed, const char *what)
{
    rondo_error error = {0};
    program_outputs expected, out;
    cr_assert(run_interpreter(g, bound, RUNS, &expected, &error), "graph %d: %s", seed, error.message);
    out = ran(g, (program_options){0}, bound, 1, seed);
    close_to(&expected, &out, seed, what);
    same_as(&out, g, (program_options){.poison = true}, bound, 2, seed, "poisoned");
    same_as(&out, g, (program_options){.no_in_place = true}, bound, 1, seed, "nothing in place");
    for (int order = 1; order <= 20; order += seed % 4 ? 7 : 1)
        same_as(&out, g, (program_options){.schedule_seed = order, .poison = true}, bound, 1, seed,
                "another order");
    program_outputs other = ran(g, (program_options){.kernel_choice = 1}, bound, 1, seed);
    close_to(&expected, &other, seed, "other kernels");
    outputs_free(&expected);
    outputs_free(&out);
    outputs_free(&other);
}

static void check_random(bool ports, bool fuse_it)
{
    for (int seed = 1; seed <= GRAPHS; seed++) {
        rondo_error error = {0};
        rondo *r = rondo_new(1);
        rondo_graph *g =
            random_graph(r, (uint64_t)seed, (random_graph_options){8 + seed % 32, ports, true, true}, &error);
        cr_assert(g && graph_verify(g, &error), "graph %d: %s", seed, error.message);
        rondo_graph *small = fuse_it ? fused(g, &error) : NULL;
        check(small ? small : g, bounds[seed % 4], seed, fuse_it ? "fused" : "as written");
        graph_free(small);
        rondo_graph_free(g);
        rondo_free(r);
    }
}

Test(program, runs_random_graphs)
{
    check_random(false, false);
}
Test(program, runs_random_graphs_with_state)
{
    check_random(true, false);
}
Test(program, runs_fused_graphs)
{
    check_random(false, true);
}
Test(program, runs_fused_graphs_with_state)
{
    check_random(true, true);
}

/* One program, many shapes, one instance: each specialisation gives the same as alone. */
Test(program, specialisations_do_not_disturb_each_other)
{
    rondo_error error = {0};
    rondo *r = rondo_new(1);
    rondo_graph *g = random_graph(r, 11, (random_graph_options){30, false, true, true}, &error);
    program *p = program_new(graph_clean(g, NULL, &error), NULL, &error);
    cr_assert(p, "%s", error.message);
    for (int k = 0; k < 8; k++) {
        const specialisation *s = program_specialise(p, bounds[k % 4], &error);
        cr_assert(s, "%s", error.message);
        const specialisation *again = program_specialise(p, bounds[k % 4], &error);
        cr_expect_eq(s, again, "not cached");
        program_release(p, again);
        cr_expect(s->memory.lower_bytes <= s->memory.peak_bytes &&
                  s->memory.peak_bytes <= s->memory.naive_bytes);
        program_release(p, s);
    }
    program_free(p);
    rondo_graph_free(g);
    rondo_free(r);
}

Test(program, names_a_leaf_that_was_given_no_data)
{
    rondo_error error = {0};
    instance i;
    rondo *r = rondo_new(1);
    rondo_graph *g = graph_parse(
        r, "symbols B\nx = input(name=\"left\", type=f32[B])\ny = exp(x)\noutput y = y\n", "test", &error);
    program *p = program_new(g, NULL, &error);
    cr_assert(p && instance_begin(&i, p, &error), "%s", error.message);
    team *t = team_new(&r->allocator, 1, &error);
    cr_expect_not(instance_run(&i, t, (int64_t[]){3}, &error));
    cr_expect_str_eq(error.message, "input \"left\" was given no data");
    team_free(t);
    instance_end(&i);
    program_free(p);
    rondo_free(r);
}

/* A write past the end of a buffer is noticed, and the message names the node. */
static void overrun(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    (void)phase, (void)task, (void)scratch;
    memset(call->outputs[0].data, 0, 3 * sizeof(float) + 1);
}

Test(program, poison_notices_a_write_past_the_end)
{
    static const kernel broken = {"broken", NULL, overrun};
    rondo_error error = {0};
    instance i;
    rondo *r = rondo_new(1);
    float three[3] = {0};
    rondo_graph *g = graph_parse(
        r, "symbols B\nx = input(name=\"x\", type=f32[B])\ny = exp(x)\noutput y = y\n", "test", &error);
    program *p = program_new(g, &(program_options){.poison = true}, &error);
    cr_assert(p && instance_begin(&i, p, &error), "%s", error.message);
    team *t = team_new(&r->allocator, 1, &error);
    instance_bind(&i, graph_find_leaf(g, OP_input, "x"), three);
    cr_assert(instance_run(&i, t, (int64_t[]){3}, &error), "%s", error.message);
    i.calls[0].kernel = &broken;
    cr_expect_not(instance_run(&i, t, (int64_t[]){3}, &error));
    cr_expect(strstr(error.message, "wrote past the end of a buffer"), "%s", error.message);
    team_free(t);
    instance_end(&i);
    program_free(p);
    rondo_free(r);
}
