/* Ops with gradients of their own agree with the same computation in plain ops, results and gradients, to
 * 1e-11 in double; and NaN in padding has no effect. */
#include "differences.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static model m;
static rondo_value q, k, v, decay, length;

/* Queries, keys, values [B, 2, T, 3 and 4], log decays per step, and lengths. */
static void begin(void)
{
    model_begin(&m);
    q = rondo_input(m.g, "q", "f32[B,2,T,3]");
    k = rondo_input(m.g, "k", "f32[B,2,T,3]");
    v = rondo_input(m.g, "v", "f32[B,2,T,4]");
    decay = rondo_neg(rondo_softplus(rondo_input(m.g, "decay", "f32[B,2,T,1]")));
    length = rondo_input(m.g, "length", "i32[B]");
}
static void end(void)
{
    model_end(&m);
}
TestSuite(structured, .init = begin, .fini = end);

static rondo_value no_value(void)
{
    return (rondo_value){NULL, -1};
}
static rondo_value result(rondo_value y, int index)
{
    return (rondo_value){y.graph, y.id + index};
}

static rondo_value squashed(rondo_value x)
{
    rondo_value y = rondo_tanh(x);
    while (graph_shape_of(y.graph, y.id)->rank)
        y = rondo_sum(y, -1);
    return y;
}

static double difference(const reference_tensor *a, const reference_tensor *b)
{
    double largest = 0, error = 0;
    cr_assert_eq(a->count, b->count);
    for (int64_t i = 0; i < a->count; i++) {
        cr_assert(isfinite(a->data[i]) && isfinite(b->data[i]));
        largest = fmax(largest, fabs(b->data[i]));
        error = fmax(error, fabs(a->data[i] - b->data[i]));
    }
    return error / (largest + 1e-3);
}

static rondo_graph *gradients_of(rondo_value loss, const value_id *wrt, int count, value_id *gradients)
{
    rondo_error error = {0};
    rondo_graph *d = differentiate_values(m.g, loss.id, wrt, count, gradients, &error);
    cr_assert(d, "%s", error.message);
    return d;
}

/* Two losses of one model: the same number and the same gradients of every f32 leaf. */
static void expect_same(rondo_value a, rondo_value b)
{
    value_id wrt[MODEL_LEAVES], a_gradients[MODEL_LEAVES], b_gradients[MODEL_LEAVES];
    int count = 0;
    model_fill(&m);
    for (int i = 0; i < m.count; i++)
        if (m.g->values[m.leaves[i]].type == RONDO_F32)
            wrt[count++] = m.leaves[i];
    rondo_graph *da = gradients_of(a, wrt, count, a_gradients),
                *db = gradients_of(b, wrt, count, b_gradients);
    interpretation one = model_run(&m, da), other = model_run(&m, db);
    cr_expect_leq(difference(&one.values[a.id], &other.values[b.id]), 1e-11);
    for (int i = 0; i < count; i++) {
        cr_assert_eq(a_gradients[i] == NONE, b_gradients[i] == NONE);
        if (a_gradients[i] == NONE)
            continue;
        double found = difference(&one.values[a_gradients[i]], &other.values[b_gradients[i]]);
        cr_expect_leq(found, 1e-11, "the gradients of leaf %d differ by %g", i, found);
    }
    interpret_end(&one);
    interpret_end(&other);
    graph_free(da);
    graph_free(db);
}

/* ---- scan ---- */

Test(structured, scan_is_a_masked_product)
{
    rondo_value y = rondo_apply(m.g, "scan", "denominator", 5, q, k, v, no_value(), length);
    rondo_value a = rondo_causal_mask(rondo_matmul(q, k, .transpose_b = true));
    rondo_value numerator = rondo_row_mask(rondo_matmul(a, v), length);
    rondo_value denominator = rondo_row_mask(rondo_sum(a, -1, .keep = true), length);
    expect_same(rondo_add(squashed(y), squashed(result(y, 1))),
                rondo_add(squashed(numerator), squashed(denominator)));
}

static rondo_value decayed_product(const char *mask)
{
    rondo_value c = rondo_cumsum(decay, 2);
    rondo_value factor = rondo_exp(rondo_sub(c, rondo_transpose(c, "0,1,3,2")));
    rondo_value a =
        rondo_apply(m.g, "causal_mask", mask, 1, rondo_mul(rondo_matmul(q, k, .transpose_b = true), factor));
    return rondo_row_mask(rondo_matmul(a, v), length);
}

Test(structured, scan_with_decay_weighs_with_what_decayed_since)
{
    expect_same(squashed(rondo_apply(m.g, "scan", "", 5, q, k, v, decay, length)),
                squashed(decayed_product("")));
}

Test(structured, exclusive_scan_leaves_the_token_itself_out_but_decays)
{
    expect_same(squashed(rondo_apply(m.g, "scan", "exclusive", 5, q, k, v, decay, length)),
                squashed(decayed_product("exclusive")));
}

