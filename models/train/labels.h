/* The labels of CTC are checked before a run, where they are inputs of the graph: only those that count. */
#pragma once
#include "core/graph.h"

/* bound: the symbols of g. RONDO_ARGUMENT names the line of the loss, the tensor and the sequence. */
bool labels_check(const rondo_graph *g, const int64_t *bound, const rondo_tensor *tensors, int count,
                  rondo_error *error);
