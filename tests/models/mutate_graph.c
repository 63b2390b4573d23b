/* mutate_graph: each way to change a graph is a function that picks a line at random, and says whether it
 * found one. */
#include "tests/models/mutate_graph.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_BYTES = 4000 };

uint64_t mutation_random(mutation *m, uint64_t below)
{
    m->random = m->random * 6364136223846793005u + 1442695040888963407u;
    return (m->random >> 33) % below;
}

void mutation_begin(mutation *m, const char *text, uint64_t seed)
{
    m->count = 0;
    m->random = seed * 0x9e3779b97f4a7c15u + 1;
    while (*text && m->count < MUTATE_MOST_LINES) {
        size_t length = strcspn(text, "\n");
        char *line = strndup(text, length), *call = strstr(line, ") : ");
        if (call)
            call[1] = 0;
        m->lines[m->count++] = line;
        text += length + (text[length] == '\n');
    }
}

char *mutation_end(mutation *m)
{
    size_t length = 1;
    for (int i = 0; i < m->count; i++)
        length += strlen(m->lines[i]) + 1;
    char *text = calloc(length, 1), *at = text;
    for (int i = 0; i < m->count; i++) {
        at = stpcpy(stpcpy(at, m->lines[i]), "\n");
        free(m->lines[i]);
    }
    m->count = 0;
    return text;
}

/* ---- lines and pieces of them ---- */

/* A line that contains these words, or that begins with them when they begin with ^; −1: none. */
static int some_line(mutation *m, const char *words)
{
    int found = -1, seen = 0;
    for (int i = 0; i < m->count; i++) {
        bool fits = *words == '^' ? !strncmp(m->lines[i], words + 1, strlen(words + 1))
                                  : strstr(m->lines[i], words) != NULL;
        if (fits && mutation_random(m, (uint64_t)++seen) == 0)
            found = i;
    }
    return found;
}

static void replace(char **line, size_t at, size_t length, const char *by)
{
    char fresh[LINE_BYTES];
    snprintf(fresh, sizeof fresh, "%.*s%s%s", (int)at, *line, by, *line + at + length);
    free(*line);
    *line = strdup(fresh);
}

/* Where the value of KEY= begins, and how long it is. */
static bool field(const char *line, const char *key, size_t *at, size_t *length)
{
    const char *found = strstr(line, key);
    if (!found)
        return false;
    *at = (size_t)(found - line) + strlen(key);
    *length = strcspn(line + *at, " ,)");
    return true;
}

/* The label of a value that a line makes: of a state if `states`, else of anything. */
static bool some_label(mutation *m, bool states, char *label, size_t bytes)
{
    int i = some_line(m, states ? "= state(" : " = ");
    if (i < 0 || !strncmp(m->lines[i], "output", 6))
        return false;
    const char *end = strstr(m->lines[i], " = ");
    int labels = 1, which;
    for (const char *c = m->lines[i]; c < end; c++)
        labels += *c == ',';
    which = (int)mutation_random(m, (uint64_t)labels);
    const char *from = m->lines[i];
    for (; which > 0; which--)
        from = strchr(from, ',') + 2;
    snprintf(label, bytes, "%.*s", (int)strcspn(from, ", "), from);
    return true;
}

/* ---- ports and outputs ---- */

static bool port_field(mutation *m, const char *key, const char *by)
{
    size_t at, length;
    int i = some_line(m, "^port ");
    if (i < 0)
        return false;
    if (field(m->lines[i], key, &at, &length))
        replace(&m->lines[i], at, length, by);
    else {
        char added[200];
        snprintf(added, sizeof added, " %s%s", key, by);
        replace(&m->lines[i], strlen(m->lines[i]), 0, added);
    }
    return true;
}

static bool port_in(mutation *m)
{
    char label[128];
    return some_label(m, mutation_random(m, 4) != 0, label, sizeof label) && port_field(m, "in=", label);
}

static bool port_out(mutation *m)
{
    char label[128];
    return some_label(m, false, label, sizeof label) && port_field(m, "out=", label);
}

static bool port_axis(mutation *m)
{
    static const char *const keys[] = {"batch_axis=", "append_axis="}, *const axes[] = {"0", "1", "2", "3"};
    return port_field(m, keys[mutation_random(m, 2)], axes[mutation_random(m, 4)]);
}

