/* Sessions in f32: however the tokens are divided, the logits are those of the parallel form; moving, growing
 * and copying the state has no effect on them; impossible requests are refused in a sentence. */
#include "core/guard.h"
#include "models/decode/ports.h"
#include "tests/models/small_model.h"
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

/* docs/NUMERICS.md: logits of a model have twice the 1e-6 of one mixer. */
static const double bound_f32 = 2e-6;
enum { V = SMALL_VOCABULARY };

typedef struct mixers_of {
    const char *encoder, *decoder, *cross;
} mixers_of;
static const mixers_of models[] = {{NULL, "softmax", NULL},         {NULL, "linear", NULL},
                                   {NULL, "average", NULL},         {"softmax", "softmax", "softmax"},
                                   {"softmax", "linear", "linear"}, {"linear", "average", "softmax"}};
enum { MODELS = sizeof models / sizeof *models };

static small_model model(int i)
{
    return small_model_new(models[i].encoder, models[i].decoder, models[i].cross, 2);
}

static const float *advance(rondo_session *s, const int32_t *tokens, int64_t length, const int32_t *counts)
{
    rondo_error error = {0};
    const float *logits = rondo_session_advance(s, tokens, length, counts, &error);
    cr_assert(logits, "%s", error.message);
    return logits;
}

static int32_t *line_tokens(int64_t batch, int64_t first, int64_t from, int64_t length)
{
    int32_t *tokens = calloc((size_t)(batch * length), sizeof *tokens);
    for (int64_t b = 0; b < batch; b++)
        for (int64_t t = 0; t < length; t++)
            tokens[b * length + t] = small_token(first + b, from + t);
    return tokens;
}

static const float *advance_lines(rondo_session *s, int64_t batch, int64_t first, int64_t from,
                                  int64_t length)
{
    int32_t *tokens = line_tokens(batch, first, from, length);
    const float *logits = advance(s, tokens, length, NULL);
    free(tokens);
    return logits;
}

static void same(const float *logits, const float *parallel, int64_t batch, int64_t length, int64_t at,
                 const char *what, int i)
{
    for (int64_t b = 0; b < batch; b++) {
        double d = small_difference(logits + b * V, parallel + (b * length + at) * V, V);
        cr_expect_leq(d, bound_f32, "model %d, %s: row %d after token %d differs by %g", i, what, (int)b,
                      (int)at, d);
    }
}

Test(session, by_ones_by_pieces_and_at_once)
{
    enum { BATCH = 3, LENGTH = 21 };
    for (int i = 0; i < MODELS; i++) {
        small_model m = model(i);
        int32_t *tokens = line_tokens(BATCH, 0, 0, LENGTH);
        float *parallel = small_parallel(&m, tokens, BATCH, LENGTH, 0);
        rondo_session *s = small_session(&m, BATCH, 0);
        for (int64_t t = 0; t < LENGTH; t++)
            same(advance_lines(s, BATCH, 0, t, 1), parallel, BATCH, LENGTH, t, "by ones", i);
        cr_expect_eq(s->tokens_run, BATCH * LENGTH, "something was run again");
        small_source(&m, s, BATCH, 0); /* the same session begins again */
        static const int64_t pieces[] = {5, 1, 8, 7};
        for (int64_t k = 0, at = 0; k < 4; at += pieces[k++])
            same(advance_lines(s, BATCH, 0, at, pieces[k]), parallel, BATCH, LENGTH, at + pieces[k] - 1,
                 "by pieces", i);
        small_source(&m, s, BATCH, 0);
        same(advance_lines(s, BATCH, 0, 0, LENGTH), parallel, BATCH, LENGTH, LENGTH - 1, "at once", i);
        cr_expect_eq(s->tokens_run, 3 * BATCH * LENGTH);
        rondo_session_free(s);
        free(parallel);
        free(tokens);
        small_model_free(&m);
    }
}

