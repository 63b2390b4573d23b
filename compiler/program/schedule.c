/* schedule: the order in which the nodes run. It decides how much memory is needed; the results have the same
 * bits in any order. */
#include "compiler/program/schedule_parts.h"
#include "ops/op.h"
#include <string.h>

/* Which node runs before which: operands first, and the writer of an in-place port after every other
 * reader of the old content. */
typedef struct edges {
    int *start; /* by node: its successors are to[start[n] … start[n+1]) */
    int *to;
    int *waiting; /* by node: predecessors not yet run */
} edges;

typedef void each_edge(void *argument, node_id from, node_id to);

static void walk_edges(const schedule_problem *p, const port_readers *r, each_edge *visit, void *argument)
{
    const rondo_graph *g = p->graph;
    for (node_id id = 0; id < g->node_count; id++)
        for (int i = 0; i < g->nodes[id].input_count; i++)
            if (g->nodes[id].inputs[i] != NONE)
                visit(argument, g->values[g->nodes[id].inputs[i]].node, id);
    for (int k = 0; k < g->port_count; k++) {
        if (!p->in_place[k] || g->ports[k].out == NONE || g->ports[k].out == g->ports[k].in)
            continue;
        node_id writer = g->values[g->ports[k].out].node;
        for (int i = r->start[k]; i < r->start[k + 1]; i++)
            if (r->nodes[i] != writer)
                visit(argument, r->nodes[i], writer);
    }
}

static void count_edge(void *argument, node_id from, node_id to)
{
    edges *e = argument;
    e->start[from + 1]++;
    e->waiting[to]++;
}

static void store_edge(void *argument, node_id from, node_id to)
{
    edges *e = argument;
    e->to[e->start[from]++] = to;
}

static bool edges_new(edges *e, const schedule_problem *p)
{
    port_readers r;
    int nodes = p->graph->node_count;
    e->start = ARENA_NEW(p->scratch, int, nodes + 2);
    e->waiting = ARENA_NEW(p->scratch, int, nodes + 1);
    if (!e->start || !e->waiting || !port_readers_new(&r, p->graph, p->scratch))
        return false;
    walk_edges(p, &r, count_edge, e);
    for (int n = 0; n < nodes; n++)
        e->start[n + 1] += e->start[n];
    e->to = ARENA_NEW(p->scratch, int, e->start[nodes] + 1);
    if (!e->to)
        return false;
    walk_edges(p, &r, store_edge, e); /* advances start[n] to the end of n's list */
    memmove(e->start + 1, e->start, sizeof *e->start * (size_t)nodes);
    e->start[0] = 0;
    return true;
}

/* How many readers each root still has; an output, which is kept to the end, has one more. */
static int *readers_new(const schedule_problem *p)
{
    const rondo_graph *g = p->graph;
    int *readers = ARENA_NEW(p->scratch, int, g->value_count + 1);
    if (!readers)
        return NULL;
    for (node_id id = 0; id < g->node_count; id++)
        for (int i = 0; i < g->nodes[id].input_count; i++)
            if (g->nodes[id].inputs[i] != NONE)
                readers[p->root[g->nodes[id].inputs[i]]]++;
    for (int k = 0; k < g->output_count; k++)
        readers[p->root[g->outputs[k].value]]++;
    for (int k = 0; k < g->port_count; k++)
        if (g->ports[k].out != NONE)
            readers[p->root[g->ports[k].out]]++;
    return readers;
}

static int64_t made_by(const schedule_problem *p, const node *n)
{
    int64_t bytes = 0;
    for (int o = 0; o < n->output_count; o++)
        if (p->root[n->first_output + o] == n->first_output + o)
            bytes += p->bytes[n->first_output + o];
    return bytes;
}

/* The bytes that n would free; `take`: also counts n's reads as done. */
static int64_t freed_by(const schedule_problem *p, const node *n, int *readers, bool take)
{
    int64_t bytes = 0;
    for (int i = 0; i < n->input_count; i++)
        if (n->inputs[i] != NONE && --readers[p->root[n->inputs[i]]] == 0)
            bytes += p->bytes[p->root[n->inputs[i]]];
    for (int o = 0; take && o < n->output_count; o++)
        if (p->root[n->first_output + o] == n->first_output + o && readers[n->first_output + o] == 0)
            bytes += p->bytes[n->first_output + o]; /* nobody reads it */
    for (int i = 0; !take && i < n->input_count; i++)
        if (n->inputs[i] != NONE)
            readers[p->root[n->inputs[i]]]++;
    return bytes;
}

int64_t schedule_peak(const schedule_problem *p, const node_id *order)
{
    int *readers = readers_new(p);
    if (!readers)
        return INT64_MAX;
    int64_t alive = 0, peak = 0;
    for (int i = 0; i < p->graph->node_count; i++) {
        const node *n = &p->graph->nodes[order[i]];
        alive += made_by(p, n);
        if (alive > peak)
            peak = alive;
        alive -= freed_by(p, n, readers, true);
    }
    return peak;
}

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Any order that the edges allow, for tests. */
static bool random_schedule(const schedule_problem *p, node_id *order, int *made)
{
    edges e;
    int nodes = p->graph->node_count, count = 0;
    node_id *ready = ARENA_NEW(p->scratch, node_id, nodes + 1);
    if (!ready || !edges_new(&e, p))
        return false;
    uint32_t random = (uint32_t)p->seed * 2654435761u;
    for (node_id n = 0; n < nodes; n++)
        if (!e.waiting[n])
            ready[count++] = n;
    for (*made = 0; count;) {
        uint32_t at = next_random(&random) % (uint32_t)count;
        node_id n = ready[at];
        ready[at] = ready[--count];
        order[(*made)++] = n;
        for (int i = e.start[n]; i < e.start[n + 1]; i++)
            if (--e.waiting[e.to[i]] == 0)
                ready[count++] = e.to[i];
    }
    return true;
}

