/* Refused allocations. One allocation after the other is refused while a model of each mixer is built,
 * trained, compiled and run. A call that fails, fails with RONDO_MEMORY and leaks nothing; a call that
 * succeeds without that memory gives the same numbers, bit for bit, as if nothing had been refused. With
 * the arenas of small_arena.c there are some 17,000 allocations a mixer, of which a sample is refused, a
 * different one for each mixer. */
#include "models/mixers/mixer.h"
#include "tests/core/counting_allocator.h"
#include "tests/models/small_model.h"
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { ROWS = 2, WIDTH = 4, PROMPT = 70, VOCABULARY = 9 };
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
enum { STRIDE = 1000 }; /* of some 16,000 requests */
#else
enum { STRIDE = 150 };
#endif

/* A model's life, in parts that follow each other. Each part makes its own objects and adds its results to
 * `numbers`. */
typedef struct life {
    rondo *context;
    transformer shape;
    const char *path;
    transformer_graph built;
    rondo_weights *weights;
    rondo_trainer *trainer;
    rondo_program *program;
    rondo_session *session, *copy;
    float *initial;   /* the weights before training */
    uint64_t numbers; /* a hash */
} life;

static bool note(life *l, const void *result, size_t bytes)
{
    const unsigned char *c = result;
    for (size_t i = 0; c && i < bytes; i++)
        l->numbers = (l->numbers ^ c[i]) * 1099511628211u;
    return c != NULL;
}

static void note_file(life *l)
{
    char block[4096];
    FILE *file = fopen(l->path, "rb");
    cr_assert(file);
    for (size_t count; (count = fread(block, 1, sizeof block, file)) > 0;)
        note(l, block, count);
    fclose(file);
}

static int32_t source[ROWS * WIDTH] = {4, 5, 6, 0, 7}, lengths[ROWS] = {3, 1},
                             target_in[ROWS * WIDTH] = {1, 4, 5, 0, 1, 6},
                             target_out[ROWS * WIDTH] = {4, 5, 2, 0, 6, 2};
static const rondo_tensor inputs[] = {{"source", RONDO_I32, 2, {ROWS, WIDTH}, source},
                                      {"source_length", RONDO_I32, 1, {ROWS}, lengths},
                                      {"target_in", RONDO_I32, 2, {ROWS, WIDTH}, target_in},
                                      {"target_out", RONDO_I32, 2, {ROWS, WIDTH}, target_out}};

/* A second objective, with a count of its own. */
static bool decay(rondo_graph *g)
{
    rondo_value table = rondo_parameter(g, "embed.weight", "f32[%d,4]", VOCABULARY);
    return rondo_objective(rondo_sum(rondo_sum(rondo_mul(table, table), -1), -1), "decay", .weight = 0.01f)
        .graph;
}

static bool build(life *l, rondo_error *error)
{
    if (!transformer_build(l->context, &l->shape, &l->built, error) || !decay(l->built.graph) ||
        !(l->weights = rondo_weights_new(l->built.graph, 1, error)))
        return false;
    char *text = rondo_graph_print(l->built.graph, error);
    if (!text)
        return false;
    note(l, text, strlen(text));
    rondo_text_free(l->context, text);
    return note(l, l->weights->block, sizeof(float) * (size_t)l->weights->size);
}

static void end_build(life *l)
{
    rondo_weights_free(l->weights);
    rondo_graph_free(l->built.graph);
}

static bool train(life *l, rondo_error *error)
{
    rondo_step step[3];
    l->trainer = rondo_trainer_new(l->built.loss, error, l->weights, .clip_norm = 1);
    if (!rondo_trainer_accumulate(l->trainer, inputs, 4, &step[0], error) ||
        !rondo_trainer_step(l->trainer, inputs, 4, 1e-3f, &step[1], error) ||
        !rondo_trainer_evaluate(l->trainer, inputs, 4, &step[2], error) ||
        !rondo_trainer_save(l->trainer, l->path, error) || !rondo_trainer_load(l->trainer, l->path, error))
        return false;
    for (int i = 0; i < 3; i++)
        note(l, &step[i].nll, sizeof step[i].nll);
    note_file(l); /* weights and moments */
    return true;
}

