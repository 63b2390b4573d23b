/* Printing a graph: one node a line, in the grammar of docs/GRAPH.md. What is printed parses to the same
 * graph. */
#include "core/text/lex.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>

void dim_text(text *t, const rondo_graph *g, dim d)
{
    if (d.factor != 1 || dim_is_literal(d))
        text_add(t, "%" PRId64 "%s", d.factor, dim_is_literal(d) ? "" : "*");
    const char *times = "";
    for (int s = 0; s < g->symbol_count; s++) {
        if (!d.power[s])
            continue;
        text_add(t, "%s%s", times, g->symbols[s]);
        if (d.power[s] > 1)
            text_add(t, "^%d", d.power[s]);
        times = "*";
    }
}

void shape_text(text *t, const rondo_graph *g, const shape *s)
{
    text_add(t, "[");
    for (int i = 0; i < s->rank; i++) {
        text_add(t, "%s", i ? "," : "");
        dim_text(t, g, s->dims[i]);
    }
    text_add(t, "]");
}

static void string_text(text *t, const char *string)
{
    text_add(t, "\"");
    while (*string) {
        int plain = 0;
        while ((unsigned char)string[plain] >= ' ' && string[plain] != '"' && string[plain] != '\\' &&
               string[plain] != 127)
            plain++;
        text_add(t, "%.*s", plain, string);
        string += plain;
        if (*string == '"' || *string == '\\')
            text_add(t, "\\%c", *string++);
        else if (*string)
            text_add(t, "\\x%02x", (unsigned char)*string++);
    }
    text_add(t, "\"");
}

static void name_text(text *t, const char *name)
{
    if (is_label(name))
        text_add(t, "%s", name);
    else
        string_text(t, name);
}

/* ---- values ---- */

/* Which values are printed under their names: those whose name is a word that no other value has and that
 * does not look like a flag of an op that reads it. NULL: no memory. */
static bool *named_values(const rondo_graph *g, arena *a)
{
    int *uses = ARENA_NEW(a, int, g->name_count);
    bool *named = ARENA_NEW(a, bool, g->value_count);
    if (!uses || !named)
        return NULL;
    for (value_id v = 0; v < g->value_count; v++)
        uses[g->values[v].name]++;
    for (value_id v = 0; v < g->value_count; v++)
        named[v] = g->values[v].name && uses[g->values[v].name] == 1 && is_label(g->names[g->values[v].name]);
    for (node_id id = 0; id < g->node_count; id++) {
        const node *n = &g->nodes[id];
        const attribute_field *f = graph_signature(g, n->op)->fields;
        for (int a_field = 0; f && f[a_field].kind != ATTRIBUTE_END; a_field++)
            for (int i = 0; f[a_field].kind == ATTRIBUTE_FLAG && i < n->input_count; i++)
                if (n->inputs[i] != NONE && !strcmp(g->names[g->values[n->inputs[i]].name], f[a_field].name))
                    named[n->inputs[i]] = false;
    }
    return named;
}

typedef struct printer {
    const rondo_graph *g;
    text *t;
    const bool *named;
    int indent; /* of every line: two blanks for each body around it */
} printer;

static void value_text(printer *p, value_id v)
{
    if (v == NONE)
        text_add(p->t, "_");
    else if (p->named[v])
        text_add(p->t, "%s", p->g->names[p->g->values[v].name]);
    else
        text_add(p->t, "%%%d", v);
}

/* ---- attributes ---- */

static void order_text(text *t, int64_t order)
{
    uint64_t bits = (uint64_t)order;
    text_add(t, "[");
    for (int i = 0; i < (int)(bits >> 60); i++)
        text_add(t, "%s%d", i ? "," : "", (int)(bits >> (4 * i) & 15));
    text_add(t, "]");
}

