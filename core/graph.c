/* The tables of a graph: names, shapes, symbols and scopes, and the record of its first mistake. */
#include "core/body.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *type_name(rondo_type type)
{
    static const char *const names[] = {"none", "f32", "f64", "i32"};
    return names[type >= RONDO_F32 && type <= RONDO_I32 ? type : 0];
}

/* ---- the object ---- */

rondo_graph *graph_new(rondo *context, rondo_error *error)
{
    if (!context)
        return NULL;
    rondo_graph *g = memory_new(&context->allocator, sizeof *g);
    if (!g) {
        fail_memory(error, sizeof *g, "a graph");
        return NULL;
    }
    g->context = context;
    arena_begin(&g->arena, &context->allocator);
    shape scalar = {0};
    graph_name(g, "");
    graph_shape(g, &scalar);
    if (graph_begin_tables(g) && graph_check(g, error))
        return g;
    fail_memory(error, sizeof *g, "a graph"); /* the first error stands */
    graph_free(g);
    return NULL;
}

void graph_free(rondo_graph *g)
{
    if (!g || atomic_fetch_sub(&g->sharers, 1) > 0)
        return;
    graph_free(g->inner);
    for (int i = 0; i < g->body_count; i++)
        graph_free(g->bodies[i].graph);
    arena_end(&g->arena);
    memory_free(&g->context->allocator, g, sizeof *g);
}

rondo_graph *rondo_graph_new(rondo *context, rondo_error *error)
{
    error_begin(error);
    return graph_new(context, error);
}

void rondo_graph_free(rondo_graph *graph)
{
    graph_free(graph);
}

bool graph_check(const rondo_graph *graph, rondo_error *error)
{
    if (!graph)
        return false;
    if (graph->error.code)
        return fail(error, graph->error.code, "%s", graph->error.message);
    return !graph->arena.failed || fail(error, RONDO_MEMORY, "out of memory for a graph");
}

bool rondo_graph_check(const rondo_graph *graph, rondo_error *error)
{
    error_begin(error);
    return graph_check(graph, error);
}

/* ---- mistakes ---- */

/* "model.c:42: decoder.3: ", what is known of it; the length. */
static size_t write_place(char *out, size_t room, const char *file, int line, const char *scope)
{
    size_t length = 0;
    *out = 0;
    if (file)
        length += (size_t)snprintf(out, room, "%.180s:%d: ", file, line);
    if (*scope)
        length += (size_t)snprintf(out + length, room - length, "%.120s: ", scope);
    return length;
}

value_id graph_fail(rondo_graph *g, rondo_code code, const char *format, ...)
{
    if (g->error.code)
        return NONE;
    const char *scope = g->names && g->scope > 0 ? g->names[g->scope] : "";
    char *message = g->error.message;
    size_t length = write_place(message, sizeof g->error.message, g->file, g->line, scope);
    va_list list;
    va_start(list, format);
    vsnprintf(message + length, sizeof g->error.message - length, format, list);
    va_end(list);
    g->error.code = code;
    if (g->arena.failed && code != RONDO_MEMORY) { /* what looks wrong is what could not be stored */
        g->error.code = RONDO_MEMORY;
        snprintf(message + length, sizeof g->error.message - length, "out of memory for a graph");
    }
    return NONE;
}

const char *graph_place(const rondo_graph *g, node_id n, char buffer[PLACE_BYTES])
{
    const node *at = &g->nodes[n];
    size_t length = write_place(buffer, PLACE_BYTES, at->file, at->line, g->names[at->scope]);
    if (length)
        buffer[length - 2] = 0; /* the colon of what would follow */
    else
        snprintf(buffer, PLACE_BYTES, "%%%d", at->first_output);
    return buffer;
}

/* ---- interning: open addressing; buckets hold indices ---- */

static uint64_t hash_bytes(const void *data, size_t bytes)
{
    const unsigned char *c = data;
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ c[i]) * 1099511628211u;
    return hash ^ hash >> 32;
}

/* A larger table with all buckets free. The old ones stay in the arena; together they are no larger than the
 * new table. */
bool graph_grow_buckets(rondo_graph *g, int32_t **buckets, int *bucket_count)
{
    int larger = *bucket_count ? *bucket_count * 2 : 64;
    int32_t *fresh = *bucket_count <= INT32_MAX / 2 ? ARENA_NEW(&g->arena, int32_t, larger) : NULL;
    if (!fresh)
        return false;
    memset(fresh, 0xff, sizeof *fresh * (size_t)larger);
    *buckets = fresh;
    *bucket_count = larger;
    return true;
}

/* The bucket that holds the name, or the free one where it belongs; NULL: the table is full. An index past
 * the end counts as a different name: work on a shallow copy of the graph's header may have left one. */
static int32_t *name_bucket(const rondo_graph *g, const char *name)
{
    uint64_t at = hash_bytes(name, strlen(name));
    for (int tries = 0; tries < g->name_bucket_count; tries++, at++) {
        int32_t *bucket = &g->name_buckets[at & (uint64_t)(g->name_bucket_count - 1)];
        if (*bucket < 0 || (*bucket < g->name_count && !strcmp(g->names[*bucket], name)))
            return bucket;
    }
    return NULL;
}

static bool name_room(rondo_graph *g)
{
    if (!ARENA_PUSH(&g->arena, g->names, g->name_count, g->name_capacity))
        return false;
    if (g->name_count < g->name_bucket_count / 2)
        return true;
    if (!graph_grow_buckets(g, &g->name_buckets, &g->name_bucket_count))
        return false;
    for (int i = 0; i < g->name_count; i++)
        *name_bucket(g, g->names[i]) = i;
    return true;
}