Test(structured, scan_with_a_decay_for_each_channel)
{
    rondo_value each = rondo_neg(rondo_softplus(rondo_input(m.g, "each", "f32[B,2,T,3]"))),
                c = rondo_cumsum(each, 2);
    rondo_value y = rondo_apply(m.g, "scan", "", 5, q, k, v, each, length);
    rondo_value a =
        rondo_matmul(rondo_mul(q, rondo_exp(c)), rondo_mul(k, rondo_exp(rondo_neg(c))), .transpose_b = true);
    expect_same(squashed(y), squashed(rondo_row_mask(rondo_matmul(rondo_causal_mask(a), v), length)));
}

Test(structured, scan_in_two_parts_through_its_state)
{
    rondo_value x = rondo_input(m.g, "long", "f32[B,2,7,3]"),
                d = rondo_neg(rondo_softplus(rondo_input(m.g, "d", "f32[B,2,7,1]")));
    rondo_value whole = rondo_apply(m.g, "scan", "denominator", 4, x, x, x, d);
    rondo_value x1 = rondo_slice(x, 2, 0, 4), x2 = rondo_slice(x, 2, 4, 3);
    rondo_value first = rondo_apply(m.g, "scan", "denominator", 4, x1, x1, x1, rondo_slice(d, 2, 0, 4));
    rondo_value second = rondo_apply(m.g, "scan", "denominator", 6, x2, x2, x2, rondo_slice(d, 2, 4, 3),
                                     no_value(), result(first, 2));
    rondo_value joined = rondo_concat(first, second, 2);
    expect_same(rondo_add(squashed(whole), squashed(result(whole, 2))),
                rondo_add(squashed(joined), squashed(result(second, 2))));
}

/* ---- recurrences of their own ---- */

/* One step of the delta rule in plain ops: returns what the query reads, and updates the state. */
static rondo_value delta_step(rondo_value x, rondo_value values, rondo_value beta, rondo_value d, int t,
                              rondo_value *state)
{
    rondo_value key = rondo_slice(x, 2, t, 1), faded = rondo_mul(*state, rondo_exp(rondo_slice(d, 2, t, 1)));
    rondo_value error = rondo_sub(rondo_slice(values, 2, t, 1), rondo_matmul(key, faded));
    rondo_value write = rondo_mul(error, rondo_slice(beta, 2, t, 1));
    *state = rondo_add(faded, rondo_matmul(key, write, .transpose_a = true));
    return rondo_matmul(rondo_tanh(key), *state);
}

Test(structured, delta_is_its_steps_spelled_out)
{
    rondo_value x = rondo_input(m.g, "long", "f32[B,2,7,3]"),
                values = rondo_input(m.g, "values", "f32[B,2,7,4]");
    rondo_value beta = rondo_sigmoid(rondo_input(m.g, "beta", "f32[B,2,7,1]")),
                d = rondo_neg(rondo_softplus(rondo_input(m.g, "d", "f32[B,2,7,1]")));
    rondo_value state = rondo_input(m.g, "before", "f32[B,2,3,4]");
    rondo_value y = rondo_apply(m.g, "delta", "", 7, rondo_tanh(x), x, values, beta, d, no_value(), state);
    rondo_value whole = rondo_add(squashed(y), squashed(result(y, 1)));
    rondo_value sum = delta_step(x, values, beta, d, 0, &state);
    sum = squashed(sum);
    for (int t = 1; t < 7; t++)
        sum = rondo_add(sum, squashed(delta_step(x, values, beta, d, t, &state)));
    expect_same(whole, rondo_add(sum, squashed(state)));
}

Test(structured, convolution_is_a_sum_of_shifted_products)
{
    rondo_value x = rondo_input(m.g, "long", "f32[B,7,5]"), w = rondo_input(m.g, "w", "f32[4,5]"),
                state = rondo_input(m.g, "before", "f32[B,3,5]");
    rondo_value y = rondo_apply(m.g, "convolve", "", 4, x, w, no_value(), state);
    rondo_value all = rondo_concat(state, x, 1),
                sum = rondo_mul(rondo_slice(all, 1, 0, 7), rondo_slice(w, 0, 0, 1));
    for (int i = 1; i < 4; i++)
        sum = rondo_add(sum, rondo_mul(rondo_slice(all, 1, i, 7), rondo_slice(w, 0, i, 1)));
    expect_same(rondo_add(squashed(y), squashed(result(y, 1))),
                rondo_add(squashed(sum), squashed(rondo_slice(all, 1, 7, 3))));
}

/* ---- attention ---- */

static rondo_value spelled_weights(bool causal)
{
    rondo_value a =
        rondo_key_mask(rondo_mul_scalar(rondo_matmul(q, k, .transpose_b = true), 0.7), length, -INFINITY);
    return rondo_softmax(causal ? rondo_causal_mask_fill(a, -INFINITY) : a);
}

Test(structured, attention_is_softmax_spelled_out)
{
    expect_same(squashed(rondo_apply(m.g, "attention", "scale=0.7, causal", 4, q, k, v, length)),
                squashed(rondo_matmul(spelled_weights(true), v)));
}

