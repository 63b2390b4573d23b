/* What a run trains on: texts read, subwords found or loaded, corpora made, batches planned. */
#pragma once
#include "tools/data/batches.h"
#include "tools/commands/command.h"

typedef struct run_data {
    lines texts[4]; /* train source, train target, valid source, valid target; a language model has the
                       targets alone */
    tokenizer *tokenizer;
    corpus train, valid;
    batches train_batches, valid_batches;
    bool has_valid;
} run_data;
/* kept: the file of the run's subwords; it is read when the run has begun before, and written when it has
 * not. */
bool run_data_open(run_data *d, command *c, const options *o, const char *kept, bool begun);
void run_data_close(run_data *d);
/* The inputs of a model for a batch, in out[6]; how many. */
int run_data_inputs(const batch *b, rondo_tensor *out);
/* The loss per target on the validation text, in nats; a part of it when a signal came in between. */
bool run_data_nll(run_data *d, rondo_trainer *trainer, double *nll, rondo_error *error);
/* A number of what is trained on, and in which batches: a run goes on bit for bit only with the same one. */
uint32_t run_data_mark(const run_data *d, const options *o);
