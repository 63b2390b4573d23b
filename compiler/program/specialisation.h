/* A specialisation: a program with numbers for its symbols. Where each value lives, and a flat list of kernel
 * calls with offsets into one arena; no pointers to memory yet, so that any number of instances share it. */
#pragma once
#include "compiler/program/plan.h"
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
