/* Sums and their counts. Result 0 of an op with the column COUNTED is a sum that has its count beside it;
 * arithmetic on it loses the count. */
#pragma once
#include "ops/build.h"

/* The count of a sum that an op counts; NONE: `sum` is no such value. */
value_id objective_count_of(const rondo_graph *g, value_id sum);
/* *lost: a counted sum that is a summand of v and not v itself; NONE: there is none. False: a refused. */
bool objective_lost_count(const rondo_graph *g, arena *a, value_id v, value_id *lost);
/* The message about it: what it was lost in, the op of the sum, and the place of that. */
#define LOST_COUNT(what)                                                                            \
    what " adds or scales the sum of %s at %s, so that its count is lost; make each part an "        \
         "objective of its own (rondo_objective), or give a count"