/* The greedy schedule while it is made. */
typedef struct greedy {
    const schedule_problem *problem;
    edges edges;
    int *readers;      /* as made by readers_new, minus the nodes that have run */
    int *left;         /* by root: nodes that read it and have not run */
    node_id *last;     /* by root: the exclusive or of their ids, which is the last one's id when one is
                        * left */
    bool *done;        /* by node */
    ready_queue ready; /* keyed by the growth of memory; a node whose key fell is in it twice */
} greedy;

static void mark_reads(greedy *s, const node *n, node_id id, int by)
{
    for (int i = 0; i < n->input_count; i++) {
        value_id root = n->inputs[i] == NONE ? NONE : s->problem->root[n->inputs[i]];
        for (int k = 0; root != NONE && k < i; k++)
            if (n->inputs[k] != NONE && s->problem->root[n->inputs[k]] == root)
                root = NONE; /* once a node */
        if (root == NONE)
            continue;
        s->left[root] += by;
        s->last[root] ^= id;
    }
}

static void add_ready(greedy *s, node_id id)
{
    const node *n = &s->problem->graph->nodes[id];
    ready_add(&s->ready, made_by(s->problem, n) - freed_by(s->problem, n, s->readers, false), id);
}

static bool greedy_begin(greedy *s, const schedule_problem *p)
{
    int nodes = p->graph->node_count, values = p->graph->value_count;
    *s = (greedy){.problem = p, .readers = readers_new(p)};
    s->left = ARENA_NEW(p->scratch, int, values + 1);
    s->last = ARENA_NEW(p->scratch, node_id, values + 1);
    s->done = ARENA_NEW(p->scratch, bool, nodes + 1);
    if (!s->readers || !s->left || !s->last || !s->done || !edges_new(&s->edges, p) ||
        !ready_begin(&s->ready, p->scratch, nodes + values)) /* each root gets down to one reader at most
                                                              * once */
        return false;
    for (node_id n = 0; n < nodes; n++)
        mark_reads(s, &p->graph->nodes[n], n, 1);
    for (node_id n = 0; n < nodes; n++)
        if (!s->edges.waiting[n])
            add_ready(s, n);
    return true;
}

/* Where one reader is left of a value that n read, that reader will now free it. */
static void update_last_readers(greedy *s, const node *n)
{
    for (int i = 0; i < n->input_count; i++) {
        value_id root = n->inputs[i] == NONE ? NONE : s->problem->root[n->inputs[i]];
        if (root != NONE && s->left[root] == 1 && !s->edges.waiting[s->last[root]])
            add_ready(s, s->last[root]);
    }
}

/* Always runs the ready node that leaves the least memory alive, and of equal ones the first in the graph,
 * which keeps a layer's nodes together. */
static bool greedy_schedule(const schedule_problem *p, node_id *order, int *made)
{
    greedy s;
    if (!greedy_begin(&s, p))
        return false;
    for (*made = 0; s.ready.count;) {
        node_id id = ready_take(&s.ready, NULL);
        const node *n = &p->graph->nodes[id];
        if (s.done[id])
            continue;
        s.done[id] = true;
        order[(*made)++] = id;
        freed_by(p, n, s.readers, true);
        mark_reads(&s, n, id, -1);
        for (int i = s.edges.start[id]; i < s.edges.start[id + 1]; i++)
            if (--s.edges.waiting[s.edges.to[i]] == 0)
                add_ready(&s, s.edges.to[i]);
        update_last_readers(&s, n);
    }
    return true;
}

/* Graph order, but with each node held back until its extra predecessors have run: in rounds, each in
 * graph order. */
static bool graph_schedule(const schedule_problem *p, node_id *order, int *made)
{
    edges e;
    ready_queue ready;
    int nodes = p->graph->node_count;
    int64_t round;
    if (!edges_new(&e, p) || !ready_begin(&ready, p->scratch, nodes))
        return false;
    for (node_id n = 0; n < nodes; n++)
        if (!e.waiting[n])
            ready_add(&ready, 0, n);
    for (*made = 0; ready.count;) {
        node_id n = ready_take(&ready, &round);
        order[(*made)++] = n;
        for (int i = e.start[n]; i < e.start[n + 1]; i++)
            if (--e.waiting[e.to[i]] == 0)
                ready_add(&ready, round + (e.to[i] < n), e.to[i]);
    }
    return true;
}

bool schedule(const schedule_problem *p, node_id *order, rondo_error *error)
{
    int nodes = p->graph->node_count, made = 0;
    node_id *other = ARENA_NEW(p->scratch, node_id, nodes + 1);
    if (!other || !(p->seed ? random_schedule : greedy_schedule)(p, order, &made))
        return fail_memory(error, sizeof *other * (size_t)nodes, "a schedule");
    if (made != nodes)
        return fail(error, RONDO_ARGUMENT,
                    "the graph has no order in which every port is read before it is overwritten");
    if (p->seed)
        return true;
    if (!graph_schedule(p, other, &made))
        return fail_memory(error, sizeof *other * (size_t)nodes, "a schedule");
    int64_t peak = schedule_peak(p, order), other_peak = schedule_peak(p, other);
    if (peak == INT64_MAX || other_peak == INT64_MAX)
        return fail_memory(error, sizeof *other * (size_t)nodes, "a schedule");
    if (other_peak <= peak)
        memcpy(order, other, sizeof *order * (size_t)nodes);
    return true;
}
