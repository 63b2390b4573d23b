/* A compiled graph with named inputs and outputs, and the results of its runs. A function is immutable
 * except for its pool of idle results, each with memory of its own: a run takes one, and
 * rondo_results_free returns it. */
#pragma once
#include "compiler/program/instance.h"
#include "core/safetensors.h"
#include "models/weights.h"
#include <pthread.h>

/* A copy of an output that has no memory of its own: an input or a parameter that is passed on. */
typedef struct output_copy {
    void *data;
    size_t bytes;
} output_copy;

struct rondo_results {
    rondo_function *function;
    instance instance;
    output_copy *copies; /* by output of the graph */
    rondo_results *next; /* idle */
};

typedef struct signature_entry {
    const char *name, *type;
} signature_entry;

struct rondo_function {
    rondo *context;
    arena arena;
    program *program;
    const char *report;
    safetensors file; /* of a loaded function; map.data NULL otherwise */
    bool *read;       /* by value: some node reads it, or it is an output */
    signature_entry *inputs, *outputs;
    int input_count, output_count;
    pthread_mutex_t lock;
    rondo_results *idle; /* guarded by lock */
};

rondo_function *function_begin(rondo *context, rondo_error *error);
/* Reads the signature of g and compiles it. The function owns g afterwards, also on failure. */
bool function_set_graph(rondo_function *f, rondo_graph *g, const program_options *options,
                        rondo_error *error);
/* What a function requires of its graph beyond graph_verify: no state, and kernels for every op in this
 * library. */
bool function_check_graph(const rondo_graph *g, rondo_error *error);
#define FUNCTION_GRAPH_KEY "rondo.graph"

/* ---- arguments.c ---- */
/* Checks the tensors against the inputs of i's graph, all before any is bound; then binds them and returns
 * the values of the symbols. read: of the function. False: the error names the tensor or the input. */
bool arguments_bind(instance *i, const bool *read, const rondo_tensor *tensors, size_t count, int64_t *bound,
                    rondo_error *error);
