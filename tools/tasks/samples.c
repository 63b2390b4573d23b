/* Validation lines and their translations on stderr, in columns, each cut to the width of a page: the same
 * lines before, during and after training, to show what the model has learned. */
#include "models/decode/decoder.h"
#include "tools/tasks/task.h"
#include <stdio.h>
#include <string.h>

enum { TEXT_COLUMNS = 88, MOST_SAMPLES = 1000, AT_ONCE = 32 };

/* As much of the text as fits, and … if something is left out. A column is a character. */
static void print(const char *label, const char *words)
{
    const char *at = words, *end = words + strlen(words), *cut = words;
    int columns = 0;
    while (at < end && columns < TEXT_COLUMNS && utf8_next(&at, end) >= 0)
        if (++columns == TEXT_COLUMNS - 1)
            cut = at;
    bool whole = at == end;
    fprintf(stderr, "    %-6s  %.*s%s\n", label, (int)((whole ? end : cut) - words), words, whole ? "" : "…");
}

static rondo_lines *translated(const task_model *m, const char *const *texts, int64_t count,
                               const rondo_search *search, rondo_error *error)
{
    rondo_program *decoder = rondo_program_new(m->logits, TRANSFORMER_TIME, error);
    if (!decoder)
        return NULL;
    decoder->tokenizer = m->tokenizer;
    rondo_lines *out = translate_lines(decoder, m->weights, texts, (size_t)count, error, search, AT_ONCE);
    decoder->tokenizer = NULL; /* the program does not own it */
    rondo_program_free(decoder);
    return out;
}

bool task_samples_translate(const task_model *m, const dataset *valid, const options *o, const char *when,
                            rondo_error *error)
{
    const rondo_search search = {.size = sizeof search, .max_length = o->max_length};
    int64_t count = o->samples < valid->source.count ? o->samples : valid->source.count;
    const char *texts[MOST_SAMPLES];
    if (count < 1)
        return true;
    int64_t apart = valid->source.count / count;
    for (int64_t i = 0; i < count; i++)
        texts[i] = lines_get(&valid->source, i * apart);
    rondo_lines *out = translated(m, texts, count, &search, error);
    for (int64_t i = 0; out && i < count; i++) {
        fputc('\n', stderr);
        print("source", texts[i]);
        print("wanted", lines_get(&valid->target, i * apart));
        print(when, rondo_lines_get(out, (size_t)i, NULL));
    }
    if (out)
        fputc('\n', stderr);
    bool good = out != NULL;
    rondo_lines_free(out);
    return good;
}
