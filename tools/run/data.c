/* From files to batches. */
#include "tools/run/data.h"
#include "core/file.h"
#include <string.h>
#include <unistd.h>
#include <zlib.h>

static bool read_texts(run_data *d, command *c, const option_list *files, int first, bool language,
                       const char *option)
{
    int wanted = language ? 1 : 2;
    if (files->count != wanted)
        return fail(&c->error, RONDO_ARGUMENT,
                    language ? "%s takes one file for a language model"
                             : "%s takes two files: source and target",
                    option);
    for (int i = 0; i < wanted; i++)
        if (!lines_read(&d->texts[first + i + language], &c->context->allocator, files->items[i], &c->error))
            return false;
    return language || lines_match(&d->texts[first], &d->texts[first + 1], &c->error);
}

static bool write_tokenizer(command *c, const tokenizer *t, const char *path)
{
    size_t bytes;
    const void *model = tokenizer_model(t, &bytes);
    file_writer *w = file_create(&c->context->allocator, path, &c->error);
    if (w && file_write(w, model, bytes, &c->error))
        return file_commit(w, &c->error);
    file_abandon(w);
    return false;
}

static bool load_tokenizer(run_data *d, command *c, const char *path)
{
    arena a;
    size_t bytes;
    arena_begin(&a, &c->context->allocator);
    char *model = read_whole(&a, path, &bytes, &c->error);
    rondo_error reason = {0};
    d->tokenizer = model ? tokenizer_load(model, bytes, &reason) : NULL;
    if (model && !d->tokenizer)
        fail(&c->error, reason.code, "%s: %s", path, reason.message);
    arena_end(&a);
    return d->tokenizer != NULL;
}

static bool make_tokenizer(run_data *d, command *c, const options *o)
{
    tokenizer_lines texts[2];
    int count = 0;
    count_text wanted, found;
    for (int i = 0; i < 2; i++)
        if (d->texts[i].count)
            texts[count++] = (tokenizer_lines){d->texts[i].text, d->texts[i].start, d->texts[i].count};
    message(c->name, "finding %s subwords", count_format(wanted, o->vocabulary));
    d->tokenizer = tokenizer_train(texts, count, o->vocabulary,
                                   strcmp(o->subwords, "bpe") ? TOKENIZER_UNIGRAM : TOKENIZER_BPE, &c->error);
    if (d->tokenizer && tokenizer_size(d->tokenizer) != o->vocabulary)
        message(c->name, "the text has no more than %s subwords",
                count_format(found, tokenizer_size(d->tokenizer)));
    return d->tokenizer != NULL;
}

static bool find_tokenizer(run_data *d, command *c, const options *o, const char *kept, bool begun)
{
    if (begun && !access(kept, F_OK))
        return load_tokenizer(d, c, kept);
    const char *given = o->from ? path_in(o->arena, o->from, "tokenizer.model") : o->tokenizer;
    return (given ? load_tokenizer(d, c, given) : make_tokenizer(d, c, o)) &&
           write_tokenizer(c, d->tokenizer, kept);
}

static bool make_corpus(run_data *d, command *c, const options *o, int first, corpus *out)
{
    const corpus_limits limits = {o->max_words, o->max_length};
    bool language = !strcmp(o->type, "language");
    char said[200];
    if (language && o->block)
        return corpus_make_blocks(out, &c->context->allocator, &d->texts[first + 1], d->tokenizer, o->block,
                                  &c->error);
    if (!corpus_make(out, &c->context->allocator, language ? NULL : &d->texts[first], &d->texts[first + 1],
                     d->tokenizer, limits, &c->error))
        return false;
    corpus_describe(out, limits, said, sizeof said);
    const char *use = c->options->command == COMMAND_CONVERT ? "features are looked at on" : "training:";
    message(c->name, "%s %s", first ? "validation:" : use, said);
    return true;
}

bool run_data_open(run_data *d, command *c, const options *o, const char *kept, bool begun)
{
    bool language = !strcmp(o->type, "language");
    *d = (run_data){.has_valid = o->valid.count > 0};
    return read_texts(d, c, &o->train, 0, language, "--train") &&
           (!d->has_valid || read_texts(d, c, &o->valid, 2, language, "--valid")) &&
           find_tokenizer(d, c, o, kept, begun) && make_corpus(d, c, o, 0, &d->train) &&
           (!d->has_valid || make_corpus(d, c, o, 2, &d->valid)) &&
           batches_begin(&d->train_batches, &d->train, o->batch_tokens, (uint64_t)o->seed, &c->error) &&
           (!d->has_valid || batches_begin(&d->valid_batches, &d->valid, o->batch_tokens, 1, &c->error));
}

bool run_data_nll(run_data *d, rondo_trainer *trainer, double *nll, rondo_error *error)
{
    double sum = 0;
    int64_t targets = 0;
    rondo_tensor inputs[6];
    batches_plan(&d->valid_batches, 0);
    for (int64_t i = 0; i < d->valid_batches.count && !signals_caught(); i++) {
        batch b;
        rondo_step step;
        batches_get(&d->valid_batches, i, &b);
        int count = run_data_inputs(&b, inputs);
        if (!rondo_trainer_evaluate(trainer, inputs, count, &step, error))
            return false;
        sum += step.nll * (double)step.targets;
        targets += step.targets;
    }
    *nll = targets ? sum / (double)targets : 0;
    return true;
}

uint32_t run_data_mark(const run_data *d, const options *o)
{
    const int64_t cut[] = {o->batch_tokens, d->train.count};
    uLong mark = crc32_z(0, (const Bytef *)cut, sizeof cut);
    for (int s = !d->train.has_source; s < 2; s++) {
        const corpus_side *side = &d->train.side[s];
        mark = crc32_z(mark, (const Bytef *)side->start, sizeof *side->start * (size_t)(d->train.count + 1));
        mark = crc32_z(mark, (const Bytef *)side->tokens, sizeof *side->tokens * (size_t)side->used);
    }
    return (uint32_t)mark;
}

void run_data_close(run_data *d)
{
    batches_free(&d->train_batches);
    batches_free(&d->valid_batches);
    corpus_free(&d->train);
    corpus_free(&d->valid);
    tokenizer_free(d->tokenizer);
    for (int i = 0; i < 4; i++)
        lines_free(&d->texts[i]);
}

int run_data_inputs(const batch *b, rondo_tensor *out)
{
    int count = 0;
    out[count++] = (rondo_tensor){"target_in", RONDO_I32, 2, {b->rows, b->target_extent}, b->target_in};
    out[count++] = (rondo_tensor){"target_out", RONDO_I32, 2, {b->rows, b->target_extent}, b->target_out};
    out[count++] = (rondo_tensor){"sentences", RONDO_I32, 1, {b->rows}, b->sentence};
    if (b->source) {
        out[count++] = (rondo_tensor){"source", RONDO_I32, 2, {b->rows, b->source_extent}, b->source};
        out[count++] = (rondo_tensor){"source_length", RONDO_I32, 1, {b->rows}, b->source_length};
    }
    return count;
}
