/* The graph: one builder that checks, hash-conses and keeps the first mistake; copies that keep
 * everything. */
#include "core/graph.h"
#include "tests/core/counting_allocator.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static rondo *context;
static rondo_graph *g;

static void begin(void)
{
    context = rondo_new(1);
    g = rondo_graph_new(context, NULL);
}

static void end(void)
{
    rondo_graph_free(g);
    rondo_free(context);
}

TestSuite(graph, .init = begin, .fini = end);

static value_id leaf(const char *op, const char *name, const char *type_text)
{
    rondo_type type;
    shape s;
    if (!parse_type(g, type_text, true, &type, &s))
        return NONE;
    attribute a[MAX_ATTRIBUTES] = {
        {.integer = graph_name(g, name)}, {.integer = type}, {.integer = graph_shape(g, &s)}};
    return graph_add(g, graph_find_op(g, op), NULL, 0, a);
}

static value_id apply(const char *op, value_id a, value_id b)
{
    value_id in[] = {a, b};
    return graph_add(g, graph_find_op(g, op), in, b == NONE ? 1 : 2, NULL);
}

Test(graph, equal_pure_nodes_are_one)
{
    value_id x = leaf("input", "x", "f32[B,T,8]"), y = leaf("input", "y", "f32[B,T,8]");
    value_id a = apply("add", x, y);
    rondo_enter(g, "elsewhere");
    g->file = "model.c";
    g->line = 7;
    cr_assert_eq(apply("add", x, y), a, "scope and line do not count");
    cr_assert_neq(apply("add", y, x), a);
    cr_assert_neq(apply("mul", x, y), a);
    attribute axis0[] = {{.integer = 0}, {.integer = 0}}, axis1[] = {{.integer = 1}, {.integer = 0}};
    value_id sum = graph_add(g, graph_find_op(g, "sum"), &x, 1, axis0);
    cr_assert_eq(graph_add(g, graph_find_op(g, "sum"), &x, 1, axis0), sum);
    cr_assert_neq(graph_add(g, graph_find_op(g, "sum"), &x, 1, axis1), sum);
    cr_assert_neq(leaf("input", "x", "f32[B,T,8]"), x, "leaves are things, not values");
}

Test(graph, hash_consing_holds_for_many_nodes)
{
    value_id x = leaf("input", "x", "f32[B]"), chain[3000];
    chain[0] = x;
    for (int i = 1; i < 3000; i++)
        chain[i] = apply("add", chain[i - 1], x);
    for (int i = 1; i < 3000; i++)
        cr_assert_eq(apply("add", chain[i - 1], x), chain[i]);
    cr_assert_eq(g->node_count, 3000);
}

Test(graph, values_know_their_node_and_port)
{
    value_id in[] = {leaf("input", "x", "f32[B,8]"), leaf("parameter", "w", "f32[8]"),
                     leaf("parameter", "b", "f32[8]")};
    value_id first = graph_add(g, graph_find_op(g, "layer_norm"), in, 3, NULL);
    const node *n = graph_node_of(g, first);
    cr_assert_eq(n->output_count, 2);
    cr_assert_eq(g->values[first + 1].port, 1);
    cr_assert_eq(g->values[first + 1].node, g->values[first].node);
    cr_assert_lt(n->inputs[2], first, "operands come first");
    cr_assert_eq(graph_find_leaf(g, graph_find_op(g, "parameter"), "b"), in[2]);
    cr_assert_eq(graph_find_leaf(g, graph_find_op(g, "input"), "b"), NONE);
}

Test(graph, after_the_first_mistake_nothing_happens)
{
    value_id x = leaf("input", "x", "f32[B,8]");
    g->file = "model.c";
    g->line = 42;
    rondo_enter(g, "decoder.%d", 3);
    rondo_enter(g, "ffn");
    cr_assert_eq(graph_add(g, graph_find_op(g, "relu"), &x, 0, NULL), NONE);
    cr_assert_eq(strncmp(g->error.message, "model.c:42: decoder.3.ffn: relu ", 32), 0, "%s",
                 g->error.message);
    rondo_error first = g->error, e = {0};
    int nodes = g->node_count, names = g->name_count;
    cr_assert_eq(apply("relu", x, NONE), NONE);
    cr_assert_eq(graph_name(g, "new"), 0);
    cr_assert_eq(graph_symbol(g, "Z"), -1);
    cr_assert_not(graph_add_output(g, "y", x));
    cr_assert_eq(graph_add_port(g, "p", x, NONE, PORT_FIXED, -1, -1, 0), NONE);
    rondo_enter(g, "more");
    rondo_leave(g);
    cr_assert(g->node_count == nodes && g->name_count == names);
    cr_assert_not(rondo_graph_check(g, &e));
    cr_assert(e.code == first.code && !strcmp(e.message, first.message));
}

