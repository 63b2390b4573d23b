/* A language model of Gated DeltaNet layers, through the public header alone: training, whose bits do not
 * depend on the number of threads, and the session derived from it, in f32. */
#include "rondo.h"
#include "tests/models/small_model.h"
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS = 17, WIDTH = 32, HEADS = 2, BATCH = 5, LENGTH = 40 };
/* docs/NUMERICS.md: logits of a model have twice the 1e-6 of one mixer. */
static const double bound_f32 = 2e-6;

static rondo_value of_length_1(rondo_value x)
{
    rondo_value square = rondo_sum(rondo_mul(x, x), -1, .keep = true);
    return rondo_mul(x, rondo_rsqrt(rondo_add_scalar(square, 1e-6)));
}

static rondo_value projected(rondo_value x, const char *name)
{
    rondo_enter(x.graph, "%s", name);
    x = rondo_silu(rondo_convolve(rondo_linear(x, WIDTH, .no_bias = true), 4));
    rondo_leave(x.graph);
    return rondo_split_heads(x, HEADS);
}

static rondo_value mixed(rondo_value x)
{
    rondo_value beta = rondo_sigmoid(rondo_split_heads(rondo_linear(x, HEADS, .name = "beta"), HEADS));
    rondo_value decay =
        rondo_neg(rondo_softplus(rondo_split_heads(rondo_linear(x, HEADS, .name = "decay"), HEADS)));
    rondo_value y = rondo_delta(of_length_1(projected(x, "q")), of_length_1(projected(x, "k")),
                                projected(x, "v"), .beta = beta, .log_decay = decay);
    return rondo_linear(rondo_merge_heads(y), WIDTH, .name = "out");
}

typedef struct recurrent_model {
    rondo *context;
    rondo_graph *graph;
    rondo_value logits, loss;
    rondo_weights *weights;
    rondo_error error;
} recurrent_model;

static recurrent_model model_new(int threads)
{
    recurrent_model m = {.context = rondo_new(threads)};
    m.graph = rondo_graph_new(m.context, &m.error);
    rondo_value table = rondo_parameter(m.graph, "table", "f32[%d,%d]", WORDS, WIDTH);
    rondo_value x = rondo_embed(table, rondo_input(m.graph, "tokens", "i32[B,T]"));
    for (int i = 0; i < 2; i++) {
        rondo_enter(m.graph, "layers.%d", i);
        x = rondo_add(x, mixed(rondo_rms_norm(x, "norm")));
        rondo_leave(m.graph);
    }
    m.logits = rondo_matmul(rondo_rms_norm(x, "norm"), table, .transpose_b = true);
    m.loss =
        rondo_cross_entropy(m.logits, rondo_input(m.graph, "targets", "i32[B,T]"), .ignore_padding = true);
    m.weights = rondo_weights_new(m.graph, 3, &m.error);
    cr_assert(m.weights, "%s", m.error.message);
    return m;
}

static void model_free(recurrent_model *m)
{
    rondo_weights_free(m->weights);
    rondo_graph_free(m->graph);
    rondo_free(m->context);
}

/* ---- training ---- */

/* Each line draws eight words and repeats them. Seven of its 40 targets are new, with log 16 nats each:
 * perfect memory has a loss of 0.49 per target. */
static void lines(unsigned seed, int32_t *tokens, int32_t *targets)
{
    srand(seed);
    for (int b = 0; b < BATCH; b++) {
        int32_t words[8], at = 0;
        for (int i = 0; i < 8; i++)
            words[i] = 1 + rand() % (WORDS - 1);
        for (int t = 0; t < LENGTH; t++, at++) {
            tokens[b * LENGTH + t] = words[at % 8];
            targets[b * LENGTH + t] = words[(at + 1) % 8];
        }
    }
}

/* Makes `steps` updates and returns the last loss. */
static double train(recurrent_model *m, int steps)
{
    int32_t tokens[BATCH * LENGTH], targets[BATCH * LENGTH];
    rondo_tensor inputs[] = {{"tokens", RONDO_I32, 2, {BATCH, LENGTH}, tokens},
                             {"targets", RONDO_I32, 2, {BATCH, LENGTH}, targets}};
    rondo_trainer *trainer = rondo_trainer_new(m->loss, &m->error, m->weights, .clip_norm = 1);
    rondo_step step = {0};
    cr_assert(trainer, "%s", m->error.message);
    for (int i = 0; i < steps; i++) {
        lines((unsigned)i, tokens, targets);
        cr_assert(rondo_trainer_step(trainer, inputs, 2, 5e-3f, &step, &m->error), "%s", m->error.message);
    }
    rondo_trainer_free(trainer);
    return step.nll;
}