Test(session, ragged_pieces)
{
    enum { BATCH = 4, LENGTH = 13, STEP = 5 };
    for (int i = 0; i < MODELS; i++) {
        small_model m = model(i);
        int32_t *tokens = line_tokens(BATCH, 0, 0, LENGTH), padded[BATCH * STEP], counts[BATCH];
        float *parallel = small_parallel(&m, tokens, BATCH, LENGTH, 0);
        rondo_session *s = small_session(&m, BATCH, 0);
        int64_t at[BATCH] = {0};
        for (int round = 0; round < 40; round++) {
            for (int b = 0; b < BATCH; b++) {
                counts[b] = (int32_t)((round * 7 + b * 3 + round / 3) % (STEP + 1));
                counts[b] = at[b] + counts[b] > LENGTH ? (int32_t)(LENGTH - at[b]) : counts[b];
                for (int t = 0; t < STEP; t++)
                    padded[b * STEP + t] =
                        t < counts[b] ? tokens[b * LENGTH + at[b] + t] : (b + t) % V; /* garbage */
                at[b] += counts[b];
            }
            const float *logits = advance(s, padded, STEP, counts);
            for (int b = 0; b < BATCH; b++) {
                double d = counts[b]
                               ? small_difference(logits + b * V, parallel + (b * LENGTH + at[b] - 1) * V, V)
                               : 0;
                cr_expect_leq(d, bound_f32, "model %d: row %d after token %d differs by %g", i, b, (int)at[b],
                              d);
            }
        }
        for (int b = 0; b < BATCH; b++)
            cr_expect_eq(at[b], LENGTH);
        rondo_session_free(s);
        free(parallel);
        free(tokens);
        small_model_free(&m);
    }
}

/* After a reorder each sequence continues like the one it came from; also to more and to fewer sequences. */
Test(session, reorder)
{
    enum { BATCH = 3, LENGTH = 9 };
    static const struct {
        int64_t batch, from[7];
    } orders[] = {{3, {2, 0, 1}}, {3, {1, 1, 1}}, {1, {2}}, {7, {0, 1, 2, 2, 1, 0, 1}}};
    for (int i = 0; i < MODELS; i++)
        for (int k = 0; k < 4; k++) {
            rondo_error error = {0};
            small_model m = model(i);
            int32_t *tokens = line_tokens(BATCH, 0, 0, LENGTH), next[7];
            float *parallel = small_parallel(&m, tokens, BATCH, LENGTH, 0);
            rondo_session *s = small_session(&m, BATCH, 0);
            advance_lines(s, BATCH, 0, 0, 4);
            cr_assert(rondo_session_reorder(s, orders[k].from, orders[k].batch, &error), "%s", error.message);
            for (int64_t t = 4; t < LENGTH; t++) {
                for (int64_t b = 0; b < orders[k].batch; b++)
                    next[b] = tokens[orders[k].from[b] * LENGTH + t];
                const float *logits = advance(s, next, 1, NULL);
                for (int64_t b = 0; b < orders[k].batch; b++) {
                    double d =
                        small_difference(logits + b * V, parallel + (orders[k].from[b] * LENGTH + t) * V, V);
                    cr_expect_leq(d, bound_f32, "model %d, order %d: row %d, token %d: %g", i, k, (int)b,
                                  (int)t, d);
                }
            }
            rondo_session_free(s);
            free(parallel);
            free(tokens);
            small_model_free(&m);
        }
}

