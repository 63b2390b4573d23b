/* oneDNN's primitives as kernels use them: described by shapes, made once for each description, cached for
 * the whole process, and run on the calling thread. What oneDNN has no fast code for is refused, so that
 * every candidate is worth measuring. */
#pragma once
#include "core/graph.h"

typedef enum primitive_kind {
    PRIMITIVE_UNARY,     /* x, y: y = op(x) */
    PRIMITIVE_BINARY,    /* a, b, y: y = op(a, b); b may have extents of 1 */
    PRIMITIVE_REDUCTION, /* x, y: op over the axes where y has the extent 1 */
    PRIMITIVE_REORDER,   /* x, y: y = x */
    PRIMITIVE_MATMUL,  /* a, b, bias or none, y: y = op(a · b + bias (+ y)) over the last two axes; OP_COUNT:
                          no op */
    PRIMITIVE_SOFTMAX, /* x, y: over the last axis; a row of −inf gives NaN */
    PRIMITIVE_LAYER_NORM /* x, gain, bias, y, mean, variance: over the last axis */
} primitive_kind;

enum { PRIMITIVE_TENSORS = 6 };
/* Extents and strides of f32. Strides of extents of 1 matter too, and are those of a dense tensor. Rank 0: no
 * tensor. */
typedef struct primitive_tensor {
    int64_t rank, dims[MAX_RANK], strides[MAX_RANK];
} primitive_tensor;

/* All of it, padding included, is the key of the cache: begin with {0}. */
typedef struct primitive {
    int64_t kind, op; /* op_id */
    int64_t add;      /* matmul: y is added to */
    double epsilon;   /* layer norm */
    primitive_tensor tensors[PRIMITIVE_TENSORS];
} primitive;

/* Makes it, unless it is in the cache. False: oneDNN refuses, or has only reference code. *scratch_bytes is
 * raised to what primitive_run needs. Any thread may call. */
bool primitive_plan(const primitive *wanted, size_t *scratch_bytes);
/* data: a pointer for each tensor, in the order of the kind. x and y (a and y) may be the same. scratch: as
 * planned, aligned to 64 bytes. False: no memory, and y is as it was. Any thread may call. */
bool primitive_run(const primitive *wanted, float *const data[PRIMITIVE_TENSORS], void *scratch);

/* Appends an axis, the outermost first; stride 0 makes the extent 1. primitive_close comes last. */
static inline void primitive_axis(primitive_tensor *t, int64_t extent, int64_t stride)
{
    t->dims[t->rank] = stride ? extent : 1;
    t->strides[t->rank++] = stride;
}
/* Gives extents of 1 the strides that they would have in a dense tensor. */
static inline void primitive_close(primitive_tensor *t)
{
    for (int64_t i = t->rank - 1; i >= 0; i--)
        if (t->dims[i] == 1)
            t->strides[i] = i + 1 < t->rank ? t->strides[i + 1] * t->dims[i + 1] : 1;
}
