/* A command: what main dispatches to, and what several commands share: the context, the model named on the
 * command line, the transformer that options describe. */
#pragma once
#include "compiler/pipeline.h"
#include "models/decode/decoder.h"
#include "models/transformer.h"
#include "tools/options/options.h"
#include "tools/report/message.h"
#include "tools/signals.h"

typedef struct command {
    rondo *context; /* of rondo_main's caller */
    const options *options;
    const char *name;
    rondo_error error;
} command;
typedef int command_main(command *c); /* gives the exit code */
command_main command_convert, command_train, command_translate, command_generate, command_export, command_evaluate,
    command_explain, command_inspect, command_check, command_bench, command_tune, command_corpus, command_help, command_manual, command_completion,
    command_version;

/* "rondo NAME: " and the error; for `return command_failed(c, EXIT_MODEL)`. */
int command_failed(const command *c, exit_code otherwise);

/* MODEL: the folder of a run, or an exported file. */
typedef struct model {
    options options;         /* of the run; a file's are all defaults */
    transformer_graph graph; /* graph NULL: an exported file */
    rondo_weights *weights;  /* of the run; NULL: the file's own */
    rondo_program *program;
    tokenizer *tokenizer; /* belongs to the model or to the program */
    bool owns_tokenizer;
} model;
bool model_open(model *m, command *c, arena *a, const char *path); /* false: c->error */
void model_close(model *m);
bool is_folder(const char *path);
/* FOLDER/NAME in the arena; NULL: refused. */
const char *path_in(arena *a, const char *folder, const char *name);
/* The names of a run's files with weights, in the order in which a command prefers them; ends in NULL. */
extern const char *const run_weight_files[];
/* The file with the weights of a run: the best, else the last, else those that it begins with. NULL: it has none yet, or out of memory. */
const char *run_weights(arena *a, const char *folder);
/* A whole file as bytes (NUL added) in the arena. */
char *read_whole(arena *a, const char *path, size_t *bytes, rondo_error *error);
/* FILE.graph: the text form, by its name; NULL: the error says the line, or that the file cannot be read. */
bool is_graph_file(const char *path);
rondo_graph *read_graph(command *c, arena *a, const char *path);