static void end_train(life *l)
{
    rondo_trainer_free(l->trainer);
    memcpy(l->weights->block, l->initial, sizeof *l->initial * (size_t)l->weights->size);
}

static bool run(life *l, const rondo_weights *weights, rondo_error *error)
{
    int32_t tokens[ROWS * PROMPT], out[3 * 5] = {0};
    int64_t counts[3];
    double scores[3];
    const float *logits;
    for (int i = 0; i < ROWS * PROMPT; i++)
        tokens[i] = 3 + i % 6;
    l->session = rondo_session_new(l->program, weights, ROWS, error);
    if (!rondo_session_source(l->session, inputs, 2, error) ||
        !(logits = rondo_session_advance(l->session, tokens, 3, NULL, error)) ||
        !note(l, logits, sizeof *logits * ROWS * VOCABULARY) ||
        !(logits = rondo_session_advance(l->session, tokens, PROMPT, NULL, error)) || /* caches grow */
        !note(l, logits, sizeof *logits * ROWS * VOCABULARY) ||
        !rondo_session_reorder(l->session, (int64_t[]){0, 1, 1}, 3, error) ||
        !(l->copy = rondo_session_clone(l->session, error)) ||
        !rondo_generate(l->copy, out, counts, scores, error, 5, .temperature = 1))
        return false;
    return note(l, out, sizeof out) && note(l, scores, sizeof scores);
}

static bool compile(life *l, rondo_error *error)
{
    l->program = rondo_program_new(l->built.logits, TRANSFORMER_TIME, error);
    if (!rondo_program_save(l->program, l->weights, NULL, 0, l->path, error))
        return false;
    note_file(l); /* the graphs and the report among others */
    return run(l, l->weights, error);
}

static bool load(life *l, rondo_error *error)
{
    l->program = rondo_program_load(l->context, l->path, error);
    return run(l, NULL, error);
}

static void end_run(life *l)
{
    rondo_session_free(l->copy);
    rondo_session_free(l->session);
    rondo_program_free(l->program);
}

static const struct part {
    const char *name;
    bool (*run)(life *l, rondo_error *error);
    void (*end)(life *l);
} parts[] = {{"build", build, end_build},
             {"train", train, end_train},
             {"compile", compile, end_run},
             {"load", load, end_run}};
enum { PARTS = sizeof parts / sizeof *parts };

/* Runs the part with the request `at` refused, none if it is 0; true: it succeeded. */
static bool run_part(life *l, const struct part *part, counting *c, long at, uint64_t *numbers,
                     rondo_error *error)
{
    life now = *l;
    *error = (rondo_error){0};
    c->requests = 0;
    c->refuse_at = at;
    bool good = part->run(&now, error);
    c->refuse_at = 0;
    *numbers = now.numbers;
    part->end(&now);
    return good;
}

/* Refuses the requests first, first + stride, … of a part. Leaves the file that the next part reads. */
static void sweep(life *l, const struct part *part, counting *c, long first, long stride)
{
    const char *mixer_name = l->shape.decoder_self;
    rondo_error error;
    uint64_t whole, numbers;
    for (int i = 0; i < 2; i++) /* the first run of all starts the team, which stays */
        cr_assert(run_part(l, part, c, 0, &whole, &error), "%s, %s: %s", mixer_name, part->name,
                  error.message);
    const long requests = c->requests, bytes = c->live_bytes;
    cr_expect_gt(requests, 200);
    for (long at = first; at <= requests; at += stride) {
        bool good = run_part(l, part, c, at, &numbers, &error);
        cr_expect(!good || numbers == whole, "%s, %s: without request %ld there are other numbers",
                  mixer_name, part->name, at);
        cr_expect(good || (error.code == RONDO_MEMORY && *error.message), "%s, %s, request %ld: code %d: %s",
                  mixer_name, part->name, at, (int)error.code, error.message);
        cr_expect_eq(c->live_bytes, bytes, "%s, %s, request %ld: %ld bytes are lost (%s)", mixer_name,
                     part->name, at, c->live_bytes - bytes, error.message);
    }
    cr_assert(run_part(l, part, c, 0, &numbers, &error) && numbers == whole, "%s", error.message);
}

