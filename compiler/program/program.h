/* A program: a graph made runnable. It is immutable and shared; binding its symbols to numbers gives a specialisation, a
 * flat list of kernel calls with offsets into one arena; an instance puts pointers into a specialisation's calls and runs
 * them. Running does no shape inference, no allocation and no hashing.
 *
 *   graph ──lower──▶ placements, kernels ──schedule──▶ order ──plan──▶ offsets      = specialisation (cached by bound dims)
 *                                                                  + memory        = instance (one thread at a time)  */
#pragma once
#include "core/team.h"
#include "ops/op.h"
#include <stdatomic.h>

/* Where a value lives, in elements from the start of its root's storage. Views share the root of what they look at. */
typedef struct placement {
    value_id root;    /* the value that owns the storage; a leaf, a constant or a value of the arena */
    int64_t offset;   /* elements */
    int64_t strides[MAX_RANK];
} placement;

/* One operand's pointer: filled into calls[call].inputs/outputs when memory is known. */
typedef struct relocation {
    int call, operand; /* operand ≥ 0: input; < 0: output −1 − operand */
    value_id root;
    int64_t offset;    /* bytes from the root's start */
} relocation;

typedef struct call_scratch {
    int64_t shared_offset; /* bytes into the arena; −1: none */
} call_scratch;

typedef struct memory_report {
    int64_t peak_bytes;        /* of the arena as planned */
    int64_t lower_bytes;       /* most bytes alive at once: no plan of this order can do with less */
    int64_t naive_bytes;       /* every buffer its own */
} memory_report;

/* A buffer of the arena. */
typedef struct lifetime {
    int64_t bytes;   /* with what stands behind it, a multiple of the alignment after plan */
    int first, last; /* first call that writes it, last that reads it */
    int64_t offset;  /* result */
    int64_t used;    /* bytes of the tensors in it */
} lifetime;

typedef struct specialisation {
    int64_t bound[MAX_SYMBOLS];
    const struct wisdom *wisdom; /* its kernels were chosen by */
    arena arena;
    kernel_call *calls;
    call_scratch *scratch;
    node_id *nodes; /* the graph node of each call */
    int call_count;
    relocation *relocations;
    int relocation_count;
    int64_t *offsets; /* by value id: bytes into the arena of roots that live there; −1: elsewhere */
    placement *placements; /* by value id */
    int64_t (*dims)[MAX_RANK]; /* by value id, bound */
    lifetime *lifetimes;
    int lifetime_count;
    size_t arena_bytes, worker_bytes;
    double flops; /* matmul-like work of one run */
    memory_report memory;
    struct specialisation *next;
} specialisation;

typedef struct program_options {
    int schedule_seed; /* 0: the scheduler's order; else a random topological order, for tests */
    bool poison;       /* fill buffers with signalling NaN at birth and death and check guards behind them, for tests */
    bool no_in_place;
    int kernel_choice; /* −1: cost table; k ≥ 0: the k-th applicable candidate where there is one */
} program_options;

typedef struct program {
    rondo *context;
    rondo_graph *graph; /* owned */
    program_options options;
    const struct wisdom *wisdom; /* kernels to try first: the context's, until program_choose; NULL: none */
    specialisation *specialisations; /* newest first; guarded by lock */
    void *lock;
    arena arena;
    bool *in_place;  /* by port: `out` may be bound to the storage of `in` */
    node_id *order;  /* of the first specialisation, kept for all: memory differs little, compile time does */
    bool *kept;      /* by value: an output or a port's out; it owns dense storage and lives to the end */
} program;

/* Takes the graph, also on failure. */
program *program_new(rondo_graph *g, const program_options *options, rondo_error *error);
void program_free(program *p);
/* Cached; thread-safe. bound: one number for each symbol of the graph. */
const specialisation *program_specialise(program *p, const int64_t *bound, rondo_error *error);

/* Specialisations that are asked for from now on follow this wisdom, which must outlive p, and not the context's. */
void program_choose(program *p, const struct wisdom *wisdom);

/* Memory of one caller: grows to the largest specialisation it has run. */
typedef struct instance {
    program *program;
    const specialisation *now;
    const rondo_allocator *allocator;
    kernel_call *calls; /* copies with pointers */
    tensor *tensors;
    size_t calls_bytes, tensors_bytes;
    char *memory, *workers;
    size_t memory_bytes, workers_bytes;
    void **roots; /* by value id: external storage given by instance_bind; NULL otherwise */
    size_t roots_bytes;
    double *seconds; /* by node id, when profiling; else NULL */
    const atomic_bool *cancel; /* NULL, or looked at between calls */
} instance;
bool instance_begin(instance *i, program *p, rondo_error *error);
void instance_end(instance *i);
/* Storage for a leaf, or for an output value that shall be written outside the arena. Valid until changed. */
void instance_bind(instance *i, value_id v, void *data);
/* Runs at `bound`. Every leaf must be bound. Fails on a missing leaf, refused memory, or cancel. */
bool instance_run(instance *i, team *t, const int64_t *bound, rondo_error *error);
/* A result of the last run: dense if *dense; strides in elements otherwise. */
tensor instance_tensor(const instance *i, value_id v);

/* ---- the parts, each a pure function with tests of its own ---- */
/* lower: where values live, and the calls that make them. */
bool lower_placements(specialisation *s, const program *p, rondo_error *error); /* dims, placements */
bool lower_calls(specialisation *s, const program *p, const node_id *order, int count, rondo_error *error);
int operand_room(const node *n); /* entries of kernel_call.inputs: as many as the op may have */

/* schedule: an order of the nodes that makes operands first, reads a port before it is overwritten, and frees memory
 * early: the better of graph order and a greedy one, judged by the most bytes alive. root: by value id, whose storage it
 * is; bytes: by value id, of what lives in the arena. seed ≠ 0: a random order, for tests. in_place: by port. */
typedef struct schedule_problem {
    const rondo_graph *graph;
    const value_id *root;
    const int64_t *bytes;
    const bool *in_place;
    int seed;
    arena *scratch;
} schedule_problem;
bool schedule(const schedule_problem *problem, node_id *order, rondo_error *error); /* order: node_count entries */
int64_t schedule_peak(const schedule_problem *problem, const node_id *order); /* most bytes alive; INT64_MAX: memory refused */
/* Which ports may be updated in place: the writer can come after every reader of the old content. */
bool schedule_ports(const rondo_graph *g, bool *in_place, arena *scratch);

/* plan: lifetimes to offsets. */
memory_report plan(lifetime *records, int count, int64_t alignment, int *order_scratch);
