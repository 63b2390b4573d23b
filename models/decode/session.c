/* session: one caller's buffers and state: from load and source to one advance after the other. What persists is in ports.c. */
#include "models/decode/binding.h"
#include "models/decode/ports.h"
#include <string.h>

enum { FIRST_CAPACITY = 64 };

/* The symbols of a stage, which may number them in its own way: the step graph's are the session's. */
static void bound_for(const rondo_session *s, const rondo_graph *g, int64_t *bound)
{
    const rondo_graph *own = s->step.program->graph;
    for (int i = 0; i < g->symbol_count; i++) {
        int k = graph_find_symbol(own, g->symbols[i]);
        bound[i] = k >= 0 ? s->bound[k] : -1;
    }
}

/* Parameters are the caller's weights, or those of the file: mapped read-only, as programs never write parameters. */
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

/* Where a later stage reads what load made. */
static void bind_loaded(const rondo_session *s, instance *i)
{
    const rondo_graph *from = s->load.program->graph;
    for (int o = 0; i->program && o < from->output_count; o++)
        instance_bind(i, graph_find_leaf(i->program->graph, OP_state, from->names[from->outputs[o].name]),
                      instance_tensor(&s->load, from->outputs[o].value).data);
}

/* Runs the load stage once; what it made stays in its memory, for the source and the step stage. */
static bool run_load(rondo_session *s, rondo_error *error)
{
    int64_t bound[MAX_SYMBOLS];
    if (!s->program->load)
        return true;
    if (!instance_begin(&s->load, s->program->load, error))
        return false;
    bind_parameters(&s->load, s->program, s->weights);
    bound_for(s, s->load.program->graph, bound);
    if (!instance_run(&s->load, s->team, bound, error))
        return false;
    bind_loaded(s, &s->source);
    bind_loaded(s, &s->step);
    return true;
}

static bool begin(rondo_session *s, rondo_error *error)
{
    const rondo_program *p = s->program;
    s->team = context_team(s->context, error);
    s->ports =
        memory_new(&s->context->allocator, sizeof *s->ports * ((size_t)p->step->graph->port_count + 1));
    if (!s->team || !s->ports)
        return fail_memory(error, sizeof *s->ports, "a session"); /* the first error stands */
    if (!instance_begin(&s->step, p->step, error) ||
        (p->source && !instance_begin(&s->source, p->source, error)))
        return false;
    s->step.cancel = s->source.cancel = &s->cancelled;
    bind_parameters(&s->step, p, s->weights);
    if (p->source)
        bind_parameters(&s->source, p, s->weights);
    for (int k = 0; k < MAX_SYMBOLS; k++)
        s->bound[k] = -1;
    value_id out = graph_find_output(p->step->graph, "logits");
    s->vocabulary = dim_value(
        graph_shape_of(p->step->graph, out)->dims[graph_shape_of(p->step->graph, out)->rank - 1], s->bound);
    s->capacity = FIRST_CAPACITY;
    session_set_symbol(s, CAPACITY_SYMBOL, s->capacity);
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
        !rondo_session_source(s, NULL, 0, error)) { /* nothing to wait for: ready at once */
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
    memory_free(&allocator, s->count, sizeof *s->count * (size_t)s->count_capacity);
    memory_free(&allocator, s, sizeof *s);
}

/* ---- source ---- */

static void reset_symbols(rondo_session *s)
{
    for (int k = 0; k < MAX_SYMBOLS; k++)
        s->bound[k] = -1;
    session_set_symbol(s, CAPACITY_SYMBOL, s->capacity);
    s->bound[session_batch_symbol(s)] = s->batch;
}

/* What a source input passes on unchanged is copied, so that the caller's memory is free after the call. */
static void copy_passed_on(rondo_session *s)
{
    const rondo_graph *g = session_graph(s), *from = s->source.program->graph;
    for (int p = 0; p < g->port_count; p++) {
        value_id out = graph_find_output(from, g->names[g->ports[p].name]);
        if (out == NONE)
            continue;
        tensor made = instance_tensor(&s->source, out);
        if (made.data && made.data != s->ports[p].data)
            memcpy(s->ports[p].data, made.data, port_bytes(s, p));
    }
}

