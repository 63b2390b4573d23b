/* Gradients that are written in the graph: of leaves, of inner values, of gradients and of stopped values;
 * and where there is none. */
#include "differences.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static model m;

static void begin(void)
{
    model_begin(&m);
}
static void end(void)
{
    model_end(&m);
}
TestSuite(gradient, .init = begin, .fini = end);

static rondo_value summed(rondo_value x)
{
    while (rondo_rank(x) > 0)
        x = rondo_sum(x, -1);
    return x;
}

static rondo_value gradient_of(rondo_value scalar, rondo_value x)
{
    rondo_value out;
    rondo_gradient(scalar, &x, 1, &out);
    return out;
}

/* The model's graph with its gradients expanded; `map` from its values. */
static rondo_graph *expanded(value_id **map)
{
    rondo_error error = {0};
    rondo_graph *d = differentiate(m.g, map, &error);
    cr_assert(d, "%s", error.message);
    cr_assert(graph_verify(d, &error), "%s", error.message);
    cr_assert_eq(count_op(d, OP_gradient), 0);
    return d;
}

static int leaf_index(const char *name)
{
    for (int i = 0; i < m.count; i++)
        if (!strcmp(m.g->names[graph_node_of(m.g, m.leaves[i])->attributes[input_name].integer], name))
            return i;
    cr_assert(false, "there is no %s", name);
    return -1;
}

/* Compares the gradient of `scalar`, which may contain gradients, with differences in the leaf of this
 * name. */
static void expect_gradient(rondo_value scalar, rondo_value gradient, const char *leaf)
{
    value_id *map;
    if (!m.count)
        model_fill(&m);
    rondo_graph *d = expanded(&map), *written = m.g;
    int index = leaf_index(leaf);
    for (int i = 0; i < m.count; i++)
        cr_assert_eq(map[m.leaves[i]], m.leaves[i], "leaves come first in these tests");
    m.g = d;
    model_check_leaf(&m, map[scalar.id], index, d, map[gradient.id]);
    m.g = written;
    graph_free(d);
}

Test(gradient, of_an_input_a_parameter_and_an_inner_value)
{
    rondo_value x = rondo_input(m.g, "x", "f32[B,T,3]"), nudge = rondo_input(m.g, "nudge", "f32[B,T,4]"),
                w = rondo_parameter(m.g, "w", "f32[3,4]");
    rondo_value inner = rondo_add(rondo_tanh(rondo_matmul(x, w)), nudge);
    rondo_value loss = summed(rondo_mul(rondo_sigmoid(inner), inner)), wrt[] = {x, w, inner}, out[3];
    cr_assert(rondo_gradient(loss, wrt, 3, out));
    for (int i = 0; i < 3; i++)
        cr_expect(shape_equal(graph_shape_of(m.g, out[i].id), graph_shape_of(m.g, wrt[i].id)));
    expect_gradient(loss, out[0], "x");
    expect_gradient(loss, out[1], "w");
    expect_gradient(loss, out[2], "nudge");
}

Test(gradient, of_one_scalar_is_one_walk)
{
    value_id *map;
    rondo_value x = rondo_input(m.g, "x", "f32[B,3]"), w = rondo_input(m.g, "w", "f32[3]");
    rondo_value loss = summed(rondo_exp(rondo_mul(x, w))), wrt[] = {x, w}, out[2];
    cr_assert(rondo_gradient(loss, wrt, 2, out));
    rondo_graph *both = expanded(&map);
    rondo_graph *one =
        differentiate_values(m.g, loss.id, (value_id[]){x.id, w.id}, 2, (value_id[2]){0}, NULL);
    cr_assert(one);
    cr_expect_eq(both->node_count, one->node_count, "the product dy · e^x is made once for both");
    cr_expect_eq(count_op(both, OP_select), 1);
    graph_free(one);
    graph_free(both);
}

Test(gradient, is_a_value_like_any_other)
{
    rondo_value x = rondo_input(m.g, "x", "f32[B,3]"), w = rondo_parameter(m.g, "w", "f32[3,3]");
    rondo_value energy = summed(rondo_tanh(rondo_matmul(x, w)));
    rondo_value force = gradient_of(energy, x);
    rondo_value loss = rondo_add(energy, summed(rondo_mul(rondo_add_scalar(force, -1), force)));
    expect_gradient(loss, gradient_of(loss, w), "w");
    expect_gradient(loss, gradient_of(loss, x), "x");
}

Test(gradient, of_a_gradient_of_a_gradient)
{
    rondo_value x = rondo_input(m.g, "x", "f32[5]");
    rondo_value first = gradient_of(summed(rondo_mul(rondo_sin(x), rondo_exp(x))), x);
    rondo_value second = gradient_of(summed(rondo_mul(first, first)), x), loss = summed(rondo_tanh(second));
    expect_gradient(loss, gradient_of(loss, x), "x");
}

