/* One model, three forms. For every combination of mixers, these give the same logits and the same state in
 * double precision: the parallel form; the derived decoder, advanced by any pieces, also ragged ones with
 * padding on the right; and its load, source and step stages. */
#include "tests/models/double_model.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double algebra = 1e-11;

typedef struct combination {
    const char *encoder, *decoder, *cross; /* encoder NULL: a language model */
} combination;
static const combination all[] = {
    {NULL, "softmax", NULL},           {NULL, "linear", NULL},           {NULL, "average", NULL},
    {"softmax", "softmax", "softmax"}, {"softmax", "linear", "softmax"}, {"softmax", "average", "softmax"},
    {"linear", "softmax", "linear"},   {"linear", "linear", "linear"},   {"linear", "average", "linear"},
    {"softmax", "linear", "linear"},   {"linear", "softmax", "softmax"}, {"linear", "linear", "softmax"},
};
enum { COMBINATIONS = sizeof all / sizeof *all };

static rondo_graph *advance_of(const double_model *m, bool no_linearize)
{
    rondo_error error = {0};
    pipeline_options options = {.check = graph_verify, .no_linearize = no_linearize};
    rondo_graph *g = pipeline_advance(m->built.logits, TRANSFORMER_TIME, &options, &error);
    cr_assert(g, "%s", error.message);
    return g;
}

/* Advances every sequence by pieces; bit i of `cuts`: a cut after token i. */
static double by_pieces(double_model *m, const rondo_graph *advance, uint32_t cuts, double_state *state)
{
    int64_t batch = m->n.batch, time = m->n.time, vocabulary = m->n.vocabulary;
    double *tokens = calloc((size_t)(batch * time), sizeof *tokens),
           *count = calloc((size_t)batch, sizeof *count);
    double *all_logits = calloc((size_t)(batch * time * vocabulary), sizeof *all_logits);
    for (int64_t from = 0, to; from < time; from = to) {
        for (to = from + 1; to < time && !(cuts >> (to - 1) & 1); to++)
            ;
        int64_t step = to - from, elements;
        for (int64_t b = 0; b < batch; b++) {
            memcpy(tokens + b * step, m->tokens + b * time + from, sizeof *tokens * (size_t)step);
            count[b] = (double)step;
        }
        double *logits = double_advance(m, advance, state, step, tokens, count, &elements);
        cr_assert_eq(elements, batch * step * vocabulary);
        for (int64_t b = 0; b < batch; b++)
            memcpy(all_logits + (b * time + from) * vocabulary, logits + b * step * vocabulary,
                   sizeof *logits * (size_t)(step * vocabulary));
        free(logits);
    }
    double difference = double_difference(all_logits, m->logits, batch * time * vocabulary);
    free(tokens);
    free(count);
    free(all_logits);
    return difference;
}

/* Each call gives each sequence its own number of tokens, perhaps none, followed by garbage. */
static double ragged(double_model *m, const rondo_graph *advance, uint64_t seed, double_state *state)
{
    int64_t batch = m->n.batch, time = m->n.time, vocabulary = m->n.vocabulary, left = batch * time;
    int64_t *at = calloc((size_t)batch, sizeof *at);
    double *tokens = calloc((size_t)(batch * time), sizeof *tokens),
           *count = calloc((size_t)batch, sizeof *count);
    double *all_logits = calloc((size_t)(batch * time * vocabulary), sizeof *all_logits);
    srand((unsigned)seed);
    while (left) {
        int64_t step = 1 + rand() % time, elements;
        for (int64_t b = 0; b < batch; b++) {
            int64_t most = time - at[b] < step ? time - at[b] : step, now = rand() % (most + 1);
            count[b] = (double)now;
            for (int64_t t = 0; t < step; t++)
                tokens[b * step + t] =
                    t < now ? m->tokens[b * time + at[b] + t] : (double)(rand() % vocabulary);
        }
        double *logits = double_advance(m, advance, state, step, tokens, count, &elements);
        for (int64_t b = 0; b < batch; b++) {
            memcpy(all_logits + (b * time + at[b]) * vocabulary, logits + b * step * vocabulary,
                   sizeof *logits * (size_t)count[b] * (size_t)vocabulary);
            at[b] += (int64_t)count[b];
            left -= (int64_t)count[b];
        }
        free(logits);
    }
    double difference = double_difference(all_logits, m->logits, batch * time * vocabulary);
    free(at);
    free(tokens);
    free(count);
    free(all_logits);
    return difference;
}

static const char *title(const combination *c, bool post_norm, char *text, size_t bytes)
{
    snprintf(text, bytes, "encoder %s, decoder %s, cross %s%s", c->encoder ? c->encoder : "none", c->decoder,
             c->cross ? c->cross : "none", post_norm ? ", post-norm" : "");
    return text;
}