/* A mixer in each place that it has, something simple elsewhere. */
static transformer shape_with(const mixer *m)
{
    return (transformer){.vocabulary = VOCABULARY,
                         .dim = 4,
                         .ffn = 4,
                         .heads = 2,
                         .encoder_layers = 1,
                         .decoder_layers = 1,
                         .dropout = 0.1f,
                         .encoder_self = m->encoder ? m->name : "linear",
                         .decoder_self = m->decoder ? m->name : "linear",
                         .cross = m->cross ? m->name : "softmax"};
}

static life begin(const transformer *shape, const rondo_allocator *allocator, char path[100])
{
    snprintf(path, 100, "/tmp/rondo-test-%d-allocation.rondo", (int)getpid());
    return (life){.context = rondo_new(2, .allocator = allocator), .shape = *shape, .path = path};
}

ParameterizedTestParameters(allocation, each_refused_once_is_an_error_or_changes_nothing)
{
    int count = 0, *index = cr_malloc(sizeof *index * 64);
    for (; mixers[count].name && count < 64; count++)
        index[count] = count;
    return cr_make_param_array(int, index, count);
}

ParameterizedTest(int *parameter, allocation, each_refused_once_is_an_error_or_changes_nothing)
{
    char path[100];
    rondo_error error;
    counting c = {0};
    const rondo_allocator allocator = counting_allocator(&c);
    const transformer shape = shape_with(&mixers[*parameter]);
    life l = begin(&shape, &allocator, path);
    sweep(&l, &parts[0], &c, 1 + *parameter, STRIDE / 10);
    cr_assert(build(&l, &error), "%s", error.message);
    size_t bytes = sizeof *l.initial * (size_t)l.weights->size;
    l.initial = memcpy(malloc(bytes), l.weights->block, bytes);
    for (int p = 1; p < PARTS; p++)
        sweep(&l, &parts[p], &c, 1 + *parameter * 7 % STRIDE, STRIDE);
    end_build(&l);
    free(l.initial);
    rondo_free(l.context);
    cr_expect_eq(c.live_bytes, 0);
    unlink(path);
}

/* How many requests a whole life makes, with those of the context and its team; request `at` is refused, none
 * if it is 0. */
static long live(const transformer *shape, long at)
{
    char path[100];
    rondo_error error = {0};
    counting c = {.refuse_at = at};
    const rondo_allocator allocator = counting_allocator(&c);
    life l = begin(shape, &allocator, path);
    bool good = l.context && build(&l, &error) && compile(&l, &error);
    if (at)
        cr_expect(!l.context || (!good && error.code == RONDO_MEMORY), "request %ld: code %d: %s", at,
                  (int)error.code, error.message);
    else
        cr_assert(good, "%s", error.message);
    end_run(&l);
    end_build(&l);
    rondo_free(l.context);
    cr_expect_eq(c.live_bytes, 0, "request %ld: %ld bytes are lost (%s)", at, c.live_bytes, error.message);
    unlink(path);
    return c.requests;
}

Test(allocation, of_a_context_and_its_team)
{
    const transformer shape = shape_with(&mixers[0]);
    const long requests = live(&shape, 0);
    for (long at = 1; at <= requests; at += 1 + at / 10)
        live(&shape, at);
}

/* A session that was refused memory is as it was: the same call goes well afterwards and gives the same bits.
 */
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
