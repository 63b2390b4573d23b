/* Drawing shows what matters to a reader (op, shape, attributes that differ from their default). A
 * constant is a word in the box of its reader, and all edges of a value leave its node at one port. */
#include "tools/graphs/graph_dot.h"
#include "ops/op.h"
#include <math.h>
#include <string.h>

typedef struct drawing {
    const rondo_graph *g;
    text *out;
    int depth;         /* number of open frames */
    const char *scope; /* of the innermost one */
} drawing;

static void escaped(text *t, const char *words)
{
    for (; *words; words++)
        text_add(t, *words == '"' || *words == '\\' ? "\\%c" : "%c", *words);
}

static bool is_constant(const rondo_graph *g, value_id v)
{
    return v != NONE && graph_op_of(g, v) == OP_constant;
}

/* Constants are drawn only if they are an output or the content of a port. */
static bool is_drawn(const rondo_graph *g, node_id id)
{
    const node *n = &g->nodes[id];
    bool shown = n->op != OP_constant;
    for (int o = 0; o < g->output_count; o++)
        shown = shown || g->values[g->outputs[o].value].node == id;
    for (int p = 0; p < g->port_count; p++)
        shown = shown || (g->ports[p].out != NONE && g->values[g->ports[p].out].node == id);
    return shown;
}

/* ---- the text of a box ---- */

static void attribute_words(text *t, const rondo_graph *g, const attribute_field *f, attribute a)
{
    if (f->kind == ATTRIBUTE_FLAG) {
        text_add(t, " %s", f->name);
        return;
    }
    text_add(t, " %s=", f->name);
    switch (f->kind) {
    case ATTRIBUTE_REAL:
        text_number(t, a.real);
        return;
    case ATTRIBUTE_NAME:
        escaped(t, g->names[a.integer]);
        return;
    case ATTRIBUTE_ORDER:
        for (int i = 0; i < (int)((uint64_t)a.integer >> 60); i++)
            text_add(t, "%s%d", i ? "," : "", (int)((uint64_t)a.integer >> (4 * i) & 15));
        return;
    default:
        text_add(t, "%lld", (long long)a.integer);
    }
}

/* Types and dims are shown by the shape, names by the first line. */
static void attributes_words(text *t, const rondo_graph *g, const node *n)
{
    const attribute_field *f = op_table[n->op].signature.fields;
    bool leaf = op_table[n->op].flags & OP_LEAF;
    for (int i = 0; f && f[i].kind != ATTRIBUTE_END; i++) {
        attribute a = n->attributes[i];
        if (f[i].kind == ATTRIBUTE_DIMS || f[i].kind == ATTRIBUTE_TYPE ||
            (leaf && f[i].kind == ATTRIBUTE_NAME))
            continue;
        double now = f[i].kind == ATTRIBUTE_REAL ? a.real : (double)a.integer;
        if (f[i].kind == ATTRIBUTE_NAME || f[i].kind == ATTRIBUTE_ORDER || isnan(f[i].initial) ||
            now != f[i].initial)
            attribute_words(t, g, &f[i], a);
    }
}

static void operand_words(text *t, const rondo_graph *g, const node *n)
{
    for (int i = 0; i < n->input_count; i++)
        if (is_constant(g, n->inputs[i])) {
            text_add(t, "\\noperand %d: ", i + 1);
            text_number(t, graph_node_of(g, n->inputs[i])->attributes[constant_number].real);
        }
}

static void label(text *t, const rondo_graph *g, const node *n)
{
    bool leaf = op_table[n->op].flags & OP_LEAF;
    const char *name = leaf ? g->names[n->attributes[input_name].integer] : op_table[n->op].signature.name;
    size_t scope = strlen(g->names[n->scope]);
    if (leaf && scope && !strncmp(name, g->names[n->scope], scope) && name[scope] == '.')
        name += scope + 1; /* the frame shows the rest */
    escaped(t, name);
    attributes_words(t, g, n);
    operand_words(t, g, n);
    for (int o = 0; o < n->output_count; o++) {
        const value *v = &g->values[n->first_output + o];
        text_add(t, "\\n%s%s", v->type == RONDO_F32 ? "" : type_name(v->type),
                 v->type == RONDO_F32 ? "" : " ");
        shape_text(t, g, &v->shape);
    }
}

