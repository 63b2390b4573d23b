/* The rules of plain ops, besides the numbers that test_table.c checks: error messages, symbols, ties, what a
 * mask hides, and errors of the interpreter. */
#include "ops/build.h"
#include "ops/families/fused.h"
#include "ops/interpret.h"
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static rondo *context;
static rondo_graph *g;

static void begin(void)
{
    context = rondo_new(1);
    g = graph_new(context, NULL);
}

static void end(void)
{
    graph_free(g);
    rondo_free(context);
}

TestSuite(rules, .init = begin, .fini = end);

/* A leaf by its type as text: leaf("x", "f32[B,T,8]"). */
static value_id leaf(const char *name, const char *type_text)
{
    rondo_type type;
    shape s;
    cr_assert(parse_type(g, type_text, true, &type, &s));
    return build_leaf(g, OP_input, name, type, &s);
}

static shape shape_of(const char *dims)
{
    rondo_type type;
    shape s;
    cr_assert(parse_type(g, dims, false, &type, &s));
    return s;
}

static void expect_error(const char *expected)
{
    cr_expect(strstr(g->error.message, expected), "the error is\n  %s\nnot\n  %s", g->error.message,
              expected);
    g->error = (rondo_error){0};
}

static void expect_shape(value_id v, const char *expected)
{
    text t = {.arena = &g->arena};
    cr_assert_neq(v, NONE, "%s", g->error.message);
    shape_text(&t, g, graph_shape_of(g, v));
    cr_expect_str_eq(text_done(&t), expected);
}

/* One rule's gradient of operand `operand` for a gradient dy of result 0. */
static value_id gradient(value_id y, value_id dy, int operand)
{
    node n = *graph_node_of(g, y);
    bool needs[MAX_INPUTS] = {false};
    value_id out[MAX_OUTPUTS], in[MAX_INPUTS];
    for (int i = 0; i < MAX_OUTPUTS; i++)
        out[i] = i ? NONE : dy;
    for (int i = 0; i < MAX_INPUTS; i++)
        in[i] = NONE;
    needs[operand] = true;
    cr_assert(op_table[n.op].vjp(g, &n, out, needs, in), "%s", g->error.message);
    return in[operand];
}

/* The numbers of v; those of the leaves are given in order of creation. */
static void expect_numbers(value_id v, const double *const *leaves, int count, const int64_t *bound,
                           const double *expected)
{
    static const int64_t none[MAX_SYMBOLS];
    interpret_binding bindings[8];
    interpretation result;
    rondo_error error = {0};
    int bindings_count = 0;
    for (value_id i = 0; i < g->value_count && bindings_count < count; i++)
        if (graph_op_of(g, i) == OP_input) {
            bindings[bindings_count] = (interpret_binding){i, leaves[bindings_count]};
            bindings_count++;
        }
    cr_assert(interpret(g, bound ? bound : none, bindings, bindings_count, &result, &error), "%s",
              error.message);
    for (int64_t i = 0; i < result.values[v].count; i++)
        cr_expect(fabs(result.values[v].data[i] - expected[i]) <= 1e-12, "element %d is %g, not %g", (int)i,
                  result.values[v].data[i], expected[i]);
    interpret_end(&result);
}

/* ---- shapes and errors in words ---- */

Test(rules, a_product_names_both_shapes_and_the_inner_dims)
{
    build_matmul(g, leaf("x", "f32[B,T,512]"), leaf("w", "f32[256,1024]"), false, false);
    expect_error("matmul [B,T,512] × [256,1024]: inner dims 512 and 256 differ");
}

Test(rules, a_symbol_fits_itself_alone)
{
    value_id x = leaf("x", "f32[B,T]");
    expect_shape(build_add(g, x, leaf("y", "f32[1,T]")), "[B,T]");
    build_add(g, x, leaf("z", "f32[B,S]"));
    expect_error("add of [B,T] and [B,S]: extents T and S differ");
    build_add(g, x, leaf("w", "f32[B,5]"));
    expect_error("extents T and 5 differ");
}

