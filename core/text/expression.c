/* Expressions of the text form: calls that may nest, labels, numbers, then types to check and a place. */
#include "core/text/expression.h"
#include "core/text/words.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_DEPTH = 64 }; /* of calls in calls */

typedef struct operands {
    value_id ids[MAX_INPUTS];
    int count;
} operands;

/* ---- labels ---- */

int label_index(parser *p, const char *name)
{
    int label = graph_name(p->labels, name);
    while (graph_good(p->labels) && p->label_count <= label) {
        if (!ARENA_PUSH(&p->s.scratch, p->values, p->label_count, p->label_capacity) ||
            !ARENA_PUSH(&p->s.scratch, p->lines, p->label_count, p->line_capacity))
            break;
        p->values[p->label_count++] = NONE;
    }
    if (graph_good(p->labels) && label < p->label_count)
        return label;
    lex_fail(&p->s, RONDO_MEMORY, "out of memory for the name of a value");
    return -1;
}

bool read_label(parser *p, char label[WORD_BYTES], const char *what)
{
    if (lex_peek(&p->s) != '%')
        return lex_word(&p->s, label, what);
    size_t digits = strspn(p->s.at + 1, "0123456789");
    if (!digits || digits > 18)
        return lex_fail(&p->s, RONDO_ARGUMENT, "expected a number after %%, like %%12");
    memcpy(label, p->s.at, digits + 1);
    label[digits + 1] = 0;
    p->s.at += digits + 1;
    return true;
}

bool find_label(parser *p, const char *name, value_id *v)
{
    int label = label_index(p, name);
    if (label < 0)
        return false;
    *v = p->values[label];
    return *v != NONE || lex_fail(&p->s, RONDO_ARGUMENT,
                                  "no value is called %.60s; the line that makes it must come first", name);
}

bool set_label(parser *p, const char *name, value_id v)
{
    int label = label_index(p, name);
    if (label < 0)
        return false;
    if (p->values[label] != NONE)
        return lex_fail(&p->s, RONDO_ARGUMENT, "%.60s was made on line %d already; choose another name", name,
                        p->lines[label]);
    p->values[label] = v;
    p->lines[label] = p->s.mark.line;
    return true;
}

bool name_value(parser *p, const char *label, value_id v)
{
    rondo_graph *g = p->s.g;
    if (!set_label(p, label, v))
        return false;
    if (*label != '%' && !g->values[v].name)
        g->values[v].name = graph_name(g, label);
    return graph_good(g);
}

/* ---- building, with the place of mistakes ---- */

void builder_at(parser *p, lex_mark at)
{
    p->s.g->file = p->s.name;
    p->s.g->line = at.line;
}

/* The builder wrote "NAME:LINE: message"; puts the column in. */
bool add_column(parser *p, lex_mark at)
{
    rondo_error *error = &p->s.g->error;
    char prefix[240], rest[sizeof error->message];
    int length = snprintf(prefix, sizeof prefix, "%.200s:%d: ", p->s.name, at.line);
    if (strncmp(error->message, prefix, (size_t)length))
        return false;
    memcpy(rest, error->message + length, sizeof rest - (size_t)length);
    length = snprintf(error->message, sizeof error->message, "%.200s:%d:%d: ", p->s.name, at.line, at.column);
    size_t room = sizeof error->message - (size_t)length - 1;
    error->message[length + (int)strnlen(rest, room)] = 0;
    memcpy(error->message + length, rest, strnlen(rest, room));
    return false;
}

static bool add_node(parser *p, lex_mark at, int op, const operands *in, const attribute *attributes,
                     expression *result)
{
    builder_at(p, at);
    value_id first = graph_add(p->s.g, op, in->ids, in->count, attributes);
    if (first == NONE)
        return add_column(p, at);
    *result = (expression){first, graph_node_of(p->s.g, first)->output_count, true};
    return true;
}