static bool port_initial(mutation *m)
{
    static const char *const numbers[] = {"0", "1", "-inf", "nan", "1e30"};
    return port_field(m, "initial=", numbers[mutation_random(m, 5)]);
}

static bool port_kind(mutation *m)
{
    static const char *const kinds[] = {" fixed ", " carry ", " append "};
    int i = some_line(m, "^port ");
    for (int k = 0; i >= 0 && k < 3; k++) {
        char *at = strstr(m->lines[i], kinds[k]);
        if (!at)
            continue;
        replace(&m->lines[i], (size_t)(at - m->lines[i]), strlen(kinds[k]), kinds[mutation_random(m, 3)]);
        return true;
    }
    return false;
}

/* Exchanges one field of two ports. */
static bool ports_exchange(mutation *m)
{
    static const char *const keys[] = {"in=", "out=", "port "};
    const char *key = keys[mutation_random(m, 3)];
    int i = some_line(m, "^port "), k = some_line(m, "^port ");
    size_t at, length, other, other_length;
    if (i < 0 || i == k || !field(m->lines[i], key, &at, &length) ||
        !field(m->lines[k], key, &other, &other_length))
        return false;
    char *mine = strndup(m->lines[i] + at, length);
    char *theirs = strndup(m->lines[k] + other, other_length);
    replace(&m->lines[i], at, length, theirs);
    replace(&m->lines[k], other, other_length, mine);
    free(mine);
    free(theirs);
    return true;
}

static bool output_value(mutation *m)
{
    char label[128];
    int i = some_line(m, "^output ");
    if (i < 0 || !some_label(m, false, label, sizeof label))
        return false;
    size_t at = (size_t)(strstr(m->lines[i], " = ") - m->lines[i]) + 3;
    replace(&m->lines[i], at, strlen(m->lines[i]) - at, label);
    return true;
}

/* The name of a port or output becomes that of another. */
static bool end_name(mutation *m)
{
    const char *words = mutation_random(m, 2) ? "^port " : "^output ";
    int i = some_line(m, words), k = some_line(m, mutation_random(m, 2) ? "^port " : "^output ");
    size_t at, length, other, other_length;
    if (i < 0 || k < 0 || !field(m->lines[i], words + 1, &at, &length))
        return false;
    if (!field(m->lines[k], *m->lines[k] == 'p' ? "port " : "output ", &other, &other_length))
        return false;
    char *name = strndup(m->lines[k] + other, other_length);
    replace(&m->lines[i], at, length, name);
    free(name);
    return true;
}

static bool is_word(const char *at, size_t length, const char *word)
{
    return length == strlen(word) && !strncmp(at, word, length);
}

/* Exchanges two words throughout a line. */
static void exchange_words(char **line, const char *a, const char *b)
{
    size_t room = strlen(*line) * (strlen(a) + strlen(b)) + 1;
    char *fresh = malloc(room), *to = fresh;
    for (const char *at = *line; *at;) {
        size_t length = strcspn(at, " \",()=[]*^");
        if (is_word(at, length, a))
            to = stpcpy(to, b);
        else if (is_word(at, length, b))
            to = stpcpy(to, a);
        else
            to = mempcpy(to, at, length);
        at += length;
        if (*at)
            *to++ = *at++;
    }
    *to = 0;
    free(*line);
    *line = fresh;
}

void mutation_exchange(mutation *m, const char *a, const char *b)
{
    for (int i = 0; i < m->count; i++)
        exchange_words(&m->lines[i], a, b);
}

/* Two ports or outputs exchange their names, and their states too: the graph is still valid, but what it
 * reads or writes under a name is something else. */
static bool names_exchange(mutation *m)
{
    const char *words = mutation_random(m, 2) ? "^port " : "^output ";
    int i = some_line(m, words), k = some_line(m, words);
    size_t at, length, other, other_length;
    if (i < 0 || i == k || !field(m->lines[i], words + 1, &at, &length) ||
        !field(m->lines[k], words + 1, &other, &other_length))
        return false;
    char *mine = strndup(m->lines[i] + at, length), *theirs = strndup(m->lines[k] + other, other_length);
    for (int l = 0; l < m->count; l++)
        if (!strncmp(m->lines[l], "port ", 5) || !strncmp(m->lines[l], "output ", 7) ||
            strstr(m->lines[l], "= state("))
            exchange_words(&m->lines[l], mine, theirs);
    free(mine);
    free(theirs);
    return true;
}

