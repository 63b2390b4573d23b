/* What a run trains on: texts read, subwords found or loaded, corpora made, batches planned. */
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
/* The subwords are those of the run in the folder, if there is one. */
bool run_data_open(run_data *d, command *c, const options *o, const run_folder *f);
/* Writes the subwords to a file; one that is there must have the same ones, and stays. */
bool run_data_keep_tokenizer(const tokenizer *t, command *c, const char *path);
void run_data_close(run_data *d);
/* A number of what is trained on, and in which batches: a run continues bit for bit only with the same one. */
uint32_t run_data_mark(const run_data *d, const options *o);
