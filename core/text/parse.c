/* Reading a graph from text, a statement at a time. The grammar is in docs/GRAPH.md. The text may be hostile:
 * whatever it contains, the result is a graph or one sentence that says where and why it is refused. */
#include "core/body.h"
#include "core/text/expression.h"
#include <string.h>

/* ---- statements; the word that begins them has been read ---- */

static bool read_assignment(parser *p, const char *word)
{
    lexer *s = &p->s;
    char labels[MAX_OUTPUTS][WORD_BYTES];
    int count = 0;
    lex_mark at = s->mark;
    memcpy(labels[0], word, strlen(word) + 1);
    do {
        if (count == MAX_OUTPUTS)
            return lex_fail(s, RONDO_ARGUMENT, "no op has more than %d results", MAX_OUTPUTS);
        if (count && !read_label(p, labels[count], "a name for a result"))
            return false;
        if (*labels[count] != '%' && strcmp(labels[count], "_") && !is_label(labels[count]))
            return lex_fail(s, RONDO_ARGUMENT, "%s is a reserved word; choose another name", labels[count]);
        count++;
    } while (lex_take(s, ','));
    if (!lex_take(s, '='))
        return lex_fail(s, RONDO_ARGUMENT, "expected '=' after %.40s", word);
    expression e;
    if (!read_expression(p, &e))
        return false;
    s->mark = at;
    if (e.count != count)
        return lex_fail(s, RONDO_ARGUMENT, "there are %d results, but %d names", e.count, count);
    for (int i = 0; i < count; i++) {
        bool good = !strcmp(labels[i], "_") ||
                    (e.call ? name_value(p, labels[i], e.first + i) : set_label(p, labels[i], e.first + i));
        if (!good)
            return false;
    }
    return true;
}

static bool read_symbols(parser *p)
{
    int symbol;
    do
        if (!lex_symbol(&p->s, &symbol))
            return false;
    while (lex_at_word(&p->s));
    return true;
}

/* output NAME = EXPRESSION */
static bool read_output(parser *p)
{
    lexer *s = &p->s;
    lex_peek(s);
    bool word = lex_at_word(s);
    lex_mark at = s->mark;
    const char *name = lex_name(s, "the name of an output");
    expression e;
    if (!name || !lex_expect(s, '=', "the name of the output") || !read_expression(p, &e))
        return false;
    s->mark = at;
    if (e.count != 1)
        return lex_fail(s, RONDO_ARGUMENT, "there are %d results; name them first, then output one", e.count);
    int label = word && e.call && is_label(name) ? label_index(p, name) : -1;
    if (label >= 0 && p->values[label] == NONE && !name_value(p, name, e.first))
        return false;
    builder_at(p, at);
    return graph_add_output(s->g, name, e.first) || add_column(p, at);
}

static int find_word(const char *const *words, const char *word)
{
    for (int i = 0; words[i]; i++)
        if (!strcmp(words[i], word))
            return i;
    return -1;
}

static bool read_axis(lexer *s, int *axis)
{
    int64_t number;
    if (!lex_integer(s, &number))
        return false;
    if (number < 0 || number >= MAX_RANK)
        return lex_fail(s, RONDO_ARGUMENT, "an axis goes from 0 to %d", MAX_RANK - 1);
    *axis = (int)number;
    return true;
}

static bool read_end(parser *p, value_id *v)
{
    char label[WORD_BYTES];
    return read_label(p, label, "a value") && find_label(p, label, v);
}

/* port NAME fixed|carry|append in=VALUE out=VALUE batch_axis=0 append_axis=2 initial=0 */
static bool read_port(parser *p)
{
    static const char *const kinds[] = {"fixed", "carry", "append", NULL};
    static const char *const keys[] = {"in", "out", "batch_axis", "append_axis", "initial", NULL};
    lexer *s = &p->s;
    port q = {.in = NONE, .out = NONE, .batch_axis = -1, .append_axis = -1};
    char word[WORD_BYTES];
    const char *name = lex_name(s, "the name of a port");
    lex_mark at = s->mark;
    if (!name || !lex_word(s, word, "fixed, carry or append"))
        return false;
    int kind = find_word(kinds, word);
    if (kind < 0)
        return lex_fail(s, RONDO_ARGUMENT, "a port is fixed, carry or append, not %.40s", word);
    while (lex_at_word(s)) {
        if (!lex_word(s, word, "an end or an axis"))
            return false;
        int key = find_word(keys, word);
        if (key < 0)
            return lex_fail(s, RONDO_ARGUMENT,
                            "a port has in, out, batch_axis, append_axis and initial, no %.40s", word);
        if (!lex_expect(s, '=', word))
            return false;
        bool good = key < 2    ? read_end(p, key ? &q.out : &q.in)
                    : key == 4 ? lex_number(s, &q.initial)
                               : read_axis(s, key == 2 ? &q.batch_axis : &q.append_axis);
        if (!good)
            return false;
    }
    builder_at(p, at);
    return graph_add_port(s->g, name, q.in, q.out, (port_kind)kind, q.batch_axis, q.append_axis, q.initial) !=
               NONE ||
           add_column(p, at);
}

