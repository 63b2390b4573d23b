/* ports: the memory that a session keeps from run to run, and the loops over all ports: reset, growth,
 * reorder, size. They depend on the graph alone; staged_verify has proved that sizes fit together. */
#include "models/decode/ports.h"
#include "core/guard.h"
#include <string.h>

/* ---- the memory of one port ---- */

/* Bytes of a tensor of the step graph; 0 while one of its symbols has no value, SIZE_MAX if they cannot be
 * counted. */
static size_t tensor_bytes(const rondo_graph *g, value_id v, const int64_t *bound)
{
    const shape *s = graph_shape_of(g, v);
    size_t bytes = (size_t)type_bytes(g->values[v].type);
    for (int a = 0; a < s->rank; a++)
        for (int k = 0; k < g->symbol_count; k++)
            if (dim_has(s->dims[a], k) && bound[k] < 0)
                return 0;
    for (int a = 0; a < s->rank; a++) {
        int64_t extent = dim_value(s->dims[a], bound);
        if (extent == 0)
            return 0;
        if (extent < 0 || __builtin_mul_overflow(bytes, (size_t)extent, &bytes))
            return SIZE_MAX;
    }
    return bytes;
}

size_t port_bytes(const rondo_session *s, int p)
{
    return tensor_bytes(session_graph(s), session_graph(s)->ports[p].in, s->bound);
}

/* The same with another value for one symbol. */
static size_t port_bytes_with(const rondo_session *s, int p, int symbol, int64_t number)
{
    int64_t bound[MAX_SYMBOLS];
    memcpy(bound, s->bound, sizeof bound);
    bound[symbol] = number;
    return tensor_bytes(session_graph(s), session_graph(s)->ports[p].in, bound);
}

/* The content of a port as outer × extent rows, where extent is that of one of its axes. */
typedef struct port_rows {
    int64_t outer, extent;
    size_t row_bytes;
} port_rows;

static port_rows rows_along(const rondo_session *s, int p, int axis)
{
    const shape *dims = graph_shape_of(session_graph(s), session_graph(s)->ports[p].in);
    port_rows r = {1, dim_value(dims->dims[axis], s->bound), 0};
    size_t bytes = port_bytes(s, p);
    for (int a = 0; bytes && a < axis; a++)
        r.outer *= dim_value(dims->dims[a], s->bound);
    r.row_bytes = bytes / ((size_t)r.outer * (size_t)(r.extent ? r.extent : 1));
    return r;
}

/* Results of the load stage stay in its own memory and never change. */
static bool is_held_by_load(const rondo_session *s, int p)
{
    return session_roles(s)->step_ports[p].giver == GIVEN_BY_LOAD;
}

/* A port whose old content is still read when the new one is written has two buffers, which are swapped
 * after a run. */
static bool is_doubled(const rondo_session *s, int p)
{
    const port *port = &session_graph(s)->ports[p];
    return port->out != NONE && port->out != port->in && !s->step.program->in_place[p];
}

/* Makes room for `bytes` and keeps the content of the first `keep`. After a failure the buffer is
 * unchanged. */
static bool buffer_room(rondo_session *s, char **data, size_t *room, size_t bytes, size_t keep,
                        rondo_error *error)
{
    size_t wanted = (bytes ? bytes : 1) + (RONDO_GUARDS && bytes < SIZE_MAX ? GUARD_BYTES : 0);
    if (*data && wanted <= *room)
        return true;
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
    const port_role *role = &session_roles(s)->step_ports[p];
    const port_memory *m = &s->ports[p];
    instance_bind(&s->step, port->in, m->data);
    if (port->out != NONE && port->out != port->in)
        instance_bind(&s->step, port->out, is_doubled(s, p) ? m->other : m->data);
    if (role->giver == GIVEN_BY_SOURCE && !role->copied)
        instance_bind(&s->source, role->made, m->data);
}

/* Makes room for `bytes` in `other`, and in `data` too if the port needs two buffers. The content stays,
 * also after a failure: what changes all ports first reserves memory for each, then moves the contents. */
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
    float number = (float)session_graph(s)->ports[p].initial;
    size_t bytes = port_bytes(s, p);
    if (number == 0) /* always so if the port is not f32 */
        memset(s->ports[p].data, 0, bytes);
    else
        for (size_t i = 0; i < bytes / sizeof number; i++)
            memcpy(s->ports[p].data + i * sizeof number, &number, sizeof number);
}

bool ports_reset(rondo_session *s, rondo_error *error)
{
    const rondo_graph *g = session_graph(s);
    for (int p = 0; p < g->port_count; p++) {
        port_memory *m = &s->ports[p];
        if (is_held_by_load(s, p))
            continue;
        size_t bytes = port_bytes(s, p);
        if (!buffer_room(s, &m->data, &m->room, bytes, 0, error) ||
            (is_doubled(s, p) && !buffer_room(s, &m->other, &m->other_room, bytes, 0, error)))
            return false;
        if (g->ports[p].kind != PORT_FIXED)
            fill_initial(s, p);
        bind_port(s, p);
    }
    return true;
}

void ports_swap(rondo_session *s)
{
    const rondo_graph *g = session_graph(s);
    for (int p = 0; p < g->port_count; p++)
        if (is_doubled(s, p))
            port_swap(s, p);
}

