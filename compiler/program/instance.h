/* An instance: one caller's memory for a program. It copies the calls of a specialisation, fills in pointers
 * and runs them; a shape that it has seen needs no inference, allocation or hashing. One thread at a time. */
#pragma once
#include "compiler/program/program.h"
#include "core/team.h"
#include <stdatomic.h>

/* Its memory grows to that of the largest specialisation run so far. */
typedef struct instance {
    program *program;
    const specialisation *now; /* in use until another takes its place */
    const rondo_allocator *allocator;
    kernel_call *calls; /* copies with pointers */
    tensor *tensors;
    size_t calls_bytes, tensors_bytes;
    char *memory, *workers;
    size_t memory_bytes, workers_bytes;
    void **roots; /* by value id: external storage given by instance_bind; NULL otherwise */
    size_t roots_bytes;
    struct instance *loops; /* of the bodies of the loops; their memory is this one's */
    size_t loops_bytes;
    int loop_count;
    bool borrows; /* memory and workers belong to the instance around it */
    double *seconds;           /* by node id, when profiling; else NULL */
    const atomic_bool *cancel; /* NULL, or looked at between calls */
} instance;
bool instance_begin(instance *i, program *p, rondo_error *error);
void instance_end(instance *i);
/* Storage for a leaf, or for an output that is to be written outside the arena. Valid until changed. */
void instance_bind(instance *i, value_id v, void *data);
/* Runs at `bound`. Every leaf must be bound. Fails on a missing leaf, refused memory, or cancel. */
bool instance_run(instance *i, team *t, const int64_t *bound, rondo_error *error);
/* The parts of a run, for loops. Pointers into the calls, from what is bound; then the calls, once. */
bool instance_relocate(instance *i, rondo_error *error);
bool instance_calls(instance *i, team *t, rondo_error *error);
bool run_loop(instance *i, int call, team *t, rondo_error *error); /* loop.c */
/* A result of the last run, with strides in elements. */
tensor instance_tensor(const instance *i, value_id v);
