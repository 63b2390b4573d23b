/* The samples of an op with symbols: B on the first axis of a leaf, T on another, and on two for values over
 * (t, s), which are then products of two leaves. For tests of time, and of extents that happen to be
 * equal. */
#pragma once
#include "ops/build.h"

enum { SYMBOLIC_LEAVES = 2 * MAX_INPUTS, SYMBOLIC_LARGEST = 4096 }; /* larger samples are for kernels */
typedef struct symbolic_leaf {
    value_id value;
    double low, high; /* bounds of its numbers, both inclusive if they are integers */
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
    int64_t time_extent; /* what T is bound to in the sample */
} symbolic_sample;

/* Calls `visit` with every form of a sample that infers. False: there is no such sample. */
typedef void symbolic_visit(const symbolic_sample *s, void *data);
bool symbolic_samples(op_id op, int index, symbolic_visit *visit, void *data);
