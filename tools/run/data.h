/* What a run trains on: its text, subwords, corpora and batches. */
#pragma once
#include "tools/commands/command.h"
#include "tools/run/folder.h"
#include "tools/tasks/task.h"

typedef struct run_data {
    const task *task;
    dataset train, valid;
    tokenizer *tokenizer;
    bool has_valid;
} run_data;
/* The subwords come from the folder if it already has a run. */
bool run_data_open(run_data *d, command *c, const options *o, const run_folder *f);
/* Writes the subwords to a file. One that exists must have the same ones, and is left alone. */
bool run_data_keep_tokenizer(const tokenizer *t, command *c, const char *path);
void run_data_close(run_data *d);
/* A checksum of the tokens and of how they are cut into batches: a run resumes bit for bit only if it is
 * the same. */
uint32_t run_data_mark(const run_data *d, const options *o);
