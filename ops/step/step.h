/* What step rules share, in addition to the helpers in op.h. */
#pragma once
#include "ops/build.h"

/* Facts of operands. */
extern const time_fact step_still;
time_fact step_now(int axis);
const time_fact *step_fact(const step_context *c, value_id old); /* of an old value; NONE is still */
bool step_all_still(const step_context *c, const node *n);
/* the operand carries time, and the axis is the batch, whose sequences are at different tokens */
bool step_joins(const step_context *c, const node *n, int operand, int axis);

/* Shapes. */
/* in order; the count, at most `most` */
int step_time_axes(const step_context *c, const shape *s, int *axes, int most);
/* step_shape, with the cache's capacity on a pair's key axis */
shape step_fact_shape(const step_context *c, const shape *s, const time_fact *f);
bool step_batch_first(const step_context *c, const shape *s);

/* Building. */
void step_inputs(const step_context *c, const node *n, value_id *inputs); /* n's, in the new graph */
/* maps n's results to those of the node whose first is `first`; NONE: false */
bool step_finish(step_context *c, const node *n, value_id first);
/* n's op and attributes on these inputs; the attribute `dims_at` becomes `dims` unless NULL. */
bool step_build(step_context *c, const node *n, const value_id *inputs, const shape *dims, int dims_at);
