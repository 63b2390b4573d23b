/* Reverse mode as graph → graph: the gradient of a scalar is a graph like any other, made from each op's vjp
 * column. */
#pragma once
#include "ops/op.h"

/* A copy of g in which every `gradient` node is replaced by the graph of that gradient. map, when not NULL,
 * receives old → new value ids in the arena of the copy. NULL: failed; RONDO_NO_GRADIENT names the node that
 * has none. */
rondo_graph *differentiate(const rondo_graph *g, value_id **map, rondo_error *error);

/* The same with gradients that are not nodes of g: gradients[i] receives the value of the copy that is the
 * gradient of `scalar` to wrt[i]. Values of g that are no gradients keep their ids. */
rondo_graph *differentiate_values(const rondo_graph *g, value_id scalar, const value_id *wrt, int count,
                                  value_id *gradients, rondo_error *error);

/* Adds the gradient of the loss to each trained parameter that it is made from, as the outputs
 * "PREFIXgradient.NAME". */
bool add_parameter_gradients(rondo_graph *g, value_id loss, const char *prefix, rondo_error *error);
