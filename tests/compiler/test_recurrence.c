/* Recurrences that are ops, as a model uses them: a layer of Gated DeltaNet with short convolutions. The
 * derived decoder, advanced by any pieces, gives what the parallel form gives, in double. */
#include "compiler/explain/explain.h"
#include "compiler/pipeline.h"
#include "ops/interpret.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 3, TIME = 7, HEADS = 2, KEY = 3, VALUE = 5, WIDTH = 11, TAPS = 4, WORDS = 13 };
static const double algebra = 1e-11;

/* ---- the model ---- */

static rondo_value of_length_1(rondo_value x)
{
    rondo_value square = rondo_sum(rondo_mul(x, x), -1, .keep = true);
    return rondo_mul(x, rondo_rsqrt(rondo_add_scalar(square, 1e-6)));
}

static rondo_value projected(rondo_value x, int64_t width, const char *name)
{
    rondo_enter(x.graph, "%s", name);
    x = rondo_linear(x, width * HEADS, .no_bias = true);
    x = rondo_silu(rondo_convolve(x, TAPS, .name = "conv"));
    rondo_leave(x.graph);
    return rondo_split_heads(x, HEADS);
}

static rondo_value layer(rondo_value x, bool decays)
{
    rondo_value q = of_length_1(projected(x, KEY, "q")), k = of_length_1(projected(x, KEY, "k")),
                v = projected(x, VALUE, "v");
    rondo_value beta = rondo_sigmoid(rondo_split_heads(rondo_linear(x, HEADS, .name = "beta"), HEADS));
    rondo_value decay =
        rondo_neg(rondo_softplus(rondo_split_heads(rondo_linear(x, HEADS, .name = "decay"), HEADS)));
    rondo_value y =
        decays ? rondo_delta(q, k, v, .beta = beta, .log_decay = decay) : rondo_delta(q, k, v, .beta = beta);
    return rondo_linear(rondo_merge_heads(y), WIDTH, .name = "out");
}

typedef struct network {
    rondo *context;
    rondo_graph *graph, *advance;
    rondo_value logits;
    arena numbers;
    double *tokens, *expected; /* [B, T], [B, T, WORDS] */
} network;

/* A number in [0, 1) that follows from a leaf's name. */
static double unit(const char *name, int64_t i)
{
    uint64_t h = 0xcbf29ce484222325u + (uint64_t)i * 0x9e3779b97f4a7c15u;
    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 0x100000001b3u;
    h = (h ^ h >> 31) * 0x94d049bb133111ebu;
    return (double)(h >> 11) * 0x1p-53;
}

static const double *leaf_numbers(network *m, const rondo_graph *g, const node *leaf)
{
    const shape *s = graph_shape_of(g, leaf->first_output);
    const char *name = g->names[leaf->attributes[0].integer];
    int64_t count = 1;
    for (int i = 0; i < s->rank; i++)
        count *= s->dims[i].factor;
    double *data = ARENA_NEW(&m->numbers, double, count + 1);
    for (int64_t i = 0; i < count; i++)
        data[i] = 1.2 * unit(name, i) - 0.6;
    return data;
}

/* One run on the tokens; for a decoder also on its counts and the contents of its ports. */
static interpretation run(network *m, const rondo_graph *g, int64_t step, const double *tokens,
                          const double *count, double *const *ports)
{
    int64_t bound[MAX_SYMBOLS];
    interpret_binding bindings[64];
    interpretation result;
    rondo_error error = {0};
    int used = 0;
    for (int s = 0; s < g->symbol_count; s++)
        bound[s] = !strcmp(g->symbols[s], "B") ? BATCH : !strcmp(g->symbols[s], "T") ? TIME : step;
    for (node_id id = 0; id < g->node_count; id++) {
        const node *n = &g->nodes[id];
        if (!(op_table[n->op].flags & OP_LEAF) || n->op == OP_state)
            continue;
        const char *name = g->names[n->attributes[0].integer];
        cr_assert_lt(used, 40);
        bindings[used++] =
            (interpret_binding){n->first_output, !strcmp(name, "tokens")  ? tokens
                                                 : !strcmp(name, "count") ? count
                                                                          : leaf_numbers(m, g, n)};
    }
    for (int p = 0; ports && p < g->port_count; p++)
        if (ports[p])
            bindings[used++] = (interpret_binding){g->ports[p].in, ports[p]};
    cr_assert(interpret(g, bound, bindings, used, &result, &error), "%s", error.message);
    return result;
}

