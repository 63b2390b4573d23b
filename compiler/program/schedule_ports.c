/* schedule_ports: which ports can be updated in place: those whose new content can be written after every
 * reader of the old one has run. */
#include "compiler/program/schedule_parts.h"
#include "ops/op.h"

/* The ports of each state; a state may have several. */
typedef struct port_index {
    int *first; /* by value: a port whose `in` it is; −1: none */
    int *next;  /* by port: another with the same `in`; −1: none */
} port_index;

static bool port_index_new(port_index *p, const rondo_graph *g, arena *scratch)
{
    p->first = ARENA_NEW(scratch, int, g->value_count + 1);
    p->next = ARENA_NEW(scratch, int, g->port_count + 1);
    if (!p->first || !p->next)
        return false;
    for (value_id v = 0; v < g->value_count; v++)
        p->first[v] = -1;
    for (int k = g->port_count - 1; k >= 0; k--) {
        p->next[k] = p->first[g->ports[k].in];
        p->first[g->ports[k].in] = k;
    }
    return true;
}

/* The first call counts the readers of port k in start[k + 1]; the second, with room for them, stores them
 * from start[k] on. */
static void walk_readers(port_readers *r, const rondo_graph *g, const port_index *ports, int *latest)
{
    for (int k = 0; k < g->port_count; k++)
        latest[k] = -1;
    for (node_id id = 0; id < g->node_count; id++)
        for (int i = 0; i < g->nodes[id].input_count; i++) {
            value_id v = g->nodes[id].inputs[i];
            for (int k = v == NONE ? -1 : ports->first[r->root[v]]; k >= 0; k = ports->next[k]) {
                if (latest[k] == id)
                    continue;
                latest[k] = id;
                if (r->nodes)
                    r->nodes[r->start[k]++] = id;
                else
                    r->start[k + 1]++;
            }
        }
}

bool port_readers_new(port_readers *r, const rondo_graph *g, arena *scratch)
{
    port_index ports;
    int *latest = ARENA_NEW(scratch, int, g->port_count + 1);
    *r = (port_readers){ARENA_NEW(scratch, int, g->port_count + 2), NULL,
                        ARENA_NEW(scratch, value_id, g->value_count + 1)};
    if (!r->start || !r->root || !latest || !port_index_new(&ports, g, scratch))
        return false;
    for (value_id v = 0; v < g->value_count; v++) {
        const node *n = graph_node_of(g, v);
        r->root[v] = (op_table[n->op].flags & OP_VIEW) && n->input_count ? r->root[n->inputs[0]] : v;
    }
    walk_readers(r, g, &ports, latest);
    for (int k = 0; k < g->port_count; k++)
        r->start[k + 1] += r->start[k];
    r->nodes = ARENA_NEW(scratch, node_id, r->start[g->port_count] + 1);
    if (!r->nodes)
        return false;
    walk_readers(r, g, &ports, latest); /* advances start[k] to the end of k's list */
    for (int k = g->port_count; k > 0; k--)
        r->start[k] = r->start[k - 1];
    r->start[0] = 0;
    return true;
}

/* A search backwards: from the readers of a port to what must run before them. */
typedef struct search {
    const rondo_graph *graph;
    const port_readers *readers;
    const bool *in_place;
    int *written; /* by node: a port whose `out` it makes; −1: none */
    int *also;    /* by port: another one with the same writer */
    int *visit;   /* by node: the last search that reached it */
    node_id *stack;
    int64_t budget; /* nodes that all searches together may visit */
} search;

/* Enough for hundreds of ports that each search the whole graph; in a file with more, some get a second
 * buffer. */
enum { VISITS_A_NODE = 1000 };

static bool search_begin(search *s, arena *scratch)
{
    const rondo_graph *g = s->graph;
    s->written = ARENA_NEW(scratch, int, g->node_count + 1);
    s->also = ARENA_NEW(scratch, int, g->port_count + 1);
    s->visit = ARENA_NEW(scratch, int, g->node_count + 1);
    s->stack = ARENA_NEW(scratch, node_id, g->node_count + 1);
    s->budget = (int64_t)VISITS_A_NODE * g->node_count;
    if (!s->written || !s->also || !s->visit || !s->stack)
        return false;
    for (node_id id = 0; id < g->node_count; id++)
        s->written[id] = s->visit[id] = -1;
    for (int k = 0; k < g->port_count; k++) {
        if (g->ports[k].out == NONE)
            continue;
        node_id writer = g->values[g->ports[k].out].node;
        s->also[k] = s->written[writer];
        s->written[writer] = k;
    }
    return true;
}

static void reach(search *s, int number, node_id id, int *count)
{
    if (s->visit[id] == number)
        return;
    s->visit[id] = number;
    s->stack[(*count)++] = id;
}

static void reach_readers(search *s, int number, int k, node_id writer, int *count)
{
    for (int i = s->readers->start[k]; i < s->readers->start[k + 1]; i++)
        if (s->readers->nodes[i] != writer)
            reach(s, number, s->readers->nodes[i], count);
}

/* Whether port k's writer must run before one of the other readers, given the ports that were accepted so
 * far. */
static bool is_needed_before(search *s, int k)
{
    const rondo_graph *g = s->graph;
    node_id writer = g->values[g->ports[k].out].node;
    int count = 0;
    reach_readers(s, k, k, writer, &count);
    while (count && s->budget-- > 0) {
        node_id id = s->stack[--count];
        if (id == writer)
            return true;
        for (int i = 0; i < g->nodes[id].input_count; i++)
            if (g->nodes[id].inputs[i] != NONE)
                reach(s, k, g->values[g->nodes[id].inputs[i]].node, &count);
        for (int other = s->written[id]; other >= 0; other = s->also[other])
            if (s->in_place[other])
                reach_readers(s, k, other, id, &count);
    }
    return count > 0;
}

/* The old content is not read after the run, and the writer reads it only where its kernel allows that. */
static bool writer_allows(const rondo_graph *g, const value_id *root, const port *port, const bool *is_output)
{
    if (port->out == NONE || port->kind == PORT_FIXED || port->out == port->in ||
        root[port->out] != port->out || is_output[port->in])
        return false;
    const node *writer = graph_node_of(g, port->out);
    int taken = node_in_place(writer, g->values[port->out].port);
    for (int i = 0; i < writer->input_count; i++)
        if (writer->inputs[i] != NONE && root[writer->inputs[i]] == port->in &&
            (i != taken || writer->inputs[i] != port->in))
            return false;
    return true;
}

/* Ports are tried one by one, each given those accepted before it. */
bool schedule_ports(const rondo_graph *g, bool *in_place, arena *scratch)
{
    port_readers r;
    search s = {.graph = g, .readers = &r, .in_place = in_place};
    bool *is_output = ARENA_NEW(scratch, bool, g->value_count + 1);
    if (!is_output || !port_readers_new(&r, g, scratch) || !search_begin(&s, scratch))
        return false;
    for (int o = 0; o < g->output_count; o++)
        is_output[g->outputs[o].value] = true;
    for (int k = 0; k < g->port_count; k++)
        in_place[k] = false;
    for (int k = 0; k < g->port_count; k++)
        in_place[k] = writer_allows(g, r.root, &g->ports[k], is_output) && !is_needed_before(&s, k);
    return true;
}
