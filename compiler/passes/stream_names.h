/* What stream and hoist make, and what the sessions that run it know of it. */
#pragma once
#include "core/graph.h"
#define STEP_SYMBOL     "P" /* new tokens of an advance */
#define CAPACITY_SYMBOL "C" /* rows of a cache */

typedef struct staged {
    rondo_graph *load, *source, *step; /* load and source: NULL when there is nothing to do */
} staged;
static inline void staged_free(staged *s)
{
    graph_free(s->load);
    graph_free(s->source);
    graph_free(s->step);
    *s = (staged){0};
}
