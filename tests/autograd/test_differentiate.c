/* Gradients of whole models against differences in double; what must not cost anything; what cannot be
 * differentiated. */
#include "differences.h"
#include "tests/core/counting_allocator.h"
#include <criterion/criterion.h>
#include <math.h>
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
TestSuite(differentiate, .init = begin, .fini = end);

/* A number that depends on every element of x. */
static rondo_value squashed(rondo_value x)
{
    rondo_value y = rondo_tanh(x);
    while (graph_shape_of(y.graph, y.id)->rank)
        y = rondo_sum(y, -1);
    return y;
}

/* ---- whole models ---- */

Test(differentiate, a_network_with_norms_and_a_loss)
{
    rondo_value ids = rondo_input(m.g, "ids", "i32[B,T]");
    rondo_value x = rondo_embed(rondo_parameter(m.g, "table", "f32[6,4]"), ids);
    x = rondo_gelu(rondo_linear(rondo_layer_norm(x, "before"), 7, .name = "in"));
    x = rondo_silu(rondo_rms_norm(rondo_linear(x, 6, .name = "out"), "after"));
    rondo_value loss = rondo_cross_entropy(x, rondo_input(m.g, "targets", "i32[B,T]"), .smoothing = 0.1f);
    graph_free(model_check(&m, loss));
}

Test(differentiate, softmax_attention_with_masks_and_dropout)
{
    rondo_value x = rondo_linear(rondo_input(m.g, "x", "f32[B,T,3]"), 6, .name = "embed");
    rondo_value length = rondo_input(m.g, "length", "i32[B]");
    rondo_value q = rondo_split_heads(rondo_linear(x, 6, .name = "q"), 2),
                k = rondo_split_heads(rondo_linear(x, 6, .name = "k"), 2);
    rondo_value v = rondo_split_heads(rondo_linear(x, 6, .name = "v"), 2);
    rondo_value a = rondo_mul_scalar(rondo_matmul(q, k, .transpose_b = true), 0.6);
    a = rondo_causal_mask_fill(rondo_key_mask(a, length, -INFINITY), -INFINITY);
    rondo_value y = rondo_merge_heads(rondo_matmul(rondo_dropout(rondo_softmax(a), 0.3f), v));
    graph_free(model_check(&m, squashed(rondo_row_mask(rondo_add(rondo_dropout(x, 0.2f), y), length))));
}

Test(differentiate, linear_attention_as_its_paper_writes_it)
{
    rondo_value x = rondo_input(m.g, "x", "f32[B,T,3]");
    rondo_value q = rondo_add_scalar(rondo_elu(rondo_split_heads(rondo_linear(x, 6, .name = "q"), 2)), 1);
    rondo_value k = rondo_add_scalar(rondo_elu(rondo_split_heads(rondo_linear(x, 6, .name = "k"), 2)), 1);
    rondo_value v = rondo_split_heads(rondo_linear(x, 4, .name = "v"), 2);
    rondo_value a = rondo_causal_mask(rondo_matmul(q, k, .transpose_b = true));
    rondo_value n = rondo_add_scalar(rondo_sum(a, -1, .keep = true), 1e-6);
    graph_free(model_check(&m, squashed(rondo_merge_heads(rondo_div(rondo_matmul(a, v), n)))));
}

Test(differentiate, an_image_through_convolutions_and_pooling)
{
    rondo_value x = rondo_input(m.g, "x", "f32[B,6,4,2]");
    x = rondo_gelu(rondo_conv(x, 3, .width = 3, .padding = RONDO_CENTRED, .name = "in"));
    x = rondo_max_pool(x, 2);
    x = rondo_silu(rondo_conv(x, 3, .width = 2, .padding = RONDO_CENTRED, .depthwise = true, .name = "each"));
    x = rondo_conv(rondo_mean_pool(x, 2, .stride = 1), 2, .width = 1, .name = "out", .no_bias = true);
    graph_free(model_check(&m, squashed(x)));
}