Test(rules, products_of_symbols_reshape)
{
    value_id x = leaf("x", "f32[B,T,64]");
    shape flat = shape_of("[B*T,64]"), wrong = shape_of("[B,64]");
    expect_shape(build_reshape(g, build_reshape(g, x, &flat), graph_shape_of(g, x)), "[B,T,64]");
    build_reshape(g, x, &wrong);
    expect_error("reshape: [B,T,64] has");
}

Test(rules, concat_adds_numbers_of_the_same_symbols)
{
    attribute attributes[MAX_ATTRIBUTES] = {integer_attribute(1)};
    value_id x = leaf("x", "f32[B,T,3]");
    value_id twice = build_node(g, OP_concat, 2, (value_id[]){x, x}, attributes);
    expect_shape(twice, "[B,2*T,3]");
    expect_shape(build_node(g, OP_concat, 2, (value_id[]){twice, x}, attributes), "[B,3*T,3]");
    build_node(g, OP_concat, 2, (value_id[]){x, leaf("y", "f32[B,S,3]")}, attributes);
    expect_error("extents T and S along axis 1 do not add up");
}

Test(rules, wrong_axes_and_types_are_told)
{
    value_id x = leaf("x", "f32[2,3]"), ids = leaf("ids", "i32[2,3]");
    build_reduce(g, OP_sum, x, 2, false);
    expect_error("sum: axis 2 of a tensor with 2 axes");
    build_unary(g, OP_exp, ids);
    expect_error("exp: operand 0 is i32[2,3], it must be f32");
    build_slice(g, x, 1, 2, 2);
    expect_error("slice of [2,3]: 2 elements from 2 on lie outside the 3 of axis 1");
    build_slice(g, leaf("t", "f32[T]"), 0, 0, 1);
    expect_error("the extent T along axis 0 must be a number");
    build_row_mask(g, x, leaf("lengths", "i32[3]"), 1, 0);
    expect_error("it must have one number for each of the 2 of axis 0");
    shape wide = shape_of("[4,3]");
    build_broadcast(g, x, &wide);
    expect_error("broadcast: [2,3] does not repeat to [4,3]");
}

Test(rules, integers_stay_integers_and_comparisons_are_real)
{
    value_id a = leaf("a", "i32[4]"), b = leaf("b", "i32[1]");
    cr_expect_eq(g->values[build_mul(g, a, b)].type, RONDO_I32);
    cr_expect_eq(g->values[build_binary(g, OP_less, a, b)].type, RONDO_F32);
    build_div(g, a, b);
    expect_error("div: operand 0 is i32[4], it must be f32");
}

Test(rules, nothing_is_built_on_a_mistake)
{
    value_id x = leaf("x", "f32[2]"), wrong = build_add(g, x, leaf("y", "f32[3]"));
    int values = g->value_count;
    cr_expect_eq(wrong, NONE);
    cr_expect_eq(build_unary(g, OP_exp, wrong), NONE);
    cr_expect_eq(build_unary(g, OP_exp, x), NONE);
    cr_expect_eq(g->value_count, values);
}

Test(rules, a_change_that_changes_nothing_is_no_node)
{
    value_id x = leaf("x", "f32[2,T]");
    const shape *s = graph_shape_of(g, x);
    cr_expect_eq(build_reshape(g, x, s), x);
    cr_expect_eq(build_broadcast(g, x, s), x);
    cr_expect_eq(build_sum_to(g, x, s), x);
    cr_expect_eq(build_swap(g, x, 1, -1), x);
    cr_expect_eq(build_slice(g, x, 0, 0, 2), x);
    cr_expect_eq(build_cast(g, x, RONDO_F32), x);
    cr_expect_eq(build_squeeze(g, build_unsqueeze(g, x, 1), 1),
                 build_reshape(g, build_unsqueeze(g, x, 1), s));
}

Test(rules, an_order_packs_and_comes_back)
{
    int order[] = {3, 0, 2, 1}, back[MAX_RANK];
    cr_expect_eq(order_unpack(order_pack(order, 4), back), 4);
    cr_expect_arr_eq(order, back, sizeof order);
    cr_expect_eq(order_unpack(order_pack((int[]){0, 1, 2, 3, 4, 5, 6, 7}, 8), back), 8);
    cr_expect_eq(order_unpack(order_pack((int[]){1, 1}, 2), back), -1);
}

/* ---- programs of fused ---- */

