/* contract: softmax attention and the loss with its projection are found however they are written, and only
 * where nothing else reads the values that disappear; values and gradients do not change. */
#include "compiler/passes/contract.h"
#include "tests/compiler/graph_compare.h"
#include <criterion/criterion.h>
#include <math.h>

static const double algebra = 1e-11;
static const int64_t bound[MAX_SYMBOLS] = {3, 7, 5}; /* B, T, S */

typedef struct contracted {
    rondo *context;
    rondo_graph *before, *after;
} contracted;

static contracted contract_text(const char *source)
{
    rondo_error error = {0};
    contracted c = {.context = rondo_new(1)};
    c.before = graph_parse(c.context, source, "test.graph", &error);
    cr_assert(c.before, "%s", error.message);
    c.after = contract(c.before, NULL, &error);
    cr_assert(c.after, "%s", error.message);
    cr_assert(graph_verify(c.after, &error), "%s", error.message);
    return c;
}

static void same_numbers(const rondo_graph *a, const rondo_graph *b, const char *source)
{
    const char *worst;
    rondo_error error = {0};
    graph_inputs inputs = {.seed = 7, .low = -1, .high = 1, .shortest = 1, .longest = 4};
    double difference = graph_difference(a, b, bound, &inputs, &worst, &error);
    cr_assert(difference >= 0 && difference <= algebra, "%s differs by %g %s in\n%s", worst, difference,
              error.message, source);
}

static void done(contracted *c)
{
    graph_free(c->before);
    graph_free(c->after);
    rondo_free(c->context);
}

/* Gradients of Σ y². */
static void same_gradients(const contracted *c, const char *source)
{
    rondo_error error = {0};
    rondo_graph *written = graph_with_loss(c->before, &error);
    rondo_graph *rewritten = contract(written, NULL, &error);
    cr_assert(rewritten, "%s", error.message);
    rondo_graph *before = graph_with_gradients(written, &error),
                *after = graph_with_gradients(rewritten, &error);
    cr_assert(before && after, "%s", error.message);
    same_numbers(before, after, source);
    graph_free(written);
    graph_free(rewritten);
    graph_free(before);
    graph_free(after);
}

#define QKV                                                                                                  \
    "symbols B T S\n"                                                                                        \
    "q = input(name=\"q\", type=f32[B,2,T,3])\n"                                                             \
    "k = input(name=\"k\", type=f32[B,2,S,3])\n"                                                             \
    "v = input(name=\"v\", type=f32[B,2,S,5])\n"                                                             \
    "self = input(name=\"self\", type=f32[B,2,T,3])\n"                                                       \
    "length = input(name=\"length\", type=i32[B])\n"

static void is_attention(const char *source, double scale, bool causal)
{
    contracted c = contract_text(source);
    cr_assert_eq(graph_count(c.after, OP_attention), 1, "not found:\n%s", source);
    cr_assert_eq(graph_count(c.after, OP_softmax), 0);
    for (node_id id = 0; id < c.after->node_count; id++)
        if (c.after->nodes[id].op == OP_attention) {
            cr_assert_float_eq(c.after->nodes[id].attributes[attention_scale].real, scale, 1e-15);
            cr_assert_eq(c.after->nodes[id].attributes[attention_causal].integer, causal);
        }
    same_numbers(c.before, c.after, source);
    same_gradients(&c, source);
    done(&c);
}

static void is_left_alone(const char *source)
{
    contracted c = contract_text(source);
    cr_assert_eq(graph_count(c.after, OP_attention), 0, "contracted:\n%s", source);
    same_numbers(c.before, c.after, source);
    done(&c);
}

Test(contract, softmax_attention)
{
    is_attention(QKV "output y = matmul(softmax(matmul(q, k, transpose_b)), v)\n", 1, false);
    is_attention(QKV "output y = matmul(softmax(mul(matmul(q, k, transpose_b), 0.125)), v)\n", 0.125, false);
    is_attention(QKV "output y = matmul(softmax(matmul(div(q, 4), mul(k, 0.5), transpose_b)), v)\n", 0.125,
                 false);
}

Test(contract, masks_and_scales_in_any_order)
{
    is_attention(QKV "a = causal_mask(mul(matmul(q, self, transpose_b), 0.5), fill=-inf)\n"
                     "output y = matmul(softmax(key_mask(a, length, fill=-inf)), q)\n",
                 0.5, true);
    is_attention(QKV "a = key_mask(matmul(q, self, transpose_b), length, fill=-inf)\n"
                     "output y = matmul(softmax(div(causal_mask(a, fill=-inf), 2)), q)\n",
                 0.5, true);
    is_attention(QKV
                 "output y = matmul(softmax(key_mask(matmul(q, k, transpose_b), length, fill=-inf)), v)\n",
                 1, false);
}

Test(contract, transposed_operands_and_results)
{
    is_attention("symbols B T S\n"
                 "q = input(name=\"q\", type=f32[B,3,T])\n"
                 "k = input(name=\"k\", type=f32[B,3,S])\n"
                 "v = input(name=\"v\", type=f32[B,5,S])\n"
                 "w = softmax(matmul(q, k, transpose_a))\n"
                 "output y = matmul(v, w, transpose_b)\n",
                 1, false);
}