Test(differentiate, a_sequence_through_strided_causal_and_centred_convolutions)
{
    rondo_value x = rondo_input(m.g, "x", "f32[B,2*T,3]"), length = rondo_input(m.g, "length", "i32[B]");
    x = rondo_tanh(rondo_conv(x, 4, .width = 3, .stride = 2, .padding = RONDO_CENTRED, .name = "half",
                              .length = length));
    x = rondo_tanh(rondo_conv(x, 4, .width = 3, .padding = RONDO_CAUSAL, .name = "past"));
    x = rondo_conv(x, 4, .width = 4, .padding = RONDO_CAUSAL, .depthwise = true, .name = "each");
    graph_free(model_check(&m, squashed(x)));
}

/* A layer for the two best rows of each sequence, weighed by their scores, as sparse layers route tokens. */
Test(differentiate, a_layer_for_the_best_rows)
{
    rondo_value x = rondo_linear(rondo_input(m.g, "x", "f32[B,5,3]"), 4, .name = "embed"), ids;
    rondo_value score = rondo_reshape(rondo_linear(x, 1, .name = "score"), "[B,5]");
    rondo_value best = rondo_reshape(rondo_top_k(score, 2, 1, &ids), "[B,2,1]");
    rondo_value rows =
        rondo_linear(rondo_gelu(rondo_linear(rondo_gather(x, ids, 1), 6, .name = "a")), 4, .name = "b");
    rondo_value y = rondo_scatter(rondo_mul(rows, best), ids, 1, "[B,5,4]");
    graph_free(model_check(&m, squashed(rondo_add(x, y))));
}

Test(differentiate, ops_that_own_their_gradient)
{
    rondo_value x = rondo_input(m.g, "x", "f32[B,2,T,3]"), length = rondo_input(m.g, "length", "i32[B]");
    rondo_value w = rondo_parameter(m.g, "w", "f32[3,3]"),
                decay = rondo_parameter(m.g, "decay", "f32[1,2,1,1]");
    rondo_value q = rondo_matmul(x, w),
                state = rondo_broadcast(rondo_parameter(m.g, "state", "f32[2,3,4]"), "[B,2,3,4]");
    rondo_value y = rondo_apply(m.g, "attention", "scale=0.5, causal", 4, q, x, q, length);
    y = rondo_apply(m.g, "scan", "denominator, exclusive", 6, y, q, x, rondo_neg(rondo_softplus(decay)),
                    length, state);
    rondo_value h = rondo_reshape(y, "[B,2*T,3]");
    rondo_value loss =
        rondo_apply(m.g, "linear_cross_entropy", "smoothing=0.1, ignore=-1", 4, h,
                    rondo_parameter(m.g, "out", "f32[6,3]"), rondo_input(m.g, "targets", "i32[B,2*T]"),
                    rondo_parameter(m.g, "bias", "f32[6]"));
    graph_free(model_check(&m, rondo_mul_scalar(loss, 0.25)));
}

Test(differentiate, a_tied_parameter_has_one_gradient_the_sum_of_its_uses)
{
    rondo_value ids = rondo_input(m.g, "ids", "i32[B,T]");
    rondo_value x = rondo_tanh(rondo_embed(rondo_parameter(m.g, "table", "f32[6,4]"), ids));
    rondo_value logits = rondo_matmul(x, rondo_parameter(m.g, "table", "f32[6,4]"), .transpose_b = true);
    rondo_graph *d = model_check(&m, rondo_cross_entropy(logits, ids));
    cr_expect_eq(d->output_count, 2);
    graph_free(d);
}

Test(differentiate, a_value_that_is_used_twice_by_one_node)
{
    rondo_value x = rondo_parameter(m.g, "x", "f32[5]");
    graph_free(model_check(&m, rondo_sum(rondo_mul(x, x), 0)));
}

/* ---- what costs nothing ---- */

Test(differentiate, what_needs_no_gradient_adds_no_node)
{
    rondo_value x = rondo_input(m.g, "x", "f32[B,T,3]"), w = rondo_parameter(m.g, "w", "f32[3,4]");
    rondo_value frozen = rondo_tanh(rondo_matmul(x, rondo_input(m.g, "frozen", "f32[3,4]")));
    rondo_value loss = squashed(rondo_mul(rondo_matmul(x, w), frozen));
    value_id gradient;
    rondo_graph *d = differentiate_values(m.g, loss.id, &w.id, 1, &gradient, NULL);
    cr_assert(d);
    cr_expect_eq(count_op(d, OP_matmul), 3, "two forward, and xᵀ dy; none for dx");
    cr_expect_eq(count_op(d, OP_tanh), 2);
    cr_expect_eq(d->output_count, 0);
    graph_free(d);
}

