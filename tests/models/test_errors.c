/* What a caller sees of errors: each public function that can fail writes *error when it fails, whatever was
 * there before; it leaves *error alone when it succeeds, and when it is given the NULL of a call that failed
 * before. */
#include "models/transformer.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool refuse; /* every allocation */

static void *allocate(void *user, size_t bytes, size_t alignment)
{
    (void)user;
    return refuse ? NULL : aligned_alloc(alignment, bytes);
}

static void release(void *user, void *memory, size_t bytes)
{
    (void)user, (void)bytes;
    free(memory);
}

typedef struct objects {
    rondo *context;
    rondo_graph *wrong; /* with a mistake */
    transformer_graph built;
    rondo_weights *weights;
    rondo_trainer *trainer;
    rondo_function *function;
    rondo_program *program;
    rondo_session *session;
} objects;

static const rondo_allocator allocator = {NULL, allocate, release};
static const char nowhere[] = "/there/is/no/such/folder/file";
static int32_t tokens[] = {3, 4, 5}, lengths[] = {3};
static const rondo_tensor unknown = {"unknown", RONDO_I32, 2, {1, 3}, tokens},
                          inputs[] = {{"source", RONDO_I32, 2, {1, 3}, tokens},
                                      {"source_length", RONDO_I32, 1, {1}, lengths},
                                      {"target_in", RONDO_I32, 2, {1, 3}, tokens},
                                      {"target_out", RONDO_I32, 2, {1, 3}, tokens}};
static const rondo_value no_value = {NULL, -1};

static rondo_value mix(void *user, rondo_value x, rondo_value y, rondo_value length, bool causal,
                       int64_t heads)
{
    (void)user, (void)y, (void)length, (void)causal, (void)heads;
    return x;
}

static objects begin(void)
{
    const transformer shape = {.vocabulary = 9,
                               .dim = 4,
                               .ffn = 4,
                               .heads = 2,
                               .encoder_layers = 1,
                               .decoder_layers = 1,
                               .encoder_self = "linear",
                               .decoder_self = "softmax",
                               .cross = "linear"};
    rondo_error error = {0};
    objects o = {.context = rondo_new(1, .allocator = &allocator)};
    cr_assert(transformer_build(o.context, &shape, &o.built, &error), "%s", error.message);
    o.wrong = rondo_graph_new(o.context, &error);
    rondo_leave(o.wrong);
    o.weights = rondo_weights_new(o.built.graph, 1, &error);
    o.trainer = rondo_trainer_new(o.built.loss, &error, o.weights);
    o.function = rondo_function_new(&o.built.logits, NULL, 1, &error);
    o.program = rondo_program_new(o.built.logits, TRANSFORMER_TIME, &error);
    o.session = rondo_session_new(o.program, o.weights, 1, &error);
    cr_assert(o.trainer && o.function && o.session, "%s", error.message);
    return o;
}

static void end(objects *o)
{
    rondo_session_free(o->session);
    rondo_program_free(o->program);
    rondo_function_free(o->function);
    rondo_trainer_free(o->trainer);
    rondo_weights_free(o->weights);
    rondo_graph_free(o->wrong);
    rondo_graph_free(o->built.graph);
    rondo_free(o->context);
}

/* Each function with a call that fails, the code that it fails with, and a call with a NULL object.
 * tests/house/errors.sh reports functions of rondo.h that are missing here. */