Test(contract, heads_merged_into_the_batch)
{
    is_attention(QKV "qm = reshape(q, dims=[2*B,T,3])\n"
                     "km = reshape(k, dims=[2*B,S,3])\n"
                     "vm = reshape(v, dims=[2*B,S,5])\n"
                     "a = reshape(matmul(qm, km, transpose_b), dims=[B,2,T,S])\n"
                     "m = reshape(key_mask(a, length, fill=-inf), dims=[2*B,T,S])\n"
                     "output y = matmul(softmax(m), vm)\n",
                 1, false);
}

Test(contract, keys_and_values_shared_by_all_heads)
{
    is_attention("symbols B T S\n"
                 "q = input(name=\"q\", type=f32[B,2,T,3])\n"
                 "k = input(name=\"k\", type=f32[B,1,S,3])\n"
                 "v = input(name=\"v\", type=f32[B,1,S,5])\n"
                 "output y = matmul(softmax(matmul(q, k, transpose_b)), v)\n",
                 1, false);
}

Test(contract, dropout_on_the_weights_goes_along)
{
    const char *source = QKV "seed = input(name=\"seed\", type=i32[2])\n"
                             "ids = input(name=\"ids\", type=i32[B])\n"
                             "w = dropout(softmax(matmul(q, k, transpose_b)), seed, ids, rate=0.25, site=6)\n"
                             "output y = matmul(w, v)\n";
    contracted c = contract_text(source);
    cr_assert_eq(graph_count(c.after, OP_attention), 1);
    cr_assert_eq(graph_count(c.after, OP_dropout), 0);
    same_numbers(c.before, c.after, source);
    same_gradients(&c, source);
    done(&c);
}

Test(contract, leaves_alone_what_somebody_looks_at)
{
    is_left_alone(QKV "w = softmax(matmul(q, k, transpose_b))\noutput w = w\noutput y = matmul(w, v)\n");
    is_left_alone(
        QKV "a = matmul(q, k, transpose_b)\noutput y = matmul(softmax(a), v)\noutput z = matmul(a, v)\n");
}

Test(contract, leaves_alone_what_it_cannot_say)
{
    is_left_alone(QKV "a = causal_mask(matmul(q, self, transpose_b), fill=-inf, exclusive)\noutput y = "
                      "matmul(softmax(a), q)\n");
    is_left_alone(
        QKV "a = causal_mask(matmul(q, self, transpose_b), fill=-3)\noutput y = matmul(softmax(a), q)\n");
    is_left_alone(
        QKV
        "a = softmax(matmul(q, self, transpose_b))\noutput y = matmul(a, q, transpose_a)\n"); /* over queries
                                                                                               */
}

Test(contract, values_of_more_heads_than_there_are_weights_stay)
{
    is_left_alone("symbols B T S\n"
                  "q = input(name=\"q\", type=f32[B,1,T,3])\n"
                  "k = input(name=\"k\", type=f32[B,1,S,3])\n"
                  "v = input(name=\"v\", type=f32[B,2,S,5])\n"
                  "output y = matmul(softmax(matmul(q, k, transpose_b)), v)\n");
}

/* −∞ · −1 is not a mask. */
Test(contract, a_mask_that_is_turned_over_stays)
{
    contracted c = contract_text(QKV "a = neg(key_mask(matmul(q, k, transpose_b), length, fill=-inf))\n"
                                     "output y = matmul(softmax(a), v)\n");
    cr_assert_eq(graph_count(c.after, OP_attention), 0);
    done(&c);
}

/* ---- the loss ---- */

#define ROWS                                                                                                 \
    "symbols B T\n"                                                                                          \
    "h = input(name=\"h\", type=f32[B,T,3])\n"                                                               \
    "w = input(name=\"w\", type=f32[6,3])\n"                                                                 \
    "bias = input(name=\"bias\", type=f32[6])\n"                                                             \
    "y = input(name=\"y\", type=i32[B,T])\n"

static void is_joined(const char *source, int count)
{
    contracted c = contract_text(source);
    cr_assert_eq(graph_count(c.after, OP_linear_cross_entropy), count, "%s", source);
    cr_assert_eq(graph_count(c.after, OP_cross_entropy), 1 - count);
    same_numbers(c.before, c.after, source);
    rondo_error error = {0};
    rondo_graph *before = graph_with_gradients(c.before, &error),
                *after = graph_with_gradients(c.after, &error);
    cr_assert(before && after, "%s", error.message);
    same_numbers(before, after, source);
    graph_free(before);
    graph_free(after);
    done(&c);
}

#define SUMS "output loss = loss\noutput nll = nll\noutput count = count\n"

Test(contract, the_loss_takes_its_projection)
{
    is_joined(ROWS "loss, nll, count = cross_entropy(matmul(h, w, transpose_b), y, smoothing=0.1)\n" SUMS, 1);
    is_joined(ROWS "loss, nll, count = cross_entropy(add(matmul(h, w, transpose_b), bias), y)\n" SUMS, 1);
    is_joined(ROWS
              "loss, nll, count = cross_entropy(add(bias, matmul(h, transpose(w, order=[1,0]))), y)\n" SUMS,
              1);
}

Test(contract, the_loss_takes_its_projection_through_reshapes)
{
    is_joined(ROWS "rows = reshape(h, dims=[B*T,3])\n"
                   "logits = reshape(add(matmul(rows, w, transpose_b), bias), dims=[B,T,6])\n"
                   "loss, nll, count = cross_entropy(logits, y)\n" SUMS,
              1);
}

Test(contract, logits_that_are_read_stay)
{
    is_joined(ROWS "logits = matmul(h, w, transpose_b)\n"
                   "loss, nll, count = cross_entropy(logits, y)\n"
                   "output logits = logits\n" SUMS,
              0);
}