static network network_new(bool decays)
{
    network m = {.context = rondo_new(1)};
    rondo_error error = {0};
    arena_begin(&m.numbers, NULL);
    m.graph = rondo_graph_new(m.context, &error);
    rondo_value table = rondo_parameter(m.graph, "table", "f32[%d,%d]", WORDS, WIDTH);
    rondo_value x = rondo_embed(table, rondo_input(m.graph, "tokens", "i32[B,T]"));
    for (int i = 0; i < 2; i++) {
        rondo_enter(m.graph, "layers.%d", i);
        x = rondo_add(x, layer(x, decays));
        rondo_leave(m.graph);
    }
    m.logits = rondo_matmul(x, table, .transpose_b = true);
    cr_assert(rondo_graph_check(m.graph, &error), "%s", error.message);
    pipeline_options options = {.check = graph_verify};
    m.advance = pipeline_advance(m.logits, "T", &options, &error);
    cr_assert(m.advance, "%s", error.message);
    m.tokens = ARENA_NEW(&m.numbers, double, BATCH *TIME);
    for (int i = 0; i < BATCH * TIME; i++)
        m.tokens[i] = floor(unit("tokens", i) * WORDS);
    interpretation whole = run(&m, m.graph, 0, m.tokens, NULL, NULL);
    m.expected = ARENA_NEW(&m.numbers, double, BATCH *TIME *WORDS);
    memcpy(m.expected, whole.values[m.logits.id].data, sizeof(double) * BATCH * TIME * WORDS);
    interpret_end(&whole);
    return m;
}

static void network_free(network *m)
{
    arena_end(&m->numbers);
    graph_free(m->advance);
    rondo_graph_free(m->graph);
    rondo_free(m->context);
}

/* ---- the decoder ---- */

enum { PORTS = 32 };
typedef struct decoder {
    double *ports[PORTS]; /* NULL: as at the beginning */
    int64_t at[BATCH];    /* tokens of each sequence so far */
    double worst;         /* difference of a logit */
} decoder;

/* Advances sequence b by count[b] of `step` tokens; the rest is garbage. */
static void advance(network *m, decoder *d, int64_t step, const double *count)
{
    double tokens[BATCH * TIME];
    for (int64_t b = 0; b < BATCH; b++)
        for (int64_t t = 0; t < step; t++)
            tokens[b * step + t] = t < count[b] ? m->tokens[b * TIME + d->at[b] + t] : (double)(t % WORDS);
    cr_assert_leq(m->advance->port_count, PORTS);
    interpretation result = run(m, m->advance, step, tokens, count, d->ports);
    const double *logits = result.values[graph_find_output(m->advance, "logits")].data;
    for (int64_t b = 0; b < BATCH; b++) {
        for (int64_t i = 0; i < (int64_t)count[b] * WORDS; i++)
            d->worst = fmax(d->worst, fabs(logits[b * step * WORDS + i] -
                                           m->expected[(b * TIME + d->at[b]) * WORDS + i]));
        d->at[b] += (int64_t)count[b];
    }
    for (int p = 0; p < m->advance->port_count; p++) {
        const reference_tensor *out = &result.values[m->advance->ports[p].out];
        d->ports[p] = ARENA_NEW(&m->numbers, double, out->count + 1);
        memcpy(d->ports[p], out->data, sizeof(double) * (size_t)out->count);
    }
    interpret_end(&result);
}

