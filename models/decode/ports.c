/* What a session keeps from run to run: the memory of its ports, and the loops over them. Nothing here knows a model or a
 * mechanism. */
#include "models/decode/ports.h"
#include <string.h>

const rondo_graph *session_graph(const rondo_session *s)
{
    return s->step.program->graph;
}

void session_set_symbol(rondo_session *s, const char *name, int64_t number)
{
    int k = graph_find_symbol(s->step.program->graph, name);
    if (k >= 0)
        s->bound[k] = number;
}

int session_batch_symbol(const rondo_session *s)
{
    const rondo_graph *g = session_graph(s);
    return dim_only_symbol(graph_shape_of(g, graph_find_leaf(g, OP_input, "count"))->dims[0]);
}

/* All symbols anew: how many sequences and how many rows of a cache, the rest is what the source says. */

/* ---- the memory of one port ---- */

static int64_t port_elements(const rondo_session *s, int p, int64_t *outer, int64_t *extent, int axis)
{
    const rondo_graph *g = session_graph(s);
    const shape *dims = graph_shape_of(g, g->ports[p].in);
    int64_t count = 1;
    *outer = *extent = 1;
    for (int a = 0; a < dims->rank; a++) {
        int64_t e = dim_value(dims->dims[a], s->bound);
        count *= e < 0 ? 0 : e; /* a symbol that is not known yet: nothing is stored yet */
        if (a < axis)
            *outer *= e;
        if (a == axis)
            *extent = e;
    }
    return count;
}

size_t port_bytes(const rondo_session *s, int p)
{
    int64_t outer, extent;
    const rondo_graph *g = session_graph(s);
    return (size_t)(port_elements(s, p, &outer, &extent, 0) * type_bytes(g->values[g->ports[p].in].type));
}

/* What load made lives in its own memory and never changes. */
static bool is_load_port(const rondo_session *s, int p)
{
    return !strncmp(session_graph(s)->names[session_graph(s)->ports[p].name], "load.", 5);
}

/* A port whose old content is still read when the new one is written has two buffers, which change places after a run. */
static bool is_doubled(const rondo_session *s, int p)
{
    const port *port = &session_graph(s)->ports[p];
    return port->out != NONE && port->out != port->in && !s->step.program->in_place[p];
}

/* Room for `bytes`, the first `keep` of them as they were. After a failure the buffer is as it was. */
static bool buffer_room(rondo_session *s, char **data, size_t *room, size_t bytes, size_t keep,
                        rondo_error *error)
{
    if (*data && bytes <= *room)
        return true;
    size_t wanted = bytes ? bytes : 1;
    char *fresh = memory_new(&s->context->allocator, wanted);
    if (!fresh)
        return fail_memory(error, wanted, "a session's state");
    if (keep)
        memcpy(fresh, *data, keep);
    memory_free(&s->context->allocator, *data, *room);
    *data = fresh;
    *room = wanted;
    return true;
}

static void bind_port(rondo_session *s, int p)
{
    const port *port = &session_graph(s)->ports[p];
    port_memory *m = &s->ports[p];
    if (is_load_port(s, p))
        return;
    instance_bind(&s->step, port->in, m->data);
    if (port->out != NONE && port->out != port->in)
        instance_bind(&s->step, port->out, is_doubled(s, p) ? m->other : m->data);
    if (!s->source.program)
        return;
    const rondo_graph *g =
        s->source.program->graph; /* what the source stage makes, or what load made for both */
    const char *name = session_graph(s)->names[port->name];
    value_id out = graph_find_output(g, name);
    if (out != NONE && !(op_table[graph_op_of(g, out)].flags & OP_LEAF))
        instance_bind(&s->source, out, m->data);
}

/* Makes room for a content of `bytes` in `other`, and beside it where two buffers are needed. What the port holds stays,
 * also after a failure: a change of all ports first reserves for each, then moves. */
static bool port_reserve(rondo_session *s, int p, size_t bytes, rondo_error *error)
{
    port_memory *m = &s->ports[p];
    bool good = buffer_room(s, &m->other, &m->other_room, bytes, 0, error) &&
                (!is_doubled(s, p) ||
                 buffer_room(s, &m->data, &m->room, bytes, m->data ? port_bytes(s, p) : 0, error));
    bind_port(s, p);
    return good;
}

static void port_swap(rondo_session *s, int p)
{
    port_memory *m = &s->ports[p], was = *m;
    *m = (port_memory){was.other, was.data, was.other_room, was.room};
    bind_port(s, p);
}

static void fill_initial(rondo_session *s, int p)
{
    const rondo_graph *g = session_graph(s);
    const port *port = &g->ports[p];
    float number = (float)port->initial;
    if (port->initial == 0 || g->values[port->in].type != RONDO_F32)
        memset(s->ports[p].data, 0, port_bytes(s, p));
    else
        for (size_t i = 0; i < port_bytes(s, p) / sizeof(float); i++)
            memcpy(s->ports[p].data + i * sizeof(float), &number, sizeof number);
}

