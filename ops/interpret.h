/* Runs a graph in double precision on the op references: the oracle that passes, gradients and kernels are
 * held against. Slow and plain; every value is kept. */
#pragma once
#include "ops/op.h"

/* What a leaf (input, parameter or state) holds: dense, row-major, as many numbers as its shape under
 * `bound`. A state that is not bound holds its port's initial value. */
typedef struct interpret_binding {
    value_id value;
    const double *data;
} interpret_binding;

typedef struct interpretation {
    arena arena;
    reference_tensor *values; /* by value id; data NULL: a leaf that was not bound and nothing reads */
} interpretation;

/* bound: one number for each symbol of g. On success interpret_end frees the result; on failure nothing is to
 * be freed. */
bool interpret(const rondo_graph *g, const int64_t *bound, const interpret_binding *bindings, int count,
               interpretation *result, rondo_error *error);
void interpret_end(interpretation *result);
