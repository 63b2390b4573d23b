/* Samples of a run on stderr, in columns, each line of text cut to the width of a page. */
#include "tools/run/samples.h"
#include <stdio.h>

enum { TEXT_COLUMNS = 88, MOST_SAMPLES = 1000 };

rondo_program *run_samples_decoder(rondo_value logits, const run_data *d, rondo_error *error)
{
    rondo_program *decoder = rondo_program_new(logits, TRANSFORMER_TIME, error);
    if (decoder)
        decoder->tokenizer = d->tokenizer; /* which stays the run's */
    return decoder;
}

void run_samples_free(rondo_program *decoder)
{
    if (decoder)
        decoder->tokenizer = NULL;
    rondo_program_free(decoder);
}

/* As much of the words as fits, and … where something is left out. Columns are counted as characters. */
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

bool run_samples_show(const rondo_program *decoder, const rondo_weights *weights, const run_data *d,
                      const options *o, const char *when, rondo_error *error)
{
    const lines *source = &d->texts[2], *target = &d->texts[3];
    const rondo_search search = {.size = sizeof search, .max_length = o->max_length};
    int64_t count = o->samples < source->count ? o->samples : source->count;
    const char *texts[MOST_SAMPLES];
    if (count < 1)
        return true;
    int64_t apart = source->count / count;
    for (int64_t i = 0; i < count; i++)
        texts[i] = lines_get(source, i * apart);
    rondo_lines *out = translate_lines(decoder, weights, texts, (size_t)count, error, &search, 32);
    for (int64_t i = 0; out && i < count; i++) {
        fputc('\n', stderr);
        print("source", texts[i]);
        print("wanted", lines_get(target, i * apart));
        print(when, rondo_lines_get(out, (size_t)i, NULL));
    }
    if (out)
        fputc('\n', stderr);
    bool good = out != NULL;
    rondo_lines_free(out);
    return good;
}
