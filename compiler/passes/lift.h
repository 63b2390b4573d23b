/* lift: the first step of linearize, for constants over [T, T] that have no batch axis, such as the triangle
 * of ones of a running mean. */
#pragma once
#include "compiler/passes/passes.h"

/* Gives each of them the batch axes, [B, …, T, T], of the values that it is combined with, so that its row
 * sum is computed for each sentence: in a decoder, sentences may have advanced by different numbers of
 * tokens. A constant stays as it is if a result depends on its having no batch axes. *lifted: whether the
 * result differs from g; if not, it is NULL without an error. */
rondo_graph *lift_constants(const rondo_graph *g, bool *lifted, value_id **map, rondo_error *error);