/* initial VALUE normal 0.02 */
static bool read_initial(parser *p)
{
    static const char *const kinds[] = {"xavier", "normal", "fill", "identity", "orthogonal", NULL};
    lexer *s = &p->s;
    char word[WORD_BYTES];
    value_id v;
    double scale;
    if (!read_end(p, &v) || !lex_word(s, word, "xavier, normal, fill, identity or orthogonal"))
        return false;
    lex_mark at = s->mark;
    int kind = find_word(kinds, word);
    if (kind < 0)
        return lex_fail(s, RONDO_ARGUMENT,
                        "an initial value is xavier, normal, fill, identity or orthogonal, not %.40s", word);
    if (!lex_number(s, &scale))
        return false;
    builder_at(p, at);
    return graph_add_initial(s->g, v, (rondo_initial)(RONDO_XAVIER + kind), scale) != NONE ||
           add_column(p, at);
}

/* So that a dropout added to the graph later gets a site of its own. */
static void count_sites(rondo_graph *g)
{
    for (node_id n = 0; n < g->node_count; n++) {
        const attribute_field *f = graph_signature(g, g->nodes[n].op)->fields;
        for (int i = 0; f && f[i].kind != ATTRIBUTE_END; i++) {
            int64_t site = g->nodes[n].attributes[i].integer;
            if (f[i].kind == ATTRIBUTE_INTEGER && !strcmp(f[i].name, "site") && site >= g->site_count &&
                site < INT32_MAX)
                g->site_count = (int)site + 1;
        }
    }
}

static bool read_statements(parser *p);

static bool read_end_of_body(parser *p)
{
    p->ended = true;
    return p->depth || lex_fail(&p->s, RONDO_ARGUMENT, "`end` without its `body NAME`");
}

/* Reads on in the text of `outer`, into a graph of its own. */
static bool read_inside(parser *outer, rondo_graph *g, const char *name)
{
    lexer *s = &outer->s;
    lex_mark begin = s->mark;
    parser p = {.labels = graph_new(g->context, NULL), .depth = outer->depth + 1};
    if (!p.labels)
        return lex_fail(s, RONDO_MEMORY, "out of memory for a body");
    g->source = graph_intern(g, s->name);
    lex_begin(&p.s, g, s->at, s->name);
    p.s.line = s->line;
    p.s.line_start = s->line_start;
    bool good = graph_good(g) && read_statements(&p);
    s->at = p.s.at;
    s->line = p.s.line;
    s->line_start = p.s.line_start;
    if (good && !p.ended) {
        s->mark = begin;
        good = lex_fail(s, RONDO_ARGUMENT, "body %.60s has no line `end`", name);
    }
    lex_end(&p.s);
    graph_free(p.labels);
    g->file = NULL;
    g->line = 0;
    count_sites(g);
    return good;
}

/* body NAME, its lines, end */
static bool read_body(parser *p)
{
    lexer *s = &p->s;
    const char *name = lex_name(s, "the name of a body");
    if (!name)
        return false;
    if (p->depth >= MAX_BODY_DEPTH)
        return lex_fail(s, RONDO_ARGUMENT, "bodies nest deeper than %d", MAX_BODY_DEPTH);
    if (graph_body_named(s->g, graph_name(s->g, name)))
        return lex_fail(s, RONDO_ARGUMENT, "there are two bodies with the name %.60s", name);
    rondo_graph *body = graph_new(s->g->context, NULL);
    if (!body)
        return lex_fail(s, RONDO_MEMORY, "out of memory for a body");
    bool good = read_inside(p, body, name);
    return graph_give_body(s->g, name, body) && good; /* with its mistake, which becomes that of s->g */
}

static bool read_statement(parser *p)
{
    static const char *const words[] = {"symbols", "output", "port", "initial", "body", "end", NULL};
    static bool (*const readers[])(parser *) = {read_symbols, read_output, read_port,
                                                read_initial, read_body,   read_end_of_body};
    char word[WORD_BYTES];
    if (!read_label(p, word, "NAME = OP(...), or one of symbols, body, end, output, port, initial"))
        return false;
    int statement = find_word(words, word);
    if (!(statement < 0 ? read_assignment(p, word) : readers[statement](p)))
        return false;
    char next = lex_peek(&p->s);
    return !next || next == '\n' || lex_fail(&p->s, RONDO_ARGUMENT, "expected the end of the line");
}

static bool read_statements(parser *p)
{
    bool good = true;
    while (good && !p->ended && lex_peek(&p->s))
        good = lex_take(&p->s, '\n') || read_statement(p);
    return good;
}

/* ---- the whole ---- */

rondo_graph *graph_parse(rondo *context, const char *source, const char *file_name, rondo_error *error)
{
    if (!context || !source) {
        if (context)
            fail(error, RONDO_ARGUMENT, "there is no text to read a graph from");
        return NULL;
    }
    rondo_graph *g = graph_new(context, error);
    parser p = {.labels = g ? graph_new(context, error) : NULL};
    if (!p.labels) {
        graph_free(g);
        return NULL;
    }
    g->source = graph_intern(g, file_name && *file_name ? file_name : "text");
    lex_begin(&p.s, g, source, g->source);
    if (graph_good(g))
        read_statements(&p);
    lex_end(&p.s);
    graph_free(p.labels);
    g->file = NULL;
    g->line = 0;
    if (graph_check(g, error)) {
        count_sites(g);
        return g;
    }
    graph_free(g);
    return NULL;
}

rondo_graph *rondo_graph_parse(rondo *context, const char *source, const char *name, rondo_error *error)
{
    error_begin(error);
    return graph_parse(context, source, name, error);
}