Test(differentiate, a_loss_that_depends_on_nothing_asked_for_adds_zeros_and_nothing_else)
{
    rondo_value other = rondo_parameter(m.g, "other", "f32[3]");
    rondo_value loss = squashed(rondo_input(m.g, "x", "f32[B,T]"));
    value_id gradient = 0;
    rondo_graph *d = differentiate_values(m.g, loss.id, &other.id, 1, &gradient, NULL);
    cr_assert(d);
    cr_expect_eq(graph_op_of(d, gradient), OP_constant);
    cr_expect_eq(graph_node_of(d, gradient)->attributes[constant_number].real, 0);
    cr_expect(shape_equal(graph_shape_of(d, gradient), graph_shape_of(m.g, other.id)));
    cr_expect_eq(d->node_count, m.g->node_count + 1);
    graph_free(d);
}

Test(differentiate, a_parameter_that_the_loss_does_not_reach_has_no_output)
{
    rondo_value w = rondo_parameter(m.g, "w", "f32[3]"), other = rondo_parameter(m.g, "other", "f32[3]");
    rondo_output(rondo_exp(other), "aside");
    rondo_graph *d = differentiate_parameters(m.g, rondo_sum(w, 0).id, NULL);
    cr_assert(d);
    cr_expect_neq(graph_find_output(d, "gradient.w"), NONE);
    cr_expect_eq(graph_find_output(d, "gradient.other"), NONE);
    cr_expect_neq(graph_find_output(d, "aside"), NONE);
    graph_free(d);
}

Test(differentiate, a_gradient_of_one_is_not_multiplied_into_what_the_loss_made_already)
{
    rondo_value h = rondo_parameter(m.g, "h", "f32[5,3]"), w = rondo_parameter(m.g, "w", "f32[6,3]");
    rondo_value loss =
        rondo_apply(m.g, "linear_cross_entropy", "", 3, h, w, rondo_input(m.g, "targets", "i32[5]"));
    rondo_graph *d = differentiate_parameters(m.g, loss.id, NULL);
    cr_assert(d);
    cr_expect_eq(graph_find_output(d, "gradient.h"), loss.id + 3);
    cr_expect_eq(graph_find_output(d, "gradient.w"), loss.id + 4);
    cr_expect_eq(count_op(d, OP_mul), 0);
    graph_free(d);
}

/* ---- places ---- */

Test(differentiate, backward_nodes_stand_at_the_line_and_scope_of_their_forward_node)
{
    rondo_value w = rondo_parameter(m.g, "w", "f32[3]");
    rondo_enter(m.g, "layer");
    int line = __LINE__ + 1;
    rondo_value y = rondo_exp(w);
    rondo_leave(m.g);
    rondo_value loss = rondo_sum(y, 0);
    rondo_graph *d = differentiate_parameters(m.g, loss.id, NULL);
    cr_assert(d);
    const node *n = graph_node_of(d, graph_find_output(d, "gradient.w"));
    cr_expect_eq(n->line, line);
    cr_expect_str_eq(d->names[n->scope], "layer");
    cr_expect(n->file && strstr(n->file, "test_differentiate.c"));
    graph_free(d);
}

/* ---- what cannot be differentiated ---- */

Test(differentiate, an_op_without_a_gradient_is_named_with_its_place)
{
    rondo_error error = {0};
    rondo_value w = rondo_parameter(m.g, "w", "f32[2,5,3]"), count = rondo_input(m.g, "count", "i32[2]");
    rondo_enter(m.g, "decoder");
    char place[80];
    snprintf(place, sizeof place, "test_differentiate.c:%d: decoder: last_row has no gradient", __LINE__ + 1);
    rondo_value row = rondo_apply(m.g, "last_row", "axis=1", 2, w, count);
    rondo_leave(m.g);
    cr_expect_null(differentiate_parameters(m.g, squashed(row).id, &error));
    cr_expect_eq(error.code, RONDO_NO_GRADIENT);
    cr_expect(strstr(error.message, place), "the error is\n  %s\nnot\n  %s", error.message, place);
}

