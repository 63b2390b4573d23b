/* A program: a graph ready to be run, and a cache of its specialisations. Any number of threads share it.
 *
 *   graph ──lower──▶ placements, kernels ──schedule──▶ order ──plan──▶ offsets = specialisation (cached)
 *   specialisation + memory = instance (one thread at a time) */
#pragma once
#include "compiler/program/specialisation.h"

typedef struct program_options {
    int schedule_seed; /* 0: the scheduler's order; else a random topological order, for tests */
    /* signalling NaN in buffers before first and after last use, and guards behind them (core/guard.h), for
     * tests */
    bool poison;
    bool no_in_place;
    int kernel_choice; /* −1: cost table; k ≥ 0: the k-th applicable candidate where there is one */
} program_options;

typedef struct program {
    rondo *context;
    rondo_graph *graph; /* owned */
    program_options options;
    const struct wisdom *wisdom; /* kernels to try first: the context's, until program_choose; NULL: none */
    specialisation *specialisations; /* the most recently used first; guarded by lock */
    size_t specialised_bytes;        /* of all of them; guarded by lock */
    void *lock;
    arena arena;
    bool *in_place; /* by port: `out` may be bound to the storage of `in` */
    node_id *order; /* that of the first specialisation: for others it needs little more memory, and saves
                     * compile time */
    bool *dense;    /* by value: an operand of a loop, which a step reads a piece of */
    struct program **bodies; /* by node: of a loop; else NULL */
    bool *kept;     /* by value: an output or a port's `out`, which has dense storage of its own until the end
                     * of the run */
} program;

/* Takes the graph, also on failure. */
program *program_new(rondo_graph *g, const program_options *options, rondo_error *error);
void program_free(program *p);

/* bound: one number for each symbol of the graph. Any thread may call it. The result is valid until it is
 * released, or until program_free. After that it stays in the cache; when the cache exceeds the context's
 * compiled_bytes, those without users are freed, the least recently used first. */
const specialisation *program_specialise(program *p, const int64_t *bound, rondo_error *error);
void program_release(program *p, const specialisation *s); /* s may be NULL */

/* From now on specialisations use this wisdom, which must outlive p, instead of the context's. */
void program_choose(program *p, const struct wisdom *wisdom);
