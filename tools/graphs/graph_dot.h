/* A graph as a drawing for graphviz: one box a node, scopes as frames, numbers and shapes in the boxes. */
#pragma once
#include "core/graph.h"

/* Appends one digraph. title: its name and caption. False: memory was refused. */
bool graph_dot(const rondo_graph *g, const char *title, text *out);
