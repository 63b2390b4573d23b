/* rondo generate: a language model continues a prompt, which is read at once; then token follows token. */
#include "tools/commands/command.h"
#include <string.h>

typedef struct generation {
    command *c;
    const options *o;
    const model *m;
    int32_t *prompt; /* the first is the begin token */
    int64_t length;
} generation;

static bool read_prompt(generation *g, arena *a)
{
    const char *words = g->o->prompt ? g->o->prompt : "";
    int64_t count = 0, room = (int64_t)strlen(words) * 2 + 16;
    g->prompt = ARENA_NEW(a, int32_t, room + 1);
    if (!g->prompt)
        return fail_memory(&g->c->error, sizeof *g->prompt * (size_t)room, "a prompt");
    if (!tokenizer_encode(g->m->tokenizer, words, strlen(words), g->prompt + 1, room, &count, &g->c->error))
        return false;
    if (count > room)
        return fail(&g->c->error, RONDO_ARGUMENT, "--prompt has %lld tokens, more than can be: is it text?",
                    (long long)count);
    g->prompt[0] = TOKEN_BEGIN;
    g->length = count + 1;
    return true;
}

/* One text that is being generated. */
typedef struct continuation {
    int32_t *tokens;
    int count, capacity;
} continuation;

/* The texts that are generated together. */
typedef struct rows {
    arena *arena;
    continuation *items;
} rows;

static bool take_token(void *user, int64_t row, int32_t token, double log_prob)
{
    rows *r = user;
    continuation *c = &r->items[row];
    (void)log_prob;
    if (!ARENA_PUSH(r->arena, c->tokens, c->count, c->capacity))
        return false;
    c->tokens[c->count++] = token;
    return !signals_caught();
}

/* One line of output: the prompt and its continuation; line ends become spaces. */
static bool print(generation *g, arena *a, const continuation *c)
{
    size_t length = 0;
    int64_t count = g->length - 1 + c->count;
    int32_t *all = ARENA_NEW(a, int32_t, count + 1);
    if (!all)
        return fail_memory(&g->c->error, sizeof *all * (size_t)count, "a text");
    memcpy(all, g->prompt + 1, sizeof *all * (size_t)(g->length - 1));
    if (c->count)
        memcpy(all + g->length - 1, c->tokens, sizeof *all * (size_t)c->count);
    if (!tokenizer_decode(g->m->tokenizer, all, count, NULL, 0, &length, &g->c->error))
        return false;
    char *words = arena_new(a, length + 1);
    if (!words)
        return fail_memory(&g->c->error, length, "a text");
    if (!tokenizer_decode(g->m->tokenizer, all, count, words, length + 1, &length, &g->c->error))
        return false;
    for (char *at = words; *at; at++)
        *at = *at == '\n' ? ' ' : *at;
    puts(words);
    return true;
}

/* Generates `count` texts together; `first` is the number of the first one, which their random numbers
 * depend on. Memory grows with what is generated, whatever --max-length is. */
static bool generate_rows(generation *g, arena *a, int64_t first, int64_t count)
{
    const options *o = g->o;
    rondo_error *error = &g->c->error;
    rows made = {a, ARENA_NEW(a, continuation, count)};
    const rondo_search search = {.size = sizeof search,
                                 .max_length = o->max_length,
                                 .temperature = (float)o->temperature,
                                 .top_k = (int)o->top_k,
                                 .top_p = (float)o->top_p,
                                 .go_on = true,
                                 .on_token = take_token,
                                 .user = &made,
                                 .seed = (uint64_t)o->seed + (uint64_t)first * 0x9e3779b97f4a7c15u};
    int32_t *fed = ARENA_NEW(a, int32_t, count * g->length);
    int64_t *lengths = ARENA_NEW(a, int64_t, count);
    double *scores = ARENA_NEW(a, double, count);
    if (a->failed)
        return fail_memory(error, sizeof *fed * (size_t)(count * g->length), "texts");
    for (int64_t r = 0; r < count; r++)
        memcpy(fed + r * g->length, g->prompt, sizeof *fed * (size_t)g->length);
    rondo_session *session = rondo_session_new(g->m->program, g->m->weights, count, error);
    bool good = session && rondo_session_advance(session, fed, g->length, NULL, error) &&
                rondo_generate_with(session, NULL, lengths, scores, error, &search) &&
                (!a->failed || fail_memory(error, sizeof *fed, "texts"));
    for (int64_t r = 0; good && r < count && !signals_caught(); r++)
        good = print(g, a, &made.items[r]);
    rondo_session_free(session);
    return good;
}

static int generate_all(generation *g)
{
    const options *o = g->o;
    int64_t many;
    for (int64_t at = 0; at < o->lines; at += many) {
        arena a;
        arena_begin(&a, &g->c->context->allocator);
        many = o->lines - at < o->batch ? o->lines - at : o->batch;
        bool good = generate_rows(g, &a, at, many);
        arena_end(&a);
        if (!good)
            return command_failed(g->c, EXIT_MODEL);
        if (signals_caught())
            return EXIT_SIGNAL + signals_caught();
        if (fflush(stdout))
            break;
    }
    return message_finish_output(g->c->name);
}

int command_generate(command *c)
{
    arena a;
    model m;
    const char *path = c->options->operands.items[0];
    arena_begin(&a, &c->context->allocator);
    signals_begin();
    int code;
    if (!model_open(&m, c, &a, path))
        code = command_failed(c, EXIT_MODEL);
    else {
        generation g = {.c = c, .o = c->options, .m = &m};
        if (!m.tokenizer)
            code = message_fail(c->name, EXIT_MODEL, "%s has no tokenizer: export it from a run", path);
        else if (m.program->source)
            code = message_fail(c->name, EXIT_MODEL,
                                "%s translates: it needs a source; use rondo translate %s", path, path);
        else
            code = read_prompt(&g, &a) ? generate_all(&g) : command_failed(c, EXIT_USE);
        model_close(&m);
    }
    arena_end(&a);
    return code;
}
