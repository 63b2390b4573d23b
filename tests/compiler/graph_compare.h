/* Runs two graphs on the same random inputs in double precision and compares their outputs. Leaves are filled
 * by name, so that a rewritten graph gets the numbers of the old one: f32 in [low, high), i32 in [shortest,
 * longest]. */
#pragma once
#include "ops/interpret.h"

typedef struct graph_inputs {
    uint64_t seed;
    double low, high;
    int64_t longest;
    int64_t shortest;
} graph_inputs;

/* The largest over all outputs of `a` of rms(a − b) / rms(a) and of max|a − b| / rms(a) / 10; the output's
 * name in *worst. −1: an output is missing, has another shape, is not finite, or a graph does not run (the
 * error says). */
double graph_difference(const rondo_graph *a, const rondo_graph *b, const int64_t *bound,
                        const graph_inputs *inputs, const char **worst, rondo_error *error);
/* Whether some value has two axes with one of the symbols in `names` each ("TS"). */
bool graph_has_pair(const rondo_graph *g, const char *names);
int graph_count(const rondo_graph *g, op_id op);
/* A copy of g with one more output, "loss": the sum of the squares of all others. */
rondo_graph *graph_with_loss(const rondo_graph *g, rondo_error *error);
/* A copy of g, which has an output "loss" of one element, with "gradient.NAME" of every f32 input that it
 * depends on. */
rondo_graph *graph_with_gradients(const rondo_graph *g, rondo_error *error);