Test(rules, a_program_that_does_not_add_up_is_refused)
{
    static const char *const wrong[] = {
        "0 1 mul",  "mul =0",      "0 2 add =0", "0 =1", "0 1 nonsense =0", "0 #1.5.2 add =0",
        "0 sum =0", "0 1  add =0", "0 cast =0",  "=0",   "0 . . =0",        ""};
    value_id inputs[2] = {leaf("a", "f32[3]"), leaf("b", "f32[3]")};
    for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        attribute attributes[MAX_ATTRIBUTES] = {integer_attribute(graph_name(g, wrong[i]))};
        cr_expect_eq(build_node(g, OP_fused, 2, inputs, attributes), NONE, "\"%s\" is taken", wrong[i]);
        expect_error("fused: ");
    }
    const char *right = "0 #-1.5e-3 add =0 1 mul =1";
    attribute attributes[MAX_ATTRIBUTES] = {integer_attribute(graph_name(g, right))};
    value_id y = build_node(g, OP_fused, 2, inputs, attributes);
    cr_assert_neq(y, NONE);
    cr_expect_eq(graph_node_of(g, y)->output_count, 2);
}

/* ---- gradients that differences cannot see ---- */

Test(rules, on_a_tie_the_gradient_goes_to_the_first)
{
    value_id x = leaf("x", "f32[2,4]"), dy = leaf("dy", "f32[2]"), a = leaf("a", "f32[2]");
    const double *numbers[] = {(double[]){1, 7, 7, 7, 5, 5, 2, 5}, (double[]){10, 20}, (double[]){3, 3}};
    expect_numbers(gradient(build_reduce(g, OP_max, x, 1, false), dy, 0), numbers, 3, NULL,
                   (double[]){0, 10, 0, 0, 20, 0, 0, 0});
    value_id larger = build_binary(g, OP_maximum, a, a), smaller = build_binary(g, OP_minimum, a, a);
    expect_numbers(gradient(larger, dy, 0), numbers, 3, NULL, (double[]){10, 20});
    expect_numbers(gradient(larger, dy, 1), numbers, 3, NULL, (double[]){0, 0});
    expect_numbers(gradient(smaller, dy, 0), numbers, 3, NULL, (double[]){10, 20});
}

Test(rules, what_a_select_threw_away_has_no_gradient)
{
    value_id x = leaf("x", "f32[3]"), dy = leaf("dy", "f32[3]");
    const double *numbers[] = {(double[]){0, 2, 1000}, (double[]){0, 1, 0}};
    value_id one = build_number(g, 1);
    expect_numbers(gradient(build_div(g, one, x), dy, 1), numbers, 2, NULL, (double[]){0, -0.25, 0});
    expect_numbers(gradient(build_unary(g, OP_log, x), dy, 0), numbers, 2, NULL, (double[]){0, 0.5, 0});
    expect_numbers(gradient(build_unary(g, OP_rsqrt, x), dy, 0), numbers, 2, NULL,
                   (double[]){0, -0.5 * pow(2, -1.5), 0});
    expect_numbers(gradient(build_unary(g, OP_exp, x), dy, 0), numbers, 2, NULL,
                   (double[]){0, exp(2), 0}); /* e^1000 = ∞ */
    value_id power = build_binary(g, OP_power, x, one);
    expect_numbers(gradient(power, dy, 1), numbers, 2, NULL, (double[]){2 * log(2)});
}

Test(rules, slopes_at_zero)
{
    value_id x = leaf("x", "f32[2]"), dy = leaf("dy", "f32[2]");
    const double *numbers[] = {(double[]){0, 4}, (double[]){3, 3}};
    expect_numbers(gradient(build_unary(g, OP_sqrt, x), dy, 0), numbers, 2, NULL, (double[]){0, 0.75});
    expect_numbers(gradient(build_unary(g, OP_abs, x), dy, 0), numbers, 2, NULL, (double[]){0, 3});
    expect_numbers(gradient(build_unary(g, OP_relu, x), dy, 0), numbers, 2, NULL, (double[]){0, 3});
}