/* A refused allocation that no caller checked still makes the graph fail, and nothing is built on it. */
Test(graph, that_was_refused_memory_has_failed)
{
    rondo_error error = {0};
    value_id x = leaf("input", "x", "f32[B]");
    g->arena.failed = true;
    cr_expect_eq(apply("exp", x, NONE), NONE);
    cr_expect(!graph_good(g) && !rondo_graph_check(g, &error));
    cr_expect_eq(error.code, RONDO_MEMORY);
    graph_fail(g, RONDO_SHAPE, "what was made of what is missing does not fit");
    cr_expect(!rondo_graph_check(g, &error));
    cr_expect(error.code == RONDO_MEMORY && strstr(error.message, "out of memory"), "%s", error.message);
}

/* Passes look at values that could not be made before they ask whether all went well. */
Test(graph, no_value_can_be_looked_at)
{
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(g->values[NONE].node, NONE);
        cr_assert(g->nodes[NONE].input_count == 0 && g->nodes[NONE].inputs[MAX_INPUTS - 1] == NONE);
        cr_assert_eq(graph_op_of(g, NONE), 0);
        const shape *s = graph_shape_of(g, NONE);
        cr_assert(s->rank > 0 && dim_is_number(s->dims[s->rank - 1], 1));
        leaf("input", "x", "f32[B]");
    }
}

Test(graph, wrong_operands_are_refused)
{
    struct {
        int count;
        value_id in[3];
        const char *op;
    } wrong[] = {{3, {0, 0, 0}, "relu"},
                 {1, {5, 0, 0}, "relu"},
                 {1, {-2, 0, 0}, "relu"},
                 {1, {NONE, 0, 0}, "relu"},
                 {1, {0, 0, 0}, "add"}};
    for (int i = 0; i < 5; i++) {
        rondo_graph_free(g);
        g = rondo_graph_new(context, NULL);
        leaf("input", "x", "f32[B]");
        cr_assert_eq(graph_add(g, graph_find_op(g, wrong[i].op), wrong[i].in, wrong[i].count, NULL), NONE);
        cr_assert_eq(g->error.code, RONDO_ARGUMENT);
    }
    cr_assert_eq(graph_add(NULL, 0, NULL, 0, NULL), NONE);
}

Test(graph, wrong_attributes_are_refused)
{
    static const struct {
        const char *op;
        int64_t value;
    } wrong[] = {{"reshape", 99},
                 {"reshape", -1},
                 {"cast", 0},
                 {"cast", 4},
                 {"transpose", (int64_t)(9ull << 60)},
                 {"transpose", (int64_t)(2ull << 60 | 0x12)},
                 {"transpose", (int64_t)(1ull << 60 | 0x100)}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        rondo_graph_free(g);
        g = rondo_graph_new(context, NULL);
        value_id x = leaf("input", "x", "f32[B]");
        attribute a[] = {{.integer = wrong[i].value}};
        cr_assert_eq(graph_add(g, graph_find_op(g, wrong[i].op), &x, 1, a), NONE);
        cr_assert_eq(g->error.code, RONDO_ARGUMENT);
    }
}

Test(graph, an_attribute_without_a_default_must_be_written)
{
    value_id x = leaf("input", "x", "f32[B]");
    cr_assert_eq(apply("cast", x, NONE), NONE);
    cr_assert(strstr(g->error.message, "type"), "%s", g->error.message);
}

Test(graph, trailing_absent_operands_are_cut)
{
    value_id q = leaf("input", "q", "f32[B,2,T,4]"), in[] = {q, q, NONE, NONE};
    value_id a = graph_add(g, graph_find_op(g, "matmul"), (value_id[]){q, q}, 2,
                           (attribute[3]){{0}, {.integer = 1}, {0}});
    value_id b = graph_add(g, graph_find_op(g, "matmul"), in, 4, (attribute[3]){{0}, {.integer = 1}, {0}});
    cr_assert_eq(a, b);
    cr_assert_eq(graph_node_of(g, a)->input_count, 2);
    cr_assert_eq(graph_node_of(g, a)->inputs[3], NONE, "the room after them holds NONE");
}

