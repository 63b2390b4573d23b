/* The samples of an op with symbols: B where a leaf's first axis was, T along another, and along two for values over (t, s),
 * which are then products of two leaves. What a test of time, or of extents that are equal by chance, takes from the op
 * table. */
#pragma once
#include "ops/build.h"

enum { SYMBOLIC_LEAVES = 2 * MAX_INPUTS, SYMBOLIC_LARGEST = 4096 }; /* samples with larger leaves are for kernels */
typedef struct symbolic_leaf {
    value_id value;
    double low, high; /* its numbers, both included if whole */
    bool integer;
    int time_axis; /* −1: none */
    bool lengths;  /* a whole number for each sequence */
} symbolic_leaf;
typedef struct symbolic_sample {
    rondo_graph *graph; /* outputs y0, y1, … of the op; none of them has T twice */
    int batch, time;    /* symbols */
    symbolic_leaf leaves[SYMBOLIC_LEAVES];
    int leaf_count;
    value_id result;     /* the op's first */
    int64_t time_extent; /* what T stands for in the sample */
} symbolic_sample;

/* Calls `visit` with every form of a sample that infers. False: there is no such sample. */
typedef void symbolic_visit(const symbolic_sample *s, void *data);
bool symbolic_samples(op_id op, int index, symbolic_visit *visit, void *data);
