/* schedule: in which order the nodes run. Memory is what it is judged by; the bits of the results do not depend on it. */
#include "compiler/program/schedule.h"
#include "ops/op.h"
#include <string.h>

/* Edges beyond the operands: the writer of an in-place port waits for every other reader of the old content. */
typedef struct edges {
    int *start; /* by node: its successors are to[start[n] … start[n+1]) */
    int *to;
    int *waiting; /* by node: predecessors not yet run */
} edges;

/* What v may turn out to be a view of. Which view ops become views depends on the numbers that symbols are bound to, and one
 * order serves all, so each counts as one. */
static value_id looked_at(const rondo_graph *g, value_id v)
{
    for (const node *n = graph_node_of(g, v); (op_table[n->op].flags & OP_VIEW) && n->input_count;
         n = graph_node_of(g, v))
        v = n->inputs[0];
    return v;
}

static bool looks_at(const rondo_graph *g, const node *n, value_id v)
{
    for (int i = 0; i < n->input_count; i++)
        if (n->inputs[i] != NONE && looked_at(g, n->inputs[i]) == v)
            return true;
    return false;
}

typedef void each_edge(void *argument, node_id from, node_id to);

static void walk_edges(const schedule_problem *p, each_edge *visit, void *argument)
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
        for (node_id id = 0; id < g->node_count; id++)
            if (id != writer && looks_at(g, &g->nodes[id], g->ports[k].in))
                visit(argument, id, writer);
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
    int nodes = p->graph->node_count;
    e->start = ARENA_NEW(p->scratch, int, nodes + 2);
    e->waiting = ARENA_NEW(p->scratch, int, nodes + 1);
    if (!e->start || !e->waiting)
        return false;
    walk_edges(p, count_edge, e);
    for (int n = 0; n < nodes; n++)
        e->start[n + 1] += e->start[n];
    e->to = ARENA_NEW(p->scratch, int, e->start[nodes] + 1);
    if (!e->to)
        return false;
    walk_edges(p, store_edge, e); /* leaves start[n] where start[n+1] was */
    memmove(e->start + 1, e->start, sizeof *e->start * (size_t)nodes);
    e->start[0] = 0;
    return true;
}

/* How many readers each root still has; nodes that keep a root for ever (outputs) count as one more. */
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

/* What would be free after n; `take` also takes n's reads off. */
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

/* Picks from the ready nodes: seed ≠ 0 any; else the one that leaves the least memory alive, and among equals the one that
 * stands first in the graph, which keeps a layer's nodes together. */
static int pick(const schedule_problem *p, const node_id *ready, int count, int *readers, uint32_t *random)
{
    if (p->seed)
        return (int)(next_random(random) % (uint32_t)count);
    int best = 0;
    int64_t best_growth = INT64_MAX;
    for (int i = 0; i < count; i++) {
        const node *n = &p->graph->nodes[ready[i]];
        int64_t growth = made_by(p, n) - freed_by(p, n, readers, false);
        if (growth < best_growth || (growth == best_growth && ready[i] < ready[best])) {
            best = i;
            best_growth = growth;
        }
    }
    return best;
}

static bool list_schedule(const schedule_problem *p, node_id *order, int *made)
{
    edges e;
    int nodes = p->graph->node_count, ready_count = 0;
    int *readers = readers_new(p);
    node_id *ready = ARENA_NEW(p->scratch, node_id, nodes + 1);
    if (!readers || !ready || !edges_new(&e, p))
        return false;
    uint32_t random = (uint32_t)p->seed * 2654435761u;
    for (node_id n = 0; n < nodes; n++)
        if (!e.waiting[n])
            ready[ready_count++] = n;
    *made = 0;
    while (ready_count) {
        int at = pick(p, ready, ready_count, readers, &random);
        node_id n = ready[at];
        ready[at] = ready[--ready_count];
        order[(*made)++] = n;
        freed_by(p, &p->graph->nodes[n], readers, true);
        for (int i = e.start[n]; i < e.start[n + 1]; i++)
            if (--e.waiting[e.to[i]] == 0)
                ready[ready_count++] = e.to[i];
    }
    return true;
}

/* Graph order, but with each node held back until its extra predecessors have run. */
static bool graph_schedule(const schedule_problem *p, node_id *order, int *made)
{
    edges e;
    int nodes = p->graph->node_count;
    bool *done = ARENA_NEW(p->scratch, bool, nodes + 1);
    if (!done || !edges_new(&e, p))
        return false;
    *made = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (node_id n = 0; n < nodes; n++) {
            if (done[n] || e.waiting[n])
                continue;
            done[n] = moved = true;
            order[(*made)++] = n;
            for (int i = e.start[n]; i < e.start[n + 1]; i++)
                e.waiting[e.to[i]]--;
        }
    }
    return true;
}

bool schedule(const schedule_problem *p, node_id *order, rondo_error *error)
{
    int nodes = p->graph->node_count, made = 0;
    node_id *other = ARENA_NEW(p->scratch, node_id, nodes + 1);
    if (!other || !list_schedule(p, order, &made))
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

/* A port is updated in place if the order with its extra edges exists; ports are tried one after the other. The writer itself
 * may read the old content only where its kernel allows that. */
bool schedule_ports(const rondo_graph *g, bool *in_place, arena *scratch)
{
    value_id *root = ARENA_NEW(scratch, value_id, g->value_count + 1);
    int64_t *bytes = ARENA_NEW(scratch, int64_t, g->value_count + 1);
    node_id *order = ARENA_NEW(scratch, node_id, g->node_count + 1);
    if (!root || !bytes || !order)
        return false;
    for (value_id v = 0; v < g->value_count; v++)
        root[v] = looked_at(g, v);
    schedule_problem p = {g, root, bytes, in_place, 1, scratch};
    for (int k = 0; k < g->port_count; k++) {
        const port *port = &g->ports[k];
        in_place[k] = false;
        if (port->out == NONE || port->kind == PORT_FIXED || port->out == port->in ||
            root[port->out] != port->out)
            continue;
        const node *writer = graph_node_of(g, port->out);
        int taken = node_in_place(writer, g->values[port->out].port);
        bool allowed = true;
        for (int o = 0; o < g->output_count;
             o++) /* an output that is the old content is read after the run */
            allowed = allowed && g->outputs[o].value != port->in;
        for (int i = 0; i < writer->input_count; i++)
            if (writer->inputs[i] != NONE && root[writer->inputs[i]] == port->in)
                allowed = allowed && i == taken && writer->inputs[i] == port->in;
        if (!allowed)
            continue;
        in_place[k] = true;
        int made = 0;
        if (!graph_schedule(&p, order, &made))
            return false;
        in_place[k] = made == g->node_count;
    }
    return true;
}
