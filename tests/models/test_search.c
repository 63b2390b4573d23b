/* Search: a sequence that has ended stays as it is while the others go on; options out of range, vocabularies
 * without an answer and logits that are not finite are errors in a sentence. */
#include "tests/models/small_model.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { BATCH = 3, MOST = 9 };

typedef struct listener {
    int64_t heard[BATCH], stop_after[BATCH];
} listener;

static bool listen(void *user, int64_t sequence, int32_t token, double log_prob)
{
    listener *l = user;
    cr_expect(token >= 0 && token < SMALL_VOCABULARY && log_prob <= 0);
    return ++l->heard[sequence] < l->stop_after[sequence];
}

Test(search, what_is_finished_stays_finished)
{
    static const char *const decoders[] = {"softmax", "linear"};
    for (int i = 0; i < 2; i++) {
        rondo_error error = {0};
        small_model m = small_model_new(NULL, decoders[i], NULL, 1);
        int32_t all[BATCH * MOST], some[BATCH * MOST];
        int64_t lengths[BATCH];
        double scores[BATCH], shorter[BATCH];
        listener open = {.stop_after = {MOST + 1, MOST + 1, MOST + 1}}, l = {.stop_after = {2, MOST + 1, 1}};
        rondo_session *s = small_session(&m, BATCH, 0);
        cr_assert(rondo_generate(s, all, lengths, scores, &error, MOST, .temperature = 1, .seed = 8,
                                 .on_token = listen, .user = &open),
                  "%s", error.message);
        for (int b = 0; b < BATCH; b++)
            cr_expect_eq(lengths[b], open.heard[b]);
        int64_t whole = lengths[1], first = lengths[0] < 2 ? lengths[0] : 2,
                last = lengths[2] < 1 ? lengths[2] : 1;
        small_source(&m, s, BATCH, 0);
        cr_assert(rondo_generate(s, some, lengths, shorter, &error, MOST, .temperature = 1, .seed = 8,
                                 .on_token = listen, .user = &l),
                  "%s", error.message);
        cr_expect(lengths[0] == first && lengths[1] == whole && lengths[2] == last, "lengths %d, %d, %d",
                  (int)lengths[0], (int)lengths[1], (int)lengths[2]);
        for (int b = 0; b < BATCH; b++) {
            cr_expect_eq(l.heard[b], lengths[b], "sequence %d: %d tokens were told", b, (int)l.heard[b]);
            cr_expect_arr_eq(some + b * MOST, all + b * MOST, sizeof *all * (size_t)lengths[b]);
        }
        cr_expect_eq(shorter[1], scores[1]);
        cr_expect_gt(shorter[0] + (lengths[0] == open.heard[0]), scores[0]);
        rondo_session_free(s);
        small_model_free(&m);
    }
}

static void refused(bool good, rondo_error *error, rondo_code code, const char *words)
{
    cr_expect_not(good, "\"%s\" was not refused", words);
    cr_expect(error->code == code && strstr(error->message, words), "\"%s\" is not in %d, \"%s\"", words,
              (int)error->code, error->message);
    *error = (rondo_error){0};
}

Test(search, options_out_of_range_are_refused)
{
    rondo_error error = {0};
    small_model m = small_model_new(NULL, "linear", NULL, 1);
    int32_t tokens[MOST];
    int64_t lengths[1];
    double scores[1];
    static const struct {
        rondo_search options;
        const char *words;
    } wrong[] = {{{.max_length = 0}, "max_length is 0"},
                 {{.max_length = -3}, "max_length is -3"},
                 {{.temperature = -1}, "temperature is -1"},
                 {{.temperature = NAN}, "temperature is nan"},
                 {{.temperature = INFINITY}, "temperature is inf"},
                 {{.top_p = -0.5f}, "top_p is -0.5"},
                 {{.top_p = 1.5f}, "top_p is 1.5"},
                 {{.top_p = NAN}, "top_p is nan"},
                 {{.top_k = -1}, "top_k is -1"},
                 {{.begin = -1}, "begin is -1"},
                 {{.begin = SMALL_VOCABULARY}, "begin is 23; the vocabulary has the ids 0 to 22"},
                 {{.end = -2}, "end is -2"},
                 {{.end = SMALL_VOCABULARY}, "end is 23"}};
    rondo_session *s = small_session(&m, 1, 0);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        rondo_search options = wrong[i].options;
        options.size = sizeof options;
        options.max_length = strstr(wrong[i].words, "max_length") ? options.max_length : MOST;
        refused(rondo_generate_with(s, tokens, lengths, scores, &error, &options), &error, RONDO_ARGUMENT,
                wrong[i].words);
    }
    refused(rondo_generate(s, NULL, lengths, scores, &error, MOST), &error, RONDO_ARGUMENT, "on_token");
    refused(rondo_generate(s, tokens, NULL, scores, &error, MOST), &error, RONDO_ARGUMENT, "lengths");
    refused(rondo_generate(s, tokens, lengths, scores, &error, MOST, .go_on = true), &error, RONDO_ARGUMENT,
            "go_on");
    cr_expect(rondo_generate(s, tokens, lengths, scores, &error, MOST, .temperature = 1e-30f, .top_p = 1,
                             .top_k = 1000, .end = -1),
              "%s", error.message);
    cr_expect_eq(lengths[0], MOST);
    rondo_session_free(s);
    small_model_free(&m);
}

