/* Reverse mode as graph → graph: the gradient of a loss is a graph like any other, made from each op's vjp column. */
#pragma once
#include "ops/op.h"

/* A copy of g with the gradients of `loss`, a value of g with one element. wrt: count values of g; gradients[i] receives the
 * value of the copy that is the gradient of wrt[i], NONE where the loss does not depend on it. NULL: failed; RONDO_NO_GRADIENT
 * names the node that has none. */
rondo_graph *differentiate(const rondo_graph *g, value_id loss, const value_id *wrt, int count,
                           value_id *gradients, rondo_error *error);

/* The same for all parameters, whose gradients become outputs "gradient.NAME" of the copy. */
rondo_graph *differentiate_parameters(const rondo_graph *g, value_id loss, rondo_error *error);
