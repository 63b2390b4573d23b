/* A graph as a drawing for graphviz: one box per node, scopes as frames, attributes and shapes in the
 * boxes. */
#pragma once
#include "core/graph.h"

/* Appends one digraph. title: its name and caption. */
void graph_dot(const rondo_graph *g, const char *title, text *out);
