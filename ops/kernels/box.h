/* A box: elements that are copied from one strided layout to another. Every op that only moves elements is a
 * list of boxes. */
#pragma once
#include "ops/kernels/kernel.h"
#include <stdint.h>

enum { BOX_AXES = 2 * MAX_RANK };
typedef struct box {
    int rank;
    int64_t dims[BOX_AXES], from[BOX_AXES], to[BOX_AXES]; /* extents and strides, in elements of 4 bytes */
    int64_t from_start, to_start;
} box;

void box_axis(box *b, int64_t extent, int64_t from, int64_t to); /* one more axis, inside the others */
/* x's elements to y's in row-major order of both, whatever their dims; false: their axes have no common
 * refinement. */
bool box_reshape(box *b, const tensor *x, const tensor *y);
/* Call once after the last box_axis: sorts the axes into the order of copying. */
void box_order(box *b);
int64_t box_tasks(const box *b);
void box_run(const box *b, const void *from, void *to, int64_t task);

/* A result as boxes, each out of a memory of its own: box number `part`; false past the last. */
typedef bool box_part(const kernel_call *call, int part, box *b, const void **from);
bool box_parts_plan(kernel_call *call, box_part *rule); /* one phase; true */
void box_parts_run(const kernel_call *call, int64_t task, box_part *rule);
