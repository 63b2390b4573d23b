/* Reading wisdom, and looking a call up in it: choices sorted by op and key. */
#include "compiler/program/wisdom.h"
#include "core/file.h"
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One for the process: files are read rarely. */
static pthread_mutex_t one_reader = PTHREAD_MUTEX_INITIALIZER;

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
            !strcmp(fields[f].name, "site")) /* a dropout's site is an identity and does not affect its
                                              * cost */
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

typedef struct reading {
    arena *arena;
    struct wisdom *into;
    const char *where;
    int line;
    int *missing; /* NULL: an op or kernel that this version lacks is an error */
    rondo_error *error;
} reading;

static bool bad_line(const reading *r, const char *what, const char *word)
{
    return fail(r->error, RONDO_FILE, "%s line %d: %s%.60s; %s", r->where, r->line, what, word,
                r->missing ? "the file is damaged" : "write the file anew with `rondo tune`");
}

static bool not_here(const reading *r, const char *what, const char *word)
{
    if (!r->missing)
        return bad_line(r, what, word);
    ++*r->missing;
    return true;
}

/* "op key kernel", where a kernel's name may contain blanks. Cuts the line into the three parts. */
static bool read_line(const reading *r, char *line)
{
    struct wisdom *w = r->into;
    char *rest = NULL;
    line[strcspn(line, "\r")] = 0;
    const char *op_name = strtok_r(line, " ", &rest), *key = strtok_r(NULL, " ", &rest);
    if (!op_name || op_name[0] == '#')
        return true;
    if (!key || !rest || !*rest)
        return bad_line(r, "not of the form OP KEY KERNEL: ", op_name);
    int op = op_find(op_name);
    if (op < 0)
        return not_here(r, "there is no op ", op_name);
    const kernel *named = kernel_named(op, rest);
    if (!named)
        return not_here(r, "this version has no such kernel: ", rest);
    const char *kept = arena_copy_text(r->arena, key, strlen(key));
    if (!kept || !ARENA_PUSH(r->arena, w->choices, w->count, w->capacity))
        return fail_memory(r->error, sizeof(choice), "wisdom");
    w->choices[w->count++] = (choice){op, kept, named};
    return true;
}

int choice_compare(const choice *a, const choice *b)
{
    return a->op != b->op ? a->op - b->op : strcmp(a->key, b->key);
}

static int compare(const void *a, const void *b)
{
    return choice_compare(a, b);
}

static bool read_lines(reading *r, char *content)
{
    size_t header = strlen(WISDOM_HEADER);
    if (strncmp(content, WISDOM_HEADER, header) || (content[header] != '\n' && content[header] != '\r'))
        return fail(r->error, RONDO_FILE, "%s is no wisdom of this version: its first line is not \"%s\"",
                    r->where, WISDOM_HEADER);
    for (char *at = content, *end; at; at = end ? end + 1 : NULL) {
        end = strchr(at, '\n');
        if (end)
            *end = 0;
        r->line++;
        if (!read_line(r, at))
            return false;
    }
    if (r->into->count)
        qsort(r->into->choices, (size_t)r->into->count, sizeof *r->into->choices, compare);
    return true;
}

const struct wisdom *wisdom_read(arena *a, char *content, const char *where, int *missing, rondo_error *error)
{
    struct wisdom *w = ARENA_NEW(a, struct wisdom, 1);
    reading r = {a, w, where, 0, missing, error};
    if (!w || !content) {
        fail_memory(error, sizeof *w, "wisdom");
        return NULL;
    }
    return read_lines(&r, content) ? w : NULL;
}

static bool read_file(rondo *context, rondo_error *error)
{
    file_map map;
    if (!file_map_open(&map, context->wisdom, error))
        return false;
    char *content = arena_copy_text(&context->arena, map.data ? map.data : "", map.bytes);
    file_map_close(&map);
    context->known = wisdom_read(&context->arena, content, context->wisdom, NULL, error);
    return context->known != NULL;
}

bool wisdom_load(rondo *context, rondo_error *error)
{
    if (!context->wisdom)
        return true;
    pthread_mutex_lock(&one_reader);
    bool good = context->known || read_file(context, error);
    pthread_mutex_unlock(&one_reader);
    return good;
}

const kernel *wisdom_choice(const struct wisdom *w, const kernel_call *call)
{
    char key[WISDOM_KEY_BYTES];
    if (!w || !w->count || !wisdom_key(call, key))
        return NULL;
    const choice wanted = {call->op, key, NULL},
                 *found = bsearch(&wanted, w->choices, (size_t)w->count, sizeof wanted, compare);
    return found ? found->kernel : NULL;
}
