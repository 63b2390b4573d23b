/* session: one caller's state: runs the load stage once, the source stage for each source, the step stage
 * at each advance. The memory that persists is in ports.c. */
#include "models/decode/binding.h"
#include "models/decode/ports.h"
#include <string.h>

enum { FIRST_CAPACITY = 64 };

/* Parameters are the caller's weights, or those of the file, which are mapped read-only: programs never
 * write them. */
static void bind_parameters(instance *i, const rondo_program *p, const rondo_weights *w)
{
    const rondo_graph *g = i->program->graph;
    if (w)
        binding_weights(i, w);
    for (node_id id = 0; !w && p->file.map.data && id < g->node_count; id++) {
        const node *n = &g->nodes[id];
        const stored_tensor *stored =
            n->op == OP_parameter
                ? safetensors_find(&p->file, g->names[n->attributes[parameter_name].integer])
                : NULL;
        if (stored)
            instance_bind(i, n->first_output, (void *)safetensors_data(&p->file, stored));
    }
}

/* Binds the ports of a later stage to the results of load. */
static void bind_loaded(const rondo_session *s, instance *i, const port_role *ports)
{
    const rondo_graph *g = i->program ? i->program->graph : NULL;
    for (int p = 0; g && p < g->port_count; p++)
        if (ports[p].giver == GIVEN_BY_LOAD)
            instance_bind(i, g->ports[p].in, instance_tensor(&s->load, ports[p].made).data);
}

/* Runs the load stage once; its results stay in its memory, for the source and the step stage. */
static bool run_load(rondo_session *s, rondo_error *error)
{
    static const int64_t no_symbols[MAX_SYMBOLS];
    if (!s->program->load)
        return true;
    if (!instance_begin(&s->load, s->program->load, error))
        return false;
    bind_parameters(&s->load, s->program, s->weights);
    if (!instance_run(&s->load, s->team, no_symbols, error))
        return false;
    bind_loaded(s, &s->source, session_roles(s)->source_ports);
    bind_loaded(s, &s->step, session_roles(s)->step_ports);
    return true;
}

/* The symbols of the step graph that do not come from the source. */
static void reset_symbols(rondo_session *s)
{
    const roles *r = session_roles(s);
    for (int k = 0; k < MAX_SYMBOLS; k++)
        s->bound[k] = -1;
    if (r->capacity >= 0)
        s->bound[r->capacity] = s->capacity;
    s->bound[r->batch] = s->batch;
}

static bool begin(rondo_session *s, rondo_error *error)
{
    const rondo_program *p = s->program;
    s->team = context_team(s->context, error);
    s->ports =
        memory_new(&s->context->allocator, sizeof *s->ports * ((size_t)p->step->graph->port_count + 1));
    if (!s->team || !s->ports)
        return fail_memory(error, sizeof *s->ports, "a session"); /* keeps an earlier error */
    if (!session_rows(s, s->batch, error) || !instance_begin(&s->step, p->step, error) ||
        (p->source && !instance_begin(&s->source, p->source, error)))
        return false;
    s->step.cancel = s->source.cancel = &s->cancelled;
    bind_parameters(&s->step, p, s->weights);
    if (p->source)
        bind_parameters(&s->source, p, s->weights);
    instance_bind(&s->step, session_roles(s)->count, s->count);
    s->capacity = FIRST_CAPACITY;
    reset_symbols(s);
    return run_load(s, error);
}

rondo_session *session_new(const rondo_program *p, const rondo_weights *w, int64_t batch, rondo_error *error)
{
    rondo_session *s = memory_new(&p->context->allocator, sizeof *s);
    if (!s) {
        fail_memory(error, sizeof *s, "a session");
        return NULL;
    }
    s->program = p;
    s->weights = w;
    s->context = p->context;
    s->batch = batch;
    if (begin(s, error))
        return s;
    rondo_session_free(s);
    return NULL;
}

