/* The text form: a formula is a few lines; parse(print(g)) is g; a mistake is reported with its place; no
 * text does harm. */
#include "core/graph.h"
#include "tests/core/counting_allocator.h"
#include <criterion/criterion.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static rondo *context;
static rondo_error error;

static void begin(void)
{
    context = rondo_new(1);
}

static void end(void)
{
    rondo_free(context);
}

TestSuite(text_form, .init = begin, .fini = end);

static rondo_graph *parse(const char *source)
{
    error = (rondo_error){0};
    return rondo_graph_parse(context, source, "x.graph", &error);
}

/* print → parse → print gives the same graph and the same bytes. */
static void check_round_trip(const rondo_graph *g)
{
    char *once = rondo_graph_print(g, &error);
    cr_assert_not_null(once, "%s", error.message);
    rondo_graph *again = parse(once);
    cr_assert_not_null(again, "%s\n%s", error.message, once);
    cr_assert(graph_same(g, again), "%s", once);
    char *twice = rondo_graph_print(again, &error);
    cr_assert_str_eq(once, twice);
    rondo_text_free(context, once);
    rondo_text_free(context, twice);
    rondo_graph_free(again);
}

static void check_prints(const char *source, const char *expected)
{
    rondo_graph *g = parse(source);
    cr_assert_not_null(g, "%s", error.message);
    char *printed = rondo_graph_print(g, &error);
    cr_assert_str_eq(printed, expected);
    rondo_text_free(context, printed);
    check_round_trip(g);
    rondo_graph_free(g);
}

static void check_refused(const char *source, const char *place, const char *reason)
{
    rondo_graph *g = parse(source);
    cr_assert_null(g, "%s", source);
    cr_assert_neq(error.code, RONDO_OK);
    cr_assert_eq(strncmp(error.message, place, strlen(place)), 0, "%s: %s", source, error.message);
    cr_assert(strstr(error.message, reason), "%s: %s", source, error.message);
}

Test(text_form, a_formula_in_ten_lines)
{
    check_prints("# causal linear attention, spelled out\n"
                 "q = input(name=\"q\", type=f32[B,H,T,64])\n"
                 "k = input(name=\"k\", type=f32[B,H,T,64])\n"
                 "v = input(name=\"v\", type=f32[B,H,T,64])\n"
                 "a = causal_mask(matmul(q, k, transpose_b))\n"
                 "n = sum(a, axis=3, keep)\n"
                 "output o = div(matmul(a, v), n)\n",
                 "symbols B H T\n"
                 "q = input(name=\"q\", type=f32[B,H,T,64]) : f32[B,H,T,64]\n"
                 "k = input(name=\"k\", type=f32[B,H,T,64]) : f32[B,H,T,64]\n"
                 "v = input(name=\"v\", type=f32[B,H,T,64]) : f32[B,H,T,64]\n"
                 "%3 = matmul(q, k, transpose_b) : f32[B,H,T,T]\n"
                 "a = causal_mask(%3) : f32[B,H,T,T]\n"
                 "n = sum(a, axis=3, keep) : f32[B,H,T,1]\n"
                 "%6 = matmul(a, v) : f32[B,H,T,64]\n"
                 "o = div(%6, n) : f32[B,H,T,64]\n"
                 "output o = o\n");
}

Test(text_form, an_empty_text_is_an_empty_graph)
{
    check_prints("", "");
    check_prints("  # nothing\r\n\n\t\n", "");
}

Test(text_form, numbers_are_constants)
{
    check_prints("x = input(name=\"x\", type=f32[B])\n"
                 "y = add(mul(x, -1.5e0), 1)\n"
                 "z = maximum(y, -inf)\n",
                 "symbols B\n"
                 "x = input(name=\"x\", type=f32[B]) : f32[B]\n"
                 "%1 = constant(number=-1.5, type=f32[]) : f32[]\n"
                 "%2 = mul(x, %1) : f32[B]\n"
                 "%3 = constant(number=1, type=f32[]) : f32[]\n"
                 "y = add(%2, %3) : f32[B]\n"
                 "%5 = constant(number=-inf, type=f32[]) : f32[]\n"
                 "z = maximum(y, %5) : f32[B]\n");
}

