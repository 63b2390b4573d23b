/* A task is what a model is trained for: how its text is read and cut into batches, what its model is, how
 * it is validated, and which command uses it. Only the table of tasks compares names of tasks. */
#pragma once
#include "models/transformer.h"
#include "models/weights.h"
#include "tools/data/batches.h"
#include "tools/options/options.h"
#include "tools/run/measures.h"

/* Examples to train on or to validate with. */
typedef struct dataset {
    lines source, target; /* a text of one file is the target */
    corpus corpus;
    batches batches;
} dataset;

/* Checks the options before anything is read. */
typedef bool task_check(const options *o, rondo_error *error);
/* Reads the files of a text into d's lines. */
typedef bool task_read(dataset *d, const rondo_allocator *allocator, const char *const *files,
                       rondo_error *error);
/* Makes the corpus of d from its lines. */
typedef bool task_encode(dataset *d, const rondo_allocator *allocator, const options *o, const tokenizer *t,
                         rondo_error *error);
/* A batch as the inputs of the model, in out[TASK_INPUTS]; returns how many there are. */
enum { TASK_INPUTS = 6 };
typedef int task_inputs(const batch *b, rondo_tensor *out);
/* The model that the options describe, with that many subwords. */
typedef bool task_build(rondo *context, const options *o, int64_t vocabulary, transformer_graph *out,
                        rondo_error *error);
/* The loss per target on the validation examples, in nats, and what is measured beside it; on some of them
 * if a signal asks to stop. */
typedef bool task_validate(dataset *valid, task_inputs *inputs, rondo_trainer *trainer, double *nll,
                           measures *others, rondo_error *error);
/* Prints o->samples of the validation examples on stderr: the source, the target, and, labelled with
 * `when`, the output of the model. */
typedef struct task_model {
    rondo_value logits;
    const rondo_weights *weights;
    tokenizer *tokenizer;
} task_model;
typedef bool task_samples(const task_model *m, const dataset *valid, const options *o, const char *when,
                          rondo_error *error);

typedef struct task {
    const char *name, *command, *meaning;
    bool places[PLACE_COUNT]; /* which attentions its model has */
    int files;
    int64_t bench_sequences, bench_tokens;
    task_check *check;
    task_read *read;
    task_encode *encode;
    task_inputs *inputs;
    task_build *build;
    task_validate *validate;
    task_samples *samples; /* NULL: there are none */
} task;
extern const task tasks[]; /* ends with a NULL name */

/* The task of --type. */
const task *task_of(const options *o);
/* The transformer that the options describe, with that many subwords. */
transformer task_transformer(const options *o, int64_t vocabulary);

#define TASK(file, name, command, encoder, decoder, cross, files, build, validate, samples, ...) \
    task_check file##_check;                                                                     \
    task_read file##_read;                                                                       \
    task_encode file##_encode;                                                                   \
    task_inputs file##_inputs;
#include "tools/tasks/tasks.def"
task_build task_build_transformer;
task_validate task_validate_nll;
task_samples task_samples_translate;
