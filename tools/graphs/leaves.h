/* Numbers for every leaf of a graph, found by name: all graphs that passes make of one model work on the
 * same numbers, in double precision and on kernels. */
#pragma once
#include "compiler/program/instance.h"
#include "ops/interpret.h"

typedef struct leaf {
    const char *name;
    rondo_type type; /* RONDO_F32 or RONDO_I32 */
    int64_t count;
    double *exact; /* exactly what `stored` holds */
    void *stored;  /* float or int32_t */
} leaf;
typedef struct leaves {
    arena *arena;
    uint64_t seed;
    int64_t ids; /* i32 leaves get numbers below it; 0: they get zeros */
    leaf *items;
    int count, capacity;
} leaves;

/* The extent of one symbol. */
typedef struct extent {
    const char *symbol;
    int64_t number;
} extent;
/* One number for each symbol of g: from the list, or 1. */
void extents_bind(const rondo_graph *g, const extent *extents, int count, int64_t bound[MAX_SYMBOLS]);

/* Makes random numbers for the inputs and parameters of g that have none yet. Matrices preserve the scale
 * of their operand; inputs have a deviation of about 1. False: out of memory. */
bool leaves_for(leaves *l, const rondo_graph *g, const int64_t *bound, rondo_error *error);
leaf *leaves_find(const leaves *l, const char *name); /* NULL: none of that name */
/* after a change of exact: rounds to `stored`, and back */
void leaf_store(leaf *x);
/* The name of a leaf node's tensor. */
const char *leaf_name(const rondo_graph *g, node_id id);

/* Bindings for interpret, with `room` free entries at the end; *count: how many are filled. NULL: out of
 * memory. */
interpret_binding *leaves_exact(const leaves *l, const rondo_graph *g, arena *a, int room, int *count);
void leaves_bind(const leaves *l, instance *i);