Test(text_form, every_kind_of_attribute_round_trips)
{
    check_prints("x = input(name=\"a \\\"quoted\\\" \\\\ \\x0a name\", type=f32[B,T,8])\n"
                 "a = reshape(x, dims=[8*T*B])\n"
                 "b = transpose(x, order=[2,0,1])\n"
                 "c = cast(x, type=i32)\n"
                 "d = causal_mask(x, fill=-inf)\n"
                 "e = causal_mask(x, fill=0)\n"
                 "f = causal_mask(x, fill=0.1, exclusive)\n"
                 "g = sum(x, axis=-1)\n"
                 "h = sum(x, keep, axis=-2)\n"
                 "i = causal_mask(x, fill=-0)\n"
                 "j = causal_mask(x, fill=nan)\n",
                 "symbols B T\n"
                 "x = input(name=\"a \\\"quoted\\\" \\\\ \\x0a name\", type=f32[B,T,8]) : f32[B,T,8]\n"
                 "a = reshape(x, dims=[8*B*T]) : f32[8*B*T]\n"
                 "b = transpose(x, order=[2,0,1]) : f32[8,B,T]\n"
                 "c = cast(x, type=i32) : i32[B,T,8]\n"
                 "d = causal_mask(x, fill=-inf) : f32[B,T,8]\n"
                 "e = causal_mask(x) : f32[B,T,8]\n"
                 "f = causal_mask(x, fill=0.1, exclusive) : f32[B,T,8]\n"
                 "g = sum(x) : f32[B,T]\n"
                 "h = sum(x, axis=-2, keep) : f32[B,1,8]\n"
                 "i = causal_mask(x, fill=-0) : f32[B,T,8]\n"
                 "j = causal_mask(x, fill=nan) : f32[B,T,8]\n");
}

Test(text_form, several_results_absent_operands_and_ends)
{
    check_prints("symbols T B\n"
                 "x = input(name=\"x\", type=f32[B,T,T])\n"
                 "w = parameter(name=\"norm.weight\", type=f32[T])\n"
                 "s = state(name=\"s\", type=f32[B,T,T])\n"
                 "y, _ = layer_norm(x, w, w, epsilon=1e-3)\n"
                 "m = matmul(x, y, _, w)\n"
                 "port \"a b\" carry in=s out=x batch_axis=0 initial=0\n"
                 "port cache append in=s out=x batch_axis=0 append_axis=1\n"
                 "port layers.0.p fixed in=s initial=-inf\n"
                 "initial w normal 0.02\n"
                 "output loss = m\n"
                 "output \"a b\" = w\n",
                 "symbols T B\n"
                 "x = input(name=\"x\", type=f32[B,T,T]) : f32[B,T,T]\n"
                 "w = parameter(name=\"norm.weight\", type=f32[T]) : f32[T]\n"
                 "s = state(name=\"s\", type=f32[B,T,T]) : f32[B,T,T]\n"
                 "y, %4 = layer_norm(x, w, w, epsilon=0.001) : f32[B,T,T], f32[B,T,2]\n"
                 "m = matmul(x, y, _, w) : f32[B,T,T]\n"
                 "port \"a b\" carry in=s out=x batch_axis=0 initial=0\n"
                 "port cache append in=s out=x batch_axis=0 append_axis=1 initial=0\n"
                 "port layers.0.p fixed in=s initial=-inf\n"
                 "initial w normal 0.02\n"
                 "output loss = m\n"
                 "output \"a b\" = w\n");
}

Test(text_form, places_are_kept_and_the_text_is_the_place_of_the_rest)
{
    check_prints("x = input(name=\"x\", type=f32[B]) @ \"enc.0\" model.c:42\n"
                 "y = exp(x) @ \"enc.1\"\n"
                 "z = exp(y) @ \"\" \"my model.c\":7 # a comment\n"
                 "u = exp(z) @ m.c:8\n"
                 "t = exp(u)\n",
                 "symbols B\n"
                 "x = input(name=\"x\", type=f32[B]) : f32[B] @ \"enc.0\" model.c:42\n"
                 "y = exp(x) : f32[B] @ \"enc.1\"\n"
                 "z = exp(y) : f32[B] @ \"\" \"my model.c\":7\n"
                 "u = exp(z) : f32[B] @ \"\" m.c:8\n"
                 "t = exp(u) : f32[B]\n");
    rondo_graph *g = parse("x = input(name=\"x\", type=f32[B]) @ \"enc.0\" model.c:42\n"
                           "y = exp(x) @ \"enc.1\"\n");
    char place[PLACE_BYTES];
    cr_assert_str_eq(graph_place(g, 0, place), "model.c:42: enc.0");
    cr_assert_str_eq(graph_place(g, 1, place), "x.graph:2: enc.1");
    rondo_graph_free(g);
}