static void attribute_text(printer *p, const attribute_field *f, attribute a)
{
    if (f->kind == ATTRIBUTE_FLAG && a.integer) {
        text_add(p->t, "%s", f->name);
        return;
    }
    text_add(p->t, "%s=", f->name);
    switch (f->kind) {
    case ATTRIBUTE_REAL:
        text_number(p->t, a.real);
        break;
    case ATTRIBUTE_DIMS:
        shape_text(p->t, p->g, &p->g->shapes[a.integer]);
        break;
    case ATTRIBUTE_NAME:
    case ATTRIBUTE_BODY:
        string_text(p->t, p->g->names[a.integer]);
        break;
    case ATTRIBUTE_ORDER:
        order_text(p->t, a.integer);
        break;
    case ATTRIBUTE_TYPE:
        text_add(p->t, "%s", type_name((rondo_type)a.integer));
        break;
    case ATTRIBUTE_INTEGER:
    case ATTRIBUTE_FLAG:
    case ATTRIBUTE_END:
        text_add(p->t, "%" PRId64, a.integer);
        break;
    }
}

static bool is_initial(const attribute_field *f, attribute a)
{
    if (isnan(f->initial))
        return false;
    if (f->kind != ATTRIBUTE_REAL)
        return a.integer == (int64_t)f->initial;
    return !memcmp(&a.real, &f->initial, sizeof a.real); /* −0 is not 0 */
}

/* A type and dims of one op are written as one: type=f32[B,T]. */
static void attributes_text(printer *p, const node *n)
{
    const attribute_field *f = graph_signature(p->g, n->op)->fields;
    const char *comma = n->input_count ? ", " : "";
    int dims = -1, type = -1;
    for (int i = 0; f && f[i].kind != ATTRIBUTE_END; i++) {
        dims = f[i].kind == ATTRIBUTE_DIMS ? i : dims;
        type = f[i].kind == ATTRIBUTE_TYPE ? i : type;
    }
    bool joint = dims >= 0 && type >= 0;
    for (int i = 0; f && f[i].kind != ATTRIBUTE_END; i++) {
        bool both = joint && i == type;
        bool initial =
            is_initial(&f[i], n->attributes[i]) && (!both || is_initial(&f[dims], n->attributes[dims]));
        if (initial || (joint && i == dims))
            continue;
        text_add(p->t, "%s", comma);
        attribute_text(p, &f[i], n->attributes[i]);
        if (both)
            shape_text(p->t, p->g, &p->g->shapes[n->attributes[dims].integer]);
        comma = ", ";
    }
}

/* ---- lines ---- */

static void begin_line(printer *p)
{
    text_add(p->t, "%*s", p->indent, "");
}

