/* schedule: operands first, the old content of a port read before it is overwritten, and little memory alive
 * at once. */
#include "compiler/program/schedule.h"
#include "ops/op.h"
#include "tests/compiler/random_graph.h"
#include <criterion/criterion.h>
#include <string.h>

typedef struct scheduled {
    rondo *context;
    rondo_graph *g;
    arena scratch;
    bool *in_place;
    schedule_problem problem;
    node_id *order;
} scheduled;

/* On the heap: the problem points into it. */
static scheduled *scheduled_new(rondo *context, rondo_graph *g)
{
    rondo_error error = {0};
    scheduled *s = calloc(1, sizeof *s);
    *s = (scheduled){.context = context, .g = g};
    cr_assert(graph_verify(g, &error), "%s", error.message);
    arena_begin(&s->scratch, NULL);
    value_id *root = ARENA_NEW(&s->scratch, value_id, g->value_count + 1);
    int64_t *bytes = ARENA_NEW(&s->scratch, int64_t, g->value_count + 1), bound[MAX_SYMBOLS] = {3, 5};
    s->in_place = ARENA_NEW(&s->scratch, bool, g->port_count + 1);
    s->order = ARENA_NEW(&s->scratch, node_id, g->node_count + 1);
    for (value_id v = 0; v < g->value_count; v++) {
        dim all;
        root[v] = v;
        shape_elements(graph_shape_of(g, v), &all);
        bytes[v] = op_table[graph_op_of(g, v)].flags & OP_LEAF ? 0 : 4 * dim_value(all, bound);
    }
    cr_assert(schedule_ports(g, s->in_place, &s->scratch));
    s->problem = (schedule_problem){g, root, bytes, s->in_place, 0, &s->scratch};
    return s;
}

static void scheduled_free(scheduled *s)
{
    arena_end(&s->scratch);
    rondo_graph_free(s->g);
    rondo_free(s->context);
    free(s);
}

static scheduled *of_text(const char *source)
{
    rondo_error error = {0};
    rondo *context = rondo_new(1);
    rondo_graph *g = graph_parse(context, source, "test", &error);
    cr_assert(g, "%s", error.message);
    return scheduled_new(context, g);
}

/* Every node once, operands first, and nothing reads the old content of a port, through any view, after it
 * was overwritten. */
static void check_order(const scheduled *s, const node_id *order)
{
    const rondo_graph *g = s->g;
    int *place = ARENA_NEW((arena *)&s->scratch, int, g->node_count + 1);
    memset(place, -1, sizeof *place * (size_t)g->node_count);
    for (int i = 0; i < g->node_count; i++) {
        cr_assert_eq(place[order[i]], -1, "a node twice");
        place[order[i]] = i;
    }
    for (node_id id = 0; id < g->node_count; id++)
        for (int i = 0; i < g->nodes[id].input_count; i++) {
            value_id v = g->nodes[id].inputs[i];
            if (v == NONE)
                continue;
            cr_assert_lt(place[g->values[v].node], place[id]);
            while (op_table[graph_op_of(g, v)].flags & OP_VIEW)
                v = graph_node_of(g, v)->inputs[0];
            for (int p = 0; p < g->port_count; p++)
                if (s->in_place[p] && v == g->ports[p].in)
                    cr_assert_leq(place[id], place[g->values[g->ports[p].out].node],
                                  "port %d is read too late", p);
        }
}

Test(schedule, is_an_order_that_ports_survive)
{
    int in_place = 0, ports = 0;
    for (uint64_t seed = 1; seed <= 80; seed++) {
        rondo_error error = {0};
        rondo *context = rondo_new(1);
        rondo_graph *g =
            random_graph(context, seed, (random_graph_options){10 + (int)seed % 40, true, true}, &error);
        cr_assert(g, "%s", error.message);
        scheduled *s = scheduled_new(context, g);
        for (int order = 0; order <= 5; order++) {
            s->problem.seed = order;
            cr_assert(schedule(&s->problem, s->order, &error), "%s", error.message);
            check_order(s, s->order);
        }
        for (int p = 0; p < g->port_count; p++, ports++)
            in_place += s->in_place[p];
        scheduled_free(s);
    }
    cr_expect(in_place > ports / 4 && in_place < ports,
              "%d of %d ports in place: the test sees one side only", in_place, ports);
}

/* Two hundred random orders seldom find a lower peak. */
Test(schedule, keeps_little_alive)
{
    double sum = 0;
    enum { GRAPHS = 40 };
    for (uint64_t seed = 1; seed <= GRAPHS; seed++) {
        rondo_error error = {0};
        rondo *context = rondo_new(1);
        rondo_graph *g = random_graph(context, seed, (random_graph_options){40, false, false}, &error);
        cr_assert(g, "%s", error.message);
        scheduled *s = scheduled_new(context, g);
        cr_assert(schedule(&s->problem, s->order, &error), "%s", error.message);
        int64_t peak = schedule_peak(&s->problem, s->order), best = INT64_MAX;
        for (int order = 1; order <= 200; order++) {
            s->problem.seed = order;
            cr_assert(schedule(&s->problem, s->order, &error), "%s", error.message);
            int64_t now = schedule_peak(&s->problem, s->order);
            best = now < best ? now : best;
        }
        cr_expect_leq((double)peak, 1.4 * (double)best, "graph %d: %ld, a random order %ld", (int)seed,
                      (long)peak, (long)best);
        sum += (double)peak / (double)best;
        scheduled_free(s);
    }
    cr_expect_leq(sum / GRAPHS, 1.1, "%g in the mean", sum / GRAPHS);
}

#define STATES                                                                                               \
    "symbols B\na = state(name=\"a\", type=f32[B])\nb = state(name=\"b\", type=f32[B])\nx = "                \
    "input(name=\"x\", type=f32[B])\n"

Test(schedule, a_sum_is_updated_in_place)
{
    scheduled *s = of_text(STATES "c = add(a, x)\nd = mul(a, x)\noutput y = d\nport a carry in=a out=c\n");
    cr_expect(s->in_place[0]);
    cr_assert(schedule(&s->problem, s->order, NULL));
    check_order(s, s->order);
    scheduled_free(s);
}

/* Each new content is computed from the other's old one: one of them has to wait, so it cannot be updated in
 * place. */
Test(schedule, a_cycle_of_ports_is_not_in_place)
{
    scheduled *s = of_text(STATES "c = add(a, b)\ne = mul(b, a)\n"
                                  "port a carry in=a out=c\nport b carry in=b out=e\n");
    cr_expect_neq(s->in_place[0] && s->in_place[1], true);
    cr_assert(schedule(&s->problem, s->order, NULL));
    check_order(s, s->order);
    scheduled_free(s);
}

Test(schedule, who_reads_both_old_and_new_forbids_it)
{
    scheduled *s = of_text(STATES "c = add(a, x)\nd = sub(c, a)\noutput y = d\nport a carry in=a out=c\n");
    cr_expect_not(s->in_place[0]);
    scheduled_free(s);
    s = of_text(
        STATES
        "c = add(a, x)\nr = reshape(a, dims=[1,B])\nd = sub(c, r)\noutput y = d\nport a carry in=a out=c\n");
    cr_expect_not(s->in_place[0], "through a view");
    scheduled_free(s);
    s = of_text(STATES "c = add(a, x)\noutput y = a\nport a carry in=a out=c\n");
    cr_expect_not(s->in_place[0], "the old content is a result");
    scheduled_free(s);
}