/* A clone and its original continue differently, each with the bits that it has alone. */
Test(session, clone)
{
    for (int i = 0; i < MODELS; i++) {
        rondo_error error = {0};
        small_model m = model(i);
        rondo_session *s = small_session(&m, 2, 0), *alone = small_session(&m, 2, 0);
        advance_lines(s, 2, 0, 0, 70); /* past the first capacity */
        advance_lines(alone, 2, 0, 0, 70);
        rondo_session *copy = rondo_session_clone(s, &error);
        cr_assert(copy, "%s", error.message);
        advance_lines(copy, 2, 50, 0, 3);
        const float *logits = advance_lines(s, 2, 0, 70, 2), *other = advance_lines(alone, 2, 0, 70, 2);
        cr_expect_arr_eq(logits, other, sizeof(float) * 2 * V, "model %d: the clone touched its origin", i);
        logits = advance_lines(copy, 2, 0, 73, 1);
        small_source(&m, s, 2, 0);
        advance_lines(s, 2, 0, 0, 70);
        advance_lines(s, 2, 50, 0, 3);
        other = advance_lines(s, 2, 0, 73, 1);
        double d = small_difference(logits, other, 2 * V);
        cr_expect_leq(d, 0, "model %d: the clone is not its origin: %g", i, d);
        rondo_session_free(s);
        rondo_session_free(alone);
        rondo_session_free(copy);
        small_model_free(&m);
    }
}

/* Caches double at 64, 128, …; a linear state never grows. */
Test(session, grows_past_the_first_capacity)
{
    enum { BATCH = 2, LENGTH = 150 };
    for (int i = 0; i < MODELS; i++) {
        small_model m = model(i);
        int32_t *tokens = line_tokens(BATCH, 0, 0, LENGTH);
        float *parallel = small_parallel(&m, tokens, BATCH, LENGTH, 0);
        rondo_session *s = small_session(&m, BATCH, 0);
        size_t before = rondo_session_state_bytes(s);
        for (int64_t t = 0; t < LENGTH; t++) {
            const float *logits = advance_lines(s, BATCH, 0, t, 1);
            if (t % 16 == 15 || t + 1 == LENGTH)
                same(logits, parallel, BATCH, LENGTH, t, "grown", i);
        }
        size_t after = rondo_session_state_bytes(s);
        if (strcmp(models[i].decoder, "softmax"))
            cr_expect_eq(after, before, "model %d: %zu bytes became %zu", i, before, after);
        else
            cr_expect_gt(after, 2 * before);
        rondo_session_free(s);
        free(parallel);
        free(tokens);
        small_model_free(&m);
    }
}

/* A sequence does not depend on its neighbours, bit for bit. */
Test(session, rows_do_not_know_their_neighbours)
{
    static const int64_t batches[] = {1, 7, 64};
    for (int i = 0; i < MODELS; i++) {
        small_model m = model(i);
        float expected[12 * V];
        for (int k = 0; k < 3; k++) {
            rondo_session *s = small_session(&m, batches[k], 0);
            for (int64_t t = 0; t < 12; t++) {
                const float *logits = advance_lines(s, batches[k], 0, t, 1);
                if (k == 0)
                    memcpy(expected + t * V, logits, sizeof(float) * V);
                else
                    cr_expect_arr_eq(logits, expected + t * V, sizeof(float) * V,
                                     "model %d: batch %d, token %d", i, (int)batches[k], (int)t);
            }
            rondo_session_free(s);
        }
        small_model_free(&m);
    }
}

static int32_t largest(const float *row)
{
    int32_t best = -1;
    for (int32_t v = 1; v < V; v++)
        if (v != TOKEN_BEGIN && (best < 0 || row[v] > row[best]))
            best = v;
    return best;
}