static const char *style(const node *n)
{
    switch (n->op) {
    case OP_input:
        return "shape=ellipse, fillcolor=\"#dcecf9\"";
    case OP_parameter:
        return "shape=box, style=\"filled,rounded\", fillcolor=\"#eeeeee\"";
    case OP_state:
        return "shape=cylinder, fillcolor=\"#fdf1cf\"";
    case OP_matmul:
        return "shape=box, fillcolor=\"#d9ead3\"";
    case OP_scan:
    case OP_scan_grad:
    case OP_delta:
    case OP_delta_grad:
    case OP_attention:
    case OP_attention_grad:
    case OP_linear_cross_entropy:
        return "shape=box, penwidth=2, fillcolor=\"#b6d7a8\"";
    default:
        return "shape=box, fillcolor=white";
    }
}

/* ---- frames: a scope "decoder.layers.0" opens three ---- */

static void indent(drawing *d)
{
    text_add(d->out, "%*s", 2 + 2 * d->depth, "");
}

/* The length of the common prefix of both scopes, in whole words. */
static size_t common(const char *a, const char *b)
{
    size_t whole = 0, i = 0;
    for (; a[i] && a[i] == b[i]; i++)
        if (a[i] == '.')
            whole = i;
    return (!a[i] || a[i] == '.') && (!b[i] || b[i] == '.') ? i : whole;
}

static int words_of(const char *scope, size_t length)
{
    int words = length ? 1 : 0;
    for (size_t i = 0; i < length; i++)
        words += scope[i] == '.';
    return words;
}

static void enter(drawing *d, const char *scope, node_id first)
{
    size_t same = common(d->scope, scope);
    int keep = words_of(scope, same);
    while (d->depth > keep) {
        d->depth--;
        indent(d);
        text_add(d->out, "}\n");
    }
    const char *at = scope + same + (same && scope[same] == '.');
    while (*at) {
        size_t length = strcspn(at, ".");
        indent(d);
        text_add(d->out,
                 "subgraph cluster_%d_%d { label=\"%.*s\"; color=\"#999999\"; fontcolor=\"#666666\";\n",
                 first, d->depth, (int)length, at);
        d->depth++;
        at += length + (at[length] == '.');
    }
    d->scope = scope;
}

/* ---- the drawing ---- */

static void draw_ends(drawing *d)
{
    const rondo_graph *g = d->g;
    for (int o = 0; o < g->output_count; o++) {
        text_add(d->out, "  out%d [label=\"", o);
        escaped(d->out, g->names[g->outputs[o].name]);
        text_add(d->out, "\", shape=ellipse, peripheries=2, fillcolor=\"#f4cccc\"];\n  n%d -> out%d;\n",
                 g->values[g->outputs[o].value].node, o);
    }
    for (int p = 0; p < g->port_count; p++)
        if (g->ports[p].out != NONE)
            text_add(d->out, "  n%d -> n%d [style=dashed, constraint=false, label=\"next\"];\n",
                     g->values[g->ports[p].out].node, g->values[g->ports[p].in].node);
}

static void draw_edges(drawing *d)
{
    const rondo_graph *g = d->g;
    for (node_id id = 0; id < g->node_count; id++)
        for (int i = 0; i < g->nodes[id].input_count; i++) {
            value_id v = g->nodes[id].inputs[i];
            if (v == NONE || (is_constant(g, v) && !is_drawn(g, g->values[v].node)))
                continue;
            text_add(d->out, "  n%d -> n%d", g->values[v].node, id);
            if (graph_node_of(g, v)->output_count > 1)
                text_add(d->out, " [taillabel=\"%d\"]", g->values[v].port + 1);
            text_add(d->out, ";\n");
        }
}

void graph_dot(const rondo_graph *g, const char *title, text *out)
{
    drawing d = {.g = g, .out = out, .scope = ""};
    text_add(out, "digraph \"");
    escaped(out, title);
    text_add(out, "\" {\n  label=\"");
    escaped(out, title);
    text_add(out, "\"; labelloc=t; rankdir=TB; nodesep=0.25; ranksep=0.35; fontname=\"sans\";\n"
                  "  node [style=filled, fontname=\"sans\", fontsize=10, margin=\"0.08,0.04\"]; edge "
                  "[arrowsize=0.6, fontsize=8];\n");
    for (node_id id = 0; id < g->node_count; id++) {
        if (!is_drawn(g, id))
            continue;
        enter(&d, g->names[g->nodes[id].scope], id);
        indent(&d);
        text_add(out, "n%d [label=\"", id);
        label(out, g, &g->nodes[id]);
        text_add(out, "\", %s];\n", style(&g->nodes[id]));
    }
    enter(&d, "", 0);
    draw_edges(&d);
    draw_ends(&d);
    text_add(out, "}\n");
}
