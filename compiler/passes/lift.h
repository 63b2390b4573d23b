/* lift: what linearize does first with constants over [T, T] that have no batch axis, such as the triangle of
 * ones of a running mean. */
#pragma once
#include "compiler/passes/passes.h"

/* Gives each of them the batch axes, [B, …, T, T], of the values that it meets, so that its row sum is
 * counted for each sentence: sentences advance by different numbers of tokens when a decoder reads their
 * beginnings. Where something depends on there being none, the constant stays. *lifted: whether the
 * result differs from g; if not it is NULL, without an error. */
rondo_graph *lift_constants(const rondo_graph *g, bool *lifted, value_id **map, rondo_error *error);