/* Greedy output equals that of running the whole prefix in parallel form again for every token. */
Test(session, greedy_is_recomputing_every_prefix)
{
    enum { BATCH = 3, LENGTH = 12 };
    for (int i = 0; i < MODELS; i++) {
        rondo_error error = {0};
        small_model m = model(i);
        rondo_session *s = small_session(&m, BATCH, 0);
        int32_t tokens[BATCH * LENGTH], prefix[BATCH * (LENGTH + 1)] = {0};
        int64_t lengths[BATCH];
        double scores[BATCH];
        cr_assert(rondo_generate(s, tokens, lengths, scores, &error, LENGTH), "%s", error.message);
        bool done[BATCH] = {false};
        for (int b = 0; b < BATCH; b++)
            prefix[b] = TOKEN_BEGIN;
        for (int t = 0; t < LENGTH; t++) {
            float *parallel = small_parallel(&m, prefix, BATCH, t + 1, 0);
            int32_t next[BATCH];
            for (int b = 0; b < BATCH; b++) {
                next[b] = largest(parallel + (b * (t + 1) + t) * V);
                done[b] = done[b] || next[b] == TOKEN_END;
                if (!done[b])
                    cr_expect(t < lengths[b] && tokens[b * LENGTH + t] == next[b],
                              "model %d: sequence %d, token %d", i, b, t);
                else
                    cr_expect_leq(lengths[b], t);
            }
            for (int b = BATCH - 1; b >= 0; b--) { /* [BATCH, t + 1] becomes [BATCH, t + 2] */
                memmove(prefix + b * (t + 2), prefix + b * (t + 1), sizeof *prefix * (size_t)(t + 1));
                prefix[b * (t + 2) + t + 1] = next[b];
            }
            free(parallel);
        }
        cr_expect_leq(s->tokens_run, BATCH * LENGTH);
        rondo_session_free(s);
        small_model_free(&m);
    }
}

/* A prefill and then generating from its logits gives the same as feeding tokens one by one. */
Test(session, generate_goes_on_from_a_prompt)
{
    rondo_error error = {0};
    small_model m = model(1);
    int32_t tokens[2][8], prompt[] = {TOKEN_BEGIN, 5, 9, 4};
    int64_t lengths[2];
    double scores[2];
    for (int k = 0; k < 2; k++) {
        rondo_session *s = small_session(&m, 1, 0);
        for (int t = 0; t < 4; t += k ? 1 : 4)
            advance(s, prompt + t, k ? 1 : 4, NULL);
        cr_assert(rondo_generate(s, tokens[k], &lengths[k], &scores[k], &error, 8, .go_on = true,
                                 .temperature = 0.7f, .top_k = 5, .top_p = 0.9f, .seed = 4),
                  "%s", error.message);
        cr_expect(!rondo_generate(s, tokens[k], &lengths[k], &scores[k], &error, 0));
        error = (rondo_error){0};
        rondo_session_free(s);
    }
    cr_expect_eq(lengths[0], lengths[1]);
    cr_expect_arr_eq(tokens[0], tokens[1], sizeof *tokens[0] * (size_t)lengths[0]);
    cr_expect_float_eq(scores[0], scores[1], 1e-4);
    small_model_free(&m);
}

static void refused(bool good, rondo_error *error, const char *words)
{
    cr_expect_not(good, "\"%s\" was not refused", words);
    cr_expect(error->code && strstr(error->message, words), "\"%s\" is not in \"%s\"", words, error->message);
    *error = (rondo_error){0};
}

