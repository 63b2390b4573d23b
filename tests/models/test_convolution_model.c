/* A language model of causal convolutions, through the public header alone: it learns, its bits do not
 * depend on the number of threads, and the decoder derived from it, which keeps the last rows of each
 * convolution, gives the logits of the parallel form. */
#include "rondo.h"
#include "tests/models/small_model.h"
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS = 9, WIDTH = 16, BATCH = 4, LENGTH = 24, MOST_THREADS = 7 };
static const double bound_f32 = 2e-6; /* docs/NUMERICS.md: logits of a model */

typedef struct convolution_model {
    rondo *context;
    rondo_graph *graph;
    rondo_value logits, loss;
    rondo_weights *weights;
    rondo_error error;
} convolution_model;

static convolution_model model_new(int threads)
{
    convolution_model m = {.context = rondo_new(threads)};
    m.graph = rondo_graph_new(m.context, &m.error);
    rondo_value table = rondo_parameter(m.graph, "table", "f32[%d,%d]", WORDS, WIDTH);
    rondo_value x = rondo_embed(table, rondo_input(m.graph, "tokens", "i32[B,T]"));
    x = rondo_add(x, rondo_silu(rondo_conv(x, WIDTH, .width = 3, .padding = RONDO_CAUSAL, .name = "all")));
    x = rondo_add(x,
                  rondo_conv(x, 0, .width = 2, .padding = RONDO_CAUSAL, .depthwise = true, .name = "each"));
    x = rondo_add(x, rondo_max_pool(x, 2, .stride = 1, .padding = RONDO_CAUSAL));
    x = rondo_roll(rondo_reverse(rondo_rms_norm(x, "norm"), -1), -1, 3);
    m.logits = rondo_linear(x, WORDS, .name = "out");
    m.loss = rondo_cross_entropy(m.logits, rondo_input(m.graph, "targets", "i32[B,T]"));
    m.weights = rondo_weights_new(m.graph, 3, &m.error);
    cr_assert(m.weights, "%s", m.error.message);
    return m;
}

static void model_free(convolution_model *m)
{
    rondo_weights_free(m->weights);
    rondo_graph_free(m->graph);
    rondo_free(m->context);
}

/* Each target is the token before the last one. */
static void lines(unsigned seed, int32_t *tokens, int32_t *targets)
{
    srand(seed);
    for (int i = 0; i < BATCH * LENGTH; i++) {
        tokens[i] = rand() % WORDS;
        targets[i] = i % LENGTH ? tokens[i - 1] : 0;
    }
}

static double train(convolution_model *m, int steps)
{
    int32_t tokens[BATCH * LENGTH], targets[BATCH * LENGTH];
    rondo_tensor inputs[] = {{"tokens", RONDO_I32, 2, {BATCH, LENGTH}, tokens},
                             {"targets", RONDO_I32, 2, {BATCH, LENGTH}, targets}};
    rondo_trainer *trainer = rondo_trainer_new(m->loss, &m->error, m->weights, .clip_norm = 1);
    rondo_step step = {0};
    cr_assert(trainer, "%s", m->error.message);
    for (int i = 0; i < steps; i++) {
        lines((unsigned)i, tokens, targets);
        cr_assert(rondo_trainer_step(trainer, inputs, 2, 1e-2f, &step, &m->error), "%s", m->error.message);
    }
    rondo_trainer_free(trainer);
    return step.nll;
}

Test(convolution_model, learns_the_token_before_the_last)
{
    convolution_model m = model_new(2);
    double before = train(&m, 1), after = train(&m, 150);
    cr_expect_gt(before, 1.8, "log 9 is 2.2");
    cr_expect_lt(after, 0.3, "from %g to %g", before, after);
    model_free(&m);
}

Test(convolution_model, trains_to_the_same_bits_with_any_number_of_threads)
{
    convolution_model one = model_new(1);
    double expected = train(&one, 5);
    for (int threads = 2; threads <= MOST_THREADS; threads += threads == 3 ? 4 : 1) {
        convolution_model m = model_new(threads);
        rondo_tensor a, b;
        cr_expect_eq(train(&m, 5), expected);
        cr_assert(rondo_weights_get(one.weights, "all.weight", &a) &&
                  rondo_weights_get(m.weights, "all.weight", &b));
        cr_expect_eq(memcmp(a.data, b.data, sizeof(float) * 3 * WIDTH * WIDTH), 0, "%d threads", threads);
        model_free(&m);
    }
    model_free(&one);
}

/* Tokens from..from + length − 1 of each line. */
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

Test(convolution_model, decodes_as_the_parallel_form_computes)
{
    static const int64_t pieces[] = {1, 1, 3, 7, 1, 2, 9};
    convolution_model m = model_new(2);
    int32_t tokens[BATCH * LENGTH], targets[BATCH * LENGTH];
    train(&m, 3);
    lines(77, tokens, targets);
    const char *name = "logits";
    const rondo_tensor input = {"tokens", RONDO_I32, 2, {BATCH, LENGTH}, tokens};
    rondo_function *parallel = rondo_function_new(&m.logits, &name, 1, &m.error);
    rondo_results *results = rondo_function_run(parallel, m.weights, &input, 1, &m.error);
    rondo_program *program = rondo_program_new(m.logits, "T", &m.error);
    cr_assert(results && program, "%s", m.error.message);
    rondo_session *s = rondo_session_new(program, m.weights, BATCH, &m.error);
    rondo_tensor whole;
    cr_assert(s && rondo_results_get(results, name, &whole), "%s", m.error.message);
    size_t bytes = rondo_session_state_bytes(s);
    for (int64_t k = 0, at = 0; k < (int64_t)(sizeof pieces / sizeof *pieces); at += pieces[k++]) {
        const float *logits = advance(s, tokens, at, pieces[k]);
        for (int b = 0; b < BATCH; b++) {
            const float *row = (const float *)whole.data + (b * LENGTH + at + pieces[k] - 1) * WORDS;
            double d = small_difference(logits + b * WORDS, row, WORDS);
            cr_expect_leq(d, bound_f32, "line %d after token %d differs by %g", b, (int)(at + pieces[k]), d);
        }
    }
    cr_expect_eq(rondo_session_state_bytes(s), bytes, "the state does not grow");
    rondo_session_free(s);
    rondo_program_free(program);
    rondo_results_free(results);
    rondo_function_free(parallel);
    model_free(&m);
}
