/* The DSL: shapes, names and tied parameters; errors are one sentence that begins with the line of the
 * caller; after an error nothing happens. */
#include "core/graph.h"
#include "ops/op.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static rondo *context;
static rondo_graph *g;
static rondo_error error;

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
TestSuite(dsl, .init = begin, .fini = end);

static void expect_type(rondo_value v, const char *expected)
{
    char buffer[200];
    cr_assert(rondo_graph_check(g, &error), "%s", error.message);
    text t = {.arena = &g->arena};
    cr_assert(v.graph == g && v.id >= 0);
    shape_text(&t, g, graph_shape_of(g, v.id));
    snprintf(buffer, sizeof buffer, "%s%s", type_name(g->values[v.id].type), text_done(&t));
    cr_expect_str_eq(buffer, expected);
}

/* The first mistake of the graph is at `line` of this file, and its message is `sentence` after the scope. */
static void expect_error(int line, const char *sentence)
{
    char full[600];
    snprintf(full, sizeof full, "test_dsl.c:%d: %s", line, sentence);
    cr_assert(!rondo_graph_check(g, &error), "there is no error, but there should be: %s", sentence);
    cr_expect(strstr(error.message, full), "the error is\n  %s\nnot\n  %s", error.message, full);
}

static const char *error_of(const rondo_graph *graph)
{
    static rondo_error found;
    found = (rondo_error){RONDO_OK, ""};
    rondo_graph_check(graph, &found);
    return found.message;
}

static rondo_value input(const char *type)
{
    return rondo_input(g, "x", "%s", type);
}
static rondo_value no_value(void)
{
    return (rondo_value){NULL, -1};
}
static attribute attribute_of(rondo_value v, int field)
{
    return graph_node_of(g, v.id)->attributes[field];
}

/* ---- shapes ---- */

Test(dsl, heads_are_split_and_merged)
{
    rondo_value x = input("f32[B,T,12]"), heads = rondo_split_heads(x, 3);
    expect_type(heads, "f32[B,3,T,4]");
    expect_type(rondo_merge_heads(heads), "f32[B,T,12]");
}

Test(dsl, layers_have_the_shapes_of_their_comments)
{
    rondo_value ids = rondo_input(g, "ids", "i32[B,T]"),
                table = rondo_parameter(g, "table", "f32[%d,%d]", 100, 8);
    rondo_value x = rondo_embed(table, ids);
    expect_type(x, "f32[B,T,8]");
    expect_type(rondo_positions(ids), "i32[B,T]");
    expect_type(rondo_sinusoid(rondo_positions(ids), 8), "f32[B,T,8]");
    expect_type(rondo_linear(x, 5), "f32[B,T,5]");
    expect_type(rondo_layer_norm(x, "norm"), "f32[B,T,8]");
    expect_type(rondo_rms_norm(x, "rms"), "f32[B,T,8]");
    expect_type(rondo_dropout(x, 0.1f), "f32[B,T,8]");
    expect_type(rondo_matmul(x, x, .transpose_b = true), "f32[B,T,T]");
    expect_type(rondo_sum(x, -1), "f32[B,T]");
    expect_type(rondo_mean(x, 1, .keep = true), "f32[B,1,8]");
    expect_type(rondo_transpose(x, "1,0,2"), "f32[T,B,8]");
    expect_type(rondo_reshape(x, "[B*T,%d,2]", 4), "f32[B*T,4,2]");
    expect_type(rondo_broadcast(rondo_sum(x, 1, .keep = true), "[B,3,8]"), "f32[B,3,8]");
    expect_type(rondo_concat(x, rondo_slice(x, 2, 1, 3), 2), "f32[B,T,11]");
    expect_type(rondo_constant(g, 1, "f32[T,T]"), "f32[T,T]");
    expect_type(rondo_cross_entropy(x, ids), "f32[]");
    expect_type(rondo_select(rondo_less(x, rondo_neg(x)), x, rondo_mul_scalar(x, 2)), "f32[B,T,8]");
}

