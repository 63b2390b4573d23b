/* The gradient of a loop: a loop that goes the other way. Its body is the gradient of the loop's body. */
#pragma once
#include "ops/loop.h"

/* What differentiating a body gives. The backward loop's operands are
 *
 *   carries    the gradient of each f32 carry; then the sums of the constants that are summed step by step
 *   sequences  those of the loop; then the gradients of its f32 rows
 *   stacks     those of the loop; what each carry was before the step; the kept values; then the gradients
 *              of its f32 stacked results
 *   constants  those of the loop
 *
 * its results the carries, the gradients of the f32 sequences as rows, and as stacks the gradients of the
 * f32 stacks, then the factors of the constants whose gradient is one product over all steps. */
typedef struct loop_factor {
    int constant;    /* of the loop */
    int left, right; /* which of the stacked results, of those that are factors */
} loop_factor;
typedef struct loop_gradient {
    loop_parts forward;      /* of the loop that keeps what the backward loop reads */
    rondo_graph *body;       /* of the backward loop; given away by loop_gradient_apply */
    int kept;                /* values beside the carries that the forward loop keeps */
    int summed[MAX_INPUTS];  /* of each constant: the carry of its sum; −1: none */
    int summed_count;
    loop_factor factors[MAX_OUTPUTS];
    int factor_count, pieces; /* pieces: stacked results that are factors */
} loop_gradient;

/* Differentiates the body of loop n. Values that are cheap to make again from what is kept are made again:
 * kept are the carries and the results of products, reductions and the like. `keeping`: a copy of the body
 * with the stacked results that this needs, for the caller to give away. False: the error is in g, and
 * there is nothing to free. */
bool loop_gradient_make(rondo_graph *g, const rondo_graph *from, const node *n, loop_gradient *d,
                        rondo_graph **keeping);
/* Builds the backward loop for node `loop` of g, which keeps what is needed; out_gradients and in_gradients
 * as a vjp rule has them. */
bool loop_gradient_apply(rondo_graph *g, node_id loop, loop_gradient *d, const value_id *out_gradients,
                         const bool *needs, value_id *in_gradients);
