/* The `size` of options structs, which may be that of an older or a newer header: each function of rondo.h
 * reads its options in the same way. */
#include "models/decode/decoder.h"
#include "models/function/function.h"
#include "models/transformer.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { ROOM = 512, BEYOND = 16 };
typedef union block {
    size_t size;
    char bytes[ROOM];
    max_align_t align;
} block;

/* What a call with these options makes, as text. False: it failed. */
typedef bool call(const void *options, char out[ROOM * 16], rondo_error *error);

/* ---- writing a model: the graph ---- */

static bool printed(rondo *r, rondo_graph *g, char *out, rondo_error *error)
{
    char *text = rondo_graph_print(g, error);
    snprintf(out, ROOM * 16, "%s", text ? text : "");
    rondo_text_free(r, text);
    rondo_graph_free(g);
    rondo_free(r);
    return text != NULL;
}

/* `made` builds on x [2,3,4] (f32), which is also the result of each op's usual operand. */
#define GRAPH_CALL(name, made)                                                                               \
    static bool name(const void *options, char *out, rondo_error *error)                                     \
    {                                                                                                        \
        rondo *r = rondo_new(1);                                                                             \
        rondo_graph *g = rondo_graph_new(r, error);                                                          \
        rondo_value x = rondo_input(g, "x", "f32[2,3,4]");                                                   \
        rondo_output(made, "y");                                                                             \
        return printed(r, g, out, error);                                                                    \
    }
GRAPH_CALL(call_sum, rondo_sum_at(RONDO_HERE, x, options))
GRAPH_CALL(call_mean, rondo_mean_at(RONDO_HERE, x, options))
GRAPH_CALL(call_max, rondo_max_at(RONDO_HERE, x, options))
GRAPH_CALL(call_logsumexp, rondo_logsumexp_at(RONDO_HERE, x, options))
GRAPH_CALL(call_linear, rondo_linear_at(RONDO_HERE, x, options))
GRAPH_CALL(call_convolve, rondo_convolve_at(RONDO_HERE, x, options))
GRAPH_CALL(call_argmax, rondo_argmax_at(RONDO_HERE, x, options))
GRAPH_CALL(call_reverse, rondo_reverse_at(RONDO_HERE, x, options))
GRAPH_CALL(call_windows, rondo_windows_at(RONDO_HERE, x, 1, options))
GRAPH_CALL(call_max_pool, rondo_max_pool_at(RONDO_HERE, x, options))
GRAPH_CALL(call_mean_pool, rondo_mean_pool_at(RONDO_HERE, x, options))
GRAPH_CALL(call_conv, rondo_conv_at(RONDO_HERE, x, options))
GRAPH_CALL(call_layer_norm, rondo_layer_norm_at(RONDO_HERE, x, options))
GRAPH_CALL(call_rms_norm, rondo_rms_norm_at(RONDO_HERE, x, options))
GRAPH_CALL(call_objective,
           rondo_objective_at(RONDO_HERE, rondo_sum(rondo_sum(rondo_sum(x, 0), 0), 0), options))

/* Options that hold values, which belong to a graph: `field` is filled in here. */
#define VALUE_CALL(name, type, field, type_text, made)                                                       \
    static bool name(const void *given, char *out, rondo_error *error)                                       \
    {                                                                                                        \
        block options;                                                                                       \
        memcpy(&options, given, sizeof options);                                                             \
        rondo *r = rondo_new(1);                                                                             \
        rondo_graph *g = rondo_graph_new(r, error);                                                          \
        rondo_value x = rondo_input(g, "x", "f32[2,3,4,4]"), other = rondo_input(g, "other", type_text);     \
        memcpy(options.bytes + offsetof(type, field), &other, sizeof other);                                 \
        rondo_output(made, "y");                                                                             \
        return printed(r, g, out, error);                                                                    \
    }
VALUE_CALL(call_matmul, rondo_matmul_options, b, "f32[2,3,4,4]",
           rondo_matmul_at(RONDO_HERE, x, (const void *)&options))
VALUE_CALL(call_delta, rondo_delta_options, beta, "f32[2,3,4,1]",
           rondo_delta_at(RONDO_HERE, x, x, x, (const void *)&options))
VALUE_CALL(call_total, rondo_total_options, x, "f32[2,3]",
           rondo_total_at(RONDO_HERE, rondo_rank(x) == 4 ? (const void *)&options : NULL))
