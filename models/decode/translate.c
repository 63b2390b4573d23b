/* translate: translates lines and returns them in the same order. Lines of similar length share a batch;
 * the batch of a line does not change its translation. */
#include "core/options.h"
#include "models/decode/decoder.h"
#include <stdlib.h>
#include <string.h>

enum { LINES_AT_ONCE = 32, MOST_TOKENS = TRANSLATE_MOST_TOKENS, SPARE_TOKENS = 10 };

struct rondo_lines {
    rondo_allocator allocator;
    arena arena;
    const char **texts;
    double *scores;
    size_t count;
};

typedef struct sentence {
    const int32_t *ids; /* with the end id */
    int64_t length;
    size_t line;
} sentence;

static int by_length(const void *a, const void *b)
{
    const sentence *x = a, *y = b;
    if (x->length != y->length)
        return x->length < y->length ? -1 : 1;
    return x->line < y->line ? -1 : x->line > y->line;
}

/* Encodes a line; tokens beyond TRANSLATE_MOST_TOKENS are cut off. */
static bool encode(arena *a, const tokenizer *t, const char *line, sentence *s, rondo_error *error)
{
    int64_t count = 0;
    int32_t *ids = ARENA_NEW(a, int32_t, MOST_TOKENS + 1);
    if (!ids)
        return fail_memory(error, sizeof *ids * MOST_TOKENS, "a sentence");
    if (!tokenizer_encode(t, line, strlen(line), ids, MOST_TOKENS, &count, error))
        return false;
    if (count > MOST_TOKENS)
        count = MOST_TOKENS;
    ids[count++] = TOKEN_END;
    s->ids = ids;
    s->length = count;
    return true;
}

static bool decode(rondo_lines *out, const tokenizer *t, const int32_t *ids, int64_t count, const char **line,
                   rondo_error *error)
{
    size_t length = 0;
    if (!tokenizer_decode(t, ids, count, NULL, 0, &length, error))
        return false;
    char *decoded = arena_new(&out->arena, length + 1);
    if (!decoded)
        return fail_memory(error, length, "a translation");
    *line = decoded;
    return tokenizer_decode(t, ids, count, decoded, length + 1, &length, error);
}

static bool give_source(rondo_session *session, const sentence *batch, int64_t rows, arena *a,
                        rondo_error *error)
{
    int64_t width = 1;
    for (int64_t b = 0; b < rows; b++)
        width = batch[b].length > width ? batch[b].length : width;
    int32_t *source = ARENA_NEW(a, int32_t, rows * width), *lengths = ARENA_NEW(a, int32_t, rows);
    if (!source || !lengths)
        return fail_memory(error, sizeof *source * (size_t)(rows * width), "a batch");
    for (int64_t b = 0; b < rows; b++) {
        memcpy(source + b * width, batch[b].ids, sizeof *source * (size_t)batch[b].length);
        lengths[b] = (int32_t)batch[b].length;
    }
    const rondo_tensor inputs[] = {{"source", RONDO_I32, 2, {rows, width}, source},
                                   {"source_length", RONDO_I32, 1, {rows}, lengths}};
    return rondo_session_source(session, inputs, 2, error);
}

static bool translate_batch(const rondo_program *p, const rondo_weights *w, const sentence *batch,
                            int64_t rows, const rondo_search *options, rondo_lines *out, rondo_error *error)
{
    arena a;
    arena_begin(&a, &p->context->allocator);
    rondo_search search = *options;
    int64_t longest = batch[rows - 1].length * 3 + SPARE_TOKENS;
    if (search.max_length < 1 || search.max_length > longest)
        search.max_length = longest;
    rondo_session *session = rondo_session_new(p, w, rows, error);
    int32_t *tokens = ARENA_NEW(&a, int32_t, rows * search.max_length);
    int64_t *lengths = ARENA_NEW(&a, int64_t, rows);
    double *scores = ARENA_NEW(&a, double, rows);
    bool good = session && ((tokens && lengths && scores) ||
                            fail_memory(error, 4 * (size_t)(rows * search.max_length), "a batch"));
    good = good && give_source(session, batch, rows, &a, error) &&
           rondo_generate_with(session, tokens, lengths, scores, error, &search);
    for (int64_t b = 0; good && b < rows; b++) {
        good = decode(out, p->tokenizer, tokens + b * search.max_length, lengths[b],
                      &out->texts[batch[b].line], error);
        out->scores[batch[b].line] = scores[b];
    }
    rondo_session_free(session);
    arena_end(&a);
    return good;
}

rondo_lines *translate_lines(const rondo_program *p, const rondo_weights *w, const char *const *lines,
                             size_t count, rondo_error *error, const rondo_search *options, int64_t at_once)
{
    if (!p)
        return NULL;
    rondo_search own;
    const char *wrong = options_read(&own, sizeof own, options);
    if (wrong || !options || (count && !lines)) {
        fail(error, RONDO_ARGUMENT, "rondo_translate: %s",
             wrong ? wrong : "it needs options and lines, not NULL");
        return NULL;
    }
    options = &own;
    if (!p->tokenizer || !p->source) {
        fail(error, RONDO_MISMATCH,
             !p->source ? "this model has no source side: it generates, it does not translate"
                        : "this program has no tokenizer");
        return NULL;
    }
    rondo_lines *out = memory_new(&p->context->allocator, sizeof *out);
    if (!out) {
        fail_memory(error, sizeof *out, "translations");
        return NULL;
    }
    arena a;
    arena_begin(&a, &p->context->allocator);
    out->allocator = p->context->allocator;
    arena_begin(&out->arena, &out->allocator);
    out->count = count;
    out->texts = ARENA_NEW(&out->arena, const char *, count + 1);
    out->scores = ARENA_NEW(&out->arena, double, count + 1);
    sentence *sentences = ARENA_NEW(&a, sentence, count + 1);
    bool good = (out->texts && out->scores && sentences) ||
                fail_memory(error, sizeof *sentences * count, "translations");
    size_t full = 0; /* empty lines stay empty */
    for (size_t i = 0; good && i < count; i++) {
        out->texts[i] = "";
        sentences[full].line = i;
        good = encode(&a, p->tokenizer, lines[i], &sentences[full], error);
        full += good && sentences[full].length > 1;
    }
    if (good)
        qsort(sentences, full, sizeof *sentences, by_length);
    for (size_t at = 0; good && at < full; at += (size_t)at_once)
        good = translate_batch(p, w, sentences + at,
                               (int64_t)(full - at < (size_t)at_once ? full - at : (size_t)at_once), options,
                               out, error);
    arena_end(&a);
    if (good)
        return out;
    rondo_lines_free(out);
    return NULL;
}

rondo_lines *rondo_translate_with(const rondo_program *p, const char *const *lines, size_t count,
                                  rondo_error *error, const rondo_search *options)
{
    error_begin(error);
    return translate_lines(p, NULL, lines, count, error, options, LINES_AT_ONCE);
}

const char *rondo_lines_get(const rondo_lines *lines, size_t index, double *score)
{
    if (!lines || index >= lines->count)
        return NULL;
    if (score)
        *score = lines->scores[index];
    return lines->texts[index];
}

void rondo_lines_free(rondo_lines *lines)
{
    if (!lines)
        return;
    const rondo_allocator allocator = lines->allocator;
    arena_end(&lines->arena);
    memory_free(&allocator, lines, sizeof *lines);
}