/* Bounded by what is generated, not by the size of the caller's memory. */
Test(search, tokens_may_go_to_the_listener_alone)
{
    rondo_error error = {0};
    small_model m = small_model_new(NULL, "linear", NULL, 1);
    int64_t lengths[BATCH];
    double scores[BATCH];
    listener l = {.stop_after = {4, 2, 7}};
    rondo_session *s = small_session(&m, BATCH, 0);
    cr_assert(rondo_generate(s, NULL, lengths, scores, &error, INT64_MAX, .end = -1, .on_token = listen,
                             .user = &l),
              "%s", error.message);
    for (int b = 0; b < BATCH; b++)
        cr_expect(lengths[b] == l.stop_after[b] && l.heard[b] == l.stop_after[b]);
    rondo_session_free(s);
    small_model_free(&m);
}

/* A language model whose vocabulary has `entries` ids. */
static rondo_session *tiny_vocabulary(rondo *r, int64_t entries, rondo_graph **g, rondo_weights **w,
                                      rondo_program **p)
{
    rondo_error error = {0};
    *g = rondo_graph_new(r, &error);
    rondo_value table = rondo_parameter(*g, "table", "f32[%d,4]", (int)entries);
    rondo_value tokens = rondo_input(*g, "tokens", "i32[B,T]");
    rondo_value x = rondo_cumsum(rondo_embed(table, tokens), 1);
    *w = rondo_weights_new(*g, 1, &error);
    *p = rondo_program_new(rondo_matmul(x, table, .transpose_b = true), "T", &error);
    rondo_session *s = rondo_session_new(*p, *w, 1, &error);
    cr_assert(s, "%s", error.message);
    return s;
}

Test(search, a_vocabulary_without_an_answer_is_refused)
{
    for (int64_t entries = 1; entries <= 3; entries++)
        for (int sampled = 0; sampled < 2; sampled++) {
            rondo *r = rondo_new(1);
            rondo_error error = {0};
            rondo_graph *g;
            rondo_weights *w;
            rondo_program *p;
            rondo_session *s = tiny_vocabulary(r, entries, &g, &w, &p);
            int32_t tokens[MOST] = {0};
            int64_t length;
            double score;
            bool good =
                rondo_generate(s, tokens, &length, &score, &error, MOST, .temperature = sampled, .end = -1);
            if (entries < 3)
                refused(good, &error, RONDO_ARGUMENT, "the vocabulary has");
            else
                cr_expect(good && length == MOST && tokens[0] == 2 && tokens[MOST - 1] == 2);
            rondo_session_free(s);
            rondo_program_free(p);
            rondo_weights_free(w);
            rondo_graph_free(g);
            rondo_free(r);
        }
}

static void poison(small_model *m, const char *name, float number)
{
    rondo_tensor view;
    cr_assert(rondo_weights_get(m->weights, name, &view));
    ((float *)view.data)[1] = number;
}

Test(search, logits_that_are_not_finite_name_the_weights)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++)
        for (int sampled = 0; sampled < 2; sampled++) {
            rondo_error error = {0};
            int32_t tokens[BATCH * MOST];
            int64_t lengths[BATCH];
            double scores[BATCH];
            small_model m = small_model_new("linear", "linear", "softmax", 1);
            poison(&m, "encoder.layers.1.linear2.weight", bad[i]);
            rondo_session *s = small_session(&m, BATCH, 0);
            refused(rondo_generate(s, tokens, lengths, scores, &error, MOST, .temperature = sampled), &error,
                    RONDO_DIVERGED,
                    "sequence 0: the logits of token 0 are not finite, because the weights "
                    "encoder.layers.1.linear2.weight are not");
            rondo_session_free(s);
            small_model_free(&m);
        }
}

/* One sequence alone, after some tokens: finite weights that overflow for one token. */
Test(search, logits_that_overflow_say_where)
{
    rondo_error error = {0};
    int32_t tokens[BATCH * MOST], fed[BATCH] = {5, 6, 5};
    int64_t lengths[BATCH];
    double scores[BATCH];
    rondo *r = rondo_new(1);
    rondo_graph *g;
    rondo_weights *w;
    rondo_program *p;
    rondo_session *s = tiny_vocabulary(r, 8, &g, &w, &p);
    rondo_session_free(s);
    rondo_tensor view;
    cr_assert(rondo_weights_get(w, "table", &view));
    for (int i = 0; i < 4; i++)
        ((float *)view.data)[6 * 4 + i] = 1e30f; /* row 6 */
    s = rondo_session_new(p, w, BATCH, &error);
    cr_assert(rondo_session_advance(s, fed, 1, NULL, &error), "%s", error.message);
    refused(rondo_generate(s, tokens, lengths, scores, &error, MOST, .go_on = true), &error, RONDO_DIVERGED,
            "sequence 1: the logits of token 0 are not finite; all weights are");
    rondo_session_free(s);
    rondo_program_free(p);
    rondo_weights_free(w);
    rondo_graph_free(g);
    rondo_free(r);
}
