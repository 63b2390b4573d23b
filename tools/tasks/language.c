/* Language models: a decoder alone learns to continue the lines of one file, or blocks that are cut from
 * them. */
#include "tools/tasks/task.h"

bool language_check(const options *o, rondo_error *error)
{
    return !o->samples ||
           fail(error, RONDO_ARGUMENT,
                "--samples shows translations, which a language model does not make; leave it out");
}

bool language_read(dataset *d, const rondo_allocator *allocator, const char *const *files, rondo_error *error)
{
    return lines_read(&d->target, allocator, files[0], error);
}

bool language_encode(dataset *d, const rondo_allocator *allocator, const options *o, const tokenizer *t,
                     rondo_error *error)
{
    const corpus_limits limits = {o->max_words, o->max_length};
    return o->block ? corpus_make_blocks(&d->corpus, allocator, &d->target, t, o->block, error)
                    : corpus_make(&d->corpus, allocator, NULL, &d->target, t, limits, error);
}

int language_inputs(const batch *b, rondo_tensor *out)
{
    int count = 0;
    out[count++] = (rondo_tensor){"target_in", RONDO_I32, 2, {b->rows, b->target_extent}, b->target_in};
    out[count++] = (rondo_tensor){"target_out", RONDO_I32, 2, {b->rows, b->target_extent}, b->target_out};
    out[count++] = (rondo_tensor){"sentences", RONDO_I32, 1, {b->rows}, b->sentence};
    return count;
}
