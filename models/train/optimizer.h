/* The update as two small graphs over the contiguous blocks: the norm of the gradient, and one step of
 * AdamW. */
#pragma once
#include "ops/build.h"

/* "gradient" f32[size] → output "square_sum" f32[]. */
rondo_graph *optimizer_norm(rondo *context, int64_t size, rondo_error *error);
/* inputs "gradient" f32[size], "scalars" f32[4] (gradient scale, rate, 1 − β1ⁿ, 1 − β2ⁿ); ports "weights",
 * "moment1", "moment2". */
rondo_graph *optimizer_step(rondo *context, int64_t size, double beta1, double beta2, double epsilon,
                            double weight_decay, rondo_error *error);
