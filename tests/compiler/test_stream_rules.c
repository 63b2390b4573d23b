/* Single step rules: a running sum continues from its last value, whatever the padding holds; and ops that
 * would read later tokens are refused, with the reason. */
#include "compiler/passes/stream.h"
#include "ops/interpret.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct streamed {
    rondo *context;
    rondo_graph *graph, *advance;
    rondo_error error;
} streamed;

static streamed stream_text(const char *source)
{
    streamed s = {.context = rondo_new(1)};
    s.graph = graph_parse(s.context, source, "test.graph", &s.error);
    cr_assert(s.graph, "%s", s.error.message);
    s.advance = stream(s.graph, "T", &s.error);
    return s;
}

static void done(streamed *s)
{
    graph_free(s->advance);
    graph_free(s->graph);
    rondo_free(s->context);
}

enum { BATCH = 2, STEP = 3, ROUNDS = 3, PORTS = 4 };

/* x holds 1, 2, 3, … in the order of tokens; padding is −1000. */
static void check_running_sum(const char *source, bool exclusive)
{
    static const double counts[ROUNDS][BATCH] = {{3, 1}, {0, 2}, {2, 3}};
    streamed s = stream_text(source);
    cr_assert(s.advance && s.advance->port_count <= PORTS, "%s", s.error.message);
    double ports[PORTS][BATCH] = {{0}}, seen[BATCH] = {0}, sum[BATCH] = {0};
    for (int round = 0; round < ROUNDS; round++) {
        const rondo_graph *g = s.advance;
        interpret_binding bindings[PORTS + 2];
        interpretation result;
        rondo_error error = {0};
        double x[BATCH * STEP];
        int64_t bound[MAX_SYMBOLS] = {0};
        int count = 0;
        for (int i = 0; i < g->symbol_count; i++)
            bound[i] = strcmp(g->symbols[i], STEP_SYMBOL) ? BATCH : STEP;
        for (int i = 0; i < BATCH * STEP; i++)
            x[i] = i % STEP < counts[round][i / STEP] ? seen[i / STEP] + i % STEP + 1 : -1000;
        bindings[count++] = (interpret_binding){graph_find_leaf(g, OP_input, "x"), x};
        bindings[count++] = (interpret_binding){graph_find_leaf(g, OP_input, "count"), counts[round]};
        for (int p = 0; p < g->port_count; p++)
            bindings[count++] = (interpret_binding){g->ports[p].in, ports[p]};
        cr_assert(interpret(g, bound, bindings, count, &result, &error), "%s", error.message);
        const double *y = result.values[graph_find_output(g, "y")].data;
        for (int b = 0; b < BATCH; b++)
            for (int t = 0; t < counts[round][b]; t++) {
                double before = sum[b];
                sum[b] += x[b * STEP + t];
                seen[b]++;
                cr_expect_eq(y[b * STEP + t], exclusive ? before : sum[b], "sentence %d, token %g: %g", b,
                             seen[b], y[b * STEP + t]);
            }
        for (int p = 0; p < g->port_count; p++)
            memcpy(ports[p], result.values[g->ports[p].out].data, sizeof ports[p]);
        interpret_end(&result);
    }
    done(&s);
}

Test(stream_rules, a_running_sum_goes_on_and_leaves_padding_out)
{
    check_running_sum("symbols B T\n"
                      "x = input(name=\"x\", type=f32[B,T])\n"
                      "output y = cumsum(x, axis=1)\n",
                      false);
    check_running_sum("symbols B T\n"
                      "x = input(name=\"x\", type=f32[B,T])\n"
                      "output y = cumsum(x, axis=1, exclusive)\n",
                      true);
}

static void is_refused(const char *source, const char *reason)
{
    streamed s = stream_text(source);
    cr_expect_null(s.advance, "not refused:\n%s", source);
    cr_expect_eq(s.error.code, RONDO_NOT_CAUSAL);
    cr_expect(strstr(s.error.message, reason), "\"%s\" is not in \"%s\"", reason, s.error.message);
    done(&s);
}

