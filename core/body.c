/* The table of bodies of a graph, and bodies under construction. */
#include "core/body.h"
#include <stdio.h>
#include <string.h>

/* ---- the table ---- */

rondo_graph *graph_body_named(const rondo_graph *g, int64_t name)
{
    for (int i = 0; i < g->body_count; i++)
        if (g->bodies[i].name == name)
            return g->bodies[i].graph;
    return NULL;
}

rondo_graph *graph_body_of(const rondo_graph *g, const node *n)
{
    const attribute_field *f = graph_signature(g, n->op)->fields;
    for (int i = 0; f && f[i].kind != ATTRIBUTE_END; i++)
        if (f[i].kind == ATTRIBUTE_BODY)
            return graph_body_named(g, n->attributes[i].integer);
    return NULL;
}

int graph_body_depth(const rondo_graph *g)
{
    int deepest = 0;
    for (int i = 0; i < g->body_count; i++) {
        int depth = 1 + graph_body_depth(g->bodies[i].graph);
        deepest = depth > deepest ? depth : deepest;
    }
    return deepest;
}

/* NAME, NAME.1, …: the first that no other body has, or that an equal body has. */
static int free_name(rondo_graph *g, const char *name, const rondo_graph *body)
{
    char full[256];
    for (int i = 0; graph_good(g); i++) {
        if (i)
            snprintf(full, sizeof full, "%.200s.%d", name, i);
        int index = graph_name(g, i ? full : name);
        const rondo_graph *known = graph_body_named(g, index);
        if (index && (!known || known == body || graph_same(known, body)))
            return index;
    }
    return 0;
}

/* A mistake in the body is one of the graph. */
static bool body_check(rondo_graph *g, const rondo_graph *body)
{
    if (!body || !graph_good(g))
        return false;
    if (graph_good(body))
        return true;
    if (body->error.code)
        g->error = body->error;
    else
        graph_fail(g, RONDO_MEMORY, "out of memory for a body");
    return false;
}

int graph_give_body(rondo_graph *g, const char *name, rondo_graph *body)
{
    int index = 0;
    if (!body_check(g, body))
        ;
    else if (!name || !*name)
        graph_fail(g, RONDO_ARGUMENT, "a body needs a name");
    else if (graph_body_depth(body) + 1 > MAX_BODY_DEPTH)
        graph_fail(g, RONDO_ARGUMENT, "bodies nest deeper than %d", MAX_BODY_DEPTH);
    else
        index = free_name(g, name, body);
    if (!index || graph_body_named(g, index)) {
        graph_free(body);
        return index;
    }
    if (!ARENA_PUSH(&g->arena, g->bodies, g->body_count, g->body_capacity)) {
        graph_free(body);
        graph_fail(g, RONDO_MEMORY, "out of memory for a body");
        return 0;
    }
    g->bodies[g->body_count++] = (graph_body){index, body};
    return index;
}

int graph_share_body(rondo_graph *g, const char *name, rondo_graph *body)
{
    if (body)
        atomic_fetch_add(&body->sharers, 1);
    return graph_give_body(g, name, body);
}

/* ---- under construction ---- */

rondo_graph *graph_begin_body(rondo_graph *g)
{
    if (!graph_good(g))
        return NULL;
    rondo_graph *body = graph_new(g->context, NULL);
    if (!body) {
        graph_fail(g, RONDO_MEMORY, "out of memory for a body");
        return NULL;
    }
    body->outer = g;
    body->scope = graph_name(body, g->names[g->scope]);
    body->file = g->file ? graph_intern(body, g->file) : NULL;
    body->line = g->line;
    g->inner = body;
    return body;
}

rondo_graph *graph_end_body(rondo_graph *g)
{
    rondo_graph *body = g->inner;
    g->inner = NULL;
    if (body)
        body->outer = NULL;
    return body;
}

rondo_graph *graph_innermost(rondo_graph *g)
{
    while (g && g->inner)
        g = g->inner;
    return g;
}

/* A new input of the body that stands for v. */
static value_id new_capture(rondo_graph *body, const rondo_graph *outer, value_id v, int input_op)
{
    char name[32];
    attribute attributes[MAX_ATTRIBUTES] = {{0}};
    shape s = *graph_shape_of(outer, v);
    snprintf(name, sizeof name, "constant.%d", body->capture_count);
    if (!graph_map_shape(body, outer, &s))
        return NONE;
    attributes[0].integer = graph_name(body, name);
    attributes[1].integer = outer->values[v].type;
    attributes[2].integer = graph_shape(body, &s);
    value_id inner = graph_good(body) ? graph_add(body, input_op, NULL, 0, attributes) : NONE;
    if (inner == NONE ||
        !ARENA_PUSH(&body->arena, body->captures, body->capture_count, body->capture_capacity))
        return graph_fail(body, RONDO_MEMORY, "out of memory for a body");
    body->captures[body->capture_count++] = (graph_capture){v, inner};
    return inner;
}

value_id graph_capture_value(rondo_graph *body, rondo_graph *from, value_id v, int input_op)
{
    rondo_graph *outer = body->outer;
    if (body == from)
        return v;
    if (!outer)
        return graph_fail(body, RONDO_ARGUMENT, "a value belongs to another graph");
    v = graph_capture_value(outer, from, v, input_op);
    if (v == NONE) {
        if (graph_good(body) && outer->error.code)
            body->error = outer->error;
        return graph_fail(body, RONDO_MEMORY, "out of memory for a body");
    }
    for (int i = 0; i < body->capture_count; i++)
        if (body->captures[i].outer == v)
            return body->captures[i].inner;
    return new_capture(body, outer, v, input_op);
}