rondo_session *rondo_session_new(const rondo_program *p, const rondo_weights *w, int64_t batch,
                                 rondo_error *error)
{
    error_begin(error);
    if (!p)
        return NULL;
    if (batch < 1 || (!w && !p->file.map.data)) {
        fail(error, RONDO_ARGUMENT,
             batch < 1 ? "a session needs at least one sequence"
                       : "this program was compiled, not loaded: give the session its weights");
        return NULL;
    }
    rondo_session *s = session_new(p, w, batch, error);
    if (s && !p->source &&
        !rondo_session_source(s, NULL, 0, error)) { /* no source to wait for: ready at once */
        rondo_session_free(s);
        return NULL;
    }
    return s;
}

void rondo_session_free(rondo_session *s)
{
    if (!s)
        return;
    const rondo_allocator allocator = s->context->allocator;
    int count = s->ports ? s->program->step->graph->port_count : 0;
    instance_end(&s->step);
    instance_end(&s->source);
    instance_end(&s->load);
    for (int p = 0; p < count; p++) {
        memory_free(&allocator, s->ports[p].data, s->ports[p].room);
        memory_free(&allocator, s->ports[p].other, s->ports[p].other_room);
    }
    if (s->ports)
        memory_free(&allocator, s->ports, sizeof *s->ports * ((size_t)count + 1));
    memory_free(&allocator, s->count, sizeof *s->count * (size_t)s->rows);
    memory_free(&allocator, s->length, 2 * sizeof *s->length * (size_t)s->rows);
    memory_free(&allocator, s, sizeof *s);
}

/* ---- source ---- */

/* Inputs that the source stage passes on unchanged are copied, so that the caller may free them after the
 * call. */
static bool copy_passed_on(rondo_session *s, rondo_error *error)
{
    const rondo_graph *g = s->source.program->graph;
    for (int p = 0; p < session_graph(s)->port_count; p++) {
        const port_role *role = &session_roles(s)->step_ports[p];
        if (!role->copied)
            continue;
        tensor made = instance_tensor(&s->source, role->made);
        if (!made.data)
            return fail(error, RONDO_ARGUMENT, "input \"%s\" was given no data",
                        g->names[graph_node_of(g, role->made)->attributes[input_name].integer]);
        memcpy(s->ports[p].data, made.data, port_bytes(s, p));
    }
    return true;
}

/* The symbols that the shapes of the source have given values keep them in the step graph. */
static bool take_symbols(rondo_session *s, binding *b, rondo_error *error)
{
    const rondo_graph *g = s->source.program->graph;
    const roles *r = session_roles(s);
    for (int k = 0; k < g->symbol_count; k++) {
        int own = r->step_symbol[k];
        if (own < 0)
            continue;
        if (own == r->batch && b->bound[k] >= 0 && b->bound[k] != s->batch)
            return fail(error, RONDO_SHAPE, "the session has %lld sequences, the source %lld",
                        (long long)s->batch, (long long)b->bound[k]);
        if (b->bound[k] >= 0)
            s->bound[own] = b->bound[k];
        b->bound[k] = s->bound[own];
    }
    return binding_whole(b, g, error);
}

bool rondo_session_source(rondo_session *s, const rondo_tensor *inputs, int count, rondo_error *error)
{
    error_begin(error);
    if (!s)
        return false;
    if (count < 0 || (count && !inputs))
        return fail(error, RONDO_ARGUMENT, "the source needs its tensors, not NULL");
    binding b;
    s->logits = NULL;
    s->ready = false;
    atomic_store(&s->cancelled, false);
    reset_symbols(s);
    memset(s->length, 0, sizeof *s->length * (size_t)s->batch);
    if (!s->source.program)
        return s->ready = ports_reset(s, error);
    binding_begin(&b);
    binding_clear(&s->source);
    for (int k = 0; k < count; k++)
        if (!binding_tensor(&b, &s->source, &inputs[k], error))
            return false;
    if (!take_symbols(s, &b, error) ||
        !binding_check_lengths(&b, s->source.program->graph, inputs, count, error) || !ports_reset(s, error))
        return false;
    ports_guard(s);
    if (!instance_run(&s->source, s->team, b.bound, error) || !copy_passed_on(s, error) ||
        !ports_check_guards(s, error))
        return false;
    return s->ready = true;
}

