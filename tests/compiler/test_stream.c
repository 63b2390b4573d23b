/* stream and hoist on small graphs: what has a step form gets one, what reads later tokens is refused with
 * node, line and reason, and each node goes to the earliest possible stage. Whole models:
 * tests/models/test_equality.c. */
#include "compiler/pipeline.h"
#include "tests/compiler/graph_compare.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static rondo_graph *parsed(rondo *r, const char *source)
{
    rondo_error error = {0};
    rondo_graph *g = graph_parse(r, source, "model.graph", &error);
    cr_assert(g, "%s\n%s", error.message, source);
    return g;
}

#define TOKENS                                                                                               \
    "symbols B T S\ntokens = input(name=\"tokens\", type=i32[B,T])\ntable = parameter(name=\"table\", "      \
    "type=f32[9,4])\n"                                                                                       \
    "source = input(name=\"source\", type=f32[B,S,4])\nx = embed(table, tokens)\n"

/* `rest` begins in line 8. */
static void refused(const char *rest, int line, const char *op, const char *reason)
{
    rondo_error error = {0};
    rondo *r = rondo_new(1);
    char source[900] = TOKENS "pair = matmul(x, x, transpose_b)\nheads = reshape(x, dims=[B,1,T,4])\n",
         where[80];
    strcat(source, rest);
    rondo_graph *g = parsed(r, source);
    cr_expect_null(stream(g, "T", &error), "not refused:\n%s", rest);
    cr_expect_eq(error.code, RONDO_NOT_CAUSAL);
    snprintf(where, sizeof where, "model.graph:%d: ", line);
    cr_expect(strstr(error.message, where), "no line %d in: %s", line, error.message);
    strcpy(where, op);
    cr_expect(strstr(error.message, strcat(where, " has no step form")), "%s is not in: %s", op,
              error.message);
    cr_expect(strstr(error.message, reason), "\"%s\" is not in: %s", reason, error.message);
    graph_free(g);
    rondo_free(r);
}

Test(stream, refuses_what_looks_ahead)
{
    refused("y = sum(x, axis=1, keep)\nz = add(x, y)\noutput logits = z\n", 8, "sum", "needs later tokens");
    refused("y = cumsum(x, axis=1, reverse)\noutput logits = y\n", 8, "cumsum", "backwards");
    refused("y = reshape(x, dims=[4*B*T])\nz = sum(y)\noutput logits = z\n", 9, "sum", "reduces over time");
    refused("y = transpose(x, order=[0,2,1])\nz = softmax(y)\noutput logits = z\n", 9, "softmax",
            "normalises over time");
    refused("y = matmul(x, x, transpose_a)\nz = matmul(x, y)\noutput logits = z\n", 8, "matmul",
            "sums over time");
    refused("b = softmax(pair)\ny = matmul(b, x)\noutput logits = y\n", 8, "softmax",
            "without a causal mask");
    refused("y, l = attention(heads, heads, heads)\noutput logits = y\n", 8, "attention",
            "attends to later tokens");
}

/* In a bidirectional transformer the message names the first attention. */
Test(stream, names_the_attention_that_is_not_causal)
{
    rondo_error error = {0};
    rondo *r = rondo_new(1);
    rondo_graph *g = rondo_graph_new(r, &error);
    rondo_value table = rondo_parameter(g, "table", "f32[9,4]"),
                x = rondo_embed(table, rondo_input(g, "tokens", "i32[B,T]"));
    for (int i = 0; i < 2; i++) {
        rondo_enter(g, "encoder.layers.%d", i);
        rondo_value a = rondo_matmul(x, x, .transpose_b = true);
        x = rondo_matmul(i ? rondo_softmax(a) : rondo_softmax(rondo_causal_mask_fill(a, -__builtin_inf())),
                         x);
        rondo_leave(g);
    }
    cr_expect_null(rondo_program_new(rondo_matmul(x, table, .transpose_b = true), "T", &error));
    cr_expect_eq(error.code, RONDO_NOT_CAUSAL);
    cr_expect(strstr(error.message, "test_stream.c:") && strstr(error.message, "encoder.layers.1"), "%s",
              error.message);
    rondo_graph_free(g);
    rondo_free(r);
}