Test(recurrent_model, learns_to_go_on_with_what_it_saw)
{
    recurrent_model m = model_new(2);
    double before = train(&m, 1), after = train(&m, 400);
    cr_expect_gt(before, 2.5, "log 16 is 2.77");
    cr_expect_lt(after, 0.8, "from %g to %g", before, after);
    model_free(&m);
}

Test(recurrent_model, trains_to_the_same_bits_with_any_number_of_threads)
{
    recurrent_model one = model_new(1);
    double expected = train(&one, 5);
    for (int threads = 2; threads <= 7; threads += threads == 3 ? 4 : 1) {
        recurrent_model m = model_new(threads);
        rondo_tensor a, b;
        cr_expect_eq(train(&m, 5), expected);
        cr_assert(rondo_weights_get(one.weights, "layers.0.k.conv.weight", &a) &&
                  rondo_weights_get(m.weights, "layers.0.k.conv.weight", &b));
        cr_expect_eq(memcmp(a.data, b.data, sizeof(float) * 4 * WIDTH), 0, "%d threads", threads);
        model_free(&m);
    }
    model_free(&one);
}

/* ---- the session ---- */

static const float *advance(rondo_session *s, const int32_t *tokens, int64_t from, int64_t length)
{
    int32_t some[BATCH * LENGTH];
    rondo_error error = {0};
    for (int b = 0; b < BATCH; b++)
        for (int64_t t = 0; t < length; t++)
            some[b * length + t] = tokens[b * LENGTH + from + t];
    const float *logits = rondo_session_advance(s, some, length, NULL, &error);
    cr_assert(logits, "%s", error.message);
    return logits;
}

/* Token by token the state goes through the kernels of one token, all at once through chunks. */
Test(recurrent_model, decodes_by_ones_by_pieces_and_at_once)
{
    recurrent_model m = model_new(2);
    int32_t tokens[BATCH * LENGTH], targets[BATCH * LENGTH];
    float first[BATCH * WORDS];
    train(&m, 3);
    lines(77, tokens, targets);
    rondo_program *program = rondo_program_new(m.logits, "T", &m.error);
    cr_assert(program, "%s", m.error.message);
    rondo_session *ones = rondo_session_new(program, m.weights, BATCH, &m.error);
    size_t bytes = rondo_session_state_bytes(ones);
    for (int64_t t = 0; t < LENGTH; t++) {
        memcpy(first, advance(ones, tokens, t, 1), sizeof first);
        rondo_session *whole = rondo_session_new(program, m.weights, BATCH, &m.error);
        if (t % 7 == 6)
            advance(whole, tokens, 0, t - 4);
        int64_t done = t % 7 == 6 ? t - 4 : 0;
        const float *logits = advance(whole, tokens, done, t + 1 - done);
        double d = small_difference(first, logits, BATCH * WORDS);
        cr_expect_leq(d, bound_f32, "token %d differs by %g", (int)t, d);
        rondo_session_free(whole);
    }
    cr_expect_eq(rondo_session_state_bytes(ones), bytes, "the state does not grow");
    rondo_session_free(ones);
    rondo_program_free(program);
    model_free(&m);
}

/* After a reorder each sequence continues like the one it came from. */
Test(recurrent_model, reorders_all_of_its_state)
{
    static const int64_t from[] = {3, 3, 0, 4, 1};
    recurrent_model m = model_new(1);
    int32_t tokens[BATCH * LENGTH], targets[BATCH * LENGTH], moved[BATCH * LENGTH];
    lines(5, tokens, targets);
    rondo_program *program = rondo_program_new(m.logits, "T", &m.error);
    rondo_session *s = rondo_session_new(program, m.weights, BATCH, &m.error),
                  *straight = rondo_session_new(program, m.weights, BATCH, &m.error);
    cr_assert(s && straight, "%s", m.error.message);
    advance(s, tokens, 0, 9);
    cr_assert(rondo_session_reorder(s, from, BATCH, &m.error), "%s", m.error.message);
    for (int b = 0; b < BATCH; b++)
        memcpy(moved + b * LENGTH, tokens + from[b] * LENGTH, sizeof *tokens * LENGTH);
    advance(straight, moved, 0, 9);
    for (int64_t t = 9; t < 20; t++) {
        float logits[BATCH * WORDS];
        memcpy(logits, advance(s, moved, t, 1), sizeof logits);
        cr_expect_leq(small_difference(logits, advance(straight, moved, t, 1), BATCH * WORDS), bound_f32);
    }
    rondo_session_free(s);
    rondo_session_free(straight);
    rondo_program_free(program);
    model_free(&m);
}