Test(graph, scopes_nest_32_deep)
{
    for (int i = 0; i < 32; i++)
        rondo_enter(g, "s%d", i);
    cr_assert(rondo_graph_check(g, NULL));
    cr_assert_str_eq(g->names[g->scope] + strlen(g->names[g->scope]) - 7, "s30.s31");
    for (int i = 0; i < 32; i++)
        rondo_leave(g);
    cr_assert_eq(g->scope, 0);
    for (int i = 0; i < 33; i++)
        rondo_enter(g, "s%d", i);
    cr_assert(strstr(g->error.message, "32"), "%s", g->error.message);
    rondo_enter(NULL, "x");
    rondo_leave(NULL);
}

Test(graph, leave_without_enter_is_a_mistake)
{
    rondo_leave(g);
    cr_assert_eq(g->error.code, RONDO_ARGUMENT);
}

Test(graph, has_at_most_12_symbols)
{
    char name[8] = "SA";
    for (int i = 0; i < MAX_SYMBOLS; i++, name[1]++)
        cr_assert_eq(graph_symbol(g, name), i);
    cr_assert_eq(graph_symbol(g, "SA"), 0);
    cr_assert_eq(graph_symbol(g, "one_more"), -1);
    cr_assert(strstr(g->error.message, "one_more") && strstr(g->error.message, "12"));
}

Test(graph, names_are_interned_and_copied)
{
    char name[16] = "layers.0";
    int index = graph_name(g, name);
    name[0] = 'X';
    cr_assert_str_eq(g->names[index], "layers.0");
    cr_assert_eq(graph_name(g, "layers.0"), index);
    cr_assert_eq(graph_name(g, ""), 0);
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "n%d", i);
        graph_name(g, name);
    }
    cr_assert_eq(graph_name(g, "layers.0"), index);
    cr_assert_eq(graph_name(g, "n17") + 1, graph_name(g, "n18"));
}

Test(graph, types_are_parsed_as_the_dsl_writes_them)
{
    rondo_type type;
    shape s;
    cr_assert(parse_type(g, "f32[B, T,2*B*T^2,64]", true, &type, &s));
    cr_assert(type == RONDO_F32 && s.rank == 4 && dim_is_number(s.dims[3], 64));
    cr_assert(s.dims[2].factor == 2 && s.dims[2].power[0] == 1 && s.dims[2].power[1] == 2);
    cr_assert(parse_type(g, "[]", false, NULL, &s) && s.rank == 0);
    cr_assert(parse_type(g, "i32[0]", true, &type, &s) && type == RONDO_I32);
    static const char *const wrong[] = {"",
                                        "f32",
                                        "f16[B]",
                                        "f32[B",
                                        "f32[B,]",
                                        "f32[,B]",
                                        "f32[-1]",
                                        "f32[B]x",
                                        "f32[1,1,1,1,1,1,1,1,1]",
                                        "f32[99999999999999999999]",
                                        "f32[B^0]",
                                        "f32[B^300]",
                                        "f32[2*]",
                                        "f32[1.5]",
                                        "f32[B.C]"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        g->file = "model.c";
        g->line = 5;
        cr_assert_not(parse_type(g, wrong[i], true, &type, &s), "%s", wrong[i]);
        cr_assert_eq(strncmp(g->error.message, "model.c:5: ", 11), 0, "%s", g->error.message);
        g->error = (rondo_error){0};
    }
}

