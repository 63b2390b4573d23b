/* A specialisation: a program with numbers for its symbols. Where each value lives, and a flat list of kernel
 * calls with offsets into one arena; no pointers to memory yet, so that any number of instances share it. */
#pragma once
#include "compiler/program/plan.h"
#include "ops/loop.h"
#include "ops/op.h"

/* Where a value lives, in elements from the start of its root's storage. Views share the root of what they
 * look at. */
typedef struct placement {
    value_id root; /* the value that owns the storage; a leaf, a constant or a value of the arena */
    int64_t offset; /* elements */
    int64_t strides[MAX_RANK];
} placement;

/* One operand's pointer: filled into calls[call].inputs/outputs when memory is known. */
typedef struct relocation {
    int call, operand; /* operand ≥ 0: input; < 0: output −1 − operand */
    value_id root;
    int64_t offset; /* bytes from the root's start */
} relocation;

typedef struct call_scratch {
    int64_t shared_offset; /* bytes into the arena; −1: none */
} call_scratch;

/* One operand or result of a loop, as the body has it. */
typedef struct loop_slot {
    loop_kind kind;
    value_id inside; /* NONE: the body does not read it */
    int64_t bytes;   /* that one step sees */
    bool bound;      /* of a result: the body writes it where it belongs; else it is copied there */
} loop_slot;

/* A call that repeats a body. Its shared memory holds two buffers a carry, then the body's arena. */
typedef struct loop_call {
    struct program *program;
    const struct specialisation *body;
    int64_t steps;
    bool reverse;
    int carries, slot_count;
    loop_slot *operands, *results;
    size_t *carry_offsets; /* of the first of the two buffers of each carry */
    size_t arena_offset;
} loop_call;

typedef struct specialisation {
    int64_t bound[MAX_SYMBOLS];
    const struct wisdom *wisdom; /* its kernels were chosen by it */
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
    loop_call *loops; /* a call of op loop has the index as choice[0] */
    int loop_count;
    lifetime *lifetimes;
    int lifetime_count;
    const int *begins, *ends; /* lifetime indices by first and by last call */
    size_t arena_bytes, worker_bytes;
    double flops; /* matmul-like work of one run */
    memory_report memory;

    int users; /* this and what follows: guarded by the program's lock */
    size_t bytes; /* of its own memory */
    struct specialisation *next;
} specialisation;