Test(differentiate, an_op_without_a_gradient_off_the_path_does_not_matter)
{
    rondo_value w = rondo_parameter(m.g, "w", "f32[2,5,3]"), x = rondo_input(m.g, "x", "f32[2,5,3]");
    rondo_value row = rondo_apply(m.g, "last_row", "axis=1", 2, x, rondo_input(m.g, "count", "i32[2]"));
    rondo_value smaller = rondo_select(rondo_less(w, x), w, rondo_mul(w, row));
    graph_free(model_check(&m, squashed(smaller)));
}

Test(differentiate, the_loss_is_one_number)
{
    rondo_error error = {0};
    rondo_value w = rondo_parameter(m.g, "w", "f32[2,5]");
    cr_expect_null(differentiate_parameters(m.g, rondo_sum(w, 0).id, &error));
    cr_expect_eq(error.code, RONDO_SHAPE);
    cr_expect(strstr(error.message, "gradient of f32[5]: it must be one f32; sum it"), "%s", error.message);
    rondo_graph *d =
        differentiate_parameters(m.g, rondo_sum(rondo_sum(w, 0, .keep = true), 1, .keep = true).id, NULL);
    cr_expect(d, "[1,1] is one number too");
    graph_free(d);
}

Test(differentiate, a_graph_with_an_error_gives_that_error)
{
    rondo_error error = {0};
    rondo_value w = rondo_parameter(m.g, "w", "f32[2,5]");
    rondo_matmul(w, w);
    cr_expect_null(differentiate_parameters(m.g, 0, &error));
    cr_expect(strstr(error.message, "inner dims 5 and 2 differ"), "%s", error.message);
}

/* ---- memory ---- */

static bool attempt(counting *c)
{
    rondo_allocator allocator = counting_allocator(c);
    rondo *context = rondo_new_with(&(rondo_options){.size = sizeof(rondo_options), .allocator = &allocator});
    rondo_graph *g = rondo_graph_new(context, NULL), *d = NULL;
    rondo_error error = {0};
    if (g) {
        rondo_value x = rondo_layer_norm(rondo_linear(rondo_input(g, "x", "f32[B,T,3]"), 4), "norm");
        rondo_value loss = rondo_cross_entropy(x, rondo_input(g, "y", "i32[B,T]"));
        d = differentiate_parameters(g, loss.id, &error);
        if (!d && rondo_graph_check(g, NULL))
            cr_expect_eq(error.code, RONDO_MEMORY, "%s", error.message);
    }
    graph_free(d);
    rondo_graph_free(g);
    rondo_free(context);
    cr_expect_eq(c->live_bytes, 0);
    return d;
}

Test(memory_of_differentiate, every_allocation_may_fail_once)
{
    counting c = {0};
    cr_assert(attempt(&c));
    long all = c.requests;
    for (long refuse = 1; refuse <= all; refuse++) {
        c = (counting){.refuse_at = refuse};
        cr_expect(!attempt(&c), "request %ld was refused and nobody noticed", refuse);
    }
}

Test(differentiate, of_a_frozen_parameter_there_is_none)
{
    rondo_value x = rondo_input(m.g, "x", "f32[B,T,4]");
    rondo_value fixed = rondo_freeze(rondo_parameter(m.g, "fixed", "f32[6,4]"));
    rondo_value loss = squashed(rondo_linear(rondo_matmul(x, fixed, .transpose_b = true), 5, .name = "out"));
    rondo_error error = {0};
    rondo_graph *g = differentiate_parameters(m.g, loss.id, &error);
    cr_assert(g, "%s", error.message);
    cr_expect_neq(graph_find_output(g, "gradient.out.weight"), NONE);
    cr_expect_eq(graph_find_output(g, "gradient.fixed"), NONE);
    graph_free(g);
}
