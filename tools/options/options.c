/* The tables of commands and options, and setting a value by the type of its row. */
#include "models/mixers/mixer.h"
#include "tools/options/options.h"
#include "tools/options/options_find.h"
#include <math.h>
#include <stddef.h>
#include <string.h>

enum {
#define COMMAND(id, ...) id = 1 << COMMAND_##id,
#include "tools/options/options.def"
    FIXED = OPTION_FIXED,
    OWN = OPTION_OWN
};
enum {
#define GROUP(id, title) GROUP_##id,
#include "tools/options/options.def"
};
enum { /* named as in */
       TYPE_FLAG = OPTION_FLAG,
       TYPE_INTEGER = OPTION_INTEGER,
       TYPE_COUNT = OPTION_COUNTED,
       TYPE_REAL = OPTION_REAL,
       TYPE_CHOICE = OPTION_CHOICE,
       TYPE_MIXER = OPTION_MIXER_NAME,
       TYPE_TEXT = OPTION_TEXT,
       TYPE_FILE = OPTION_FILE,
       TYPE_FILES = OPTION_FILES,
       TYPE_TEXTS = OPTION_TEXTS
};

/* "|translation|…": the values of --type are the names in the table of tasks. */
static const char task_names[] =
#define TASK(file, name, ...) "|" name
#include "tools/tasks/tasks.def"
    ;

const command_row command_rows[COMMAND_COUNT] = {
#define COMMAND(id, ...) {__VA_ARGS__},
#include "tools/options/options.def"
};
const char *const option_groups[] = {
#define GROUP(id, title) title,
#include "tools/options/options.def"
};
const int option_group_count = sizeof option_groups / sizeof *option_groups;
const option_row option_rows[OPTION_COUNT] = {
#define OPTION(field, name, letter, type, initial, least, most, shape, group, commands, others, help)        \
    {name,   letter, (option_type)TYPE_##type, initial, least, most, shape, GROUP_##group, commands,         \
     others, help,   offsetof(options, field)},
#include "tools/options/options.def"
};

/* ---- Values ---- */

static bool no_memory(rondo_error *error)
{
    return fail_memory(error, sizeof(options), "options");
}

bool option_list_add(option_list *list, arena *a, const char *value, rondo_error *error)
{
    char *copy = arena_copy_text(a, value, strlen(value));
    if (!copy || !ARENA_PUSH(a, list->items, list->count, list->capacity))
        return no_memory(error);
    list->items[list->count++] = copy;
    return true;
}

static bool read_flag(const char *value, bool *out)
{
    static const char *const words[] = {"no", "yes", "false", "true", "off", "on"};
    for (int i = 0; i < 6; i++)
        if (strcmp(value, words[i]) == 0) {
            *out = i & 1;
            return true;
        }
    return false;
}

/* A number of the type of the row; k, M and G multiply a count. An integer is decimal even with leading
 * zeros. */
static bool read_number(const option_row *row, const char *value, double *out)
{
    const char *end;
    if (!(value[0] >= '0' && value[0] <= '9') && value[0] != '-' && value[0] != '.')
        return false;
    if (value[0] == '0' && (value[1] == 'x' || value[1] == 'X'))
        return false;
    if (!parse_number(value, &end, out) || !isfinite(*out))
        return false;
    if (row->type == OPTION_COUNTED && *end && end[1] == 0) {
        double factor = *end == 'k' ? 1e3 : *end == 'M' ? 1e6 : *end == 'G' ? 1e9 : 0;
        *out *= factor;
        end += factor != 0;
    }
    if (*end)
        return false;
    return row->type == OPTION_REAL || *out == floor(*out);
}

static const char *kind_in_words(option_type type)
{
    return type == OPTION_REAL      ? "a number"
           : type == OPTION_COUNTED ? "a whole number (k, M and G may follow)"
                                    : "a whole number";
}

static bool set_number(void *field, const option_row *row, const char *value, rondo_error *error)
{
    double number;
    if (!read_number(row, value, &number))
        return fail(error, RONDO_ARGUMENT, "--%s takes %s, not '%s'", row->name, kind_in_words(row->type),
                    value);
    if (number < row->least || number > row->most)
        return fail(error, RONDO_ARGUMENT, "--%s %s is out of range: it must lie between %.10g and %.10g",
                    row->name, value, row->least, row->most);
    if (row->type == OPTION_REAL)
        *(double *)field = number;
    else
        *(int64_t *)field = (int64_t)number;
    return true;
}