Test(rules, a_line_of_minus_infinity_has_no_gradient)
{
    value_id x = leaf("x", "f32[2,2]"), dy = leaf("dy", "f32[2]");
    const double *numbers[] = {(double[]){-INFINITY, -INFINITY, 0, -INFINITY}, (double[]){1, 1}};
    expect_numbers(gradient(build_reduce(g, OP_logsumexp, x, 1, false), dy, 0), numbers, 2, NULL,
                   (double[]){0, 0, 1, 0});
}

Test(rules, a_mask_hides_whatever_is_there)
{
    value_id x = leaf("x", "f32[2,2]"), length = leaf("length", "i32[2]");
    const double *numbers[] = {(double[]){1, NAN, INFINITY, NAN}, (double[]){1, 0}};
    value_id masked = build_row_mask(g, x, length, 1, -5);
    expect_numbers(masked, numbers, 2, NULL, (double[]){1, -5, -5, -5});
    expect_numbers(gradient(masked, x, 0), numbers, 2, NULL, (double[]){1, 0, 0, 0});
}

/* ---- places ---- */

Test(rules, a_reversed_sequence_ends_with_zeros_whatever_was_there)
{
    value_id x = leaf("x", "f32[4,3]"), length = leaf("length", "i32[4]");
    const double *numbers[] = {(double[]){1, 2, NAN, 4, 5, 6, NAN, NAN, NAN, 7, 8, 9},
                               (double[]){2, 3, 0, 5}}; /* more than there are is all */
    value_id y = build_reverse(g, x, length, 1);
    expect_numbers(y, numbers, 2, NULL, (double[]){2, 1, 0, 6, 5, 4, 0, 0, 0, 9, 8, 7});
    expect_numbers(gradient(y, y, 0), numbers, 2, NULL, (double[]){1, 2, 0, 4, 5, 6, 0, 0, 0, 7, 8, 9});
    build_reverse(g, x, length, 0);
    expect_error("reverse of [4,3]: axis 0 is that of the sequences, which have the lengths");
}

Test(rules, equals_keep_their_order_and_a_nan_comes_last)
{
    value_id x = leaf("x", "f32[2,5]");
    const double *numbers[] = {(double[]){3, NAN, -0.0, 3, 0, NAN, NAN, NAN, NAN, NAN}};
    attribute attributes[MAX_ATTRIBUTES] = {integer_attribute(1), integer_attribute(0)};
    value_id rising = build_node(g, OP_sort, 1, &x, attributes);
    expect_numbers(build_output(g, rising, 1), numbers, 1, NULL, (double[]){2, 4, 0, 3, 1, 0, 1, 2, 3, 4});
    attributes[sort_descending] = integer_attribute(1);
    value_id falling = build_node(g, OP_sort, 1, &x, attributes);
    expect_numbers(build_output(g, falling, 1), numbers, 1, NULL, (double[]){0, 3, 2, 4, 1, 0, 1, 2, 3, 4});
    expect_numbers(build_reduce(g, OP_argmax, x, 1, false), numbers, 1, NULL, (double[]){0, 0});
}

Test(rules, more_than_there_are_is_filled_and_has_no_gradient)
{
    value_id x = leaf("x", "f32[T]"), dy = leaf("dy", "f32[3]");
    const double *numbers[] = {(double[]){5, 6}, (double[]){1, 2, 4}};
    const int64_t bound[MAX_SYMBOLS] = {2};
    value_id y = build_node(g, OP_top_k, 1, &x, (attribute[MAX_ATTRIBUTES]){{.integer = 0}, {.integer = 3}});
    expect_numbers(build_output(g, y, 1), numbers, 2, bound, (double[]){1, 0, -1});
    expect_numbers(gradient(y, dy, 0), numbers, 2, bound, (double[]){2, 1});
    build_node(g, OP_top_k, 1, &dy, (attribute[MAX_ATTRIBUTES]){{.integer = 0}, {.integer = 4}});
    expect_error("top_k of [3]: axis 0 has 3 elements, not 4");
}

