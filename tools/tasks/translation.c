/* Translation: a line of one file is translated to the same line of another. */
#include "tools/tasks/task.h"

bool translation_check(const options *o, rondo_error *error)
{
    return !o->samples || o->valid.count ||
           fail(error, RONDO_ARGUMENT,
                "--samples shows lines of the validation text; name it with --valid SOURCE TARGET");
}

bool translation_read(dataset *d, const rondo_allocator *allocator, const char *const *files,
                      rondo_error *error)
{
    return lines_read(&d->source, allocator, files[0], error) &&
           lines_read(&d->target, allocator, files[1], error) && lines_match(&d->source, &d->target, error);
}

bool translation_encode(dataset *d, const rondo_allocator *allocator, const options *o, const tokenizer *t,
                        rondo_error *error)
{
    const corpus_limits limits = {o->max_words, o->max_length};
    return corpus_make(&d->corpus, allocator, &d->source, &d->target, t, limits, error);
}

int translation_inputs(const batch *b, rondo_tensor *out)
{
    int count = language_inputs(b, out); /* the decoder's */
    out[count++] = (rondo_tensor){"source", RONDO_I32, 2, {b->rows, b->source_extent}, b->source};
    out[count++] = (rondo_tensor){"source_length", RONDO_I32, 1, {b->rows}, b->source_length};
    return count;
}
