/* Random graphs of elementwise ops, reductions, products, views, moves along an axis and ports; everything
 * follows from the seed. */
#pragma once
#include "ops/build.h"

typedef struct random_graph_options {
    int nodes;  /* about how many */
    bool ports; /* some values become the new content of states */
    bool constants;
    bool moves; /* of elements along an axis */
} random_graph_options;
/* f32 inputs x0 …, symbols B and T; outputs y0 …. NULL: error says. */
rondo_graph *random_graph(rondo *context, uint64_t seed, random_graph_options options, rondo_error *error);