#define CALLS(X)                                                                                             \
    X(rondo_graph_new, RONDO_MEMORY, (refuse = true, rondo_graph_new(o->context, e)),                        \
      rondo_graph_new(NULL, e))                                                                              \
    X(rondo_graph_check, RONDO_ARGUMENT, rondo_graph_check(o->wrong, e), rondo_graph_check(NULL, e))         \
    X(rondo_graph_print, RONDO_ARGUMENT, rondo_graph_print(o->wrong, e), rondo_graph_print(NULL, e))         \
    X(rondo_graph_parse, RONDO_ARGUMENT, rondo_graph_parse(o->context, "?", "x", e),                         \
      rondo_graph_parse(NULL, "?", "x", e))                                                                  \
    X(rondo_graph_explain, RONDO_ARGUMENT, rondo_graph_explain(o->wrong, NULL, e),                           \
      rondo_graph_explain(NULL, NULL, e))                                                                    \
    X(rondo_weights_new, RONDO_ARGUMENT, rondo_weights_new(o->wrong, 1, e), rondo_weights_new(NULL, 1, e))   \
    X(rondo_weights_load, RONDO_IO, rondo_weights_load(o->built.graph, nowhere, e),                          \
      rondo_weights_load(NULL, nowhere, e))                                                                  \
    X(rondo_weights_save, RONDO_IO, rondo_weights_save(o->weights, nowhere, e),                              \
      rondo_weights_save(NULL, nowhere, e))                                                                  \
    X(rondo_trainer_new, RONDO_ARGUMENT, rondo_trainer_new_with(o->built.loss, e, NULL),                     \
      rondo_trainer_new(no_value, e, o->weights))                                                            \
    X(rondo_trainer_step, RONDO_SHAPE, rondo_trainer_step(o->trainer, &unknown, 1, 1, NULL, e),              \
      rondo_trainer_step(NULL, inputs, 4, 1, NULL, e))                                                       \
    X(rondo_trainer_accumulate, RONDO_SHAPE, rondo_trainer_accumulate(o->trainer, &unknown, 1, NULL, e),     \
      rondo_trainer_accumulate(NULL, inputs, 4, NULL, e))                                                    \
    X(rondo_trainer_evaluate, RONDO_SHAPE, rondo_trainer_evaluate(o->trainer, &unknown, 1, NULL, e),         \
      rondo_trainer_evaluate(NULL, inputs, 4, NULL, e))                                                      \
    X(rondo_trainer_save, RONDO_IO, rondo_trainer_save(o->trainer, nowhere, e),                              \
      rondo_trainer_save(NULL, nowhere, e))                                                                  \
    X(rondo_trainer_load, RONDO_IO, rondo_trainer_load(o->trainer, nowhere, e),                              \
      rondo_trainer_load(NULL, nowhere, e))                                                                  \
    X(rondo_function_new, RONDO_ARGUMENT, rondo_function_new(NULL, NULL, 0, e),                              \
      rondo_function_new(&no_value, NULL, 1, e))                                                             \
    X(rondo_function_of, RONDO_ARGUMENT, rondo_function_of(o->wrong, e), rondo_function_of(NULL, e))         \
    X(rondo_function_save, RONDO_IO, rondo_function_save(o->function, o->weights, nowhere, e),               \
      rondo_function_save(NULL, o->weights, nowhere, e))                                                     \
    X(rondo_function_load, RONDO_IO, rondo_function_load(o->context, nowhere, e),                            \
      rondo_function_load(NULL, nowhere, e))                                                                 \
    X(rondo_function_run, RONDO_ARGUMENT, rondo_function_run(o->function, o->weights, &unknown, 1, e),       \
      rondo_function_run(NULL, o->weights, inputs, 4, e))                                                    \
    X(rondo_program_new, RONDO_ARGUMENT, rondo_program_new(o->built.logits, NULL, e),                        \
      rondo_program_new(no_value, "T", e))                                                                   \
    X(rondo_program_save, RONDO_IO, rondo_program_save(o->program, o->weights, NULL, 0, nowhere, e),         \
      rondo_program_save(NULL, o->weights, NULL, 0, nowhere, e))                                             \
    X(rondo_program_load, RONDO_IO, rondo_program_load(o->context, nowhere, e),                              \
      rondo_program_load(NULL, nowhere, e))                                                                  \
    X(rondo_file_check, RONDO_IO, rondo_file_check(o->context, nowhere, e),                                  \
      rondo_file_check(NULL, nowhere, e))                                                                    \
    X(rondo_session_new, RONDO_ARGUMENT, rondo_session_new(o->program, o->weights, 0, e),                    \
      rondo_session_new(NULL, o->weights, 1, e))                                                             \
    X(rondo_session_clone, RONDO_MEMORY, (refuse = true, rondo_session_clone(o->session, e)),                \
      rondo_session_clone(NULL, e))                                                                          \
    X(rondo_session_source, RONDO_SHAPE, rondo_session_source(o->session, &unknown, 1, e),                   \
      rondo_session_source(NULL, inputs, 2, e))                                                              \
    X(rondo_session_advance, RONDO_ARGUMENT, rondo_session_advance(o->session, tokens, 0, NULL, e),          \
      rondo_session_advance(NULL, tokens, 1, NULL, e))                                                       \
    X(rondo_session_reorder, RONDO_ARGUMENT, rondo_session_reorder(o->session, NULL, 0, e),                  \
      rondo_session_reorder(NULL, NULL, 0, e))                                                               \
    X(rondo_generate, RONDO_ARGUMENT, rondo_generate_with(o->session, NULL, NULL, NULL, e, NULL),            \
      rondo_generate_with(NULL, NULL, NULL, NULL, e, NULL))                                                  \
    X(rondo_translate, RONDO_MISMATCH, rondo_translate(o->program, NULL, 0, e, 1),                           \
      rondo_translate(NULL, NULL, 0, e, 1))                                                                  \
    X(rondo_mixer_add, RONDO_ARGUMENT, rondo_mixer_add(o->context, "two words", mix, NULL, e),               \
      rondo_mixer_add(NULL, "mine", mix, NULL, e))

