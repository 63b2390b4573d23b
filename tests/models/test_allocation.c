/* Every allocation from building a model to decoding is refused once: weights, training, a checkpoint,
 * compiling, saving, loading. Each gives RONDO_MEMORY, and nothing leaks. */
#include "tests/core/counting_allocator.h"
#include "tests/models/small_model.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { ROWS = 2, WIDTH = 4 };

typedef struct life {
    rondo *context;
    transformer_graph built;
    rondo_weights *weights;
    rondo_trainer *trainer;
    rondo_program *program, *loaded;
    rondo_session *session, *copy;
    int32_t out[3 * 5]; /* the last error */
    double scores[3];
} life;

static bool train(life *l, const char *path, rondo_error *error)
{
    int32_t source[ROWS * WIDTH] = {4, 5, 6, 0, 7}, length[ROWS] = {3, 1},
                          in[ROWS * WIDTH] = {1, 4, 5, 0, 1, 6}, out[ROWS * WIDTH] = {4, 5, 2, 0, 6, 2};
    const rondo_tensor inputs[] = {{"source", RONDO_I32, 2, {ROWS, WIDTH}, source},
                                   {"source_length", RONDO_I32, 1, {ROWS}, length},
                                   {"target_in", RONDO_I32, 2, {ROWS, WIDTH}, in},
                                   {"target_out", RONDO_I32, 2, {ROWS, WIDTH}, out}};
    l->trainer = rondo_trainer_new(l->built.loss, error, l->weights, .clip_norm = 1);
    return rondo_trainer_accumulate(l->trainer, inputs, 4, NULL, error) &&
           rondo_trainer_step(l->trainer, inputs, 4, 1e-3f, NULL, error) &&
           rondo_trainer_evaluate(l->trainer, inputs, 4, NULL, error) &&
           rondo_trainer_save(l->trainer, path, error) && rondo_trainer_load(l->trainer, path, error);
}

static bool decode(life *l, rondo_error *error)
{
    int32_t source[ROWS * WIDTH] = {4, 5, 6, 0, 7}, length[ROWS] = {3, 1}, tokens[ROWS * 70];
    int64_t lengths[3];
    const rondo_tensor inputs[] = {{"source", RONDO_I32, 2, {ROWS, WIDTH}, source},
                                   {"source_length", RONDO_I32, 1, {ROWS}, length}};
    for (int i = 0; i < ROWS * 70; i++)
        tokens[i] = 3 + i % 6;
    l->session = rondo_session_new(l->loaded, NULL, ROWS, error);
    if (!rondo_session_source(l->session, inputs, 2, error) ||
        !rondo_session_advance(l->session, tokens, 3, NULL, error) ||
        !rondo_session_advance(l->session, tokens, 70, NULL, error) || /* the cache grows */
        !rondo_session_reorder(l->session, (int64_t[]){0, 1, 1}, 3, error))
        return false;
    l->copy = rondo_session_clone(l->session, error);
    return l->copy && rondo_session_advance(l->copy, tokens, 1, NULL, error) &&
           rondo_generate(l->session, l->out, lengths, l->scores, error, 5, .temperature = 1);
}

static bool live(life *l, const char *path, const char *checkpoint, rondo_error *error)
{
    const transformer shape = {.vocabulary = 9,
                               .dim = 4,
                               .ffn = 4,
                               .heads = 2,
                               .encoder_layers = 1,
                               .decoder_layers = 1,
                               .dropout = 0.1f,
                               .encoder_self = "linear",
                               .decoder_self = "softmax",
                               .cross = "linear"};
    if (!transformer_build(l->context, &shape, &l->built, error))
        return false;
    l->weights = rondo_weights_new(l->built.graph, 1, error);
    if (!l->weights || !train(l, checkpoint, error))
        return false;
    l->program = rondo_program_new(l->built.logits, "T", error);
    if (!rondo_program_save(l->program, l->weights, NULL, 0, path, error))
        return false;
    l->loaded = rondo_program_load(l->context, path, error);
    return l->loaded && decode(l, error);
}

static void end(life *l)
{
    rondo_session_free(l->copy);
    rondo_session_free(l->session);
    rondo_program_free(l->loaded);
    rondo_program_free(l->program);
    rondo_trainer_free(l->trainer);
    rondo_weights_free(l->weights);
    rondo_graph_free(l->built.graph);
    rondo_free(l->context);
}

/* False: there were fewer requests than the refused one. Where only a message needed the memory, everything
 * continues, to the same result as `whole`. */