Test(gradient, to_a_gradient)
{
    rondo_value x = rondo_input(m.g, "x", "f32[5]"), nudge = rondo_input(m.g, "nudge", "f32[5]");
    rondo_value force = rondo_add(gradient_of(summed(rondo_exp(x)), x), nudge);
    rondo_value loss = summed(rondo_tanh(force));
    expect_gradient(loss, gradient_of(loss, force), "nudge");
}

Test(gradient, of_products_reductions_masks_and_shapes_can_be_differentiated_again)
{
    rondo_value x = rondo_input(m.g, "x", "f32[B,2,T,3]"), length = rondo_input(m.g, "length", "i32[B]");
    rondo_value a = rondo_key_mask(rondo_causal_mask(rondo_matmul(x, x, .transpose_b = true)), length, 0);
    rondo_value y = rondo_mean(rondo_transpose(rondo_mul(a, a), "0,2,1,3"), 2);
    rondo_value part = rondo_slice(rondo_reshape(rondo_logsumexp(y, -1), "[B,T,1]"), 2, 0, 1);
    rondo_value force = gradient_of(summed(rondo_concat(part, rondo_cumsum(part, 1), 2)), x);
    rondo_value loss = summed(rondo_mul(force, force));
    expect_gradient(loss, gradient_of(loss, x), "x");
}

Test(gradient, of_what_moves_along_an_axis_can_be_differentiated_again)
{
    rondo_value x = rondo_input(m.g, "x", "f32[B,T,3]"), length = rondo_input(m.g, "length", "i32[B]");
    rondo_value y = rondo_mul(rondo_reverse(x, 1, .length = length), rondo_roll(rondo_tanh(x), 2, 1)), ids;
    rondo_value sorted = rondo_sort(y, 2, true, &ids);
    y = rondo_mul(sorted, rondo_gather(rondo_tanh(y), ids, 2));
    rondo_value pieces = rondo_windows(y, 1, 3, .padding = RONDO_CENTRED);
    rondo_value force = gradient_of(summed(rondo_mul(pieces, pieces)), x);
    rondo_value loss = summed(rondo_mul(force, force));
    expect_gradient(loss, gradient_of(loss, x), "x");
}

Test(gradient, of_a_convolution_can_be_differentiated_again)
{
    rondo_value x = rondo_input(m.g, "x", "f32[B,5,4,2]");
    rondo_value weight = rondo_parameter(m.g, "weight", "f32[3,18]");
    rondo_value y = rondo_apply(m.g, "convolution", "width=3, stride=2, before=1, after=1", 2, x, weight);
    rondo_value energy = summed(rondo_tanh(y)), force = gradient_of(energy, x),
                pull = gradient_of(energy, weight);
    rondo_value loss = rondo_add(summed(rondo_mul(force, force)), summed(rondo_mul(pull, pull)));
    expect_gradient(loss, gradient_of(loss, weight), "weight");
    expect_gradient(loss, gradient_of(loss, x), "x");
}

Test(gradient, of_what_the_scalar_does_not_depend_on_is_zero)
{
    value_id *map;
    rondo_value x = rondo_input(m.g, "x", "f32[B,T]"), other = rondo_parameter(m.g, "other", "f32[3]");
    rondo_value loss = summed(x), later = rondo_exp(loss), wrt[] = {other, later, x}, out[3];
    cr_assert(rondo_gradient(loss, wrt, 3, out));
    rondo_graph *d = expanded(&map);
    for (int i = 0; i < 2; i++) {
        cr_expect_eq(graph_op_of(d, map[out[i].id]), OP_constant);
        cr_expect_eq(graph_node_of(d, map[out[i].id])->attributes[constant_number].real, 0);
    }
    cr_expect_neq(graph_op_of(d, map[out[2].id]), OP_constant);
    graph_free(d);
}

Test(gradient, of_a_scalar_to_itself_is_one)
{
    rondo_value x = rondo_input(m.g, "x", "f32[1]");
    rondo_value loss = rondo_mul(x, x);
    model_fill(&m);
    value_id one;
    rondo_graph *d = differentiate_values(m.g, loss.id, &loss.id, 1, &one, NULL);
    cr_assert(d);
    cr_expect_eq(model_number(&m, d, one), 1);
    graph_free(d);
}

