/* Copying graphs node by node with replacements, cleaning them, and comparing them. Names, shapes and symbols
 * of the two graphs may have different indices and are mapped by name. */
#include "core/body.h"
#include <math.h>
#include <string.h>

rondo_graph *graph_new_like(const rondo_graph *model, rondo_error *error)
{
    if (!model)
        return NULL;
    if (!graph_check(model, error))
        return NULL;
    rondo_graph *g = graph_new(model->context, error);
    if (!g)
        return NULL;
    for (int i = 0; i < model->name_count; i++)
        graph_name(g, model->names[i]);
    for (int s = 0; s < model->symbol_count; s++)
        graph_symbol(g, model->symbols[s]);
    for (int i = 0; i < model->shape_count; i++)
        graph_shape(g, &model->shapes[i]);
    g->site_count = model->site_count;
    g->source = model->source ? graph_intern(g, model->source) : NULL;
    if (graph_check(g, error))
        return g;
    graph_free(g);
    return NULL;
}

value_id *graph_map_new(rondo_graph *to, const rondo_graph *from)
{
    value_id *map = ARENA_NEW(&to->arena, value_id, from->value_count);
    if (!map) {
        graph_fail(to, RONDO_MEMORY, "out of memory for a map of %d values", from->value_count);
        return NULL;
    }
    for (value_id v = 0; v < from->value_count; v++)
        map[v] = NONE;
    return map;
}

/* ---- from one graph's indices to the other's ---- */

static int map_name(rondo_graph *to, const rondo_graph *from, int64_t name)
{
    if (name < to->name_count && !strcmp(to->names[name], from->names[name]))
        return (int)name;
    return graph_name(to, from->names[name]);
}

/* The dim under to's symbols; declares them. False: the graph failed. */
static bool map_dim(rondo_graph *to, const rondo_graph *from, dim *d)
{
    dim mapped = dim_number(d->factor);
    for (int s = 0; s < from->symbol_count; s++) {
        if (!d->power[s])
            continue;
        int symbol = graph_symbol(to, from->symbols[s]);
        if (symbol < 0)
            return false;
        mapped.power[symbol] = d->power[s];
    }
    *d = mapped;
    return true;
}

bool graph_map_shape(rondo_graph *to, const rondo_graph *from, shape *s)
{
    for (int i = 0; i < s->rank; i++)
        if (!map_dim(to, from, &s->dims[i]))
            return false;
    return true;
}

static int map_shape(rondo_graph *to, const rondo_graph *from, int64_t index)
{
    shape s = from->shapes[index];
    return graph_map_shape(to, from, &s) ? graph_shape(to, &s) : -1;
}

static int map_body(rondo_graph *to, const rondo_graph *from, int64_t name)
{
    return graph_share_body(to, from->names[name], graph_body_named(from, name));
}

static bool map_attributes(rondo_graph *to, const rondo_graph *from, const node *n, attribute *out)
{
    const attribute_field *f = graph_signature(from, n->op)->fields;
    memcpy(out, n->attributes, sizeof n->attributes);
    for (int i = 0; f && f[i].kind != ATTRIBUTE_END; i++) {
        if (f[i].kind == ATTRIBUTE_NAME)
            out[i].integer = map_name(to, from, n->attributes[i].integer);
        else if (f[i].kind == ATTRIBUTE_DIMS)
            out[i].integer = map_shape(to, from, n->attributes[i].integer);
        else if (f[i].kind == ATTRIBUTE_BODY)
            out[i].integer = map_body(to, from, n->attributes[i].integer);
    }
    return graph_good(to);
}

bool graph_copy_node(rondo_graph *to, const rondo_graph *from, node_id id, value_id *map)
{
    if (!graph_good(to))
        return false;
    const node *n = &from->nodes[id];
    const char *name = graph_signature(from, n->op)->name;
    value_id inputs[MAX_INPUTS];
    graph_at(to, from, id);
    for (int i = 0; i < n->input_count; i++) {
        inputs[i] = n->inputs[i] == NONE ? NONE : map[n->inputs[i]];
        if (n->inputs[i] != NONE && inputs[i] == NONE)
            return graph_refuse(to, RONDO_ARGUMENT, "operand %d of %s was not copied before it", i + 1, name);
    }
    attribute attributes[MAX_ATTRIBUTES];
    if (!map_attributes(to, from, n, attributes))
        return false;
    value_id first = graph_add(to, n->op, inputs, n->input_count, attributes);
    if (first == NONE)
        return false;
    if (graph_node_of(to, first)->output_count != n->output_count)
        return graph_refuse(to, RONDO_SHAPE, "the copy of %s has a different number of results", name);
    for (int p = 0; p < n->output_count; p++) {
        map[n->first_output + p] = first + p;
        int label = from->values[n->first_output + p].name;
        if (label && !to->values[first + p].name)
            to->values[first + p].name = map_name(to, from, label);
    }
    return graph_good(to);
}