VALUE_CALL(call_squared, rondo_loss_options, targets, "f32[2,3,4,4]",
           rondo_squared_error_at(RONDO_HERE, x, (const void *)&options))
VALUE_CALL(call_binary, rondo_loss_options, targets, "f32[2,3,4,4]",
           rondo_binary_cross_entropy_at(RONDO_HERE, x, (const void *)&options))
VALUE_CALL(call_divergence, rondo_divergence_options, teacher, "f32[2,3,4,4]",
           rondo_divergence_at(RONDO_HERE, x, (const void *)&options))
VALUE_CALL(call_mixture, rondo_logistic_mixture_options, pixels, "i32[2,3]",
           rondo_logistic_mixture_at(RONDO_HERE, rondo_reshape(rondo_slice(x, -1, 0, 3), "[2,3,12]"),
                                     (const void *)&options))
VALUE_CALL(call_ctc, rondo_ctc_options, labels, "i32[2,3]",
           rondo_ctc_at(RONDO_HERE, rondo_reshape(x, "[2,12,4]"), (const void *)&options))
VALUE_CALL(call_cross_entropy, rondo_cross_entropy_options, targets, "i32[2,3]",
           rondo_cross_entropy_at(RONDO_HERE, rondo_reshape(x, "[2,3,16]"), (const void *)&options))

static void pass_row(rondo_graph *g, rondo_loop_step *step, void *user)
{
    (void)g, (void)user;
    step->results[0] = step->rows[0];
}
VALUE_CALL(call_loop, rondo_loop_options, over, "f32[2,3,4]",
           rondo_add(rondo_loop_at(RONDO_HERE, g, pass_row, (const void *)&options).results[0],
                     rondo_sum(x, 3)))

/* ---- objects ---- */

static bool call_context(const void *options, char *out, rondo_error *error)
{
    rondo *r = rondo_new_with(options);
    snprintf(out, ROOM, "made");
    if (!r) /* it has no rondo_error */
        *error = (rondo_error){RONDO_ARGUMENT, "size: does not know"};
    rondo_free(r);
    return r != NULL;
}

typedef struct model {
    rondo *context;
    transformer_graph built;
    rondo_weights *weights;
} model;

static model model_new(void)
{
    const transformer shape = {.language_model = true,
                               .vocabulary = 9,
                               .dim = 4,
                               .ffn = 4,
                               .heads = 1,
                               .decoder_layers = 1,
                               .decoder_self = "linear"};
    rondo_error error = {0};
    model m = {.context = rondo_new(1)};
    cr_assert(transformer_build(m.context, &shape, &m.built, &error), "%s", error.message);
    m.weights = rondo_weights_new(m.built.graph, 1, &error);
    return m;
}

static void model_end(model *m)
{
    rondo_weights_free(m->weights);
    rondo_graph_free(m->built.graph);
    rondo_free(m->context);
}

static bool call_trainer(const void *given, char *out, rondo_error *error)
{
    model m = model_new();
    int32_t tokens[] = {3, 4, 5};
    const rondo_tensor inputs[] = {{"target_in", RONDO_I32, 2, {1, 3}, tokens},
                                   {"target_out", RONDO_I32, 2, {1, 3}, tokens}};
    block options;
    memcpy(&options, given, sizeof options);
    memcpy(options.bytes + offsetof(rondo_trainer_options, weights), &m.weights, sizeof m.weights);
    rondo_trainer *t = rondo_trainer_new_with(m.built.loss, error, (const void *)&options);
    rondo_step step[2];
    bool good = rondo_trainer_step(t, inputs, 2, 1e-2f, &step[0], error) &&
                rondo_trainer_step(t, inputs, 2, 1e-2f, &step[1], error);
    if (good)
        snprintf(out, ROOM, "%a %a", step[0].loss, step[1].loss);
    rondo_trainer_free(t);
    model_end(&m);
    return good;
}

static bool call_generate(const void *options, char *out, rondo_error *error)
{
    model m = model_new();
    int32_t tokens[8];
    int64_t length = 0;
    double score;
    rondo_program *p = rondo_program_new(m.built.logits, TRANSFORMER_TIME, error);
    rondo_session *s = rondo_session_new(p, m.weights, 1, error);
    bool good = rondo_generate_with(s, tokens, &length, &score, error, options);
    if (good)
        snprintf(out, ROOM, "%lld tokens, %a", (long long)length, score);
    rondo_session_free(s);
    rondo_program_free(p);
    model_end(&m);
    return good;
}

