/* What the parts of the scheduler share: who reads the old content of a port, and which node comes next. */
#pragma once
#include "compiler/program/schedule.h"

/* The nodes that read port k's old content, directly or through views: nodes[start[k] … start[k+1]), each
 * once. Whether a view op becomes a view depends on the sizes, and one order has to suit all sizes, so every
 * view op counts as a view. */
typedef struct port_readers {
    int *start;
    node_id *nodes;
    value_id *root; /* by value: what it may turn out to be a view of */
} port_readers;
bool port_readers_new(port_readers *r, const rondo_graph *g, arena *scratch);

/* Nodes that can run, the one with the lowest key first, and of equal keys the lowest id. */
typedef struct ready_node {
    int64_t key;
    node_id id;
} ready_node;
typedef struct ready_queue {
    ready_node *nodes; /* a binary heap */
    int count;
} ready_queue;
bool ready_begin(ready_queue *q, arena *scratch, int most); /* room for that many */
void ready_add(ready_queue *q, int64_t key, node_id id);
node_id ready_take(ready_queue *q, int64_t *key); /* q is not empty; key may be NULL */
