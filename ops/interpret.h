/* Runs a graph in double precision on the op references: the oracle that passes, gradients and kernels are
 * compared with. Slow and simple; every value is kept. */
#pragma once
#include "ops/op.h"

/* The data of a leaf (input, parameter or state): dense, row-major, with the shape that it has under `bound`.
 * A state that is not bound has its port's initial value. */
typedef struct interpret_binding {
    value_id value;
    const double *data;
} interpret_binding;

typedef struct interpretation {
    arena arena;
    reference_tensor *values; /* by value id; data NULL: a leaf that is not bound and has no reader */
} interpretation;

/* bound: one number for each symbol of g. On success interpret_end frees the result; on failure there is
 * nothing to free. */
bool interpret(const rondo_graph *g, const int64_t *bound, const interpret_binding *bindings, int count,
               interpretation *result, rondo_error *error);
void interpret_end(interpretation *result);
