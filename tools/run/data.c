/* Reading the text of a run and making batches of it. */
#include "tools/run/data.h"
#include "core/file.h"
#include <string.h>
#include <zlib.h>

static bool read_text(dataset *d, command *c, const task *t, const option_list *files, const char *option)
{
    if (files->count != t->files)
        return fail(&c->error, RONDO_ARGUMENT,
                    t->files == 1 ? "%s takes one file for a %s model"
                                  : "%s takes two files for a %s model: source and target",
                    option, t->name);
    if (!t->read(d, &c->context->allocator, files->items, &c->error))
        return false;
    return d->target.count || fail(&c->error, RONDO_FILE, "the file %s is empty", d->target.path);
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

static bool make_tokenizer(run_data *d, command *c, const options *o, const run_folder *f)
{
    const lines *const texts[] = {&d->train.source, &d->train.target};
    tokenizer_lines parts[2];
    int count = 0;
    count_text wanted, found;
    for (int i = 0; i < 2; i++)
        if (texts[i]->count)
            parts[count++] = (tokenizer_lines){texts[i]->text, texts[i]->start, texts[i]->count};
    message(c->name, "finding %s subwords", count_format(wanted, o->vocabulary));
    run_folder_end_at_once(f); /* SentencePiece takes long and cannot be interrupted */
    d->tokenizer = tokenizer_train(parts, count, o->vocabulary,
                                   strcmp(o->subwords, "bpe") ? TOKENIZER_UNIGRAM : TOKENIZER_BPE, &c->error);
    signals_be_noted();
    if (d->tokenizer && tokenizer_size(d->tokenizer) != o->vocabulary)
        message(c->name, "the text has no more than %s subwords",
                count_format(found, tokenizer_size(d->tokenizer)));
    return d->tokenizer != NULL;
}

bool run_data_keep_tokenizer(const tokenizer *t, command *c, const char *path)
{
    size_t bytes;
    file_map there;
    const void *model = tokenizer_model(t, &bytes);
    if (!run_folder_has(path))
        return file_store(&c->context->allocator, path, model, bytes, &c->error);
    if (!file_map_open(&there, path, &c->error))
        return false;
    bool same = there.bytes == bytes && !memcmp(there.data, model, bytes);
    file_map_close(&there);
    return same ||
           fail(&c->error, RONDO_ARGUMENT,
                "%s already exists and has other subwords than this run; choose another folder", path);
}

static bool find_tokenizer(run_data *d, command *c, const options *o, const run_folder *f)
{
    if (f->begun && run_folder_has(f->tokenizer))
        return load_tokenizer(d, c, f->tokenizer);
    const char *given = o->from ? path_in(o->arena, o->from, "tokenizer.model") : o->tokenizer;
    return given ? load_tokenizer(d, c, given) : make_tokenizer(d, c, o, f);
}

static bool encode(dataset *d, const run_data *all, command *c, const options *o, const char *use)
{
    char said[200];
    const corpus_limits limits = {o->max_words, o->max_length};
    if (!all->task->encode(d, &c->context->allocator, o, all->tokenizer, &c->error))
        return false;
    if (d->corpus.ends) { /* nothing is skipped in blocks */
        corpus_describe(&d->corpus, limits, said, sizeof said);
        message(c->name, "%s %s", use, said);
    }
    return true;
}

bool run_data_open(run_data *d, command *c, const options *o, const run_folder *f)
{
    const char *use = c->options->command == COMMAND_CONVERT ? "features are measured on" : "training:";
    *d = (run_data){.task = task_of(o), .has_valid = o->valid.count > 0};
    return read_text(&d->train, c, d->task, &o->train, "--train") &&
           (!d->has_valid || read_text(&d->valid, c, d->task, &o->valid, "--valid")) &&
           find_tokenizer(d, c, o, f) && encode(&d->train, d, c, o, use) &&
           (!d->has_valid || encode(&d->valid, d, c, o, "validation:")) &&
           batches_begin(&d->train.batches, &d->train.corpus, o->batch_tokens, (uint64_t)o->seed,
                         &c->error) &&
           (!d->has_valid ||
            batches_begin(&d->valid.batches, &d->valid.corpus, o->batch_tokens, 1, &c->error));
}

uint32_t run_data_mark(const run_data *d, const options *o)
{
    const corpus *c = &d->train.corpus;
    const int64_t cut[] = {o->batch_tokens, c->count};
    uLong mark = crc32_z(0, (const Bytef *)cut, sizeof cut);
    for (int s = !c->has_source; s < 2; s++) {
        const corpus_side *side = &c->side[s];
        mark = crc32_z(mark, (const Bytef *)side->start, sizeof *side->start * (size_t)(c->count + 1));
        mark = crc32_z(mark, (const Bytef *)side->tokens, sizeof *side->tokens * (size_t)side->used);
    }
    return (uint32_t)mark;
}

static void close_dataset(dataset *d)
{
    batches_free(&d->batches);
    corpus_free(&d->corpus);
    lines_free(&d->source);
    lines_free(&d->target);
}

void run_data_close(run_data *d)
{
    close_dataset(&d->train);
    close_dataset(&d->valid);
    tokenizer_free(d->tokenizer);
}
