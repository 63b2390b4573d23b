/* The shapes of the batches of a corpus. */
#pragma once
#include "tools/data/batches.h"

/* Fills shapes (at most BATCH_SHAPES, sorted by target, then source) so that padding is least; every
 * sequence fits one of them. */
bool batch_shapes_choose(const corpus *c, int64_t batch_tokens, batch_shape *shapes, int *count,
                         rondo_error *error);