Test(graph, attributes_are_parsed_as_rondo_apply_writes_them)
{
    attribute a[MAX_ATTRIBUTES];
    cr_assert(parse_attributes(g, graph_find_op(g, "sum"), "axis=-2, keep", a));
    cr_assert(a[0].integer == -2 && a[1].integer == 1);
    cr_assert(parse_attributes(g, graph_find_op(g, "sum"), "", a) && a[0].integer == -1 && a[1].integer == 0);
    cr_assert(parse_attributes(g, graph_find_op(g, "transpose"), "order=[0,2,1]", a));
    cr_assert_eq((uint64_t)a[0].integer, 3ull << 60 | 0x120);
    cr_assert(parse_attributes(g, graph_find_op(g, "sum"), NULL, a));
    static const struct {
        const char *op, *text;
    } wrong[] = {{"sum", "axs=1"},
                 {"sum", "axis"},
                 {"sum", "axis=1,axis=1"},
                 {"sum", "axis=1.5"},
                 {"sum", "axis=1 keep"},
                 {"transpose", ""},
                 {"transpose", "order=[0,9]"},
                 {"sum", "keep=2"},
                 {"sum", "axis=99999999999999999999"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        cr_assert_not(parse_attributes(g, graph_find_op(g, wrong[i].op), wrong[i].text, a), "%s",
                      wrong[i].text);
        g->error = (rondo_error){0};
    }
    parse_attributes(g, graph_find_op(g, "sum"), "axs=1", a);
    cr_assert(strstr(g->error.message, "did you mean axis"), "%s", g->error.message);
}

Test(graph, ports_are_checked)
{
    value_id s = leaf("state", "s", "f32[B,4]"), x = leaf("input", "x", "f32[B,5]");
    cr_assert_eq(graph_add_port(g, "s", s, s, PORT_CARRY, 0, -1, 0), 0);
    cr_assert_eq(graph_add_port(g, "t", s, x, PORT_CARRY, 0, -1, 0), NONE, "in and out differ");
    cr_assert_eq(g->error.code, RONDO_SHAPE);
    g->error = (rondo_error){0};
    cr_assert_eq(graph_add_port(g, "s", s, s, PORT_CARRY, 0, -1, 0), NONE, "two of a name");
    g->error = (rondo_error){0};
    cr_assert_eq(graph_add_port(g, "u", s, s, PORT_APPEND, 0, 2, 0), NONE, "axis 2 of two dims");
    g->error = (rondo_error){0};
    cr_assert_eq(graph_add_port(g, "u", s, s, PORT_FIXED, 0, -1, 0), NONE, "what is fixed has no out");
    g->error = (rondo_error){0};
    cr_assert_eq(graph_add_port(g, "u", s, NONE, PORT_APPEND, 0, 1, 0), 1, "out may be set later");
}

Test(graph, outputs_are_found_by_name)
{
    value_id x = leaf("input", "x", "f32[B]"), y = apply("relu", x, NONE);
    cr_assert(graph_add_output(g, "y", y) && graph_add_output(g, "y", y));
    cr_assert_eq(g->output_count, 1);
    cr_assert_eq(graph_find_output(g, "y"), y);
    cr_assert_eq(graph_find_output(g, "z"), NONE);
    cr_assert_not(graph_add_output(g, "y", x));
}

Test(graph, clean_keeps_what_the_ends_reach)
{
    value_id x = leaf("input", "x", "f32[B,4]"), w = leaf("parameter", "w", "f32[B,4]"),
             unread = leaf("parameter", "u", "f32[4]");
    value_id s = leaf("state", "s", "f32[B,4]"), fixed = leaf("state", "f", "f32[B,4]");
    apply("exp", x, NONE);
    g->file = "model.c";
    g->line = 9;
    rondo_enter(g, "block");
    value_id y = apply("add", x, w);
    g->values[y].name = graph_name(g, "sum_of_both");
    graph_add_output(g, "y", y);
    graph_add_port(g, "s", s, w, PORT_CARRY, 0, -1, 0);
    graph_add_port(g, "f", fixed, NONE, PORT_FIXED, 0, -1, 0);
    graph_add_initial(g, w, RONDO_NORMAL, 0.02);
    graph_add_initial(g, unread, RONDO_FILL, 1);
    value_id *map;
    rondo_graph *c = graph_clean(g, &map, NULL);
    cr_assert_eq(c->node_count, 4, "x, w, s, add; not exp, u, f");
    cr_assert(c->port_count == 1 && c->output_count == 1 && c->initial_count == 1);
    cr_assert_eq(map[unread], NONE);
    cr_assert_eq(c->outputs[0].value, map[y]);
    cr_assert_str_eq(c->names[c->values[map[y]].name], "sum_of_both");
    char place[PLACE_BYTES];
    cr_assert_str_eq(graph_place(c, c->values[map[y]].node, place), "model.c:9: block");
    rondo_graph *again = graph_clean(c, NULL, NULL);
    cr_assert(graph_same(c, again) && !graph_same(c, g));
    rondo_graph_free(again);
    rondo_graph_free(c);
}

Test(graph, clean_puts_nodes_in_the_order_of_their_uses)
{
    value_id x = leaf("input", "x", "f32[B]"), first = apply("relu", x, NONE), last = apply("exp", x, NONE);
    graph_add_output(g, "y", first);
    g->nodes[g->values[first].node].inputs[0] =
        last; /* as a pass may: the operand was made after its reader */
    rondo_graph *c = graph_clean(g, NULL, NULL);
    const node *y = graph_node_of(c, c->outputs[0].value);
    cr_assert_lt(y->inputs[0], y->first_output);
    cr_assert_eq(graph_op_of(c, y->inputs[0]), graph_find_op(g, "exp"));
    rondo_graph_free(c);
    g->nodes[g->values[last].node].inputs[0] = first;
    rondo_error e = {0};
    cr_assert_null(graph_clean(g, NULL, &e), "a cycle has no order");
    cr_assert(strstr(e.message, "cycle"), "%s", e.message);
}

Test(graph, clean_goes_deeper_than_any_stack)
{
    value_id x = leaf("input", "x", "f32[B]"), y = x;
    for (int i = 0; i < 200000; i++)
        y = apply(i & 1 ? "exp" : "neg", y, NONE);
    graph_add_output(g, "y", y);
    rondo_graph *c = graph_clean(g, NULL, NULL);
    cr_assert(graph_same(g, c));
    rondo_graph_free(c);
}

Test(graph, copies_go_by_name_between_different_tables)
{
    rondo_graph *to = rondo_graph_new(context, NULL);
    graph_symbol(to, "T");
    graph_name(to, "y");
    value_id x = leaf("input", "x", "f32[B,T]"), y = apply("relu", x, NONE);
    graph_add_output(g, "y", y);
    value_id *map = graph_map_new(to, g);
    cr_assert(graph_copy_node(to, g, 0, map) && graph_copy_node(to, g, 1, map) &&
              graph_copy_ends(to, g, map));
    cr_assert(graph_same(g, to), "symbols are equal by name, never by index");
    rondo_graph_free(to);
}

Test(graph, copying_before_the_operands_is_a_mistake)
{
    apply("relu", leaf("input", "x", "f32[B,T]"), NONE);
    rondo_graph *to = graph_new_like(g, NULL);
    value_id *map = graph_map_new(to, g);
    cr_assert_not(graph_copy_node(to, g, 1, map));
    cr_assert_eq(to->error.code, RONDO_ARGUMENT);
    rondo_graph_free(to);
}

static rondo_graph *build_small(rondo *r, rondo_error *e)
{
    rondo_graph *small = rondo_graph_new(r, e);
    rondo_graph *before = g;
    g = small;
    if (small) {
        rondo_enter(small, "scope");
        value_id x = leaf("input", "x", "f32[B,T]");
        for (int i = 0; i < 200; i++)
            x = apply("add", x, leaf("parameter", "a name that is not short", "f32[B,T]"));
        graph_add_output(small, "y", x);
        graph_add_initial(small, 0, RONDO_FILL, 1);
        graph_add_port(small, "p", x, x, PORT_CARRY, 0, -1, 0);
    }
    g = before;
    if (rondo_graph_check(small, e))
        return small;
    rondo_graph_free(small);
    return NULL;
}

Test(graph, survives_every_refused_request)
{
    long total = 0;
    for (long at = 0; at <= total; at++) {
        counting c = {.refuse_at = at};
        rondo_allocator a = counting_allocator(&c);
        rondo *r = rondo_new(1, .allocator = &a);
        rondo_error e = {0};
        rondo_graph *built = r ? build_small(r, &e) : NULL;
        rondo_graph *cleaned = built ? graph_clean(built, NULL, &e) : NULL;
        if (!at) {
            cr_assert(cleaned && graph_same(built, cleaned));
            total = c.requests;
        } else {
            cr_assert(!r || (!cleaned && e.code == RONDO_MEMORY), "request %ld: %s", at, e.message);
        }
        rondo_graph_free(built);
        rondo_graph_free(cleaned);
        rondo_free(r);
        cr_assert_eq(c.live_bytes, 0, "request %ld of %ld leaks", at, total);
    }
    cr_assert_gt(total, 10);
}