/* The numbers that the source's shapes give symbols are the session's from here on. */
static bool take_symbols(rondo_session *s, binding *b, rondo_error *error)
{
    const rondo_graph *g = s->source.program->graph;
    for (int k = 0; k < g->symbol_count; k++) {
        int own = graph_find_symbol(session_graph(s), g->symbols[k]);
        if (own < 0)
            continue;
        if (own == session_batch_symbol(s) && b->bound[k] >= 0 && b->bound[k] != s->batch)
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
    binding b;
    s->logits = NULL;
    s->ready = false;
    atomic_store(&s->cancelled, false);
    reset_symbols(s);
    if (!s->source.program)
        return s->ready = ports_reset(s, error);
    binding_begin(&b);
    binding_clear(&s->source);
    for (int k = 0; k < count; k++)
        if (!binding_tensor(&b, &s->source, &inputs[k], error))
            return false;
    if (!take_symbols(s, &b, error) || !ports_reset(s, error) ||
        !instance_run(&s->source, s->team, b.bound, error))
        return false;
    copy_passed_on(s);
    return s->ready = true;
}

/* ---- advance ---- */

static const int32_t *positions(const rondo_session *s)
{
    const rondo_graph *g = session_graph(s);
    for (int p = 0; p < g->port_count; p++)
        if (!strcmp(g->names[g->ports[p].name], "position"))
            return (const int32_t *)s->ports[p].data;
    return NULL;
}

static bool set_counts(rondo_session *s, const int32_t *lengths, int64_t length, rondo_error *error)
{
    if (s->count_capacity < s->batch) {
        memory_free(&s->context->allocator, s->count, sizeof *s->count * (size_t)s->count_capacity);
        s->count = memory_new(&s->context->allocator, sizeof *s->count * (size_t)s->batch);
        s->count_capacity = s->count ? s->batch : 0;
        if (!s->count)
            return fail_memory(error, sizeof *s->count * (size_t)s->batch, "a session");
    }
    for (int64_t b = 0; b < s->batch; b++) {
        s->count[b] = lengths ? lengths[b] : (int32_t)length;
        if (s->count[b] < 0 || s->count[b] > length)
            return fail(error, RONDO_ARGUMENT, "sequence %lld: %d of %lld new tokens cannot count",
                        (long long)b, s->count[b], (long long)length);
    }
    instance_bind(&s->step, graph_find_leaf(session_graph(s), OP_input, "count"), s->count);
    return true;
}

static const char *token_input(const rondo_session *s)
{
    const rondo_graph *g = session_graph(s);
    int step = graph_find_symbol(g, STEP_SYMBOL);
    for (node_id id = 0; id < g->node_count; id++) {
        const shape *d = graph_shape_of(g, g->nodes[id].first_output);
        if (g->nodes[id].op == OP_input && d->rank == 2 && dim_only_symbol(d->dims[1]) == step)
            return g->names[g->nodes[id].attributes[input_name].integer];
    }
    return NULL;
}

const float *rondo_session_advance(rondo_session *s, const int32_t *tokens, int64_t length,
                                   const int32_t *lengths, rondo_error *error)
{
    error_begin(error);
    if (!s)
        return NULL;
    const int32_t *at = positions(s);
    int64_t furthest = 0;
    const char *name = token_input(s);
    if (!s->ready || !tokens || length < 1) {
        fail(error, RONDO_ARGUMENT,
             s->ready ? "an advance needs at least one token"
                      : "the session waits for its source: call rondo_session_source first");
        return NULL;
    }
    for (int64_t b = 0; at && b < s->batch; b++)
        furthest = at[b] > furthest ? at[b] : furthest;
    if (!set_counts(s, lengths, length, error) || !ports_grow(s, furthest + length, error))
        return NULL;
    binding b;
    memcpy(b.bound, s->bound, sizeof b.bound);
    binding_symbol(&b, session_graph(s), STEP_SYMBOL, length);
    rondo_tensor in = {
        .name = name, .type = RONDO_I32, .rank = 2, .dims = {s->batch, length}, .data = (void *)tokens};
    s->logits = NULL;
    if (!binding_tensor(&b, &s->step, &in, error))
        return NULL;
    if (!binding_whole(&b, session_graph(s), error))
        return NULL;
    if (!instance_run(&s->step, s->team, b.bound, error)) {
        s->ready = !atomic_load(&s->cancelled); /* cancelled half way: some ports are new, some old */
        return NULL;
    }
    ports_swap(s);
    s->tokens_run += (uint64_t)(s->batch * length);
    tensor logits = instance_tensor(&s->step, graph_find_output(session_graph(s), "logits"));
    return s->logits = logits.data;
}

/* ---- snapshot ---- */

rondo_session *rondo_session_clone(const rondo_session *s, rondo_error *error)
{
    error_begin(error);
    rondo_session *copy = s ? session_new(s->program, s->weights, s->batch, error) : NULL;
    if (!copy)
        return NULL;
    memcpy(copy->bound, s->bound, sizeof copy->bound);
    copy->capacity = s->capacity;
    copy->ready = s->ready;
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
    return s ? s->vocabulary : 0;
}

void rondo_session_cancel(rondo_session *s)
{
    if (s)
        atomic_store(&s->cancelled, true);
}