static bool is_choice(const char *choices, const char *value)
{
    size_t length = strlen(value);
    for (const char *at = choices; *at; at += strcspn(at, "|"), at += *at == '|')
        if (strcspn(at, "|") == length && memcmp(at, value, length) == 0)
            return true;
    return false;
}

static bool check_mixer(const options *o, const option_row *row, const char *name, rondo_error *error)
{
    mixer found;
    rondo_error reason = {0};
    return !o->context || mixer_find(o->context, name, &found, &reason) ||
           fail(error, reason.code, "--%s %s", row->name, reason.message);
}

static bool set_text(options *o, void *field, const option_row *row, const char *value, rondo_error *error)
{
    if (row->type == OPTION_CHOICE && !is_choice(row->shape, value))
        return fail(error, RONDO_ARGUMENT, "--%s is one of %s, not '%s'", row->name, row->shape, value);
    if (row->type == OPTION_FILE && !value[0])
        return fail(error, RONDO_ARGUMENT, "--%s takes the name of a file, not an empty word", row->name);
    if (row->type == OPTION_MIXER_NAME && !check_mixer(o, row, value, error))
        return false;
    char *copy = arena_copy_text(o->arena, value, strlen(value));
    if (!copy)
        return no_memory(error);
    *(const char **)field = copy;
    return true;
}

bool options_set_row(options *o, int id, const char *value, option_origin origin, rondo_error *error)
{
    const option_row *row = &option_rows[id];
    if (o->origin[id] > origin)
        return true;
    void *field = (char *)o + row->offset;
    bool good;
    switch (row->type) {
    case OPTION_FLAG:
        good = read_flag(value, field) ||
               fail(error, RONDO_ARGUMENT, "--%s is yes or no, not '%s'", row->name, value);
        break;
    case OPTION_INTEGER:
    case OPTION_COUNTED:
    case OPTION_REAL:
        good = set_number(field, row, value, error);
        break;
    case OPTION_FILES:
    case OPTION_TEXTS:
        if (o->origin[id] < origin)
            *(option_list *)field = (option_list){0};
        good = option_list_add(field, o->arena, value, error);
        break;
    default:
        good = set_text(o, field, row, value, error);
    }
    if (good)
        o->origin[id] = (uint8_t)origin;
    return good;
}

bool options_set(options *o, const char *name, const char *value, option_origin origin, rondo_error *error)
{
    int id = option_find(o->command, name, strlen(name), error);
    return id >= 0 && options_set_row(o, id, value, origin, error);
}

bool options_begin(options *o, arena *a, command_id command, rondo_error *error)
{
    memset(o, 0, sizeof *o);
    o->arena = a;
    o->command = command;
    for (int id = 0; id < OPTION_COUNT; id++)
        if (option_rows[id].initial && !options_set_row(o, id, option_rows[id].initial, FROM_DEFAULT, error))
            return false;
    return true;
}

/* ---- Presets ---- */

bool options_finish(options *o, rondo_error *error)
{
    static const struct {
        const char *preset, *option, *value;
    } presets[] = {
#define PRESET(...) {__VA_ARGS__},
#include "tools/options/options.def"
    };
    for (size_t i = 0; o->preset && i < sizeof presets / sizeof *presets; i++)
        if (strcmp(presets[i].preset, o->preset) == 0) {
            int id = option_named(presets[i].option, strlen(presets[i].option));
            if (!options_set_row(o, id, presets[i].value, FROM_PRESET, error))
                return false;
        }
    static const int mixers[] = {OPTION_decoder_self, OPTION_encoder_self, OPTION_cross};
    int meant = o->command == COMMAND_CONVERT ? 1 : 3;
    for (int i = 0; o->mixer && i < meant; i++)
        if (o->origin[mixers[i]] < o->origin[OPTION_mixer] &&
            !options_set_row(o, mixers[i], o->mixer, options_origin(o, OPTION_mixer), error))
            return false;
    return true;
}