#define QK                                                                                                   \
    "symbols B T\n"                                                                                          \
    "q = input(name=\"q\", type=f32[B,T,3])\n"                                                               \
    "k = input(name=\"k\", type=f32[B,T,3])\n"

/* After a causal mask an op may change the values where s > t, which a following sum over s would include. */
static void forgets_the_mask(const char *fill, const char *op, const char *reduce)
{
    char source[700];
    snprintf(source, sizeof source,
             "symbols B T\n"
             "q = input(name=\"q\", type=f32[B,2,T,3])\n"
             "k = input(name=\"k\", type=f32[B,2,T,3])\n"
             "lengths = input(name=\"lengths\", type=i32[B])\n"
             "m = causal_mask(matmul(q, k, transpose_b), fill=%s)\n"
             "output y = %s(%s, axis=-1)\n",
             fill, reduce, op);
    is_refused(source, "a row sees later tokens");
}

Test(stream_rules, a_mask_is_known_as_long_as_nothing_changes_it)
{
    forgets_the_mask("0", "logsumexp(m, axis=1)", "sum");
    forgets_the_mask("-inf", "cumsum(m, axis=1, exclusive)", "max");
    forgets_the_mask("-inf", "pad(m, axis=1, before=1)", "max");
    forgets_the_mask("-inf", "row_mask(m, lengths, axis=1)", "max");
    forgets_the_mask("-inf", "exp(m)", "max");
    forgets_the_mask("0", "add(m, 1)", "sum");
    forgets_the_mask(
        "0", "transpose(key_mask(transpose(m, order=[0,2,3,1]), lengths, fill=1), order=[0,3,1,2])", "sum");
    forgets_the_mask("-inf", "transpose(softmax(transpose(m, order=[0,2,3,1])), order=[0,3,1,2])", "max");
}

/* The sequences of a batch are at different positions, so no op may combine them. */
Test(stream_rules, what_joins_sequences_is_refused)
{
    static const char reason[] = "it combines sequences";
    is_refused(QK "output y = sum(q, axis=0)\n", reason);
    is_refused(QK "output y = cumsum(q, axis=0)\n", reason);
    is_refused(QK "output y = softmax(transpose(q, order=[1,2,0]))\n", reason);
    is_refused(QK "output y = matmul(transpose(q, order=[1,2,0]), transpose(k, order=[1,0,2]))\n", reason);
}

Test(stream_rules, an_offset_of_the_model_itself_is_refused)
{
    static const char reason[] = "it has an offset of its own",
                      head[] = "symbols B T\n"
                               "o = input(name=\"o\", type=i32[B])\n"
                               "ids = input(name=\"ids\", type=i32[B,T])\n"
                               "q = input(name=\"q\", type=f32[B,2,T,3])\n";
    static const char *const rest[] = {
        "output y = positions(ids, o)\n",
        "output y = sum(causal_mask(matmul(q, q, transpose_b), o), axis=-1)\n",
        "y, l = attention(q, q, q, _, o, causal)\noutput y = y\n",
    };
    for (size_t i = 0; i < sizeof rest / sizeof *rest; i++) {
        char source[600];
        snprintf(source, sizeof source, "%s%s", head, rest[i]);
        is_refused(source, reason);
    }
}

Test(stream_rules, what_looks_ahead_is_refused)
{
    is_refused(QK "output y = sum(matmul(q, k, transpose_b), axis=-1)\n", "a row sees later tokens");
    is_refused(QK "output y = sum(causal_mask(matmul(q, k, transpose_b), fill=1), axis=-1)\n",
               "a row sees later tokens");
    is_refused(QK "output y = matmul(softmax(matmul(q, k, transpose_b)), k)\n", "a row sees later tokens");
    is_refused(QK "output y = sum(q, axis=1)\n", "it needs later tokens");
    is_refused(QK "output y = cumsum(q, axis=1, reverse)\n", "backwards");
}