static void place_text(printer *p, const node *n)
{
    const rondo_graph *g = p->g;
    bool elsewhere = n->file && !(g->source && !strcmp(n->file, g->source));
    if (!n->scope && !elsewhere)
        return;
    text_add(p->t, " @ ");
    string_text(p->t, g->names[n->scope]);
    if (!elsewhere)
        return;
    text_add(p->t, " ");
    bool plain =
        *n->file &&
        !n->file[strspn(n->file, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+-")];
    if (plain)
        text_add(p->t, "%s", n->file);
    else
        string_text(p->t, n->file);
    text_add(p->t, ":%d", n->line);
}

static void node_text(printer *p, const node *n)
{
    begin_line(p);
    for (int o = 0; o < n->output_count; o++) {
        text_add(p->t, "%s", o ? ", " : "");
        value_text(p, n->first_output + o);
    }
    text_add(p->t, " = %s(", graph_signature(p->g, n->op)->name);
    for (int i = 0; i < n->input_count; i++) {
        text_add(p->t, "%s", i ? ", " : "");
        value_text(p, n->inputs[i]);
    }
    attributes_text(p, n);
    text_add(p->t, ")");
    for (int o = 0; o < n->output_count; o++) {
        const value *v = &p->g->values[n->first_output + o];
        text_add(p->t, "%s%s", o ? ", " : " : ", type_name(v->type));
        shape_text(p->t, p->g, &v->shape);
    }
    place_text(p, n);
    text_add(p->t, "\n");
}

static void port_text(printer *p, const port *port_printed)
{
    static const char *const kinds[] = {"fixed", "carry", "append"};
    const port *q = port_printed;
    begin_line(p);
    text_add(p->t, "port ");
    name_text(p->t, p->g->names[q->name]);
    text_add(p->t, " %s in=", kinds[q->kind]);
    value_text(p, q->in);
    if (q->out != NONE) {
        text_add(p->t, " out=");
        value_text(p, q->out);
    }
    if (q->batch_axis >= 0)
        text_add(p->t, " batch_axis=%d", q->batch_axis);
    if (q->append_axis >= 0)
        text_add(p->t, " append_axis=%d", q->append_axis);
    text_add(p->t, " initial=");
    text_number(p->t, q->initial);
    text_add(p->t, "\n");
}

static void initial_text(printer *p, value_id v, parameter_initial initial)
{
    static const char *const kinds[] = {"", "xavier", "normal", "fill", "identity", "orthogonal"};
    begin_line(p);
    text_add(p->t, "initial ");
    value_text(p, v);
    text_add(p->t, " %s ", kinds[initial.kind]);
    text_number(p->t, initial.scale);
    text_add(p->t, "\n");
}

static void print_indented(const rondo_graph *g, text *t, int indent);

static void bodies_text(printer *p)
{
    for (int i = 0; i < p->g->body_count; i++) {
        begin_line(p);
        text_add(p->t, "body ");
        name_text(p->t, p->g->names[p->g->bodies[i].name]);
        text_add(p->t, "\n");
        print_indented(p->g->bodies[i].graph, p->t, p->indent + 2);
        begin_line(p);
        text_add(p->t, "end\n");
    }
}

static void output_text(printer *p, const output *o)
{
    begin_line(p);
    text_add(p->t, "output ");
    name_text(p->t, p->g->names[o->name]);
    text_add(p->t, " = ");
    value_text(p, o->value);
    text_add(p->t, "\n");
}

static void symbols_text(printer *p)
{
    if (!p->g->symbol_count)
        return;
    begin_line(p);
    text_add(p->t, "symbols");
    for (int s = 0; s < p->g->symbol_count; s++)
        text_add(p->t, " %s", p->g->symbols[s]);
    text_add(p->t, "\n");
}

static void print_indented(const rondo_graph *g, text *t, int indent)
{
    printer p = {g, t, named_values(g, t->arena), indent};
    if (!p.named) {
        text_fail(t);
        return;
    }
    symbols_text(&p);
    bodies_text(&p);
    for (node_id n = 0; n < g->node_count && !t->failed; n++)
        node_text(&p, &g->nodes[n]);
    for (int i = 0; i < g->port_count; i++)
        port_text(&p, &g->ports[i]);
    for (int i = 0; i < g->initial_count; i++)
        initial_text(&p, g->initials[i].value, g->initials[i].initial);
    for (int i = 0; i < g->output_count; i++)
        output_text(&p, &g->outputs[i]);
}

void graph_print(const rondo_graph *g, text *t)
{
    print_indented(g, t, 0);
}

/* ---- the public face: the text's size stands before it, for the allocator's release ---- */

enum { SIZE_BYTES = 64 };

char *text_hand_over(const text *t, const rondo *context, rondo_error *error)
{
    size_t bytes = SIZE_BYTES + t->length + 1;
    const char *whole = text_done(t);
    char *memory = whole ? memory_new(&context->allocator, bytes) : NULL;
    if (!memory) {
        fail_memory(error, t->length + 1, "a text");
        return NULL;
    }
    memcpy(memory, &bytes, sizeof bytes);
    return memcpy(memory + SIZE_BYTES, whole, t->length + 1);
}

char *rondo_graph_print(const rondo_graph *graph, rondo_error *error)
{
    error_begin(error);
    if (!graph_check(graph, error))
        return NULL;
    arena scratch;
    arena_begin(&scratch, &graph->context->allocator);
    text t = {.arena = &scratch};
    graph_print(graph, &t);
    char *copy = text_hand_over(&t, graph->context, error);
    arena_end(&scratch);
    return copy;
}

void rondo_text_free(rondo *context, char *string)
{
    if (!context || !string)
        return;
    size_t bytes;
    memcpy(&bytes, string - SIZE_BYTES, sizeof bytes);
    memory_free(&context->allocator, string - SIZE_BYTES, bytes);
}