Test(text_form, what_the_dsl_builds_round_trips)
{
    rondo_graph *g = rondo_graph_new(context, NULL);
    rondo_type type;
    shape s;
    parse_type(g, "f32[B,T]", true, &type, &s);
    rondo_enter(g, "layers.%d", 0);
    g->file = "model.c";
    g->line = 3;
    attribute a[MAX_ATTRIBUTES] = {
        {.integer = graph_name(g, "x")}, {.integer = type}, {.integer = graph_shape(g, &s)}};
    value_id x = graph_add(g, graph_find_op(g, "input"), NULL, 0, a);
    g->file = NULL;
    value_id y = graph_add(g, graph_find_op(g, "exp"), &x, 1, NULL);
    rondo_leave(g);
    value_id z = graph_add(g, graph_find_op(g, "neg"), &y, 1, NULL),
             w = graph_add(g, graph_find_op(g, "sum"), &z, 1, NULL);
    g->values[x].name = graph_name(g, "twice");
    g->values[y].name = graph_name(g, "twice");
    g->values[z].name = graph_name(g, "keep"); /* a flag of its reader */
    g->values[w].name = graph_name(g, "output");
    graph_add_output(g, "port", w);
    check_round_trip(g);
    char *printed = rondo_graph_print(g, NULL);
    cr_assert_str_eq(printed, "symbols B T\n"
                              "%0 = input(name=\"x\", type=f32[B,T]) : f32[B,T] @ \"layers.0\" model.c:3\n"
                              "%1 = exp(%0) : f32[B,T] @ \"layers.0\"\n"
                              "%2 = neg(%1) : f32[B,T]\n"
                              "%3 = sum(%2) : f32[B]\n"
                              "output \"port\" = %3\n");
    rondo_text_free(context, printed);
    rondo_graph_free(g);
}

Test(text_form, lines_may_break_inside_parentheses)
{
    check_prints("x = input(name=\"x\", # one\n type=f32[B,\n\t T])\r\ny = add(\n  x,\n  x\n)\n",
                 "symbols B T\n"
                 "x = input(name=\"x\", type=f32[B,T]) : f32[B,T]\n"
                 "y = add(x, x) : f32[B,T]\n");
}

Test(text_form, equal_nodes_become_one)
{
    rondo_graph *g =
        parse("x = input(name=\"x\", type=f32[B])\na = exp(x)\nb = exp(x)\nc = a\noutput o = add(b, c)\n");
    cr_assert_eq(g->node_count, 3);
    check_round_trip(g);
    rondo_graph_free(g);
}

Test(text_form, dropout_sites_go_on_after_those_of_the_text)
{
    rondo_graph *g =
        parse("x = input(name=\"x\", type=f32[B,T,D])\nseed = input(name=\"seed\", type=i32[2])\n"
              "ids = input(name=\"ids\", type=i32[B])\ny = dropout(x, seed, ids, rate=0.1, site=6)\n");
    cr_assert_not_null(g, "%s", error.message);
    cr_assert_eq(g->site_count, 7);
    rondo_graph_free(g);
}

#define X "x = input(name=\"x\", type=f32[B,T])\n"