Test(recurrence, any_pieces_are_the_whole)
{
    for (int decays = 0; decays < 2; decays++) {
        network m = network_new(decays);
        for (uint32_t cuts = 0; cuts < 1u << (TIME - 1); cuts++) {
            decoder d = {0};
            for (int64_t from = 0, to; from < TIME; from = to) {
                for (to = from + 1; to < TIME && !(cuts >> (to - 1) & 1); to++)
                    ;
                double all = (double)(to - from);
                advance(&m, &d, to - from, (double[BATCH]){all, all, all});
            }
            cr_expect_leq(d.worst, algebra, "pieces %x differ by %g", cuts, d.worst);
        }
        network_free(&m);
    }
}

Test(recurrence, ragged_pieces_are_the_whole)
{
    network m = network_new(true);
    for (unsigned seed = 1; seed <= 5; seed++) {
        decoder d = {0};
        srand(seed);
        while (d.at[0] + d.at[1] + d.at[2] < BATCH * TIME) {
            double count[BATCH];
            for (int b = 0; b < BATCH; b++)
                count[b] = rand() % (1 + (int)(TIME - d.at[b] < 4 ? TIME - d.at[b] : 4));
            advance(&m, &d, 4, count);
        }
        cr_expect_leq(d.worst, algebra, "seed %u differs by %g", seed, d.worst);
    }
    network_free(&m);
}

/* For each layer one state of the rule and three of the convolutions; no cache. */
Test(recurrence, carries_its_state_and_no_cache)
{
    network m = network_new(true);
    int64_t numbers = 0;
    for (int p = 0; p < m.advance->port_count; p++) {
        const port *port = &m.advance->ports[p];
        const shape *s = graph_shape_of(m.advance, port->in);
        int64_t product = 1;
        cr_expect_eq(port->kind, PORT_CARRY);
        for (int i = 1; i < s->rank; i++)
            product *= s->dims[i].factor;
        numbers += strcmp(m.advance->names[port->name], "position") ? product : 0;
    }
    cr_expect_eq(numbers, 2 * (HEADS * KEY * VALUE + (TAPS - 1) * HEADS * (2 * KEY + VALUE)));
    network_free(&m);
}

/* ---- what is refused ---- */

static void refused(const char *body, const char *reason)
{
    rondo_error error = {0};
    rondo *context = rondo_new(1);
    char source[900] =
        "symbols B T\nx = input(name=\"x\", type=f32[B,T,6])\nw = input(name=\"w\", type=f32[4,6])\n"
        "q = reshape(x, dims=[B,1,T,6])\nb = input(name=\"b\", type=f32[B,1,T,1])\n";
    rondo_graph *g = graph_parse(context, strcat(source, body), "model.graph", &error);
    cr_assert(g, "%s\n%s", error.message, source);
    rondo_graph *s = stream(g, "T", &error);
    cr_expect_null(s, "not refused:\n%s", body);
    cr_expect_eq(error.code, RONDO_NOT_CAUSAL);
    cr_expect(strstr(error.message, reason), "\"%s\" is not in: %s", reason, error.message);
    graph_free(s);
    graph_free(g);
    rondo_free(context);
}

Test(recurrence, over_another_axis_is_refused)
{
    refused("y = transpose(x, order=[0,2,1])\nv = input(name=\"v\", type=f32[4,T])\nz, s = convolve(y, v)\n"
            "output z = z\n",
            "convolve has no step form: its operand must carry time on its second axis");
    refused("k = transpose(q, order=[0,2,1,3])\nc = transpose(b, order=[0,2,1,3])\nz, s = delta(k, k, k, c)\n"
            "output z = z\n",
            "delta has no step form: its operands must carry time on their third axis");
    refused("k = transpose(q, order=[0,2,1,3])\nz, n, s = scan(k, k, k)\noutput z = z\n",
            "scan has no step form: its operands must carry time on their third axis");
    refused("s = input(name=\"s\", type=f32[B,1,6,6])\nz, n, t = scan(q, q, q, _, _, s)\noutput z = z\n",
            "it has an initial state of its own");
    refused("s = input(name=\"s\", type=f32[B,1,6,6])\nz, t = delta(q, q, q, b, _, _, s)\noutput z = z\n",
            "it has an initial state of its own");
}

