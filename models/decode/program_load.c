/* Reading a compiled model: one safetensors file whose metadata holds the graphs in text form, the report and the tokenizer.
 * What is read is hostile until graph_verify and the tensor checks have passed. */
#include "models/decode/decoder.h"
#include <string.h>

const char *const stage_keys[] = {"rondo.graph.load", "rondo.graph.source", "rondo.graph.step"};

rondo_program *program_begin(rondo *context, rondo_error *error)
{
    rondo_program *p = memory_new(&context->allocator, sizeof *p);
    if (!p) {
        fail_memory(error, sizeof *p, "a program");
        return NULL;
    }
    p->context = context;
    arena_begin(&p->arena, &context->allocator);
    return p;
}

void rondo_program_free(rondo_program *p)
{
    if (!p)
        return;
    const rondo_allocator allocator = p->context->allocator;
    program_free(p->load);
    program_free(p->source);
    program_free(p->step);
    tokenizer_free(p->tokenizer);
    safetensors_close(&p->file);
    arena_end(&p->arena);
    memory_free(&allocator, p, sizeof *p);
}

const char *program_text(rondo_program *p, const char *source)
{
    return source ? arena_copy_text(&p->arena, source, strlen(source)) : NULL;
}

/* Whether v is of this type, its dims these symbols; a symbol of −1 stands for the extent 1. */
static bool has_symbols(const rondo_graph *g, value_id v, rondo_type type, int rank, const int *symbols)
{
    if (v == NONE || g->values[v].type != type || graph_shape_of(g, v)->rank < rank)
        return false;
    for (int a = 0; a < rank; a++) {
        dim d = graph_shape_of(g, v)->dims[a];
        if (symbols[a] < 0 ? !dim_is_number(d, 1) : dim_only_symbol(d) != symbols[a])
            return false;
    }
    return true;
}

/* A session sizes, moves and reorders ports by their axes, and tells the tokens' count by the port "position". */
static bool check_port(const rondo_graph *g, const port *p, int batch, const char *where, rondo_error *error)
{
    const char *name = g->names[p->name];
    const shape *s = graph_shape_of(g, p->in);
    int capacity = graph_find_symbol(g, CAPACITY_SYMBOL),
        grows_along = p->kind == PORT_APPEND ? p->append_axis : -1;
    bool good =
        p->batch_axis < s->rank && grows_along < s->rank && (p->kind != PORT_APPEND || grows_along >= 0);
    for (int a = 0; good && a < s->rank;
         a++) { /* what changes while a session lives stands alone on the axis that is told */
        bool has_batch = dim_has(s->dims[a], batch),
             has_capacity = capacity >= 0 && dim_has(s->dims[a], capacity);
        good = has_batch == (a == p->batch_axis) && has_capacity == (a == grows_along) &&
               (!has_batch || dim_only_symbol(s->dims[a]) == batch) &&
               (!has_capacity || dim_only_symbol(s->dims[a]) == capacity);
    }
    good = good && (p->out == NONE || g->values[p->in].type == g->values[p->out].type);
    if (!strncmp(name, "load.", 5))
        good = good && p->kind == PORT_FIXED && p->batch_axis < 0;
    if (!strcmp(name, "position"))
        good = good && p->kind == PORT_CARRY && s->rank == 1 && has_symbols(g, p->in, RONDO_I32, 1, &batch);
    return good ||
           fail(error, RONDO_SHAPE, "%s: port %s has axes or a type that no session can keep", where, name);
}

bool program_check_step(const rondo_graph *g, const char *where, rondo_error *error)
{
    value_id count = graph_find_leaf(g, OP_input, "count"), logits = graph_find_output(g, "logits"),
             tokens = NONE;
    int step = graph_find_symbol(g, STEP_SYMBOL), batch = -1, inputs = 0;
    if (count != NONE && graph_shape_of(g, count)->rank == 1)
        batch = dim_only_symbol(graph_shape_of(g, count)->dims[0]);
    for (node_id id = 0; id < g->node_count; id++)
        if (g->nodes[id].op == OP_input && g->nodes[id].first_output != count) {
            tokens = g->nodes[id].first_output;
            inputs++;
        }
    if (batch < 0 || batch == step || !has_symbols(g, count, RONDO_I32, 1, &batch))
        return fail(error, RONDO_NOT_CAUSAL, "%s: the logits do not depend on tokens", where);
    if (inputs != 1 || step < 0 || graph_shape_of(g, tokens)->rank != 2 ||
        !has_symbols(g, tokens, RONDO_I32, 2, (int[]){batch, step}))
        return fail(error, RONDO_SHAPE, "%s: a decoder takes one input along time, the tokens, i32[B,T]",
                    where);
    if (!has_symbols(g, logits, RONDO_F32, 2, (int[]){batch, -1}) || graph_shape_of(g, logits)->rank != 3 ||
        !dim_is_literal(graph_shape_of(g, logits)->dims[2]))
        return fail(error, RONDO_SHAPE, "%s: the logits must be f32[B,T,V] with a number for V", where);
    for (int p = 0; p < g->port_count; p++)
        if (!check_port(g, &g->ports[p], batch, where, error))
            return false;
    return true;
}