static bool refuse(long at, counting *c, const char *path, const char *checkpoint, life *whole)
{
    rondo_error error = {0};
    life l = {0};
    *c = (counting){.refuse_at = at};
    const rondo_allocator allocator = counting_allocator(c);
    l.context = rondo_new(2, .allocator = &allocator);
    bool good = l.context && live(&l, path, checkpoint, &error);
    bool refused = c->requests >= at;
    if (good && refused)
        cr_expect(!memcmp(l.out, whole->out, sizeof l.out) &&
                      !memcmp(l.scores, whole->scores, sizeof l.scores),
                  "request %ld is not needed, yet without it all is different", at);
    else if (l.context && refused)
        cr_expect(error.code == RONDO_MEMORY && *error.message, "request %ld: code %d: %s", at,
                  (int)error.code, error.message);
    else if (!refused)
        cr_expect(good, "%s", error.message);
    if (!refused)
        *whole = l;
    end(&l);
    cr_expect_eq(c->live_bytes, 0, "request %ld: %ld bytes are lost (%s)", at, c->live_bytes, error.message);
    return refused;
}

Test(allocation, each_refused_once_is_a_clean_error)
{
    char path[100], checkpoint[100];
    counting c;
    life whole;
    snprintf(path, sizeof path, "/tmp/rondo-test-%d-allocation.rondo", (int)getpid());
    snprintf(checkpoint, sizeof checkpoint, "/tmp/rondo-test-%d-allocation.safetensors", (int)getpid());
    cr_assert_not(refuse(1000000000, &c, path, checkpoint, &whole));
    long requests = c.requests;
    cr_expect_gt(requests, 100);
    for (long at = 1; refuse(at, &c, path, checkpoint, &whole); at++)
        cr_assert_leq(at, requests, "refusing one request makes more");
    unlink(path);
    unlink(checkpoint);
}

/* A session that was refused memory is unchanged: the same call succeeds afterwards and gives the same
 * bits. */
Test(allocation, a_refused_call_on_a_session_changes_nothing)
{
    counting c = {0};
    rondo_error error = {0};
    const rondo_allocator allocator = counting_allocator(&c);
    transformer_graph built;
    const transformer shape = {.language_model = true,
                               .vocabulary = 9,
                               .dim = 4,
                               .ffn = 4,
                               .heads = 2,
                               .decoder_layers = 2,
                               .decoder_self = "softmax"};
    rondo *r = rondo_new(1, .allocator = &allocator);
    cr_assert(transformer_build(r, &shape, &built, &error), "%s", error.message);
    rondo_weights *w = rondo_weights_new(built.graph, 1, &error);
    rondo_program *p = rondo_program_new(built.logits, "T", &error);
    rondo_session *s[2] = {rondo_session_new(p, w, 2, &error), rondo_session_new(p, w, 2, &error)};
    int32_t tokens[3 * 70];
    for (int i = 0; i < 3 * 70; i++)
        tokens[i] = 3 + i % 6;
    static const int64_t wider[] = {1, 0, 1};
    for (int phase = 0; phase < 3; phase++) { /* a first piece, growth, and a reorder to more sequences */
        const float *expected = NULL, *out = NULL;
        bool good =
            phase < 2 ? (expected = rondo_session_advance(s[0], tokens, phase ? 70 : 3, NULL, &error)) != NULL
                      : rondo_session_reorder(s[0], wider, 3, &error);
        cr_assert(good, "%s", error.message);
        int refusals = 0;
        for (bool done = false; !done; refusals += !done) {
            rondo_error refused = {0};
            c.requests = 0;
            c.refuse_at = refusals + 1;
            done = phase < 2
                       ? (out = rondo_session_advance(s[1], tokens, phase ? 70 : 3, NULL, &refused)) != NULL
                       : rondo_session_reorder(s[1], wider, 3, &refused);
            cr_assert(done || refused.code == RONDO_MEMORY, "%s", refused.message);
        }
        c.refuse_at = 0;
        cr_expect_gt(refusals, 0, "phase %d asks for nothing", phase);
        if (phase == 2) {
            expected = rondo_session_advance(s[0], tokens, 2, NULL, &error);
            out = rondo_session_advance(s[1], tokens, 2, NULL, &error);
        }
        cr_assert(expected && out, "%s", error.message);
        cr_expect_arr_eq(out, expected, sizeof(float) * 2 * 9, "phase %d", phase);
    }
    rondo_session_free(s[0]);
    rondo_session_free(s[1]);
    rondo_program_free(p);
    rondo_weights_free(w);
    rondo_graph_free(built.graph);
    rondo_free(r);
    cr_expect_eq(c.live_bytes, 0);
}