bool graph_copy_ends(rondo_graph *to, const rondo_graph *from, const value_id *map)
{
    for (int i = 0; i < from->port_count; i++) {
        const port *p = &from->ports[i];
        value_id out = p->out == NONE ? NONE : map[p->out];
        if (map[p->in] != NONE && (out == NONE) == (p->out == NONE))
            graph_add_port(to, from->names[p->name], map[p->in], out, p->kind, p->batch_axis, p->append_axis,
                           p->initial);
    }
    for (int i = 0; i < from->output_count; i++)
        if (map[from->outputs[i].value] != NONE)
            graph_add_output(to, from->names[from->outputs[i].name], map[from->outputs[i].value]);
    for (int i = 0; i < from->initial_count; i++)
        if (map[from->initials[i].value] != NONE)
            graph_add_initial(to, map[from->initials[i].value], from->initials[i].initial.kind,
                              from->initials[i].initial.scale);
    return graph_good(to);
}

/* ---- cleaning ---- */

typedef struct cleaner {
    const rondo_graph *from;
    rondo_graph *to;
    value_id *map;
    enum { UNSEEN, WANTED, OPEN, DONE } * seen; /* of each node */
    node_id *stack;                             /* each node is on it at most once */
    int depth;
} cleaner;

static void want(cleaner *c, value_id v)
{
    if (v == NONE)
        return;
    node_id n = c->from->values[v].node;
    if (c->seen[n] == UNSEEN) {
        c->seen[n] = WANTED;
        c->stack[c->depth++] = n;
    }
}

/* Marks what outputs and ports depend on. A fixed port is kept only if a node reads it. */
static void want_all(cleaner *c)
{
    const rondo_graph *g = c->from;
    for (int i = 0; i < g->output_count; i++)
        want(c, g->outputs[i].value);
    for (int i = 0; i < g->port_count; i++) {
        if (g->ports[i].kind == PORT_FIXED)
            continue;
        want(c, g->ports[i].in);
        want(c, g->ports[i].out);
    }
    while (c->depth) {
        const node *n = &g->nodes[c->stack[--c->depth]];
        for (int i = 0; i < n->input_count; i++)
            want(c, n->inputs[i]);
    }
}

/* Copies node `root` after everything that it needs, depth first. The stack is an array, since a graph can be
 * deeper than a thread's stack allows. */
static bool copy_after_inputs(cleaner *c, node_id root)
{
    c->stack[c->depth++] = root;
    while (c->depth) {
        node_id id = c->stack[c->depth - 1];
        const node *n = &c->from->nodes[id];
        c->seen[id] = OPEN;
        node_id needed = NONE;
        for (int i = 0; i < n->input_count && needed == NONE; i++) {
            node_id maker = n->inputs[i] == NONE ? NONE : c->from->values[n->inputs[i]].node;
            if (maker != NONE && c->seen[maker] != DONE)
                needed = maker;
        }
        if (needed != NONE && c->seen[needed] == OPEN)
            return graph_refuse(c->to, RONDO_ARGUMENT, "the graph has a cycle through %s",
                                graph_signature(c->from, n->op)->name);
        if (needed != NONE) {
            c->stack[c->depth++] = needed;
            continue;
        }
        if (!graph_copy_node(c->to, c->from, id, c->map))
            return false;
        c->seen[id] = DONE;
        c->depth--;
    }
    return true;
}

rondo_graph *graph_clean(const rondo_graph *from, value_id **map, rondo_error *error)
{
    rondo_graph *to = graph_new_like(from, error);
    if (!to)
        return NULL;
    arena scratch;
    arena_begin(&scratch, &from->context->allocator);
    cleaner c = {.from = from, .to = to, .map = graph_map_new(to, from)};
    c.seen = arena_array(&scratch, sizeof *c.seen, (size_t)from->node_count);
    c.stack = ARENA_NEW(&scratch, node_id, from->node_count);
    if (scratch.failed)
        graph_fail(to, RONDO_MEMORY, "out of memory to clean a graph of %d nodes", from->node_count);
    else if (c.map)
        want_all(&c);
    for (node_id n = 0; graph_good(to) && n < from->node_count;
         n++) /* in the old order where that is possible */
        if (c.seen[n] == WANTED)
            copy_after_inputs(&c, n);
    if (graph_good(to))
        graph_copy_ends(to, from, c.map);
    arena_end(&scratch);
    if (map)
        *map = c.map;
    if (graph_check(to, error)) {
        to->scope = 0;
        to->file = NULL;
        to->line = 0;
        return to;
    }
    graph_free(to);
    return NULL;
}