Test(session, what_cannot_be_is_refused_in_a_sentence)
{
    rondo_error error = {0};
    small_model m = model(3);
    int32_t source[12] = {4, 4, 4}, length[2] = {1, 2}, tokens[4] = {4, 4, 4, 4};
    rondo_tensor inputs[] = {{"source", RONDO_I32, 2, {2, 6}, source},
                             {"source_length", RONDO_I32, 1, {2}, length}};
    refused(rondo_session_new(m.program, m.weights, 0, &error), &error, "at least one sequence");
    refused(rondo_session_new(m.program, NULL, 2, &error), &error, "give the session its weights");
    rondo_session *s = rondo_session_new(m.program, m.weights, 2, &error);
    refused(rondo_session_advance(s, tokens, 1, NULL, &error), &error, "waits for its source");
    refused(rondo_session_source(s, inputs, 1, &error), &error, "source_length");
    inputs[1].dims[0] = 3;
    refused(rondo_session_source(s, inputs, 2, &error), &error,
            "source_length: axis 0 has 3 entries, but B is 2");
    inputs[1].dims[0] = 2;
    inputs[0].type = RONDO_F32;
    refused(rondo_session_source(s, inputs, 2, &error), &error, "source is f32, the graph says i32");
    inputs[0].type = RONDO_I32;
    source[7] = SMALL_VOCABULARY;
    refused(rondo_session_source(s, inputs, 2, &error), &error,
            "entry 7 is id 23, the table has rows 0 to 22");
    source[7] = 4;
    length[1] = 7;
    refused(rondo_session_source(s, inputs, 2, &error), &error,
            "tensor source_length: sequence 1 has the length 7, but there are 6 rows");
    length[1] = -1;
    refused(rondo_session_source(s, inputs, 2, &error), &error, "sequence 1 has the length -1");
    length[1] = 2;
    refused(rondo_session_source(s, NULL, 2, &error), &error, "not NULL");
    inputs[0].dims[0] = inputs[1].dims[0] = 1;
    refused(rondo_session_source(s, inputs, 2, &error), &error, "the session has 2 sequences, the source 1");
    refused(rondo_session_advance(s, tokens, 1, NULL, &error), &error, "waits for its source");
    inputs[0].dims[0] = inputs[1].dims[0] = 2;
    cr_assert(rondo_session_source(s, inputs, 2, &error), "%s", error.message);
    refused(rondo_session_source(s, inputs, 1, &error), &error,
            "\"source_length\" was given no data"); /* that of the last call is gone */
    cr_assert(rondo_session_source(s, inputs, 2, &error), "%s", error.message);
    refused(rondo_session_advance(s, tokens, 0, NULL, &error), &error, "at least one token");
    refused(rondo_session_advance(s, tokens, 2, (int32_t[]){1, 3}, &error), &error,
            "sequence 1: the count is 3, but there are 2 new tokens");
    refused(rondo_session_advance(s, (int32_t[]){4, -1}, 1, NULL, &error), &error, "id -1");
    refused(rondo_session_reorder(s, (int64_t[]){0, 2}, 2, &error), &error, "cannot come from 2");
    refused(rondo_session_reorder(s, NULL, 2, &error), &error, "at least one sequence");
    cr_assert(rondo_session_advance(s, tokens, 1, NULL, &error), "%s", error.message);
    rondo_session_cancel(s);
    refused(rondo_session_advance(s, tokens, 1, NULL, &error), &error, "cancelled");
    cr_assert(rondo_session_source(s, inputs, 2, &error) && rondo_session_advance(s, tokens, 1, NULL, &error),
              "%s", error.message);
    cr_expect_eq(rondo_session_vocabulary(s), V);
    cr_expect_null(rondo_session_advance(NULL, tokens, 1, NULL, &error));
    cr_expect_null(rondo_session_clone(NULL, &error));
    rondo_session_free(s);
    rondo_session_free(NULL);
    small_model_free(&m);
}

/* Work on parameters alone is done once, at load, whatever reads its result. */
Test(session, the_load_stage_feeds_source_and_step)
{
    rondo_error error = {0};
    rondo *r = rondo_new(1);
    rondo_graph *g = rondo_graph_new(r, &error);
    rondo_value table = rondo_exp(rondo_parameter(g, "table", "f32[11,4]"));
    rondo_value summed = rondo_softmax(rondo_parameter(g, "mix", "f32[1,4]"));
    rondo_value only_source = rondo_tanh(rondo_parameter(g, "source_only", "f32[4,4]"));
    rondo_value source = rondo_sum(
        rondo_matmul(rondo_embed(table, rondo_input(g, "source", "i32[B,S]")), only_source), 1, .keep = true);
    rondo_value tokens = rondo_input(g, "tokens", "i32[B,T]");
    rondo_value counting =
        rondo_sum(rondo_constant(g, 0.25, "f32[B,T,4]"), -1, .keep = true); /* no input, but T */
    rondo_value x = rondo_add(rondo_cumsum(rondo_mul(rondo_embed(table, tokens), summed), 1),
                              rondo_mul(source, counting));
    rondo_value logits = rondo_matmul(x, table, .transpose_b = true);
    rondo_weights *w = rondo_weights_new(g, 1, &error);
    rondo_program *p = rondo_program_new(logits, "T", &error);
    cr_assert(p && w, "%s", error.message);
    cr_assert(p->load && p->source);
    rondo_session *s = rondo_session_new(p, w, 2, &error);
    int32_t ids[] = {3, 1, 4, 1, 5, 9}, more[] = {2, 6, 5, 3, 5, 8};
    rondo_tensor input = {"source", RONDO_I32, 2, {2, 3}, ids};
    cr_assert(rondo_session_source(s, &input, 1, &error), "%s", error.message);
    const float *at = rondo_session_advance(s, more, 3, NULL, &error);
    cr_assert(at, "%s", error.message);
    float at_once[22], *one_by_one = NULL;
    memcpy(at_once, at, sizeof at_once);
    cr_assert(rondo_session_source(s, &input, 1, &error), "%s", error.message);
    for (int t = 0; t < 3; t++)
        one_by_one = (float *)rondo_session_advance(s, (int32_t[]){more[t], more[3 + t]}, 1, NULL, &error);
    cr_expect_leq(small_difference(one_by_one, at_once, 22), 1e-6);
    rondo_session_free(s);
    rondo_program_free(p);
    rondo_weights_free(w);
    rondo_graph_free(g);
    rondo_free(r);
}

