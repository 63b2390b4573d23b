/* Reading wisdom, and looking a call up in it: choices sorted by op and key. */
#include "compiler/wisdom.h"
#include "core/file.h"
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct choice {
    int op;
    const char *key;
    const kernel *kernel;
} choice;

struct wisdom {
    choice *choices;
    int count, capacity;
};

/* One for the process: files are read rarely. */
static pthread_mutex_t reading = PTHREAD_MUTEX_INITIALIZER;

/* ---- the key ---- */

static int add(char *key, int used, const char *format, int64_t number)
{
    if (used < 0)
        return used;
    int more = snprintf(key + used, (size_t)(WISDOM_KEY_BYTES - used), format, number);
    return more < 0 || used + more >= WISDOM_KEY_BYTES ? -1 : used + more;
}

static int add_tensor(char *key, int used, const tensor *t)
{
    if (!t->data)
        return add(key, used, "_", 0);
    if (t->rank == 0)
        return add(key, used, "1", 0);
    for (int a = 0; a < t->rank; a++)
        used = add(key, used, a ? "x%" PRId64 : "%" PRId64, t->dims[a]);
    return used;
}

bool wisdom_key(const kernel_call *call, char key[WISDOM_KEY_BYTES])
{
    int used = 0;
    const attribute_field *fields = op_table[call->op].signature.fields;
    for (int i = 0; i < call->input_count; i++) {
        used = i ? add(key, used, ",", 0) : used;
        used = used < 0 ? used : add_tensor(key, used, &call->inputs[i]);
    }
    bool first = true;
    for (int f = 0; fields && fields[f].kind != ATTRIBUTE_END; f++) {
        bool whole = fields[f].kind == ATTRIBUTE_INTEGER || fields[f].kind == ATTRIBUTE_FLAG;
        if (!whole ||
            !strcmp(fields[f].name, "site")) /* a dropout's site says where it stands, not what it does */
            continue;
        used = add(key, used, first ? ";%" PRId64 : ",%" PRId64, call->attributes[f].integer);
        first = false;
    }
    return used > 0;
}

/* ---- reading ---- */

static const kernel *kernel_named(int op, const char *name)
{
    const kernel *const *candidates = op_table[op].kernels;
    for (int k = 0; candidates && candidates[k]; k++)
        if (!strcmp(candidates[k]->name, name))
            return candidates[k];
    return NULL;
}

static bool bad_line(const rondo *context, int number, const char *what, const char *word, rondo_error *error)
{
    return fail(error, RONDO_FILE, "%s line %d: %s%.60s; write the file anew with `rondo tune`",
                context->wisdom, number, what, word);
}

/* "op key kernel", where a kernel's name may hold blanks; the three parts are cut out of the line. */
static bool read_line(rondo *context, struct wisdom *w, char *line, int number, rondo_error *error)
{
    char *rest = NULL;
    line[strcspn(line, "\r")] = 0;
    const char *op_name = strtok_r(line, " ", &rest), *key = strtok_r(NULL, " ", &rest);
    if (!op_name || op_name[0] == '#')
        return true;
    if (!key || !rest || !*rest)
        return bad_line(context, number, "not of the form OP KEY KERNEL: ", op_name, error);
    int op = op_find(op_name);
    if (op < 0)
        return bad_line(context, number, "there is no op ", op_name, error);
    const kernel *named = kernel_named(op, rest);
    if (!named)
        return bad_line(context, number, "this version has no such kernel: ", rest, error);
    const char *kept = arena_copy_text(&context->arena, key, strlen(key));
    if (!kept || !ARENA_PUSH(&context->arena, w->choices, w->count, w->capacity))
        return fail_memory(error, sizeof(choice), "wisdom");
    w->choices[w->count++] = (choice){op, kept, named};
    return true;
}

static int compare(const void *a, const void *b)
{
    const choice *x = a, *y = b;
    return x->op != y->op ? x->op - y->op : strcmp(x->key, y->key);
}

static bool read_lines(rondo *context, struct wisdom *w, char *content, rondo_error *error)
{
    size_t header = strlen(WISDOM_HEADER);
    if (strncmp(content, WISDOM_HEADER, header) || (content[header] != '\n' && content[header] != '\r'))
        return fail(error, RONDO_FILE, "%s is no wisdom of this version: its first line is not \"%s\"",
                    context->wisdom, WISDOM_HEADER);
    int number = 1;
    for (char *at = content, *end; at; at = end ? end + 1 : NULL, number++) {
        end = strchr(at, '\n');
        if (end)
            *end = 0;
        if (!read_line(context, w, at, number, error))
            return false;
    }
    qsort(w->choices, (size_t)w->count, sizeof *w->choices, compare);
    return true;
}

static bool read_file(rondo *context, rondo_error *error)
{
    file_map map;
    if (!file_map_open(&map, context->wisdom, error))
        return false;
    struct wisdom *w = ARENA_NEW(&context->arena, struct wisdom, 1);
    char *content = arena_copy_text(&context->arena, map.data ? map.data : "", map.bytes);
    file_map_close(&map);
    if (!w || !content)
        return fail_memory(error, map.bytes, "wisdom");
    if (!read_lines(context, w, content, error))
        return false;
    context->known = w;
    return true;
}

bool wisdom_load(rondo *context, rondo_error *error)
{
    if (!context->wisdom)
        return true;
    pthread_mutex_lock(&reading);
    bool good = context->known || read_file(context, error);
    pthread_mutex_unlock(&reading);
    return good;
}

const kernel *wisdom_choice(const rondo *context, const kernel_call *call)
{
    char key[WISDOM_KEY_BYTES];
    const struct wisdom *w = context->known;
    if (!w || !w->count || !wisdom_key(call, key))
        return NULL;
    const choice wanted = {call->op, key, NULL},
                 *found = bsearch(&wanted, w->choices, (size_t)w->count, sizeof wanted, compare);
    return found ? found->kernel : NULL;
}