/* Two outputs exchange their values. */
static bool outputs_exchange(mutation *m)
{
    int i = some_line(m, "^output "), k = some_line(m, "^output ");
    if (i < 0 || i == k)
        return false;
    size_t at = (size_t)(strstr(m->lines[i], " = ") - m->lines[i]) + 3,
           other = (size_t)(strstr(m->lines[k], " = ") - m->lines[k]) + 3;
    char *mine = strdup(m->lines[i] + at), *theirs = strdup(m->lines[k] + other);
    replace(&m->lines[i], at, strlen(mine), theirs);
    replace(&m->lines[k], other, strlen(theirs), mine);
    free(mine);
    free(theirs);
    return true;
}

/* ---- leaves and calls ---- */

static bool leaf_name(mutation *m)
{
    static const char *const names[] = {"\"count\"",    "\"tokens\"", "\"position\"", "\"load.0\"",
                                        "\"source.0\"", "\"source\"", "\"source.1\"", "\"logits\""};
    size_t at, length;
    int i = some_line(m, "(name=\"");
    if (i < 0 || !field(m->lines[i], "name=", &at, &length))
        return false;
    replace(&m->lines[i], at, length, names[mutation_random(m, 8)]);
    return true;
}

/* A dim or the dtype of a leaf, of a constant, or of what a reshape or broadcast gives. */
static bool change_dims(mutation *m)
{
    static const char *const dims[] = {
        "B", "P", "C", "S", "1", "2", "0", "3", "17", "2*B", "B*P", "S^2", "4611686018427387904"};
    int i = some_line(m, mutation_random(m, 4) ? "type=" : "dims=");
    char *from = i >= 0 ? strchr(m->lines[i], '[') : NULL;
    if (!from)
        return false;
    if (!mutation_random(m, 6)) {
        char *type = strstr(m->lines[i], "type=");
        if (!type)
            return false;
        replace(&m->lines[i], (size_t)(type - m->lines[i]) + 5, 3, type[5] == 'f' ? "i32" : "f32");
        return true;
    }
    int commas = 0, which;
    for (char *c = from; *c && *c != ']'; c++)
        commas += *c == ',';
    for (which = (int)mutation_random(m, (uint64_t)commas + 1); which > 0; which--)
        from = strchr(from + 1, ',');
    char text[64];
    uint64_t how = mutation_random(m, 8);
    size_t at = (size_t)(from - m->lines[i]) + 1, length = strcspn(from + 1, ",]");
    const char *dim = dims[mutation_random(m, sizeof dims / sizeof *dims)];
    snprintf(text, sizeof text, how == 0 ? "%s,1" : "%s", dim);
    replace(&m->lines[i], at, length, text);
    return true;
}

/* A number in a call, which is an attribute or one in a fused program. */
static bool call_number(mutation *m)
{
    static const char *const numbers[] = {
        "0", "1", "2", "3", "5", "-1", "7", "100000", "4611686018427387904"};
    int i = some_line(m, "=");
    char *call = i >= 0 ? strchr(m->lines[i], '(') : NULL;
    int seen = 0;
    char *found = NULL;
    for (char *c = call; c && *c; c++)
        if (*c >= '0' && *c <= '9' && (c[-1] < '0' || c[-1] > '9') && c[-1] != '%' &&
            mutation_random(m, (uint64_t)++seen) == 0)
            found = c;
    if (!found)
        return false;
    replace(&m->lines[i], (size_t)(found - m->lines[i]), strspn(found, "0123456789"),
            numbers[mutation_random(m, sizeof numbers / sizeof *numbers)]);
    return true;
}