/* ---- cancelling: from another thread, from a signal handler ---- */

static _Atomic(rondo_session *) to_cancel;

static void cancel_from_handler(int signal)
{
    (void)signal;
    rondo_session_cancel(to_cancel);
}

static void *cancel_from_thread(void *session)
{
    rondo_session_cancel(session);
    return NULL;
}

/* Advances until the cancel arrives; then the session waits for its source, and is like a new one
 * afterwards. */
static void advance_until_cancelled(rondo_session *s)
{
    rondo_error error = {0};
    const int32_t token = 4;
    while (rondo_session_advance(s, &token, 1, NULL, &error))
        ;
    cr_assert_eq(error.code, RONDO_CANCELLED, "%s", error.message);
    error = (rondo_error){0};
    refused(rondo_session_advance(s, &token, 1, NULL, &error), &error, "waits for its source");
}

Test(session, is_cancelled_from_a_thread_or_a_signal_handler)
{
    for (int threads = 1; threads <= 2; threads++) {
        small_model m = small_model_new(NULL, "linear", NULL, threads);
        rondo_session *s = small_session(&m, 1, 0);
        float first[V];
        memcpy(first, advance_lines(s, 1, 0, 0, 1), sizeof first);

        pthread_t other;
        cr_assert(!pthread_create(&other, NULL, cancel_from_thread, s));
        advance_until_cancelled(s);
        pthread_join(other, NULL);
        small_source(&m, s, 1, 0);
        cr_expect_arr_eq(advance_lines(s, 1, 0, 0, 1), first, sizeof first);

        const struct itimerval soon = {.it_value = {.tv_usec = 2000}};
        to_cancel = s;
        signal(SIGALRM, cancel_from_handler);
        cr_assert(!setitimer(ITIMER_REAL, &soon, NULL));
        advance_until_cancelled(s);
        signal(SIGALRM, SIG_DFL);
        small_source(&m, s, 1, 0);
        cr_expect_arr_eq(advance_lines(s, 1, 0, 0, 1), first, sizeof first);
        rondo_session_free(s);
        small_model_free(&m);
    }
}

/* ---- guards: core/guard.h ---- */

Test(session, a_write_past_the_end_of_a_port_is_named, .disabled = !RONDO_GUARDS)
{
    rondo_error error = {0};
    small_model m = model(1);
    rondo_session *s = small_session(&m, 2, 0);
    const rondo_graph *g = session_graph(s);
    for (int p = 0; p < g->port_count; p++) {
        ports_guard(s);
        cr_expect(ports_check_guards(s, &error), "%s", error.message);
        s->ports[p].data[port_bytes(s, p)] ^= 1;
        cr_expect(!ports_check_guards(s, &error) && strstr(error.message, g->names[g->ports[p].name]), "%s",
                  error.message);
        error = (rondo_error){0};
    }
    rondo_session_free(s);
    small_model_free(&m);
}