Test(dsl, places_and_elements_by_them_have_the_shapes_of_their_comments)
{
    rondo_value x = input("f32[B,T,8]"), length = rondo_input(g, "length", "i32[B]"), ids, places;
    rondo_value picked = rondo_input(g, "picked", "i32[B,N]");
    expect_type(rondo_reverse(x, 1, .length = length), "f32[B,T,8]");
    expect_type(rondo_reverse(length, 0), "i32[B]");
    expect_type(rondo_roll(x, 1, -1), "f32[B,T,8]");
    expect_type(rondo_argmax(x, -1), "i32[B,T]");
    expect_type(rondo_argmax(x, 1, .keep = true), "i32[B,1,8]");
    expect_type(rondo_sort(x, 1, true, &places), "f32[B,T,8]");
    cr_expect_eq(places.id, rondo_argsort(x, 1, true).id);
    expect_type(rondo_top_k(x, 3, -1, &ids), "f32[B,T,3]");
    expect_type(ids, "i32[B,T,3]");
    expect_type(rondo_gather(x, ids, -1), "f32[B,T,3]");
    expect_type(rondo_gather(x, picked, 1), "f32[B,N,8]");
    expect_type(rondo_gather(x, rondo_input(g, "order", "i32[M]"), 0), "f32[M,T,8]");
    expect_type(rondo_scatter(rondo_gather(x, picked, 1), picked, 1, "[B,T,%d]", 8), "f32[B,T,8]");
    expect_type(rondo_nonzero(x, 1, &ids), "i32[B,T,8]");
    expect_type(ids, "i32[B,8]");
    expect_type(rondo_one_hot(picked, 5), "f32[B,N,5]");
}

Test(dsl, a_sort_that_fails_gives_no_ids)
{
    rondo_value ids = {NULL, 7};
    rondo_sort(rondo_input(g, "x", "i32[B]"), 0, false, &ids);
    expect_error(__LINE__ - 1, "sort: operand 0 is i32[B], it must be f32");
    cr_expect(ids.graph == g && ids.id == NONE);
}

Test(dsl, ids_have_the_axes_up_to_theirs)
{
    rondo_gather(input("f32[B,T,8]"), rondo_input(g, "ids", "i32[T,N]"), 1);
    expect_error(__LINE__ - 1,
                 "gather along axis 1 of [B,T,8]: the ids are [T,N]; they have one axis, or the "
                 "axes of [B,T,8] up to axis 1, or all of them");
}

Test(dsl, masks_keep_the_shape)
{
    rondo_value x = input("f32[B,2,T,T]"), length = rondo_input(g, "length", "i32[B]");
    expect_type(rondo_causal_mask(x), "f32[B,2,T,T]");
    expect_type(rondo_key_mask(x, length, -INFINITY), "f32[B,2,T,T]");
    expect_type(rondo_row_mask(x, length), "f32[B,2,T,T]");
    cr_expect_eq(attribute_of(rondo_causal_mask_fill(x, -INFINITY), causal_mask_fill).real, -INFINITY);
    cr_expect_eq(attribute_of(rondo_causal_mask(x), causal_mask_fill).real, 0);
}

Test(dsl, any_op_by_name_with_absent_operands)
{
    rondo_value q = input("f32[B,2,T,4]"), length = rondo_input(g, "length", "i32[B]");
    expect_type(rondo_apply(g, "cumsum", "axis=2, reverse", 1, q), "f32[B,2,T,4]");
    rondo_value y = rondo_apply(g, "scan", "denominator", 5, q, q, q, no_value(), length);
    expect_type(y, "f32[B,2,T,4]");
    expect_type((rondo_value){g, y.id + 2}, "f32[B,2,4,5]");
    cr_expect_eq(graph_node_of(g, y.id)->inputs[3], NONE);
    cr_expect_eq(graph_node_of(g, y.id)->inputs[4], length.id);
}