/* ---- advance ---- */

static bool set_counts(rondo_session *s, const int32_t *lengths, int64_t length, rondo_error *error)
{
    for (int64_t b = 0; b < s->batch; b++) {
        s->count[b] = lengths ? lengths[b] : (int32_t)length;
        if (s->count[b] < 0 || s->count[b] > length)
            return fail(error, RONDO_ARGUMENT,
                        "sequence %lld: the count is %d, but there are %lld new tokens", (long long)b,
                        s->count[b], (long long)length);
    }
    instance_bind(&s->step, session_roles(s)->count, s->count);
    return true;
}

static int64_t longest(const rondo_session *s)
{
    int64_t most = 0;
    for (int64_t b = 0; b < s->batch; b++)
        most = s->length[b] > most ? s->length[b] : most;
    return most;
}

/* After a run: its results become the state. */
static const float *take_step(rondo_session *s, int64_t length)
{
    ports_swap(s);
    for (int64_t b = 0; b < s->batch; b++)
        s->length[b] += s->count[b];
    s->tokens_run += (uint64_t)(s->batch * length);
    return s->logits = instance_tensor(&s->step, session_roles(s)->logits).data;
}

const float *rondo_session_advance(rondo_session *s, const int32_t *tokens, int64_t length,
                                   const int32_t *lengths, rondo_error *error)
{
    error_begin(error);
    if (!s)
        return NULL;
    const roles *r = session_roles(s);
    if (!s->ready || !tokens || length < 1 || length > INT32_MAX) {
        fail(error, RONDO_ARGUMENT,
             s->ready ? "an advance needs at least one token, and at most 2147483647"
                      : "the session waits for its source: call rondo_session_source first");
        return NULL;
    }
    s->logits = NULL;
    if (!set_counts(s, lengths, length, error) ||
        !binding_check_ids(r->token_name, tokens, s->batch * length, r->token_limit, NO_ID, error) ||
        !ports_grow(s, longest(s) + length, error))
        return NULL;
    instance_bind(&s->step, r->tokens, (void *)tokens);
    s->bound[r->advance] = length;
    ports_guard(s);
    if (!instance_run(&s->step, s->team, s->bound, error) || !ports_check_guards(s, error)) {
        s->ready = !atomic_load(&s->cancelled); /* cancelled: some ports may have been updated, others not */
        return NULL;
    }
    return take_step(s, length);
}

/* ---- clone ---- */

rondo_session *rondo_session_clone(const rondo_session *s, rondo_error *error)
{
    error_begin(error);
    rondo_session *copy = s ? session_new(s->program, s->weights, s->batch, error) : NULL;
    if (!copy)
        return NULL;
    memcpy(copy->bound, s->bound, sizeof copy->bound);
    copy->capacity = s->capacity;
    copy->ready = s->ready;
    memcpy(copy->length, s->length, sizeof *s->length * (size_t)s->batch);
    bool good = !s->ready || ports_reset(copy, error);
    for (int p = 0; good && s->ready && p < session_graph(s)->port_count; p++)
        if (s->ports[p].data)
            memcpy(copy->ports[p].data, s->ports[p].data, port_bytes(s, p));
    if (good)
        return copy;
    rondo_session_free(copy);
    return NULL;
}

int64_t rondo_session_vocabulary(const rondo_session *s)
{
    return s ? session_roles(s)->vocabulary : 0;
}

void rondo_session_cancel(rondo_session *s)
{
    if (s)
        atomic_store(&s->cancelled, true);
}