/* ---- comparing ---- */

static bool same_dim(const rondo_graph *a, const rondo_graph *b, dim x, dim y)
{
    if (x.factor != y.factor)
        return false;
    int powers = 0;
    for (int s = 0; s < a->symbol_count; s++) {
        if (!x.power[s])
            continue;
        int other = graph_find_symbol(b, a->symbols[s]);
        if (other < 0 || y.power[other] != x.power[s])
            return false;
        powers++;
    }
    for (int s = 0; s < b->symbol_count; s++)
        powers -= y.power[s] != 0;
    return !powers;
}

bool shape_same(const rondo_graph *a, const shape *x, const rondo_graph *b, const shape *y)
{
    if (x->rank != y->rank)
        return false;
    for (int i = 0; i < x->rank; i++)
        if (!same_dim(a, b, x->dims[i], y->dims[i]))
            return false;
    return true;
}

static bool same_real(double x, double y)
{
    return !memcmp(&x, &y, sizeof x) || (isnan(x) && isnan(y));
}

/* The names count too: they are part of the text. */
static bool same_body(const rondo_graph *a, const rondo_graph *b, int64_t p, int64_t q)
{
    const rondo_graph *of_a = graph_body_named(a, p), *of_b = graph_body_named(b, q);
    return !strcmp(a->names[p], b->names[q]) && of_a && of_b && (of_a == of_b || graph_same(of_a, of_b));
}

static bool same_attributes(const rondo_graph *a, const rondo_graph *b, const node *x, const node *y)
{
    const attribute_field *f = graph_signature(a, x->op)->fields;
    for (int i = 0; f && f[i].kind != ATTRIBUTE_END; i++) {
        attribute p = x->attributes[i], q = y->attributes[i];
        bool same = p.integer == q.integer;
        if (f[i].kind == ATTRIBUTE_REAL)
            same = same_real(p.real, q.real);
        else if (f[i].kind == ATTRIBUTE_NAME)
            same = !strcmp(a->names[p.integer], b->names[q.integer]);
        else if (f[i].kind == ATTRIBUTE_DIMS)
            same = shape_same(a, &a->shapes[p.integer], b, &b->shapes[q.integer]);
        else if (f[i].kind == ATTRIBUTE_BODY)
            same = same_body(a, b, p.integer, q.integer);
        if (!same)
            return false;
    }
    return true;
}

static bool same_node(const rondo_graph *a, const rondo_graph *b, node_id id)
{
    const node *x = &a->nodes[id], *y = &b->nodes[id];
    if (x->op != y->op || x->input_count != y->input_count || x->output_count != y->output_count ||
        x->first_output != y->first_output || !same_attributes(a, b, x, y))
        return false;
    for (int i = 0; i < x->input_count; i++)
        if (x->inputs[i] != y->inputs[i])
            return false;
    for (int p = 0; p < x->output_count; p++) {
        const value *v = &a->values[x->first_output + p], *w = &b->values[x->first_output + p];
        if (v->type != w->type || !shape_same(a, &v->shape, b, &w->shape))
            return false;
    }
    return true;
}

static bool same_ends(const rondo_graph *a, const rondo_graph *b)
{
    if (a->port_count != b->port_count || a->output_count != b->output_count ||
        a->initial_count != b->initial_count)
        return false;
    for (int i = 0; i < a->port_count; i++) {
        const port *p = &a->ports[i], *q = &b->ports[i];
        if (strcmp(a->names[p->name], b->names[q->name]) || p->in != q->in || p->out != q->out ||
            p->kind != q->kind || p->batch_axis != q->batch_axis || p->append_axis != q->append_axis ||
            !same_real(p->initial, q->initial))
            return false;
    }
    for (int i = 0; i < a->output_count; i++)
        if (a->outputs[i].value != b->outputs[i].value ||
            strcmp(a->names[a->outputs[i].name], b->names[b->outputs[i].name]))
            return false;
    for (int i = 0; i < a->initial_count; i++)
        if (a->initials[i].value != b->initials[i].value ||
            a->initials[i].initial.kind != b->initials[i].initial.kind ||
            !same_real(a->initials[i].initial.scale, b->initials[i].initial.scale))
            return false;
    return true;
}

bool graph_same(const rondo_graph *a, const rondo_graph *b)
{
    if (!graph_good(a) || !graph_good(b) || a->node_count != b->node_count ||
        a->value_count != b->value_count)
        return false;
    for (node_id id = 0; id < a->node_count; id++)
        if (!same_node(a, b, id))
            return false;
    return same_ends(a, b);
}