Test(gradient, of_a_stopped_value_is_zero_and_leaves_the_other_ways)
{
    value_id *map;
    rondo_value x = rondo_input(m.g, "x", "f32[5]"), y = rondo_exp(x);
    rondo_value loss = summed(rondo_mul(rondo_stop_gradient(y), x)), d = gradient_of(loss, x);
    model_fill(&m);
    rondo_graph *g = expanded(&map);
    interpretation values = model_run(&m, g);
    for (int i = 0; i < 5; i++)
        cr_expect_eq(values.values[map[d.id]].data[i], values.values[map[y.id]].data[i]);
    interpret_end(&values);
    graph_free(g);
}

Test(gradient, stands_in_the_text_form)
{
    value_id *map;
    rondo_error error = {0};
    rondo_graph *g = rondo_graph_parse(m.context,
                                       "x = input(name=\"x\", type=f32[T])\n"
                                       "loss = sum(mul(x, x), axis=0)\n"
                                       "output dx = gradient(loss, x)\n",
                                       "square.graph", &error);
    cr_assert(g, "%s", error.message);
    rondo_graph *d = differentiate(g, &map, &error);
    value_id dx = graph_find_output(d, "dx");
    cr_expect_str_eq(d->names[d->values[dx].name], "dx", "the label goes to what takes its place");
    graph_free(d);
    rondo_graph_free(g);
}

/* ---- what has none ---- */

static void expect_mistake(rondo_code code, const char *sentence)
{
    rondo_error error = {0};
    rondo_graph *d = rondo_graph_check(m.g, &error) ? differentiate(m.g, NULL, &error) : NULL;
    cr_assert_null(d);
    cr_expect_eq(error.code, code);
    cr_expect(strstr(error.message, sentence), "the error is\n  %s\nnot\n  %s", error.message, sentence);
    cr_expect(strstr(error.message, "test_gradient.c:"), "%s", error.message);
}

Test(gradient, of_several_numbers_is_refused)
{
    rondo_value x = rondo_input(m.g, "x", "f32[B,3]"), out = {m.g, 7};
    cr_expect_not(rondo_gradient(x, &x, 1, &out));
    cr_expect_eq(out.id, NONE);
    expect_mistake(RONDO_SHAPE, "gradient of f32[B,3]: it must be one f32; sum it");
}

Test(gradient, of_an_integer_is_refused)
{
    rondo_value x = rondo_input(m.g, "x", "f32[3]");
    gradient_of(rondo_input(m.g, "n", "i32[1]"), x);
    expect_mistake(RONDO_SHAPE, "gradient of i32[1]: it must be one f32");
}

Test(gradient, to_integers_is_refused)
{
    rondo_value x = rondo_input(m.g, "x", "f32[3]");
    gradient_of(summed(x), rondo_input(m.g, "ids", "i32[B]"));
    expect_mistake(RONDO_SHAPE, "gradient to i32[B]: only what is f32 can be moved");
}

Test(gradient, of_another_graph_is_refused)
{
    rondo_graph *other = rondo_graph_new(m.context, NULL);
    gradient_of(summed(rondo_input(m.g, "x", "f32[3]")), rondo_input(other, "x", "f32[3]"));
    expect_mistake(RONDO_ARGUMENT, "what to differentiate by belongs to another graph");
    rondo_graph_free(other);
}

Test(gradient, of_a_gradient_through_what_has_one_derivative_is_refused_with_its_line)
{
    rondo_value x = rondo_input(m.g, "x", "f32[B,3]");
    char place[80];
    snprintf(place, sizeof place,
             "test_gradient.c:%d: softmax_grad has no gradient: it belongs to a gradient", __LINE__ + 1);
    rondo_value y = rondo_softmax(x);
    rondo_value force = gradient_of(summed(rondo_mul(y, y)), x);
    gradient_of(summed(rondo_mul(force, force)), x);
    expect_mistake(RONDO_NO_GRADIENT, place);
}

Test(gradient, of_the_gradient_that_a_loss_keeps_is_refused)
{
    rondo_value h = rondo_parameter(m.g, "h", "f32[5,3]"), w = rondo_parameter(m.g, "w", "f32[6,3]");
    rondo_value loss =
        rondo_apply(m.g, "linear_cross_entropy", "", 3, h, w, rondo_input(m.g, "targets", "i32[5]"));
    rondo_value dh = gradient_of(loss, h);
    gradient_of(summed(rondo_mul(dh, dh)), h);
    expect_mistake(RONDO_NO_GRADIENT, "this would be a second derivative");
}

Test(gradient, is_expanded_before_it_runs)
{
    interpretation values;
    rondo_error error = {0};
    rondo_value x = rondo_input(m.g, "x", "f32[1]");
    gradient_of(x, x);
    cr_expect_not(interpret(m.g, (int64_t[MAX_SYMBOLS]){0}, NULL, 0, &values, &error));
    cr_expect(strstr(error.message, "a pass must put its graph in its place"), "%s", error.message);
}
