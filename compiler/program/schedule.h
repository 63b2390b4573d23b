/* schedule: an order of the nodes in which operands come first, a port is read before it is overwritten, and
 * memory is freed early. */
#pragma once
#include "core/graph.h"

typedef struct schedule_problem {
    const rondo_graph *graph;
    const value_id *root; /* by value id: whose storage it is */
    const int64_t *bytes; /* by value id: bytes in the arena */
    const bool *in_place; /* by port */
    int seed;             /* not 0: a random order, for tests */
    arena *scratch;
} schedule_problem;
/* The graph's order or a greedy one, whichever has fewer bytes alive at most. order: node_count entries. */
bool schedule(const schedule_problem *problem, node_id *order, rondo_error *error);
/* Most bytes alive; INT64_MAX: out of memory. */
int64_t schedule_peak(const schedule_problem *problem, const node_id *order);
/* Which ports may be updated in place: the writer can come after every reader of the old content. */
bool schedule_ports(const rondo_graph *g, bool *in_place, arena *scratch);
