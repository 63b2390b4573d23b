/* The parameters of a compiled graph and the file that holds them. */
#pragma once
#include "core/graph.h"
#include "core/safetensors.h"

/* Opens the file for a graph and its parameters: mapped, or read and compared with its checksums. */
bool parameters_open(safetensors *file, const rondo_allocator *allocator, const char *path,
                     const rondo_load_options *options, rondo_error *error);
/* Checks that each parameter of g is a floating-point tensor of the file with the same dims, and converts
 * it, so that safetensors_data gives f32. False: the sentence names the parameter, what the graph reads
 * and what the file holds. */
bool parameters_fit(safetensors *file, const rondo_graph *g, rondo_error *error);
/* "F16 [12,4]"; NULL: out of memory */
const char *stored_words(arena *a, const stored_tensor *t);