const char *rondo_program_report(const rondo_program *p)
{
    return p ? p->report : NULL;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static unsigned char *from_hex(arena *a, const char *hex, size_t *count)
{
    size_t length = strlen(hex);
    unsigned char *bytes = arena_new(a, length / 2 + 1);
    *count = length / 2;
    for (size_t i = 0; bytes && i < *count; i++) {
        int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return NULL;
        bytes[i] = (unsigned char)(high * 16 + low);
    }
    return length % 2 ? NULL : bytes;
}

/* ---- reading ---- */

static bool check_parameters(const rondo_program *p, const rondo_graph *g, rondo_error *error)
{
    for (node_id id = 0; id < g->node_count; id++) {
        const node *n = &g->nodes[id];
        if (n->op != OP_parameter)
            continue;
        const char *name = g->names[n->attributes[parameter_name].integer];
        const stored_tensor *t = safetensors_find(&p->file, name);
        const shape *s = graph_shape_of(g, n->first_output);
        bool same = t && t->type == g->values[n->first_output].type && t->rank == s->rank;
        for (int a = 0; same && a < s->rank; a++)
            same = dim_is_number(s->dims[a], t->dims[a]);
        if (!same)
            return fail(error, RONDO_FILE, "its graph reads parameter %s, which the file %s", name,
                        t ? "holds with another shape or dtype" : "does not hold");
    }
    return true;
}

static program *read_stage(rondo_program *p, const char *key, bool *good, rondo_error *error)
{
    const char *source = safetensors_metadata(&p->file, key);
    if (!source || !*good)
        return NULL;
    rondo_error reason = {0}; /* whatever is wrong, it is wrong with this file */
    rondo_graph *g = graph_parse(p->context, source, key, &reason);
    program *stage = NULL;
    if (!g || !graph_verify(g, &reason) || !check_parameters(p, g, &reason))
        graph_free(g);
    else
        stage = program_new(g, NULL, &reason);
    *good = stage != NULL;
    if (!*good)
        fail(error, reason.code == RONDO_MEMORY ? RONDO_MEMORY : RONDO_FILE, "%s: %s", p->file.path,
             reason.message);
    return stage;
}

static bool read_program(rondo_program *p, rondo_error *error)
{
    const char *format = safetensors_metadata(&p->file, "rondo.format"),
               *kind = safetensors_metadata(&p->file, "rondo.kind");
    if (!format || !kind || strcmp(kind, "decoder"))
        return fail(error, RONDO_MISMATCH, "%s holds no compiled model; make one with `rondo export`",
                    p->file.path);
    if (strcmp(format, "1"))
        return fail(error, RONDO_MISMATCH, "%s has format %.20s, this version reads format 1", p->file.path,
                    format);
    bool good = true;
    p->load = read_stage(p, stage_keys[0], &good, error);
    p->source = read_stage(p, stage_keys[1], &good, error);
    p->step = read_stage(p, stage_keys[2], &good, error);
    if (!good)
        return false;
    if (!p->step)
        return fail(error, RONDO_FILE, "%s has no %s", p->file.path, stage_keys[2]);
    p->time = program_text(p, safetensors_metadata(&p->file, "rondo.time"));
    p->report = program_text(p, safetensors_metadata(&p->file, "rondo.report"));
    const char *hex = safetensors_metadata(&p->file, "rondo.tokenizer");
    if (hex) {
        p->tokenizer_model = from_hex(&p->arena, hex, &p->tokenizer_bytes);
        if (!p->tokenizer_model)
            return fail(error, RONDO_FILE, "%s: its tokenizer is damaged", p->file.path);
        p->tokenizer = tokenizer_load(p->tokenizer_model, p->tokenizer_bytes, error);
        if (!p->tokenizer)
            return false;
    }
    if (p->arena.failed)
        return fail_memory(error, sizeof *p, "a program");
    return program_check_step(p->step->graph, p->file.path, error);
}

rondo_program *rondo_program_load(rondo *context, const char *path, rondo_error *error)
{
    error_begin(error);
    rondo_program *p = context ? program_begin(context, error) : NULL;
    if (p && safetensors_open(&p->file, &context->allocator, path, error) && read_program(p, error))
        return p;
    rondo_program_free(p);
    return NULL;
}