int graph_name(rondo_graph *g, const char *name)
{
    if (!graph_good(g) || !name)
        return 0;
    int32_t *bucket = name_bucket(g, name);
    if (bucket && *bucket >= 0)
        return *bucket;
    char *copy = arena_copy_text(&g->arena, name, strlen(name));
    if (!copy || !name_room(g) || !(bucket = name_bucket(g, name))) {
        graph_fail(g, RONDO_MEMORY, "out of memory for the name %.60s", name);
        return 0;
    }
    g->names[g->name_count] = copy;
    return *bucket = g->name_count++;
}

const char *graph_intern(rondo_graph *g, const char *name)
{
    int index = graph_name(g, name); /* before g->names is read, which this may move */
    return g->names[index];
}

static int32_t *shape_bucket(const rondo_graph *g, const shape *s)
{
    uint64_t at = hash_bytes(s->dims, sizeof *s->dims * (size_t)s->rank);
    for (int tries = 0; tries < g->shape_bucket_count; tries++, at++) {
        int32_t *bucket = &g->shape_buckets[at & (uint64_t)(g->shape_bucket_count - 1)];
        if (*bucket < 0 || (*bucket < g->shape_count && shape_equal(&g->shapes[*bucket], s)))
            return bucket;
    }
    return NULL;
}

static bool shape_room(rondo_graph *g)
{
    if (!ARENA_PUSH(&g->arena, g->shapes, g->shape_count, g->shape_capacity))
        return false;
    if (g->shape_count < g->shape_bucket_count / 2)
        return true;
    if (!graph_grow_buckets(g, &g->shape_buckets, &g->shape_bucket_count))
        return false;
    for (int i = 0; i < g->shape_count; i++)
        *shape_bucket(g, &g->shapes[i]) = i;
    return true;
}

int graph_shape(rondo_graph *g, const shape *s)
{
    if (!graph_good(g))
        return -1;
    if (s->rank < 0 || s->rank > MAX_RANK)
        return graph_fail(g, RONDO_SHAPE, "a shape of %d dims; at most %d are possible", s->rank, MAX_RANK);
    int32_t *bucket = shape_bucket(g, s);
    if (bucket && *bucket >= 0)
        return *bucket;
    if (!shape_room(g) || !(bucket = shape_bucket(g, s)))
        return graph_fail(g, RONDO_MEMORY, "out of memory for a shape");
    shape *copy = &g->shapes[g->shape_count];
    *copy = (shape){.rank = s->rank};
    memcpy(copy->dims, s->dims, sizeof *s->dims * (size_t)s->rank);
    return *bucket = g->shape_count++;
}

/* ---- symbols ---- */

static bool is_symbol_name(const char *name)
{
    for (const char *c = name; *c; c++) {
        bool letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || *c == '_';
        if (!letter && (c == name || *c < '0' || *c > '9'))
            return false;
    }
    return *name;
}

int graph_find_symbol(const rondo_graph *g, const char *name)
{
    for (int s = 0; s < g->symbol_count; s++)
        if (!strcmp(g->symbols[s], name))
            return s;
    return -1;
}

int graph_symbol(rondo_graph *g, const char *name)
{
    if (!graph_good(g))
        return -1;
    int known = graph_find_symbol(g, name);
    if (known >= 0)
        return known;
    if (!is_symbol_name(name))
        return graph_fail(g, RONDO_ARGUMENT,
                          "the symbol \"%.60s\": use letters, digits and _, a letter first", name);
    if (g->symbol_count == MAX_SYMBOLS)
        return graph_fail(
            g, RONDO_ARGUMENT,
            "symbol %.60s is one too many: a graph has at most %d; write fixed extents as numbers", name,
            MAX_SYMBOLS);
    int index = graph_name(g, name);
    if (!index)
        return -1;
    g->symbols[g->symbol_count] = g->names[index];
    return g->symbol_count++;
}

/* ---- scopes ---- */

void rondo_enter(rondo_graph *graph, const char *format, ...)
{
    rondo_graph *g = graph_innermost(graph);
    if (!g || !graph_good(g))
        return;
    int room = (int)(sizeof g->scope_stack / sizeof *g->scope_stack);
    if (g->scope_depth == room) {
        graph_fail(g, RONDO_ARGUMENT, "scopes nest deeper than %d; is a rondo_leave missing?", room);
        return;
    }
    char full[512];
    int length = snprintf(full, sizeof full, "%s%s", g->names[g->scope], g->scope ? "." : "");
    size_t left = length < (int)sizeof full ? sizeof full - (size_t)length : 0;
    va_list list;
    va_start(list, format);
    int added = left ? vsnprintf(full + length, left, format, list) : -1;
    va_end(list);
    if (added <= 0 || (size_t)added >= left) {
        graph_fail(g, RONDO_ARGUMENT,
                   "rondo_enter: a scope has a name, and with all outer ones at most %zu bytes",
                   sizeof full - 1);
        return;
    }
    int scope = graph_name(g, full);
    if (!scope)
        return;
    g->scope_stack[g->scope_depth++] = g->scope;
    g->scope = scope;
}

void rondo_leave(rondo_graph *graph)
{
    graph = graph_innermost(graph);
    if (!graph || !graph_good(graph))
        return;
    if (!graph->scope_depth)
        graph_fail(graph, RONDO_ARGUMENT, "rondo_leave without its rondo_enter");
    else
        graph->scope = graph->scope_stack[--graph->scope_depth];
}

void graph_at(rondo_graph *g, const rondo_graph *model, node_id from)
{
    const node *n = &model->nodes[from];
    g->scope = g == model ? n->scope : graph_name(g, model->names[n->scope]);
    g->file = n->file && g != model ? graph_intern(g, n->file) : n->file;
    g->line = n->line;
}