/* Options that are accepted get as far as the tokenizer, which this model lacks. */
static bool call_translate(const void *options, char *out, rondo_error *error)
{
    model m = model_new();
    rondo_program *p = rondo_program_new(m.built.logits, TRANSFORMER_TIME, error);
    rondo_lines *lines = rondo_translate_with(p, NULL, 0, error, options);
    bool accepted = error->code == RONDO_MISMATCH;
    snprintf(out, ROOM, "%s", error->message);
    rondo_lines_free(lines);
    rondo_program_free(p);
    model_end(&m);
    return accepted;
}

static bool call_function_load(const void *options, char *out, rondo_error *error)
{
    rondo *r = rondo_new(1);
    char path[100];
    snprintf(path, sizeof path, "/tmp/rondo-test-%d-options.function", (int)getpid());
    rondo_graph *g =
        rondo_graph_parse(r, "x = input(name=\"x\", type=f32[3])\noutput y = exp(x)\n", "x.graph", error);
    rondo_function *made = rondo_function_of(g, error);
    bool saved = rondo_function_save(made, NULL, path, error);
    rondo_function *f = saved ? rondo_function_load_with(r, path, error, options) : NULL;
    if (f)
        snprintf(out, ROOM, "%s", f->file.map.allocator ? "read" : "mapped");
    rondo_function_free(f);
    rondo_function_free(made);
    rondo_graph_free(g);
    rondo_free(r);
    unlink(path);
    return f != NULL;
}

static bool call_program_load(const void *options, char *out, rondo_error *error)
{
    model m = model_new();
    char path[100];
    snprintf(path, sizeof path, "/tmp/rondo-test-%d-options.rondo", (int)getpid());
    rondo_program *made = rondo_program_new(m.built.logits, TRANSFORMER_TIME, error);
    bool saved = rondo_program_save(made, m.weights, NULL, 0, path, error);
    rondo_program *p = saved ? rondo_program_load_with(m.context, path, error, options) : NULL;
    if (p)
        snprintf(out, ROOM, "%s", p->file.map.allocator ? "read" : "mapped");
    rondo_program_free(p);
    rondo_program_free(made);
    model_end(&m);
    unlink(path);
    return p != NULL;
}

/* ---- the table ---- */

/* Each function with its options, of which an older header had the bytes up to `next`. tests/house/errors.sh
 * looks that all functions of rondo.h are here. */
#define FUNCTIONS(X)                                                                                         \
    X(new, rondo_options, allocator, call_context, .threads = 1)                                             \
    X(sum, rondo_reduce_options, keep, call_sum, .axis = 1)                                                  \
    X(mean, rondo_reduce_options, keep, call_mean, .axis = 1)                                                \
    X(max, rondo_reduce_options, keep, call_max, .axis = 1)                                                  \
    X(logsumexp, rondo_reduce_options, keep, call_logsumexp, .axis = 1)                                      \
    X(argmax, rondo_reduce_options, keep, call_argmax, .axis = 1)                                            \
    X(matmul, rondo_matmul_options, transpose_a, call_matmul, .transpose_a = false)                          \
    X(linear, rondo_linear_options, name, call_linear, .width = 5)                                           \
    X(delta, rondo_delta_options, log_decay, call_delta, .log_decay = {NULL, -1})                            \
    X(loop, rondo_loop_options, length, call_loop, .block = 0)                                               \
    X(convolve, rondo_convolve_options, name, call_convolve, .width = 2)                                     \
    X(reverse, rondo_reverse_options, length, call_reverse, .axis = 1)                                       \
    X(windows, rondo_windows_options, stride, call_windows, .width = 2)                                      \
    X(max_pool, rondo_windows_options, stride, call_max_pool, .width = 2)                                    \
    X(mean_pool, rondo_windows_options, stride, call_mean_pool, .width = 2)                                  \
    X(conv, rondo_conv_options, stride, call_conv, .channels = 5, .width = 2)                                \
    X(layer_norm, rondo_norm_options, name, call_layer_norm, .name = NULL)                                   \
    X(rms_norm, rondo_norm_options, name, call_rms_norm, .name = NULL)                                       \
    X(cross_entropy, rondo_cross_entropy_options, smoothing, call_cross_entropy, .smoothing = 0)             \
    X(total, rondo_total_options, length, call_total, .length = {NULL, -1})                                  \
    X(binary_cross_entropy, rondo_loss_options, length, call_binary, .length = {NULL, -1})                   \
    X(squared_error, rondo_loss_options, length, call_squared, .length = {NULL, -1})                         \
    X(divergence, rondo_divergence_options, temperature, call_divergence, .temperature = 0)                  \
    X(logistic_mixture, rondo_logistic_mixture_options, channels, call_mixture, .levels = 4)                 \
    X(ctc, rondo_ctc_options, blank, call_ctc, .blank = 0)                                                   \
    X(objective, rondo_objective_options, count, call_objective, .name = "extra")                            \
    X(trainer_new, rondo_trainer_options, beta1, call_trainer, .clip_norm = 0)                               \
    X(function_load, rondo_load_options, read, call_function_load, .read = false)                            \
    X(program_load, rondo_load_options, read, call_program_load, .read = false)                              \
    X(generate, rondo_search, begin, call_generate, .max_length = 8)                                         \
    X(translate, rondo_search, begin, call_translate, .max_length = 8)