Test(stream, refuses_what_it_cannot_begin_with)
{
    static const struct {
        const char *source, *time, *words;
    } cases[] = {
        {TOKENS "output y = x\n", "U", "no symbol U"},
        {"symbols T\nx = input(name=\"x\", type=f32[T,4])\noutput y = x\n", "T",
         "no batch symbol on its first axis"},
        {"symbols B T\nx = input(name=\"x\", type=f32[B,4])\ny = broadcast(x, dims=[T,B,4])\noutput y = y\n",
         "T", "no input carries"},
        {"symbols B T P\nx = input(name=\"x\", type=f32[B,T,4])\ns = input(name=\"s\", "
         "type=f32[B,P])\noutput y = x\noutput s = s\n",
         "T", "the decoder's own"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rondo_error error = {0};
        rondo *r = rondo_new(1);
        rondo_graph *g = parsed(r, cases[i].source);
        cr_expect_null(stream(g, cases[i].time, &error), "case %d", (int)i);
        cr_expect(strstr(error.message, cases[i].words), "\"%s\" is not in: %s", cases[i].words,
                  error.message);
        graph_free(g);
        rondo_free(r);
    }
}

static const port *port_of_kind(const rondo_graph *g, port_kind kind, int *count)
{
    const port *found = NULL;
    *count = 0;
    for (int p = 0; p < g->port_count; p++)
        if (g->ports[p].kind == kind) {
            found = &g->ports[p];
            ++*count;
        }
    return found;
}

/* A running sum carries one row; a graph that does not mix time carries only the position. */
Test(stream, makes_the_state_that_is_needed_and_no_more)
{
    rondo_error error = {0};
    rondo *r = rondo_new(1);
    int count;
    rondo_graph *g = parsed(r, TOKENS "y = cumsum(x, axis=1)\noutput logits = y\n"),
                *s = stream(g, "T", &error);
    cr_assert(s && graph_verify(s, &error), "%s", error.message);
    port_of_kind(s, PORT_CARRY, &count);
    cr_expect_eq(count, 2, "position and one sum");
    graph_free(g);
    graph_free(s);
    g = parsed(r, TOKENS "y = tanh(x)\noutput logits = y\n");
    s = stream(g, "T", &error);
    cr_assert(s && graph_verify(s, &error), "%s", error.message);
    cr_expect_eq(s->port_count, 1);
    cr_expect_str_eq(s->names[s->ports[0].name], "position");
    graph_free(g);
    graph_free(s);
    g = parsed(r, TOKENS "a = matmul(x, x, transpose_b)\nm = causal_mask(a, fill=-inf)\nw = softmax(m)\ny = "
                         "matmul(w, x)\noutput logits = y\n");
    s = stream(g, "T", &error);
    cr_assert(s && graph_verify(s, &error), "%s", error.message);
    const port *cache = port_of_kind(s, PORT_APPEND, &count);
    cr_assert(cache);
    cr_expect_eq(cache->append_axis, 1);
    cr_expect_eq(cache->batch_axis, 0);
    graph_free(g);
    graph_free(s);
    rondo_free(r);
}

/* ---- hoist ---- */

static int count_work(const rondo_graph *g)
{
    int count = 0;
    for (node_id id = 0; g && id < g->node_count; id++)
        count += !(op_table[g->nodes[id].op].flags & OP_LEAF) && g->nodes[id].op != OP_constant;
    return count;
}

Test(hoist, takes_each_node_to_its_stage)
{
    rondo_error error = {0};
    staged s;
    rondo *r = rondo_new(1);
    rondo_graph *g =
        parsed(r, TOKENS
               "w = exp(table)\nkeys = matmul(source, table, transpose_b)\nonce = sum(keys, axis=1, keep)\n"
               "h = matmul(x, w, transpose_b)\ny = add(h, once)\noutput logits = y\n");
    rondo_graph *advance = stream(g, "T", &error);
    cr_assert(advance && hoist(advance, &s, &error), "%s", error.message);
    cr_assert(graph_verify(s.load, &error) && graph_verify(s.source, &error) && graph_verify(s.step, &error),
              "%s", error.message);
    cr_expect_eq(graph_count(s.load, OP_exp), 1);
    cr_expect_eq(count_work(s.load), 1);
    cr_expect_eq(graph_count(s.source, OP_sum), 1);
    cr_expect_eq(count_work(s.source), 2);
    cr_expect_eq(graph_count(s.step, OP_sum) + graph_count(s.step, OP_exp), 0);
    cr_expect_eq(graph_count(s.step, OP_matmul), 1);
    staged_free(&s);
    graph_free(advance);
    graph_free(g);
    rondo_free(r);
}

/* A node that depends only on the number of new tokens belongs to the step. */
Test(hoist, leaves_what_is_as_long_as_the_step)
{
    rondo_error error = {0};
    staged s;
    rondo *r = rondo_new(1);
    rondo_graph *g = parsed(r, TOKENS "c = constant(number=0.5, type=f32[B,T,4])\nd = sum(c, axis=2, "
                                      "keep)\ny = mul(x, d)\noutput logits = y\n");
    rondo_graph *advance = stream(g, "T", &error);
    cr_assert(advance && hoist(advance, &s, &error), "%s", error.message);
    cr_expect_null(s.load);
    cr_expect_null(s.source);
    cr_expect_eq(graph_count(s.step, OP_sum), 1);
    staged_free(&s);
    graph_free(advance);
    graph_free(g);
    rondo_free(r);
}

/* ---- the last row only ---- */

Test(last_only, is_gathered_before_the_wide_product)
{
    rondo_error error = {0};
    rondo *r = rondo_new(1);
    rondo_graph *g = parsed(r, TOKENS "h = tanh(x)\ny = matmul(h, table, transpose_b)\noutput logits = y\n");
    rondo_graph *advance = stream(g, "T", &error),
                *last = advance ? last_only(advance, "logits", &error) : NULL;
    cr_assert(last && graph_verify(last, &error), "%s", error.message);
    const node *product = graph_node_of(last, graph_find_output(last, "logits"));
    cr_assert_eq(product->op, OP_matmul);
    cr_expect_eq(graph_op_of(last, product->inputs[0]), OP_last_row);
    cr_expect(dim_is_number(graph_shape_of(last, product->inputs[0])->dims[1], 1));
    graph_free(g);
    graph_free(advance);
    graph_free(last);
    rondo_free(r);
}

/* Also where the axis of heads comes before that of tokens. */
Test(last_only, finds_the_axis_of_the_tokens)
{
    rondo_error error = {0};
    rondo *r = rondo_new(1);
    rondo_graph *g = parsed(r, TOKENS "h = transpose(reshape(x, dims=[B,T,2,2]), order=[0,2,1,3])\n"
                                      "y = tanh(h)\noutput logits = y\n");
    rondo_graph *advance = stream(g, "T", &error),
                *last = advance ? last_only(advance, "logits", &error) : NULL;
    cr_assert(last && graph_verify(last, &error), "%s", error.message);
    const shape *s = graph_shape_of(last, graph_find_output(last, "logits"));
    cr_expect(dim_is_number(s->dims[1], 2) && dim_is_number(s->dims[2], 1));
    graph_free(g);
    graph_free(advance);
    graph_free(last);
    rondo_free(r);
}