/* A layer for some rows: those of the others stay 0, and so does what flows back to them. */
Test(rules, rows_are_chosen_and_put_back)
{
    value_id x = leaf("x", "f32[2,3,1]"), chosen = leaf("chosen", "f32[2,3]");
    const double *numbers[] = {(double[]){1, 2, NAN, NAN, NAN, 6}, (double[]){-1, 0.5, 0, 0, 0, 2}};
    value_id ids = build_node(g, OP_nonzero, 1, &chosen, (attribute[MAX_ATTRIBUTES]){{.integer = 1}});
    expect_numbers(ids, numbers, 2, NULL, (double[]){0, 1, -1, 2, -1, -1});
    expect_numbers(build_output(g, ids, 1), numbers, 2, NULL, (double[]){2, 1});
    value_id rows = build_unary(g, OP_neg, build_gather(g, x, ids, 1));
    value_id y = build_scatter(g, rows, ids, 1, graph_shape_of(g, x));
    expect_numbers(y, numbers, 2, NULL, (double[]){-1, -2, 0, 0, 0, -6});
    expect_numbers(gradient(build_gather(g, x, ids, 1), rows, 0), numbers, 2, NULL,
                   (double[]){-1, -2, 0, 0, 0, -6});
}

/* ---- gradients over symbols ---- */

Test(rules, the_mean_over_a_symbol_divides_by_it)
{
    value_id x = leaf("x", "f32[2,T]"), dy = leaf("dy", "f32[2]");
    int64_t bound[MAX_SYMBOLS] = {4};
    const double *numbers[] = {(double[8]){0}, (double[]){4, 8}};
    value_id dx = gradient(build_reduce(g, OP_mean, x, 1, false), dy, 0);
    expect_shape(dx, "[2,T]");
    expect_numbers(dx, numbers, 2, bound, (double[]){1, 1, 1, 1, 2, 2, 2, 2});
}

Test(rules, the_gradient_of_concat_along_a_symbol_takes_the_parts)
{
    attribute attributes[MAX_ATTRIBUTES] = {integer_attribute(1)};
    value_id a = leaf("a", "f32[2,T]"), b = leaf("b", "f32[2,2*T]"), dy = leaf("dy", "f32[2,3*T]");
    value_id y = build_node(g, OP_concat, 2, (value_id[]){a, b}, attributes);
    int64_t bound[MAX_SYMBOLS] = {1};
    const double *numbers[] = {(double[2]){0}, (double[4]){0}, (double[]){1, 2, 3, 4, 5, 6}};
    value_id da = gradient(y, dy, 0), db = gradient(y, dy, 1);
    expect_shape(da, "[2,T]");
    expect_shape(db, "[2,2*T]");
    expect_numbers(da, numbers, 3, bound, (double[]){1, 4});
    expect_numbers(db, numbers, 3, bound, (double[]){2, 3, 5, 6});
}

Test(rules, the_gradient_of_a_shared_matrix_is_one_product)
{
    value_id x = leaf("x", "f32[B,T,8]"), w = leaf("w", "f32[8,5]"), dy = leaf("dy", "f32[B,T,5]");
    value_id dw = gradient(build_matmul(g, x, w, false, false), dy, 1);
    expect_shape(dw, "[8,5]");
    cr_expect_eq(graph_op_of(g, dw), OP_matmul);
    expect_shape(graph_node_of(g, dw)->inputs[1], "[B*T,5]");
}

/* ---- the interpreter ---- */

Test(rules, the_interpreter_names_what_it_misses)
{
    interpretation result;
    rondo_error error = {0};
    int64_t bound[MAX_SYMBOLS] = {INT64_MAX};
    build_unary(g, OP_exp, leaf("x", "f32[2]"));
    cr_expect_not(interpret(g, bound, NULL, 0, &result, &error));
    cr_expect(strstr(error.message, "exp: it reads a leaf that is not bound"), "%s", error.message);
    error = (rondo_error){0};
    leaf("y", "f32[T,T]");
    cr_expect_not(interpret(g, bound, NULL, 0, &result, &error));
    cr_expect(strstr(error.message, "too large"), "%s", error.message);
}

Test(rules, a_state_that_is_not_bound_holds_its_initial_value)
{
    value_id state = build_leaf(g, OP_state, "count", RONDO_F32, &(shape){.rank = 1, .dims = {{3}}});
    value_id next = build_add(g, state, build_number(g, 1));
    cr_assert_neq(graph_add_port(g, "count", state, next, PORT_CARRY, -1, -1, 41), NONE);
    expect_numbers(next, NULL, 0, NULL, (double[]){42, 42, 42});
}