/* A number where a value is expected: a constant without dims. */
static bool add_constant(parser *p, lex_mark at, double number, expression *result)
{
    static const operands none;
    int op = graph_find_op(p->s.g, "constant");
    if (op < 0)
        return lex_fail(&p->s, RONDO_ARGUMENT, "a number cannot be a value here: there is no op constant");
    attribute_set set;
    attributes_begin(&set, graph_signature(p->s.g, op));
    for (int i = 0; i < set.count; i++)
        if (set.op->fields[i].kind == ATTRIBUTE_REAL)
            set.values[i].real = number;
        else if (set.op->fields[i].kind == ATTRIBUTE_TYPE)
            set.values[i].integer = RONDO_F32;
        else if (set.op->fields[i].kind == ATTRIBUTE_DIMS)
            set.values[i].integer = 0; /* graph_new has interned [] first */
    return add_node(p, at, op, &none, set.values, result);
}

/* ---- expressions ---- */

static bool unknown_op(lexer *s, const char *name)
{
    suggestion near = {.word = name};
    for (int op = 0; graph_signature(s->g, op); op++)
        suggestion_offer(&near, graph_signature(s->g, op)->name);
    if (near.closest)
        return lex_fail(s, RONDO_ARGUMENT, "there is no op %.40s; did you mean %s?", name, near.closest);
    return lex_fail(s, RONDO_ARGUMENT, "there is no op %.40s", name);
}

static bool read_primary(parser *p, const char *given, int depth, expression *result);

/* A word alone is a flag if the op has it, unless a required operand is still to come and a value has that
 * name. */
static bool is_attribute(parser *p, const attribute_set *set, const operands *in, const char *word)
{
    int field = attributes_find(set, word);
    if (field < 0)
        return false;
    int label = label_index(p, word);
    if (label < 0 || p->values[label] == NONE)
        return true;
    return set->op->fields[field].kind == ATTRIBUTE_FLAG && in->count >= set->op->min_inputs;
}

/* One thing between the parentheses. */
static bool read_argument(parser *p, attribute_set *set, operands *in, int depth)
{
    lexer *s = &p->s;
    char word[WORD_BYTES] = "";
    if (lex_at_word(s) && !lex_word(s, word, "an operand"))
        return false;
    lex_mark at = s->mark;
    if (*word) {
        char next = lex_peek(s);
        s->mark = at;
        if (next == '=' || (next != '(' && is_attribute(p, set, in, word)))
            return attributes_read(s, set, word);
    }
    if (in->count == MAX_INPUTS)
        return lex_fail(s, RONDO_ARGUMENT, "%s has more than %d operands", set->op->name, MAX_INPUTS);
    expression operand;
    if (!read_primary(p, word, depth, &operand))
        return false;
    s->mark = at;
    if (operand.count != 1)
        return lex_fail(s, RONDO_ARGUMENT, "this call has %d results; name them on a line of their own",
                        operand.count);
    in->ids[in->count++] = operand.first;
    return true;
}

/* After the name of the op; s.mark is there. */
static bool read_call(parser *p, const char *name, int depth, expression *result)
{
    lex_mark at = p->s.mark;
    int op = graph_find_op(p->s.g, name);
    if (op < 0)
        return unknown_op(&p->s, name);
    if (depth >= MAX_DEPTH)
        return lex_fail(&p->s, RONDO_ARGUMENT,
                        "calls nest deeper than %d; give some of them lines of their own", MAX_DEPTH);
    attribute_set set;
    attributes_begin(&set, graph_signature(p->s.g, op));
    operands in = {.count = 0};
    if (!lex_expect(&p->s, '(', name))
        return false;
    if (!lex_take(&p->s, ')')) {
        do
            if (!read_argument(p, &set, &in, depth + 1))
                return false;
        while (lex_take(&p->s, ','));
        if (!lex_expect(&p->s, ')', "operands and attributes"))
            return false;
    }
    p->s.mark = at;
    return attributes_end(&p->s, &set) && add_node(p, at, op, &in, set.values, result);
}

/* A call, a label, a number, or _ for no value. `given`: a word that has been read already. */
static bool read_primary(parser *p, const char *given, int depth, expression *result)
{
    lexer *s = &p->s;
    char word[WORD_BYTES];
    double number;
    *result = (expression){NONE, 1, false};
    if (*given) {
        memcpy(word, given, strlen(given) + 1);
    } else if (lex_peek(s) && strchr("+-.0123456789", *s->at)) {
        lex_mark at = s->mark;
        return lex_number(s, &number) && add_constant(p, at, number, result);
    } else if (!read_label(p, word, "a value, a number or a call")) {
        return false;
    }
    lex_mark at = s->mark;
    bool call = *word != '%' && lex_peek(s) == '(';
    s->mark = at;
    if (call)
        return read_call(p, word, depth, result);
    if (!strcmp(word, "_"))
        return true;
    if (!strcmp(word, "inf") || !strcmp(word, "nan"))
        return add_constant(p, at, *word == 'i' ? INFINITY : (double)NAN, result);
    return find_label(p, word, &result->first);
}