#define BLOCK(name, type, next, function, ...)                                                               \
    static const type default_##name = {.size = sizeof(type), __VA_ARGS__};
FUNCTIONS(BLOCK)
#define ROW(name, type, next, function, ...)                                                                 \
    {"rondo_" #name, sizeof(type), offsetof(type, next), &default_##name, function},
static const struct {
    const char *name;
    size_t size, older;
    const void *options;
    call *function;
} rows[] = {FUNCTIONS(ROW)};
enum { ROW_COUNT = sizeof rows / sizeof *rows };

/* The options, and `beyond` in all bytes from `from` on. */
static block filled(int i, size_t size, size_t from, int beyond)
{
    block b;
    memset(&b, beyond, sizeof b);
    memcpy(&b, rows[i].options, from);
    b.size = size;
    return b;
}

Test(options_size, fields_beyond_an_older_header_have_their_defaults)
{
    for (int i = 0; i < ROW_COUNT; i++) {
        char now[ROOM * 16], then[ROOM * 16];
        rondo_error error = {0};
        cr_assert_lt(rows[i].older, rows[i].size);
        block whole = filled(i, rows[i].size, rows[i].size, 0);
        block older = filled(i, rows[i].older, rows[i].older, 0xff);
        cr_expect(rows[i].function(&whole, now, &error), "%s: %s", rows[i].name, error.message);
        cr_expect(rows[i].function(&older, then, &error), "%s: %s", rows[i].name, error.message);
        cr_expect_str_eq(now, then, "%s", rows[i].name);
    }
}

Test(options_size, a_newer_header_may_leave_what_is_unknown_alone)
{
    for (int i = 0; i < ROW_COUNT; i++) {
        char now[ROOM * 16], newer[ROOM * 16];
        rondo_error error = {0};
        block whole = filled(i, rows[i].size, rows[i].size, 0);
        block unset = filled(i, rows[i].size + BEYOND, rows[i].size, 0);
        block set = unset;
        set.bytes[rows[i].size + BEYOND - 1] = 1;
        cr_expect(rows[i].function(&whole, now, &error), "%s: %s", rows[i].name, error.message);
        cr_expect(rows[i].function(&unset, newer, &error), "%s: %s", rows[i].name, error.message);
        cr_expect_str_eq(now, newer, "%s", rows[i].name);
        cr_expect_not(rows[i].function(&set, newer, &error), "%s", rows[i].name);
        cr_expect(error.code == RONDO_ARGUMENT && strstr(error.message, "does not know"), "%s: %s",
                  rows[i].name, error.message);
    }
}

Test(options_size, without_a_size_is_refused)
{
    for (int i = 0; i < ROW_COUNT; i++) {
        char out[ROOM * 16];
        rondo_error error = {0};
        block none = filled(i, 0, rows[i].size, 0);
        cr_expect_not(rows[i].function(&none, out, &error), "%s", rows[i].name);
        cr_expect(error.code == RONDO_ARGUMENT && strstr(error.message, "size"), "%s: %s", rows[i].name,
                  error.message);
    }
}