typedef bool refused(const objects *o, rondo_error *e);
#define DEFINE(name, code, failing, chained)                                                                 \
    static bool name##_failing(const objects *o, rondo_error *e)                                             \
    {                                                                                                        \
        (void)o;                                                                                             \
        return !(failing);                                                                                   \
    }                                                                                                        \
    static bool name##_chained(const objects *o, rondo_error *e)                                             \
    {                                                                                                        \
        (void)o;                                                                                             \
        return !(chained);                                                                                   \
    }
CALLS(DEFINE)
#define ROW(name, code, failing, chained) {#name, code, name##_failing, name##_chained},
static const struct {
    const char *name;
    rondo_code code;
    refused *failing, *chained;
} calls[] = {CALLS(ROW)};
enum { CALL_COUNT = sizeof calls / sizeof *calls };

/* What may be in the struct of a caller. */
enum { UNINITIALISED, OF_ANOTHER_CALL, FILLINGS };
static void fill(rondo_error *error, int filling)
{
    memset(error, 0xaa, sizeof *error);
    if (filling == OF_ANOTHER_CALL)
        *error = (rondo_error){RONDO_DIVERGED, "the message of another call"};
}

Test(errors, a_call_that_fails_writes_its_own)
{
    objects o = begin();
    rondo_error error;
    for (int i = 0; i < CALL_COUNT; i++)
        for (int filling = 0; filling < FILLINGS; filling++) {
            fill(&error, filling);
            bool failed = calls[i].failing(&o, &error);
            refuse = false;
            cr_assert(failed, "%s: this call is meant to fail", calls[i].name);
            cr_assert(memchr(error.message, 0, sizeof error.message), "%s", calls[i].name);
            cr_expect(error.code == calls[i].code && *error.message && !strstr(error.message, "another call"),
                      "%s: code %d: %s", calls[i].name, (int)error.code, error.message);
            failed = calls[i].failing(&o, NULL); /* NULL: the error is not wanted */
            refuse = false;
            cr_expect(failed);
        }
    end(&o);
}

Test(errors, a_call_with_a_null_object_keeps_the_message_of_the_call_that_gave_it)
{
    objects o = begin();
    rondo_error error, before;
    for (int i = 0; i < CALL_COUNT; i++)
        for (int filling = 0; filling < FILLINGS; filling++) {
            fill(&before, filling);
            fill(&error, filling);
            cr_expect(calls[i].chained(&o, &error), "%s", calls[i].name);
            cr_expect_arr_eq(&error, &before, sizeof error, "%s", calls[i].name);
        }
    end(&o);
}

Test(errors, a_call_that_succeeds_writes_nothing)
{
    objects o = begin();
    char path[100];
    snprintf(path, sizeof path, "/tmp/rondo-test-%d-errors.rondo", (int)getpid());
    rondo_error error, before;
    fill(&before, UNINITIALISED);
    fill(&error, UNINITIALISED);
    rondo_graph *g = rondo_graph_new(o.context, &error);
    char *text = rondo_graph_print(o.built.graph, &error),
         *report = rondo_graph_explain(o.built.graph, NULL, &error);
    rondo_graph *parsed = rondo_graph_parse(o.context, text, "text", &error);
    int32_t out[4];
    int64_t count;
    double score;
    cr_assert(g && text && report && parsed && rondo_graph_check(g, &error));
    cr_assert(rondo_trainer_accumulate(o.trainer, inputs, 4, NULL, &error));
    cr_assert(rondo_trainer_step(o.trainer, inputs, 4, 1e-3f, NULL, &error));
    cr_assert(rondo_trainer_evaluate(o.trainer, inputs, 4, NULL, &error));
    cr_assert(rondo_trainer_save(o.trainer, path, &error) && rondo_trainer_load(o.trainer, path, &error));
    cr_assert(rondo_weights_save(o.weights, path, &error));
    rondo_weights *weights = rondo_weights_load(o.built.graph, path, &error);
    cr_assert(weights && rondo_program_save(o.program, weights, NULL, 0, path, &error));
    rondo_program *program = rondo_program_load(o.context, path, &error);
    rondo_session *session = rondo_session_new(program, NULL, 1, &error);
    cr_assert(session && rondo_session_source(session, inputs, 2, &error));
    cr_assert(rondo_session_advance(session, tokens, 3, NULL, &error));
    cr_assert(rondo_session_reorder(session, (int64_t[]){0}, 1, &error));
    rondo_session *copy = rondo_session_clone(session, &error);
    cr_assert(copy && rondo_generate(copy, out, &count, &score, &error, 4));
    cr_assert(rondo_mixer_add(o.context, "mine", mix, NULL, &error));
    cr_expect_arr_eq(&error, &before, sizeof error, "%.100s", error.message);
    rondo_session_free(copy);
    rondo_session_free(session);
    rondo_program_free(program);
    rondo_weights_free(weights);
    rondo_graph_free(parsed);
    rondo_graph_free(g);
    rondo_text_free(o.context, text);
    rondo_text_free(o.context, report);
    unlink(path);
    end(&o);
}