/* ---- after an expression: its types, its place ---- */

static bool check_type(parser *p, value_id v)
{
    lexer *s = &p->s;
    rondo_type type;
    shape dims;
    lex_peek(s);
    lex_mark at = s->mark;
    if (!lex_type_name(s, &type) || !lex_dims(s, &dims))
        return false;
    const value *made = &s->g->values[v];
    if (type == made->type && shape_equal(&dims, &made->shape))
        return true;
    text have = {.arena = &s->scratch};
    text_add(&have, "%s", type_name(made->type));
    shape_text(&have, s->g, &made->shape);
    const char *type_made = text_done(&have);
    if (!type_made)
        return lex_fail(s, RONDO_MEMORY, "out of memory for a type");
    s->mark = at;
    return lex_fail(s, RONDO_SHAPE, "the type written here is not the type of the value, which is %.200s",
                    type_made);
}

/* ": f32[B,T], f32[B]", or nothing. */
static bool read_types(parser *p, const expression *e)
{
    if (!lex_take(&p->s, ':'))
        return true;
    for (int i = 0; i < e->count; i++)
        if ((i && !lex_expect(&p->s, ',', "a type; there is one for each result")) ||
            !check_type(p, e->first + i))
            return false;
    return true;
}

/* FILE:LINE, where FILE is a run of characters or stands in quotes; or a scope in quotes, when no colon
 * follows. */
static bool read_file(parser *p, const char **scope, const char **file, int64_t *line)
{
    lexer *s = &p->s;
    const char *name = NULL;
    if (lex_peek(s) == '"') {
        if (!(name = lex_string(s)))
            return false;
        if (*s->at != ':') {
            *scope = name;
            return true;
        }
    } else {
        size_t run = strcspn(s->at, " \t\r\n#"), colon = run;
        while (colon && s->at[colon] != ':')
            colon--;
        if (!colon)
            return lex_fail(s, RONDO_ARGUMENT, "expected a place: @ \"scope\" FILE:LINE");
        if (!(name = arena_copy_text(&s->scratch, s->at, colon)))
            return lex_fail(s, RONDO_MEMORY, "out of memory for a place");
        s->at += colon;
    }
    *file = name;
    s->at++; /* the colon */
    if (!lex_integer(s, line))
        return false;
    return (*line >= 0 && *line <= INT32_MAX) || lex_fail(s, RONDO_ARGUMENT, "no file has such a line");
}

/* '@ "scope" model.c:42', or nothing. Holds for every node that the statement has made. */
static bool read_place(parser *p, node_id first)
{
    lexer *s = &p->s;
    const char *scope = NULL, *file = NULL;
    int64_t line = 0;
    if (!lex_take(s, '@'))
        return true;
    if (!read_file(p, &scope, &file, &line))
        return false;
    char next = lex_peek(s);
    if (scope && next && next != '\n' && (!read_file(p, &scope, &file, &line) || !file))
        return lex_fail(s, RONDO_ARGUMENT, "expected FILE:LINE after the scope");
    int scope_name = scope ? graph_name(s->g, scope) : 0, file_name = file ? graph_name(s->g, file) : 0;
    for (node_id n = first; graph_good(s->g) && n < s->g->node_count; n++) {
        s->g->nodes[n].scope = scope_name;
        if (file) {
            s->g->nodes[n].file = s->g->names[file_name];
            s->g->nodes[n].line = (int)line;
        }
    }
    return graph_good(s->g);
}

bool read_expression(parser *p, expression *e)
{
    node_id before = p->s.g->node_count;
    if (!read_primary(p, "", 0, e))
        return false;
    if (e->first == NONE)
        return lex_fail(&p->s, RONDO_ARGUMENT, "expected a value");
    return read_types(p, e) && read_place(p, before);
}