void ports_guard(const rondo_session *s)
{
    for (int p = 0; RONDO_GUARDS && p < session_graph(s)->port_count; p++) {
        if (is_held_by_load(s, p))
            continue;
        guard_set(s->ports[p].data + port_bytes(s, p), GUARD_BYTES);
        if (is_doubled(s, p))
            guard_set(s->ports[p].other + port_bytes(s, p), GUARD_BYTES);
    }
}

bool ports_check_guards(const rondo_session *s, rondo_error *error)
{
    const rondo_graph *g = session_graph(s);
    for (int p = 0; RONDO_GUARDS && p < g->port_count; p++) {
        if (is_held_by_load(s, p))
            continue;
        if (!guard_holds(s->ports[p].data + port_bytes(s, p), GUARD_BYTES) ||
            (is_doubled(s, p) && !guard_holds(s->ports[p].other + port_bytes(s, p), GUARD_BYTES)))
            return fail(error, RONDO_MISMATCH, "port %.80s: a run wrote past the end of its buffer",
                        g->names[g->ports[p].name]);
    }
    return true;
}

/* ---- growth ---- */

/* Moves a cache into its other buffer, in which each sequence has room for `after` rows. */
static void grow_port(rondo_session *s, int p, int64_t after)
{
    port_memory *m = &s->ports[p];
    port_rows r = rows_along(s, p, session_graph(s)->ports[p].append_axis);
    for (int64_t o = 0; r.row_bytes && o < r.outer; o++)
        memcpy(m->other + (size_t)(o * after) * r.row_bytes, m->data + (size_t)(o * r.extent) * r.row_bytes,
               (size_t)r.extent * r.row_bytes);
    port_swap(s, p);
    if (is_doubled(s, p))
        return;
    memory_free(&s->context->allocator, m->other, m->other_room);
    m->other = NULL;
    m->other_room = 0;
}

bool ports_grow(rondo_session *s, int64_t needed, rondo_error *error)
{
    const rondo_graph *g = session_graph(s);
    int symbol = session_roles(s)->capacity;
    int64_t after = s->capacity;
    while (after < needed)
        if (__builtin_mul_overflow(after, 2, &after))
            return fail_memory(error, SIZE_MAX, "a session's caches");
    if (symbol < 0 || after == s->capacity)
        return true;
    for (int p = 0; p < g->port_count; p++)
        if (g->ports[p].kind == PORT_APPEND &&
            !port_reserve(s, p, port_bytes_with(s, p, symbol, after), error))
            return false;
    for (int p = 0; p < g->port_count; p++)
        if (g->ports[p].kind == PORT_APPEND)
            grow_port(s, p, after);
    s->capacity = s->bound[symbol] = after;
    return true;
}

/* ---- reorder and size ---- */

static void reorder_port(rondo_session *s, int p, const int64_t *from, int64_t batch)
{
    const port_memory *m = &s->ports[p];
    port_rows r = rows_along(s, p, session_graph(s)->ports[p].batch_axis);
    for (int64_t o = 0; r.row_bytes && o < r.outer; o++)
        for (int64_t b = 0; b < batch; b++)
            memcpy(m->other + (size_t)(o * batch + b) * r.row_bytes,
                   m->data + (size_t)(o * r.extent + from[b]) * r.row_bytes, r.row_bytes);
    port_swap(s, p);
}

bool session_rows(rondo_session *s, int64_t batch, rondo_error *error)
{
    const rondo_allocator *a = &s->context->allocator;
    if (batch <= s->rows)
        return true;
    int32_t *count = batch < INT64_MAX / 64 ? memory_new(a, sizeof *count * (size_t)batch) : NULL;
    int64_t *length = count ? memory_new(a, 2 * sizeof *length * (size_t)batch) : NULL;
    if (!length) {
        memory_free(a, count, sizeof *count * (size_t)batch);
        return fail_memory(error, 2 * sizeof *length * (size_t)batch, "a session");
    }
    if (s->rows) {
        memcpy(count, s->count, sizeof *count * (size_t)s->rows);
        memcpy(length, s->length, sizeof *length * (size_t)s->rows);
    }
    memory_free(a, s->count, sizeof *count * (size_t)s->rows);
    memory_free(a, s->length, 2 * sizeof *length * (size_t)s->rows);
    s->count = count;
    s->length = length;
    s->rows = batch;
    return true;
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
    int symbol = session_roles(s)->batch;
    if (!session_rows(s, batch, error))
        return false;
    for (int p = 0; p < g->port_count; p++)
        if (g->ports[p].batch_axis >= 0 && !port_reserve(s, p, port_bytes_with(s, p, symbol, batch), error))
            return false;
    for (int p = 0; p < g->port_count; p++)
        if (g->ports[p].batch_axis >= 0)
            reorder_port(s, p, from, batch);
    memcpy(s->length + s->rows, s->length, sizeof *s->length * (size_t)s->batch);
    for (int64_t b = 0; b < batch; b++)
        s->length[b] = s->length[s->rows + from[b]];
    s->batch = s->bound[symbol] = batch;
    s->logits = NULL;
    return true;
}

size_t rondo_session_state_bytes(const rondo_session *s)
{
    size_t bytes = 0;
    for (int p = 0; s && p < session_graph(s)->port_count; p++)
        if (!is_held_by_load(s, p))
            bytes += port_bytes(s, p);
    return bytes;
}
