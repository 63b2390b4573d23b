/* The parameters of a compiled graph and the file that holds them. */
#pragma once
#include "core/graph.h"
#include "core/safetensors.h"

/* Each parameter of g is a tensor of the file with the same dims, and a floating point one, which is f32 for safetensors_data
 * from here on. False: the sentence names the parameter, what the graph reads and what the file holds. */
bool parameters_fit(safetensors *file, const rondo_graph *g, rondo_error *error);
/* "F16 [12,4]"; NULL: out of memory */
const char *stored_words(arena *a, const stored_tensor *t);