Test(dsl, the_same_expression_is_the_same_node)
{
    rondo_value x = input("f32[B,T]");
    cr_expect_eq(rondo_exp(x).id, rondo_exp(x).id);
    cr_expect_eq(rondo_add_scalar(x, 1).id, rondo_add_scalar(x, 1).id);
    cr_expect_eq(rondo_dropout(x, 0).id, x.id, "nothing is dropped, nothing is built");
}

Test(dsl, floats_of_the_options_are_the_decimals_that_were_written)
{
    rondo_value x = input("f32[B,T,8]");
    cr_expect_eq(attribute_of(rondo_dropout(x, 0.1f), dropout_rate).real, 0.1);
    cr_expect_eq(attribute_of(rondo_layer_norm(x, "a", .epsilon = 1e-6f), layer_norm_epsilon).real, 1e-6);
    cr_expect_eq(attribute_of(rondo_layer_norm(x, "b"), layer_norm_epsilon).real, 1e-5);
}

/* ---- names ---- */

Test(dsl, names_carry_their_scopes)
{
    rondo_enter(g, "decoder");
    rondo_enter(g, "layers.%d", 3);
    rondo_value x = rondo_linear(rondo_parameter(g, "state", "f32[5,7]"), 2, .name = "q_proj");
    rondo_layer_norm(x, "norm1");
    rondo_output(x, "q");
    rondo_leave(g);
    rondo_leave(g);
    cr_assert(rondo_graph_check(g, &error), "%s", error.message);
    static const char *const names[] = {"decoder.layers.3.state", "decoder.layers.3.q_proj.weight",
                                        "decoder.layers.3.q_proj.bias", "decoder.layers.3.norm1.weight",
                                        "decoder.layers.3.norm1.bias"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        cr_expect_neq(graph_find_leaf(g, OP_parameter, names[i]), NONE, "%s", names[i]);
    cr_expect_eq(graph_find_output(g, "decoder.layers.3.q"), x.id);
    expect_type((rondo_value){g, graph_find_leaf(g, OP_parameter, names[1])}, "f32[2,7]");
    cr_expect_str_eq(g->names[graph_node_of(g, x.id)->scope], "decoder.layers.3.q_proj");
    cr_expect_eq(g->scope, 0);
}

Test(dsl, a_linear_layer_without_bias_has_none)
{
    rondo_linear(input("f32[B,T,4]"), 4, .no_bias = true);
    cr_expect_neq(graph_find_leaf(g, OP_parameter, "linear.weight"), NONE);
    cr_expect_eq(graph_find_leaf(g, OP_parameter, "linear.bias"), NONE);
}

Test(dsl, the_same_name_twice_is_the_same_parameter)
{
    rondo_value a = rondo_parameter(g, "embed", "f32[9,4]"), b = rondo_parameter(g, "embed", "f32[9,4]");
    cr_expect_eq(a.id, b.id);
    int line = __LINE__ + 1;
    rondo_parameter(g, "embed", "f32[9,5]");
    expect_error(line, "embed is f32[9,4] already, it cannot be f32[9,5] too");
}

Test(dsl, dropout_asks_for_one_seed_and_one_list_of_sentences_but_a_site_each)
{
    rondo_value x = input("f32[B,T,8]");
    rondo_enter(g, "layer");
    rondo_value a = rondo_dropout(x, 0.5f), b = rondo_dropout(x, 0.5f),
                c = rondo_dropout(rondo_split_heads(x, 2), 0.5f);
    rondo_leave(g);
    cr_assert(rondo_graph_check(g, &error), "%s", error.message);
    cr_expect_neq(a.id, b.id);
    cr_expect_eq(attribute_of(a, dropout_site).integer, 0);
    cr_expect_eq(attribute_of(c, dropout_site).integer, 2);
    value_id seed = graph_find_leaf(g, OP_input, "dropout.seed"),
             sentences = graph_find_leaf(g, OP_input, "sentences");
    cr_expect_eq(graph_node_of(g, a.id)->inputs[1], seed);
    cr_expect_eq(graph_node_of(g, c.id)->inputs[2], sentences);
    expect_type((rondo_value){g, seed}, "i32[2]");
    expect_type((rondo_value){g, sentences}, "i32[B]");
}

Test(dsl, a_frozen_parameter_says_so_in_the_text_form)
{
    rondo_value w = rondo_freeze(rondo_initialize(rondo_parameter(g, "w", "f32[4,4]"), RONDO_ORTHOGONAL, 2));
    rondo_output(rondo_exp(rondo_add(w, rondo_parameter(g, "b", "f32[4]"))), "y");
    char *text = rondo_graph_print(g, &error);
    cr_assert(text, "%s", error.message);
    cr_expect(strstr(text, "parameter(name=\"w\", type=f32[4,4], frozen)"), "%s", text);
    rondo_graph *again = rondo_graph_parse(context, text, "again", &error);
    cr_assert(again, "%s", error.message);
    cr_expect(graph_same(g, again));
    cr_assert_eq(again->initial_count, 1);
    cr_expect(again->initials[0].initial.kind == RONDO_ORTHOGONAL && again->initials[0].initial.scale == 2);
    rondo_graph_free(again);
    rondo_text_free(context, text);
    int line = __LINE__ + 1;
    rondo_freeze(rondo_exp(w));
    expect_error(line, "rondo_freeze: only a parameter has initial numbers, not the result of exp");
}

Test(dsl, initial_numbers_belong_to_parameters)
{
    rondo_value w = rondo_initialize(rondo_parameter(g, "w", "f32[4,4]"), RONDO_NORMAL, 0.02);
    rondo_linear(w, 3, .gain = 0.5f);
    cr_assert_eq(g->initial_count, 2);
    cr_expect(g->initials[0].value == w.id && g->initials[0].initial.kind == RONDO_NORMAL &&
              g->initials[0].initial.scale == 0.02);
    cr_expect(g->initials[1].initial.kind == RONDO_XAVIER && g->initials[1].initial.scale == 0.5);
    int line = __LINE__ + 1;
    rondo_initialize(rondo_exp(w), RONDO_FILL, 1);
    expect_error(line, "rondo_initialize: only a parameter has initial numbers, not the result of exp");
}

Test(dsl, a_delta_rule_takes_what_it_needs_and_no_more)
{
    rondo_value q = input("f32[B,2,T,4]"), v = rondo_input(g, "v", "f32[B,2,T,6]"),
                each = rondo_input(g, "each", "f32[B,2,T,1]"), length = rondo_input(g, "length", "i32[B]");
    rondo_value y = rondo_delta(q, q, v, .beta = each);
    expect_type(y, "f32[B,2,T,6]");
    expect_type((rondo_value){g, y.id + 1}, "f32[B,2,4,6]");
    y = rondo_delta(q, q, v, .beta = each, .log_decay = each, .length = length);
    cr_expect_eq(graph_node_of(g, y.id)->inputs[4], each.id);
    cr_expect_eq(graph_node_of(g, y.id)->inputs[5], length.id);
}

Test(dsl, a_convolution_makes_its_taps)
{
    rondo_value y = rondo_convolve(input("f32[B,T,8]"), 4, .name = "q_conv");
    expect_type(y, "f32[B,T,8]");
    expect_type((rondo_value){g, y.id + 1}, "f32[B,3,8]");
    expect_type((rondo_value){g, graph_find_leaf(g, OP_parameter, "q_conv.weight")}, "f32[4,8]");
    cr_expect_eq(graph_find_leaf(g, OP_parameter, "q_conv.bias"), NONE);
}

/* The taps of a convolution are uniform in ± 1/√K, however many channels there are. */
Test(dsl, a_convolution_begins_with_the_bound_of_its_fan_in)
{
    rondo_convolve(input("f32[B,T,32]"), 4);
    cr_assert_eq(g->initial_count, 1);
    cr_expect_eq(g->initials[0].initial.kind, RONDO_XAVIER);
    cr_expect_float_eq(g->initials[0].initial.scale * sqrt(6.0 / (4 + 32)), 0.5, 1e-15);
}

Test(dsl, a_delta_rule_wants_one_step_size_a_token)
{
    rondo_value q = input("f32[B,2,T,4]");
    int line = __LINE__ + 1;
    rondo_delta(q, q, q, .beta = q);
    expect_error(line, "delta: the beta is [B,2,T,4], it must be [B,2,T,1]");
}

Test(dsl, a_delta_rule_without_step_sizes_is_none)
{
    rondo_value q = input("f32[B,2,T,4]");
    int line = __LINE__ + 1;
    rondo_delta(q, q, q, .log_decay = rondo_sum(q, -1, .keep = true));
    expect_error(line, "rondo_delta: beta is no value");
}

Test(dsl, a_convolution_has_a_width)
{
    int line = __LINE__ + 1;
    rondo_convolve(input("f32[B,T,8]"), 0);
    expect_error(line, "rondo_convolve: a width of 0");
}

/* ---- errors ---- */

Test(dsl, an_error_begins_with_the_line_and_the_scope)
{
    rondo_value x = input("f32[B,T,512]"), w = rondo_parameter(g, "w", "f32[256,1024]");
    rondo_enter(g, "decoder.%d", 3);
    int line = __LINE__ + 1;
    rondo_matmul(x, w);
    expect_error(line, "decoder.3: matmul [B,T,512] × [256,1024]: inner dims 512 and 256 differ");
    cr_expect_eq(error.code, RONDO_SHAPE);
}

Test(dsl, after_an_error_nothing_happens)
{
    rondo_value x = input("f32[B,T,8]");
    int line = __LINE__ + 1;
    rondo_value wrong = rondo_split_heads(x, 3);
    expect_error(line, "rondo_split_heads: 3 heads do not divide the last axis of [B,T,8]");
    int nodes = g->node_count;
    cr_expect_eq(wrong.id, -1);
    cr_expect(wrong.graph == g);
    rondo_value later = rondo_linear(rondo_dropout(rondo_add(x, wrong), 0.1f), 4);
    rondo_output(rondo_merge_heads(later), "y");
    rondo_enter(g, "scope");
    rondo_leave(g);
    cr_expect_eq(g->node_count, nodes);
    cr_expect_eq(g->output_count, 0);
    expect_error(line, "rondo_split_heads");
}

Test(dsl, values_of_another_graph_are_refused)
{
    rondo_graph *other = rondo_graph_new(context, NULL);
    rondo_value x = input("f32[B,T]"), foreign = rondo_input(other, "x", "f32[B,T]");
    int line = __LINE__ + 1;
    rondo_add(x, foreign);
    expect_error(line, "rondo_add: its second operand belongs to another graph");
    cr_expect(rondo_graph_check(other, NULL));
    rondo_graph_free(other);
}

Test(dsl, no_value_is_refused_where_one_is_needed)
{
    rondo_value x = input("f32[B,T,4]");
    int line = __LINE__ + 1;
    rondo_key_mask(x, no_value(), 0);
    expect_error(line, "rondo_key_mask: length is no value");
}

Test(dsl, a_missing_option_is_no_value)
{
    rondo_matmul_options options = {.size = sizeof options};
    int line = __LINE__ + 1;
    rondo_matmul_at(RONDO_HERE, input("f32[B,T,4]"), &options);
    expect_error(line, "rondo_matmul: b is no value");
}

Test(dsl, without_a_graph_nothing_happens)
{
    cr_expect_eq(rondo_exp(no_value()).id, -1);
    cr_expect_null(rondo_linear(no_value(), 3).graph);
    cr_expect_eq(rondo_input(NULL, "x", "f32[B]").id, -1);
    cr_expect_eq(rondo_apply(NULL, "exp", "", 0).id, -1);
    rondo_output(no_value(), "y");
}

Test(dsl, options_of_a_newer_header_are_refused_when_set)
{
    struct {
        rondo_reduce_options known;
        double unknown;
    } newer = {{.size = sizeof newer, .axis = 1}, 0};
    rondo_value x = input("f32[B,T]");
    expect_type(rondo_sum_at(RONDO_HERE, x, &newer.known), "f32[B]");
    newer.unknown = 1;
    int line = __LINE__ + 1;
    rondo_sum_at(RONDO_HERE, x, &newer.known);
    expect_error(line, "rondo_sum: an option is set that this version of the library does not know");
}

Test(dsl, options_of_an_older_header_are_shorter)
{
    rondo_reduce_options older = {.size = offsetof(rondo_reduce_options, keep), .axis = 1, .keep = true};
    expect_type(rondo_sum_at(RONDO_HERE, input("f32[B,T]"), &older), "f32[B]"); /* keep is beyond its end */
}

/* Compilers differ in which line a macro call that spans two of them has. */
#define EXPECT_MISTAKE(name, expression, sentence)                                                           \
    Test(dsl, name)                                                                                          \
    {                                                                                                        \
        int line = __LINE__;                                                                                 \
        expression;                                                                                          \
        char before[32];                                                                                     \
        snprintf(before, sizeof before, "test_dsl.c:%d: ", line - 1);                                        \
        expect_error(line - (strstr(error_of(g), before) != NULL), sentence);                                \
    }
EXPECT_MISTAKE(a_misspelt_op_gets_a_hint, rondo_apply(g, "cumsun", "", 1, input("f32[B,T]")),
               "rondo_apply: there is no op cumsun; did you mean cumsum?")
EXPECT_MISTAKE(leaves_have_functions_of_their_own, rondo_apply(g, "input", "", 0),
               "rondo_apply: input is made by rondo_input, rondo_parameter or the compiler")
EXPECT_MISTAKE(an_operand_count_is_checked, rondo_apply(g, "exp", "", 2, input("f32[B]"), input("f32[B]")),
               "exp takes 1 operand, not 2")
EXPECT_MISTAKE(an_attribute_must_be_known, rondo_apply(g, "cumsum", "axes=1", 1, input("f32[B,T]")),
               "cumsum has no attribute axes; did you mean axis?")
EXPECT_MISTAKE(a_parameter_has_numbers_for_extents, rondo_parameter(g, "w", "f32[B,3]"),
               "the parameter w has a symbol in its type; its extents must be numbers")
EXPECT_MISTAKE(a_layer_needs_a_number_of_channels, rondo_linear(input("f32[B,T]"), 3),
               "linear: rondo_linear of [B,T]: the last extent sizes a parameter and must be a number")
EXPECT_MISTAKE(a_name_is_needed, rondo_input(g, "", "f32[B,T]"), "a name is missing")
EXPECT_MISTAKE(a_rate_is_a_probability, rondo_dropout(input("f32[B,T,3]"), 1),
               "rondo_dropout: the rate 1 must be at least 0 and below 1")
EXPECT_MISTAKE(dropout_needs_a_time_axis, rondo_dropout(input("f32[B,8]"), 0.1f),
               "rondo_dropout of [B,8]: it needs [B,T,D] or [B,...,T,D]")

Test(dsl, an_input_is_no_parameter)
{
    input("f32[4]");
    int line = __LINE__ + 1;
    rondo_parameter(g, "x", "f32[4]");
    expect_error(line, "x is both an input and a parameter");
}