static void check_forms(const combination *c, const sizes *n, bool post_norm, bool no_linearize,
                        uint32_t stride)
{
    char name[120];
    title(c, post_norm, name, sizeof name);
    double_model m = double_model_new(transformer_of(n, c->encoder, c->decoder, c->cross, post_norm), n, 1);
    rondo_graph *advance = advance_of(&m, no_linearize);
    double_state whole = {0};
    double difference = by_pieces(&m, advance, 0, &whole);
    cr_expect_leq(difference, algebra, "%s: prefill differs by %g", name, difference);
    for (uint32_t cuts = 1; cuts < 1u << (n->time - 1); cuts += stride) {
        double_state state = {0};
        difference = by_pieces(&m, advance, cuts, &state);
        cr_expect_leq(difference, algebra, "%s: pieces %x differ by %g", name, cuts, difference);
        difference = state_difference(&whole, &state, &m, n->time);
        cr_expect_leq(difference, algebra, "%s: pieces %x leave another state, by %g", name, cuts,
                      difference);
        state_free(&state);
    }
    for (uint64_t seed = 1; seed <= 3; seed++) {
        double_state state = {0};
        m.n.capacity = 2 * n->time;
        difference = ragged(&m, advance, seed, &state);
        cr_expect_leq(difference, algebra, "%s: ragged pieces %d differ by %g", name, (int)seed, difference);
        double_state again = {0};
        by_pieces(&m, advance, 0, &again);
        difference = state_difference(&again, &state, &m, n->time);
        cr_expect_leq(difference, algebra, "%s: ragged pieces %d leave another state, by %g", name, (int)seed,
                      difference);
        state_free(&state);
        state_free(&again);
        m.n.capacity = n->capacity;
    }
    state_free(&whole);
    graph_free(advance);
    double_model_free(&m);
}

Test(equality, language_models_by_all_compositions)
{
    for (int i = 0; i < 3; i++) {
        check_forms(&all[i], &primes, false, false, 1);
        check_forms(&all[i], &primes, true, false, 7);
    }
}

Test(equality, translation_by_all_compositions)
{
    for (int i = 3; i < COMBINATIONS; i++)
        check_forms(&all[i], &primes, i % 2, false, i < 6 ? 1 : 5);
}

Test(equality, with_every_size_four)
{
    for (int i = 0; i < COMBINATIONS; i++)
        check_forms(&all[i], &fours, i % 2, false, 1);
}

Test(equality, with_every_size_one)
{
    for (int i = 0; i < COMBINATIONS; i++)
        check_forms(&all[i], &ones, i % 2, false, 1);
}

/* The quadratic form can be streamed too: then every attention keeps a cache. The running mean cannot,
 * because its mask has no batch axis and sequences have different positions. */
Test(equality, without_linearize)
{
    for (int i = 0; i < COMBINATIONS; i++)
        if (strcmp(all[i].decoder, "average"))
            check_forms(&all[i], &primes, i % 2, true, 9);
    rondo_error error = {0};
    double_model m = double_model_new(transformer_of(&primes, NULL, "average", NULL, false), &primes, 1);
    pipeline_options options = {.no_linearize = true};
    cr_assert_null(pipeline_advance(m.built.logits, "T", &options, &error));
    cr_assert_eq(error.code, RONDO_NOT_CAUSAL);
    cr_assert(strstr(error.message, "average.c:") &&
                  strstr(error.message, "decoder.layers.0.self_attn: causal_mask"),
              "%s", error.message);
    double_model_free(&m);
}

/* ---- the three stages ---- */

static void check_stages(const combination *c, const sizes *n)
{
    char name[120];
    rondo_error error = {0};
    title(c, false, name, sizeof name);
    double_model m = double_model_new(transformer_of(n, c->encoder, c->decoder, c->cross, false), n, 1);
    rondo_graph *advance = advance_of(&m, false);
    staged stages;
    cr_assert(hoist(advance, &stages, &error), "%s: %s", name, error.message);
    cr_assert(graph_verify(stages.step, &error), "%s: %s", name, error.message);
    cr_expect_eq(stages.source != NULL, c->encoder != NULL, "%s: what is there to do once a sentence?", name);
    double_state state = {0};
    double_stage(&m, stages.load, &state);
    double_stage(&m, stages.source, &state);
    double difference = by_pieces(&m, stages.step, 0x2a, &state);
    cr_expect_leq(difference, algebra, "%s: the stages differ by %g", name, difference);
    for (node_id id = 0; c->encoder && id < stages.step->node_count; id++) {
        const node *at = &stages.step->nodes[id];
        bool free_of_cost = at->op == OP_constant || op_table[at->op].flags & (OP_LEAF | OP_VIEW);
        cr_expect(free_of_cost || strncmp(stages.step->names[at->scope], "encoder", 7),
                  "%s: the step runs the encoder's %s", name, op_table[at->op].signature.name);
    }
    state_free(&state);
    staged_free(&stages);
    graph_free(advance);
    double_model_free(&m);
}

Test(equality, load_source_and_step_are_the_whole)
{
    for (int i = 0; i < COMBINATIONS; i++) {
        check_stages(&all[i], &primes);
        check_stages(&all[i], &fours);
    }
}
