/* Reading the attributes of an op, in the text form of a graph and in rondo_apply. */
#include "core/body.h"
#include "core/text/lex.h"
#include "core/text/words.h"
#include <math.h>
#include <string.h>

void attributes_begin(attribute_set *set, const op_signature *op)
{
    *set = (attribute_set){.op = op, .dims = -1, .type = -1};
    for (; op->fields && op->fields[set->count].kind != ATTRIBUTE_END && set->count < MAX_ATTRIBUTES;
         set->count++) {
        const attribute_field *f = &op->fields[set->count];
        if (f->kind == ATTRIBUTE_REAL)
            set->values[set->count].real = f->initial;
        else if (!isnan(f->initial))
            set->values[set->count].integer = (int64_t)f->initial;
        set->dims = f->kind == ATTRIBUTE_DIMS ? set->count : set->dims;
        set->type = f->kind == ATTRIBUTE_TYPE ? set->count : set->type;
    }
}

int attributes_find(const attribute_set *set, const char *name)
{
    for (int i = 0; i < set->count; i++)
        if (!strcmp(set->op->fields[i].name, name))
            return i;
    return -1;
}

static bool unknown_attribute(lexer *s, const attribute_set *set, const char *name)
{
    suggestion near = {.word = name};
    for (int i = 0; i < set->count; i++)
        suggestion_offer(&near, set->op->fields[i].name);
    if (near.closest)
        return lex_fail(s, RONDO_ARGUMENT, "%s has no attribute %.40s; did you mean %s?", set->op->name, name,
                        near.closest);
    return lex_fail(s, RONDO_ARGUMENT, "%s has no attribute %.40s", set->op->name, name);
}

/* [0,2,1,3], packed as ATTRIBUTE_ORDER says. */
static bool read_order(lexer *s, int64_t *packed)
{
    uint64_t bits = 0, count = 0;
    if (!lex_expect(s, '[', "order="))
        return false;
    while (lex_peek(s) != ']') {
        int64_t axis;
        if (count && !lex_expect(s, ',', "an axis"))
            return false;
        if (!lex_integer(s, &axis))
            return false;
        if (axis < 0 || axis >= MAX_RANK || count == MAX_RANK)
            return lex_fail(s, RONDO_ARGUMENT, "an order has at most %d axes, from 0 on", MAX_RANK);
        bits |= (uint64_t)axis << (4 * count++);
    }
    *packed = (int64_t)(bits | count << 60);
    return lex_expect(s, ']', "the axes");
}

static bool read_dims(lexer *s, attribute *dims)
{
    shape read;
    if (!lex_dims(s, &read))
        return false;
    dims->integer = graph_shape(s->g, &read);
    return dims->integer >= 0;
}

static bool read_body_name(lexer *s, attribute *a)
{
    const char *name = lex_string(s);
    a->integer = name ? graph_name(s->g, name) : 0;
    if (!name || !graph_good(s->g))
        return false;
    return graph_body_named(s->g, a->integer) ||
           lex_fail(s, RONDO_ARGUMENT, "there is no body \"%.60s\" above this line", name);
}

static bool read_value(lexer *s, attribute_set *set, int field)
{
    attribute *a = &set->values[field];
    rondo_type type;
    const char *name;
    switch (set->op->fields[field].kind) {
    case ATTRIBUTE_REAL:
        return lex_number(s, &a->real);
    case ATTRIBUTE_NAME:
        name = lex_string(s);
        a->integer = name ? graph_name(s->g, name) : 0;
        return name && graph_good(s->g);
    case ATTRIBUTE_BODY:
        return read_body_name(s, a);
    case ATTRIBUTE_ORDER:
        return read_order(s, &a->integer);
    case ATTRIBUTE_DIMS:
        if (set->type >= 0)
            return lex_fail(s, RONDO_ARGUMENT, "write type and dims of %s as one: %s=f32[B,T]", set->op->name,
                            set->op->fields[set->type].name);
        return read_dims(s, a);
    case ATTRIBUTE_TYPE:
        if (!lex_type_name(s, &type))
            return false;
        a->integer = type;
        if (set->dims < 0)
            return true;
        set->written[set->dims] = true;
        return read_dims(s, &set->values[set->dims]);
    case ATTRIBUTE_FLAG:
    case ATTRIBUTE_INTEGER:
    case ATTRIBUTE_END:
        break;
    }
    if (!lex_integer(s, &a->integer))
        return false;
    bool good = set->op->fields[field].kind != ATTRIBUTE_FLAG || a->integer == 0 || a->integer == 1;
    return good || lex_fail(s, RONDO_ARGUMENT, "the flag %s is 0 or 1", set->op->fields[field].name);
}

/* After the word `name`: "=value", or nothing for a flag. */
bool attributes_read(lexer *s, attribute_set *set, const char *name)
{
    int field = attributes_find(set, name);
    if (field < 0)
        return unknown_attribute(s, set, name);
    if (set->written[field])
        return lex_fail(s, RONDO_ARGUMENT, "%s is written twice", name);
    set->written[field] = true;
    lex_mark at = s->mark;
    bool assigned = lex_take(s, '=');
    s->mark = at;
    if (assigned)
        return read_value(s, set, field);
    if (set->op->fields[field].kind != ATTRIBUTE_FLAG)
        return lex_fail(s, RONDO_ARGUMENT, "%s needs a value: %s=...", name, name);
    set->values[field].integer = 1;
    return true;
}

bool attributes_end(lexer *s, const attribute_set *set)
{
    for (int i = 0; i < set->count; i++) {
        const char *name = set->op->fields[set->dims == i && set->type >= 0 ? set->type : i].name;
        if (!set->written[i] && isnan(set->op->fields[i].initial))
            return lex_fail(s, RONDO_ARGUMENT, "%s needs its attribute %s=...", set->op->name, name);
    }
    return true;
}

bool parse_attributes(rondo_graph *g, int op, const char *source, attribute *attributes)
{
    if (!g || !graph_good(g))
        return false;
    const op_signature *signature = graph_signature(g, op);
    if (!signature)
        return graph_refuse(g, RONDO_ARGUMENT, "there is no op with the number %d", op);
    lexer s;
    lex_begin(&s, g, source ? source : "", NULL);
    attribute_set set;
    attributes_begin(&set, signature);
    s.open = 1; /* as between the parentheses of a call */
    bool good = true;
    while (good && lex_peek(&s)) {
        char word[WORD_BYTES];
        good = lex_word(&s, word, "an attribute") && attributes_read(&s, &set, word) &&
               (!lex_peek(&s) || lex_expect(&s, ',', "an attribute"));
    }
    good = good && attributes_end(&s, &set);
    if (good)
        memcpy(attributes, set.values, sizeof *attributes * (size_t)set.count);
    lex_end(&s);
    return good;
}
