/* The pipelines, one function each.
 *
 *   train     verify → watch → linearize → contract → differentiate → simplify → fuse
 *   evaluate  verify → watch → mode → linearize → contract → differentiate → simplify → fuse
 *   decode    verify → mode → linearize → contract → stream → compose → hoist → simplify → fuse
 *
 * and then, for all of them, lower → schedule → plan = program.
 *
 * `after` (the argument of `rondo inspect --after`) stops a pipeline after the named pass. */
#pragma once
#include "compiler/passes/passes.h"
#include "compiler/program/program.h"
#include "compiler/passes/stream.h"

typedef struct pipeline_options {
    bool no_linearize;
    const char *after; /* NULL: the whole pipeline */
    bool (*check)(const rondo_graph *g, rondo_error *error); /* run between passes; tests give graph_verify */
} pipeline_options;

/* The outputs of the result are those of objectives_graph (compiler/objectives.h): the sum and the count
 * of the loss and of every other objective and metric of its graph; for training, the gradients too. */
rondo_graph *pipeline_train(rondo_value loss, const pipeline_options *options, rondo_error *error);
rondo_graph *pipeline_evaluate(rondo_value loss, const pipeline_options *options, rondo_error *error);
/* Results under their names, for evaluation; and one of them. */
rondo_graph *pipeline_function(const rondo_graph *g, const value_id *results, const char *const *names,
                               int count, const pipeline_options *options, rondo_error *error);
rondo_graph *pipeline_forward(rondo_value result, const char *name, const pipeline_options *options,
                              rondo_error *error);
/* The advance graph, one piece, with the output "logits" for all P tokens; and the decoder in its three
 * stages, with the logits of each sequence's last token. */
rondo_graph *pipeline_advance(rondo_value logits, const char *time, const pipeline_options *options,
                              rondo_error *error);
bool pipeline_decode(rondo_value logits, const char *time, const pipeline_options *options, staged *stages,
                     rondo_error *error);

/* The names of the passes in order, NULL at the end, for messages. */
extern const char *const pipeline_passes[];