/* An operand, by another value or by none. */
static bool call_operand(mutation *m)
{
    char label[128] = "_";
    int i = some_line(m, "(%"), seen = 0;
    char *call = i >= 0 ? strchr(m->lines[i], '(') : NULL, *found = NULL;
    if (mutation_random(m, 8) && !some_label(m, false, label, sizeof label))
        return false;
    for (char *c = call; c && *c; c++)
        if (*c == '%' && mutation_random(m, (uint64_t)++seen) == 0)
            found = c;
    if (!found)
        return false;
    replace(&m->lines[i], (size_t)(found - m->lines[i]), strcspn(found, ",) "), label);
    return true;
}

static bool call_op(mutation *m)
{
    static const char *const ops[] = {"add",      "mul",      "exp",    "matmul",  "softmax",   "last_row",
                                      "gather",   "append",   "embed",  "cast",    "positions", "sum",
                                      "key_mask", "row_mask", "scan",   "delta",   "attention", "convolve",
                                      "sinusoid", "cumsum",   "concat", "reshape", "transpose", "fused"};
    int i = some_line(m, "(%");
    char *from = i >= 0 ? strstr(m->lines[i], " = ") : NULL, *call = from ? strchr(from, '(') : NULL;
    if (!call)
        return false;
    size_t at = (size_t)(from - m->lines[i]) + 3;
    replace(&m->lines[i], at, (size_t)(call - m->lines[i]) - at,
            ops[mutation_random(m, sizeof ops / sizeof *ops)]);
    return true;
}

/* Flags go; an attribute that is not written has its default. */
static bool call_attribute(mutation *m)
{
    int i = some_line(m, "(%"), seen = 0;
    char *found = NULL;
    for (char *c = i >= 0 ? strchr(m->lines[i], '(') : NULL; c && *c; c++)
        if (!strncmp(c, ", ", 2) && c[2] != '%' && mutation_random(m, (uint64_t)++seen) == 0)
            found = c;
    if (!found)
        return false;
    replace(&m->lines[i], (size_t)(found - m->lines[i]), 2 + strcspn(found + 2, ",)"), "");
    return true;
}

/* ---- whole lines ---- */

static bool line_drop(mutation *m)
{
    int i = some_line(m, mutation_random(m, 3) ? "^port " : "");
    if (i < 0)
        return false;
    free(m->lines[i]);
    memmove(m->lines + i, m->lines + i + 1, sizeof *m->lines * (size_t)(--m->count - i));
    return true;
}

static bool line_repeat(mutation *m)
{
    int i = some_line(m, mutation_random(m, 2) ? "^port " : "^output ");
    if (i < 0 || m->count == MUTATE_MOST_LINES)
        return false;
    m->lines[m->count++] = strdup(m->lines[i]);
    return true;
}

/* One symbol for another throughout: B for S and S for B, or one that was there for one that was not. */
static bool symbol_rename(mutation *m)
{
    static const char symbols[] = "BPCSQ";
    char from = symbols[mutation_random(m, 5)], to = symbols[mutation_random(m, 5)];
    for (int i = 0; i < m->count; i++)
        for (char *c = strchr(m->lines[i], '['); c && *c; c++)
            if ((c[-1] == '[' || c[-1] == ',' || c[-1] == '*') && (c[1] == ']' || c[1] == ',' || c[1] == '*'))
                *c = *c == from ? to : *c == to ? from : *c;
    return from != to;
}

static const struct {
    const char *name;
    bool (*change)(mutation *m);
} changes[] = {{"the in of a port", port_in},
               {"the out of a port", port_out},
               {"an axis of a port", port_axis},
               {"what a port begins with", port_initial},
               {"the kind of a port", port_kind},
               {"two ports' fields", ports_exchange},
               {"two names throughout", names_exchange},
               {"two outputs' values", outputs_exchange},
               {"the value of an output", output_value},
               {"the name of a port or an output", end_name},
               {"the name of a leaf", leaf_name},
               {"a dim or dtype", change_dims},
               {"a number of a call", call_number},
               {"an operand", call_operand},
               {"an op", call_op},
               {"an attribute that is not there", call_attribute},
               {"a line that is not there", line_drop},
               {"a line that is there twice", line_repeat},
               {"a symbol", symbol_rename}};

const char *mutation_change(mutation *m)
{
    for (int tries = 0; tries < 100; tries++) {
        size_t k = mutation_random(m, sizeof changes / sizeof *changes);
        if (changes[k].change(m))
            return changes[k].name;
    }
    return "nothing";
}
