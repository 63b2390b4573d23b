/* A command: what rondo_main calls, and what several commands share: the context, and the model named on
 * the command line. */
#pragma once
#include "compiler/pipeline.h"
#include "models/decode/decoder.h"
#include "models/transformer.h"
#include "tools/options/options.h"
#include "tools/report/message.h"
#include "tools/signals.h"

typedef struct command {
    rondo *context; /* the caller's of rondo_main */
    const options *options;
    const char *name;
    rondo_error error;
} command;
typedef int command_main(command *c); /* returns the exit code */
command_main command_convert, command_train, command_translate, command_generate, command_export,
    command_evaluate, command_explain, command_inspect, command_check, command_bench, command_tune,
    command_corpus, command_help, command_manual, command_completion,
    command_version;

/* "rondo NAME: " and the error; for `return command_failed(c, EXIT_MODEL)`. */
int command_failed(const command *c, exit_code otherwise);

/* MODEL on the command line: the folder of a run, or an exported file. */
typedef struct model {
    options options;         /* of the run; of an exported file: all defaults */
    transformer_graph graph; /* graph is NULL for an exported file */
    rondo_weights *weights;  /* of the run; NULL for an exported file, whose program has its own */
    rondo_program *program;
    tokenizer *tokenizer; /* belongs to the model or to the program */
    bool owns_tokenizer;
} model;
bool model_open(model *m, command *c, arena *a, const char *path); /* false: c->error */
void model_close(model *m);
bool is_folder(const char *path);
/* RUN on the command line must be a folder. False: c->error. */
bool check_run_folder(command *c, const char *run);
/* FOLDER/NAME in the arena; NULL: out of memory. */
const char *path_in(arena *a, const char *folder, const char *name);
/* The files of a run with weights, in order of preference; ends in NULL. */
extern const char *const run_weight_files[];
/* The weights of a run: the best, else the last, else those that it starts with. NULL: it has none yet, or
 * out of memory. */
const char *run_weights(arena *a, const char *folder);
/* A whole file in the arena, with a NUL behind it. NULL: *error. */
char *read_whole(arena *a, const char *path, size_t *bytes, rondo_error *error);
/* A file is taken for the text form of a graph if its name ends in ".graph". NULL: the error names the
 * line, or says that the file cannot be read. */
bool is_graph_file(const char *path);
rondo_graph *read_graph(command *c, arena *a, const char *path);