Test(structured, attention_without_a_mask)
{
    expect_same(squashed(rondo_apply(m.g, "attention", "scale=0.7", 4, q, k, v, length)),
                squashed(rondo_matmul(spelled_weights(false), v)));
}

Test(structured, attention_drops_the_weights_that_dropout_drops)
{
    rondo_value seed = rondo_input(m.g, "seed", "i32[2]"),
                sentences = rondo_input(m.g, "sentences", "i32[B]");
    rondo_value dropped =
        rondo_apply(m.g, "dropout", "rate=0.4, site=7", 3, spelled_weights(true), seed, sentences);
    expect_same(squashed(rondo_apply(m.g, "attention", "scale=0.7, causal, rate=0.4, site=7", 7, q, k, v,
                                     length, no_value(), seed, sentences)),
                squashed(rondo_matmul(dropped, v)));
}

/* ---- loss ---- */

Test(structured, the_loss_with_its_projection_is_the_loss_of_the_logits)
{
    rondo_value h = rondo_input(m.g, "h", "f32[B,T,3]"), w = rondo_parameter(m.g, "w", "f32[6,3]");
    rondo_value bias = rondo_parameter(m.g, "bias", "f32[6]"),
                targets = rondo_input(m.g, "targets", "i32[B,T]");
    rondo_value logits = rondo_add(rondo_matmul(h, w, .transpose_b = true), bias);
    rondo_value joined = rondo_apply(m.g, "linear_cross_entropy", "smoothing=0.1", 4, h, w, targets, bias);
    expect_same(rondo_tanh(joined), rondo_tanh(rondo_cross_entropy(logits, targets, .smoothing = 0.1f)));
}

/* ---- padding ---- */

static int leaf_called(const char *name)
{
    for (int i = 0; i < m.count; i++)
        if (!strcmp(m.g->names[graph_node_of(m.g, m.leaves[i])->attributes[input_name].integer], name))
            return i;
    cr_assert_fail("no leaf %s", name);
    return -1;
}

/* Writes NaN into the rows at or beyond each length of [B, 2, T, D]. */
static void poison(const char *name)
{
    int leaf = leaf_called(name);
    const double *lengths = m.data[leaf_called("length")];
    int64_t width = m.counts[leaf] / (3 * 2 * 5);
    for (int64_t i = 0; i < m.counts[leaf]; i++)
        if ((double)(i / width % 5) >= lengths[i / (width * 5 * 2)])
            m.data[leaf][i] = NAN;
}

/* Every gradient finite, and 0 in the rows that hold NaN. */
static void expect_padding_hidden(rondo_value y, const char *const *names, int count)
{
    value_id wrt[8], gradients[8];
    model_fill(&m);
    for (int i = 0; i < count; i++) {
        poison(names[i]);
        wrt[i] = m.leaves[leaf_called(names[i])];
    }
    rondo_graph *d = gradients_of(squashed(y), wrt, count, gradients);
    interpretation values = model_run(&m, d);
    for (int64_t i = 0; i < values.values[y.id].count; i++)
        cr_assert(isfinite(values.values[y.id].data[i]), "NaN got through");
    for (int i = 0; i < count; i++) {
        const double *numbers = m.data[leaf_called(names[i])];
        for (int64_t e = 0; e < values.values[gradients[i]].count; e++) {
            double gradient = values.values[gradients[i]].data[e];
            cr_assert(isnan(numbers[e]) ? gradient == 0 : isfinite(gradient), "%s[%d] has the gradient %g",
                      names[i], (int)e, gradient);
        }
    }
    interpret_end(&values);
    graph_free(d);
}

Test(structured, scan_never_reads_padded_rows)
{
    rondo_value d = rondo_input(m.g, "log", "f32[B,2,T,1]");
    expect_padding_hidden(rondo_apply(m.g, "scan", "denominator", 5, q, k, v, d, length),
                          (const char *const[]){"q", "k", "v", "log"}, 4);
}

Test(structured, attention_never_reads_padded_keys)
{
    expect_padding_hidden(rondo_apply(m.g, "attention", "causal", 4, q, k, v, length),
                          (const char *const[]){"k", "v"}, 2);
}

Test(structured, a_sentence_without_keys_gives_zeros_and_keeps_its_state)
{
    rondo_value state = rondo_input(m.g, "state", "f32[B,2,3,4]");
    rondo_value y = rondo_apply(m.g, "attention", "", 4, q, k, v, length),
                z = rondo_apply(m.g, "scan", "", 6, q, k, v, decay, length, state);
    model_fill(&m);
    cr_assert_eq(m.data[leaf_called("length")][0], 0);
    interpretation values = model_run(&m, m.g);
    for (int64_t i = 0; i < 2 * 5 * 4; i++)
        cr_assert(values.values[y.id].data[i] == 0 && values.values[z.id].data[i] == 0);
    for (int64_t i = 0; i < 2 * 5; i++)
        cr_assert_eq(values.values[y.id + 1].data[i], -INFINITY);
    for (int64_t i = 0; i < 2 * 3 * 4; i++)
        cr_assert_eq(values.values[z.id + 2].data[i], m.data[leaf_called("state")][i]);
    interpret_end(&values);
}