/* One decay for all steps, or one for each step. */
Test(recurrence, a_decay_of_a_scan_may_carry_time)
{
    static const char *const decays[] = {"f32[1,1,1,1]", "f32[B,1,T,1]", "f32[B,1,T,6]"};
    for (size_t i = 0; i < sizeof decays / sizeof *decays; i++) {
        rondo_error error = {0};
        rondo *context = rondo_new(1);
        char source[400];
        snprintf(source, sizeof source,
                 "symbols B T\nq = input(name=\"q\", type=f32[B,1,T,6])\ng = input(name=\"g\", type=%s)\n"
                 "y, n, s = scan(q, q, q, g)\noutput y = y\n",
                 decays[i]);
        rondo_graph *g = graph_parse(context, source, "model.graph", &error);
        cr_assert(g, "%s", error.message);
        rondo_graph *step = stream(g, "T", &error);
        cr_expect(step, "%s: %s", decays[i], error.message);
        cr_expect(!step || step->port_count == 2, "%s", decays[i]); /* position and the state */
        graph_free(step);
        graph_free(g);
        rondo_free(context);
    }
}

/* A final state over the whole source is not part of the decoder's state. */
Test(recurrence, over_the_source_runs_once)
{
    rondo_error error = {0};
    rondo *context = rondo_new(1);
    rondo_graph *g = graph_parse(context,
                                 "symbols B T S\nx = input(name=\"x\", type=f32[B,T,6])\n"
                                 "source = input(name=\"source\", type=f32[B,S,6])\n"
                                 "w = input(name=\"w\", type=f32[4,6])\ny, s = convolve(source, w)\n"
                                 "output z = add(x, sum(y, axis=1, keep))\n",
                                 "model.graph", &error);
    cr_assert(g, "%s", error.message);
    rondo_graph *s = stream(g, "T", &error);
    cr_assert(s && graph_verify(s, &error), "%s", error.message);
    cr_expect_eq(s->port_count, 1, "the position");
    graph_free(s);
    graph_free(g);
    rondo_free(context);
}

/* ---- explain ---- */

Test(recurrence, is_explained_as_an_attention)
{
    rondo_error error = {0};
    for (int decays = 0; decays < 2; decays++) {
        network m = network_new(decays);
        text page = {.arena = &m.numbers};
        cr_assert(explain_graph(m.graph, NULL, &page, &error), "%s", error.message);
        const char *words = text_done(&page);
        const char *said[] = {"2 attentions",
                              "2 delta rules, 6 convolutions",
                              "a recurrence of its own: delta rule",
                              "layers.0 … layers.1, 2 alike",
                              "6·B·T·2·3·5",
                              "4·B·2·3·5",
                              "a state of 120 bytes a sequence at any length, 180 flops a token",
                              "768 bytes of state a sequence at any length",
                              decays ? "M ← D·M + k[t] u[t]ᵀ" : "M ← M + k[t] u[t]ᵀ"};
        for (size_t i = 0; i < sizeof said / sizeof *said; i++)
            cr_expect(strstr(words, said[i]), "\"%s\" is not in\n%s", said[i], words);
        int width = 0;
        for (const char *c = words; *c; c++) {
            width = *c == '\n' ? 0 : width + ((*c & 0xc0) != 0x80);
            cr_assert_leq(width, 100, "a line is too wide in\n%s", words);
        }
        network_free(&m);
    }
}
