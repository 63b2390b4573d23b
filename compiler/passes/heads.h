/* The ops scan and attention take [B, H, T, D]; models write any number of batch axes. In and out again. */
#pragma once
#include "ops/build.h"

/* x: [batch'…, X, Y], where batch'… broadcasts to `batch` → [B, H, X, Y]: B is the first batch axis, H the
 * product of the others, 1 where there is none. */
value_id heads_in(rondo_graph *g, value_id x, const shape *batch);
/* y: [B, H, X, Y] → [batch…, X, Y]. */
value_id heads_out(rondo_graph *g, value_id y, const shape *batch);
/* s without its last two axes. */
shape heads_batch(const shape *s);
