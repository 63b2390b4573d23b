/* stream and hoist: derive the decoder.
 *
 *   model over [B, T, …] ──stream──▶ advance over [B, P, …] with state ports ──hoist──▶ load · source · step
 *
 * The step graph's inputs: what carries the time symbol (the new tokens), and "count" i32[B], how many of the
 * P new tokens of each sequence count. Its ports: "position" (carry), the states and caches that step rules
 * made, and, from hoist, "source.…" and "load.…" (fixed), which are the outputs of the source and load graphs
 * under the same names. */
#pragma once
#include "compiler/passes/passes.h"
#include "compiler/passes/stream_names.h"

/* g: evaluation form, linearized and contracted; time: its symbol. Fails with RONDO_NOT_CAUSAL, naming the
 * node. */
rondo_graph *stream(const rondo_graph *g, const char *time, rondo_error *error);

bool hoist(const rondo_graph *advance, staged *out, rondo_error *error);

/* The output `name` for each sequence's last new token only: [B, P, V] → [B, 1, V], gathered before the
 * product that makes it wide. */
rondo_graph *last_only(const rondo_graph *advance, const char *name, rondo_error *error);
