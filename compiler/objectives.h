/* What a graph is trained on: its objectives and metrics, the gradients that belong together, and the outputs
 * of a program that computes them.
 *
 * The loss is Σ weight · sum / count over the objectives. sum and count are added up over the batches of an
 * update, and the division comes after that. So the gradients of objectives that share a count may be added
 * within a batch, and only those: they are a group, which has one walk of differentiate and one block. */
#pragma once
#include "core/graph.h"

typedef struct objective {
    const char *name; /* in the arena */
    value_id sum, count, nll; /* of the graph that the loss is in; count NONE: 1 in each batch; nll: the
                               * first's, before smoothing */
    double weight;    /* 0: a metric */
    int group;        /* −1: a metric */
} objective;
typedef struct objective_list {
    objective *items; /* the loss first, then those of the graph in the order of their nodes */
    int count, group_count;
} objective_list;

/* The objectives of the graph of `loss`: the loss itself, as "loss" unless it is an objective with a name,
 * then all others. In the arena. */
bool objectives_find(arena *a, rondo_value loss, objective_list *out, rondo_error *error);

/* A copy of the graph with these outputs alone: "loss", "nll", "count" of the first; "N.sum", "N.count" of
 * item N ≥ 1. with_gradients: "gradient.NAME" of every parameter that group 0 depends on, and
 * "G.gradient.NAME" for group G ≥ 1. */
rondo_graph *objectives_graph(rondo_value loss, bool with_gradients, rondo_error *error);