Test(text_form, mistakes_are_named_with_their_place)
{
    static const struct {
        const char *source, *place, *reason;
    } wrong[] = {
        {X "y = matmull(x, x)", "x.graph:2:5: ", "did you mean matmul?"},
        {X "y = qwertyuiop(x)", "x.graph:2:5: ", "there is no op"},
        {X "y = exp(z)", "x.graph:2:9: ", "no value is called z"},
        {X "y = exp(x) : f32[B]", "x.graph:2:14: ", "f32[B,T]"},
        {X "y = exp(x) : i32[B,T]", "x.graph:2:14: ", "type"},
        {X "y = exp(x, x)", "x.graph:2:5: ", "exp takes 1 operand, not 2"},
        {X "y = exp()", "x.graph:2:5: ", "exp takes 1 operand"},
        {X "y = exp(_)", "x.graph:2:5: ", "absent"},
        {X "y = sum(x, axs=1)", "x.graph:2:12: ", "did you mean axis?"},
        {X "y = sum(x, axis)", "x.graph:2:12: ", "axis=..."},
        {X "y = sum(x, axis=1, axis=0)", "x.graph:2:20: ", "twice"},
        {X "y = sum(x, axis=\"1\")", "x.graph:2:17: ", "whole number"},
        {X "y = cast(x)", "x.graph:2:5: ", "needs its attribute type"},
        {X "y = matmul(x, transpose(x, order=[0]))", "x.graph:2:15: ", "transpose"},
        {X "x = exp(x)", "x.graph:2:1: ", "line 1"},
        {X "y = exp(x) z", "x.graph:2:12: ", "end of the line"},
        {X "y, z = exp(x)", "x.graph:2:1: ", "1 results, but 2 names"},
        {X "output = exp(x)", "x.graph:2:8: ", "the name of an output"},
        {X "port = exp(x)", "x.graph:2:6: ", "the name of a port"},
        {X "inf = exp(x)", "x.graph:2:1: ", "reserved word"},
        {"x = input(name=\"x\", type=f32[T])\ny = exp(layer_norm(x, x, x))", "x.graph:2:9: ", "2 results"},
        {X "y = add(x, 1e999)", "x.graph:2:12: ", "double"},
        {X "y = exp x", "x.graph:2:5: ", "no value is called exp"},
        {X "y = exp(x", "x.graph:2:10: ", "expected ')'"},
        {X "y = ", "x.graph:2:5: ", "expected"},
        {X "y", "x.graph:2:2: ", "expected '='"},
        {X "= x", "x.graph:2:1: ", "expected NAME"},
        {X "y = %", "x.graph:2:5: ", "%12"},
        {X "y = _", "x.graph:2:5: ", "expected a value"},
        {"x = input(type=f32[B], name=\"x", "x.graph:1:29: ", "closing quote"},
        {"x = input(name=\"x\", type=f33[B])", "x.graph:1:26: ", "f33"},
        {"x = input(name=\"x\", dims=[B])", "x.graph:1:21: ", "type=f32"},
        {"x = input(name=\"\\x00\", type=f32[B])", "x.graph:1:16: ", "escape"},
        {"symbols A B C D E F G H I J K L M", "x.graph:1:33: ", "12"},
        {X "port p carry in=x out=%9", "x.graph:2:23: ", "%9"},
        {X "port p slow in=x", "x.graph:2:8: ", "slow"},
        {X "port p carry out=x", "x.graph:2:6: ", "`in` or `out` is not a value"},
        {X "port p carry in=x out=x batch_axis=9", "x.graph:2:36: ", "axis"},
        {X "port p carry in=x out=x batch_axis=2", "x.graph:2:6: ", "axis"},
        {X "initial x uniform 1", "x.graph:2:11: ", "uniform"},
        {X "initial x normal", "x.graph:2:17: ", "number"},
        {X "output y = x\noutput y = exp(x)", "x.graph:3:8: ", "y"},
        {X "y = exp(x) @", "x.graph:2:13: ", "place"},
        {X "y = exp(x) @ model.c", "x.graph:2:14: ", "FILE:LINE"},
        {X "y = exp(x) @ \"s\" model.c:x", "x.graph:2:", "whole number"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        check_refused(wrong[i].source, wrong[i].place, wrong[i].reason);
    cr_assert_null(rondo_graph_parse(context, NULL, "x.graph", NULL));
    cr_assert_null(rondo_graph_parse(NULL, "", "x.graph", NULL));
}

Test(text_form, an_op_is_suggested_only_if_it_is_near)
{
    cr_assert_null(parse(X "y = foo(x)"));
    cr_assert_str_eq(error.message, "x.graph:2:5: there is no op foo");
    cr_assert_null(parse(X "y = exq(x)"));
    cr_assert_str_eq(error.message, "x.graph:2:5: there is no op exq; did you mean exp?");
}

Test(text_form, a_text_without_a_name_is_called_text)
{
    cr_assert_null(rondo_graph_parse(context, "\n\n?", NULL, &error));
    cr_assert_eq(strncmp(error.message, "text:3:1: ", 10), 0, "%s", error.message);
}

Test(text_form, deep_nesting_is_refused_not_crashed_on)
{
    enum { DEEP = 100000 };
    char *source = calloc(1, DEEP * 5 + 100);
    strcpy(source, X "y = ");
    for (int i = 0; i < DEEP; i++)
        strcat(source + i * 4, "exp(");
    check_refused(source, "x.graph:2:", "nest deeper");
    memset(source + 40, '[', DEEP);
    cr_assert_null(parse(source));
    memset(source, 'a', DEEP);
    check_refused(source, "x.graph:1:1: ", "at most 127");
    free(source);
}

static const char everything[] =
    "symbols B T\nx = input(name=\"x\", type=f32[B,2*T^2,8]) : f32[B,2*T^2,8] @ \"s\" \"m c\":4\n"
    "w = parameter(name=\"w\", type=f32[8])\ny, %7 = layer_norm(x, w, w, epsilon=1e-3) @ m.c:9\n"
    "z = transpose(add(y, -1.5), order=[2,0,1])\nt = reshape(z, dims=[16*B*T^2])\nu = causal_mask(sum(x, "
    "axis=-2, keep), fill=-inf)\n"
    "port p carry in=x out=x batch_axis=0 initial=0.5\ninitial w normal 0.02\noutput o = matmul(x, x, "
    "transpose_b)\noutput \"q r\" = %7\n";

/* Bytes are changed, removed, doubled: the result is a graph that round-trips, or one sentence. */
Test(text_form, damaged_text_never_does_harm)
{
    static const char bytes[] = "()[],=:@#\"\\%_ \n\t.-+*^0123456789abxyzBT\x80\xff\x01";
    uint64_t random = 7;
    int good = 0;
    for (int round = 0; round < 20000; round++) {
        char source[sizeof everything + 64];
        memcpy(source, everything, sizeof everything);
        for (int change = 0; change <= round % 4; change++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            size_t length = strlen(source), at = (size_t)(random >> 33) % (length + 1),
                   span = (size_t)(random >> 20) % 9;
            int kind = (int)(random >> 60) % 3;
            if (kind == 0 && at < length)
                source[at] = bytes[(random >> 40) % (sizeof bytes - 1)];
            else if (kind == 1 && at + span <= length)
                memmove(source + at, source + at + span, length - at - span + 1);
            else if (at + span <= length && length + span < sizeof source)
                memmove(source + at + span, source + at, length - at + 1);
        }
        rondo_graph *g = parse(source);
        cr_assert((g != NULL) == (error.code == RONDO_OK));
        if (g && ++good % 50 == 0)
            check_round_trip(g);
        rondo_graph_free(g);
    }
    cr_assert_gt(good, 100, "some damage is harmless; if none is, this tests nothing");
}

Test(text_form, survives_every_refused_request)
{
    long total = 0;
    for (long at = 0; at <= total; at++) {
        counting c = {.refuse_at = at};
        rondo_allocator a = counting_allocator(&c);
        rondo *r = rondo_new(1, .allocator = &a);
        rondo_error e = {0};
        rondo_graph *g = r ? rondo_graph_parse(r, everything, "x.graph", &e) : NULL;
        char *printed = g ? rondo_graph_print(g, &e) : NULL;
        cr_assert_eq(printed != NULL, at == 0, "%s", e.message);
        cr_assert(at == 0 || !r || e.code == RONDO_MEMORY, "%s", e.message);
        if (!at)
            total = c.requests;
        rondo_text_free(r, printed);
        rondo_graph_free(g);
        rondo_free(r);
        cr_assert_eq(c.live_bytes, 0);
    }
}

Test(text_form, obeys_no_locale)
{
    static const char *const commas[] = {"de_DE.UTF-8", "de_DE", "fr_FR.UTF-8", "de_AT.UTF-8"};
    for (int i = 0; i < 4 && !setlocale(LC_ALL, commas[i]); i++) {
    }
    check_prints(X "y = causal_mask(x, fill=0.5)\n", "symbols B T\n"
                                                     "x = input(name=\"x\", type=f32[B,T]) : f32[B,T]\n"
                                                     "y = causal_mask(x, fill=0.5) : f32[B,T]\n");
}