/* Sizes every port for the symbols as bound now, and starts the ones that carry state anew. */
bool ports_reset(rondo_session *s, rondo_error *error)
{
    const rondo_graph *g = session_graph(s);
    for (int p = 0; p < g->port_count; p++) {
        port_memory *m = &s->ports[p];
        if (is_load_port(s, p))
            continue;
        for (int a = 0; a < graph_shape_of(g, g->ports[p].in)->rank; a++)
            if (dim_value(graph_shape_of(g, g->ports[p].in)->dims[a], s->bound) < 0)
                return fail(error, RONDO_SHAPE, "port %s: nothing says how large its axis %d is",
                            g->names[g->ports[p].name], a);
        if (!buffer_room(s, &m->data, &m->room, port_bytes(s, p), 0, error) ||
            (is_doubled(s, p) && !buffer_room(s, &m->other, &m->other_room, port_bytes(s, p), 0, error)))
            return false;
        if (g->ports[p].kind != PORT_FIXED)
            fill_initial(s, p);
        bind_port(s, p);
    }
    return true;
}

/* After a run, a port that was not updated in place has its news in the second buffer. */

void ports_swap(rondo_session *s)
{
    const rondo_graph *g = session_graph(s);
    for (int p = 0; p < g->port_count; p++)
        if (is_doubled(s, p))
            port_swap(s, p);
}

/* ---- growth ---- */

/* Moves a cache into its other buffer, where each sequence has room for `after` rows. */
static void grow_port(rondo_session *s, int p, int64_t after)
{
    port_memory *m = &s->ports[p];
    int64_t outer, extent;
    port_elements(s, p, &outer, &extent, session_graph(s)->ports[p].append_axis);
    size_t row = outer * extent > 0 ? port_bytes(s, p) / (size_t)(outer * extent) : 0;
    for (int64_t o = 0; o < outer; o++)
        memcpy(m->other + (size_t)(o * after) * row, m->data + (size_t)(o * extent) * row,
               (size_t)extent * row);
    port_swap(s, p);
    if (is_doubled(s, p))
        return;
    memory_free(&s->context->allocator, m->other, m->other_room);
    m->other = NULL;
    m->other_room = 0;
}

/* Doubles the caches until `needed` rows fit. */
bool ports_grow(rondo_session *s, int64_t needed, rondo_error *error)
{
    const rondo_graph *g = session_graph(s);
    int64_t after = s->capacity;
    while (after < needed)
        after *= 2;
    if (after == s->capacity)
        return true;
    for (int p = 0; p < g->port_count; p++)
        if (g->ports[p].kind == PORT_APPEND &&
            !port_reserve(s, p, port_bytes(s, p) / (size_t)s->capacity * (size_t)after, error))
            return false;
    for (int p = 0; p < g->port_count; p++)
        if (g->ports[p].kind == PORT_APPEND)
            grow_port(s, p, after);
    s->capacity = after;
    session_set_symbol(s, CAPACITY_SYMBOL, after);
    return true;
}

/* ---- reorder, snapshot, size ---- */

static void reorder_port(rondo_session *s, int p, const int64_t *from, int64_t batch)
{
    port_memory *m = &s->ports[p];
    int64_t outer, extent;
    port_elements(s, p, &outer, &extent, session_graph(s)->ports[p].batch_axis);
    size_t row = outer * extent > 0 ? port_bytes(s, p) / (size_t)(outer * extent) : 0; /* of one sequence */
    for (int64_t o = 0; o < outer; o++)
        for (int64_t b = 0; b < batch; b++)
            memcpy(m->other + (size_t)(o * batch + b) * row, m->data + (size_t)(o * extent + from[b]) * row,
                   row);
    port_swap(s, p);
}

bool rondo_session_reorder(rondo_session *s, const int64_t *from, int64_t batch, rondo_error *error)
{
    error_begin(error);
    if (!s)
        return false;
    const rondo_graph *g = session_graph(s);
    if (!from || batch < 1)
        return fail(error, RONDO_ARGUMENT, "a reorder needs at least one sequence");
    for (int64_t b = 0; b < batch; b++)
        if (from[b] < 0 || from[b] >= s->batch)
            return fail(error, RONDO_ARGUMENT, "sequence %lld cannot come from %lld: there are %lld",
                        (long long)b, (long long)from[b], (long long)s->batch);
    for (int p = 0; p < g->port_count; p++)
        if (g->ports[p].batch_axis >= 0 &&
            !port_reserve(s, p, port_bytes(s, p) / (size_t)s->batch * (size_t)batch, error))
            return false;
    for (int p = 0; p < g->port_count; p++)
        if (g->ports[p].batch_axis >= 0)
            reorder_port(s, p, from, batch);
    s->batch = s->bound[session_batch_symbol(s)] = batch;
    s->logits = NULL;
    return true;
}

size_t rondo_session_state_bytes(const rondo_session *s)
{
    size_t bytes = 0;
    for (int p = 0; s && p < session_graph(s)->port_count; p++)
        if (!is_load_port(s, p))
            bytes += port_bytes(s, p);
    return bytes;
}
