/* The settings of a run are in its folder. When it is resumed, the command line may change how long and
 * how fast it trains; what determines the model, its subwords or its random numbers is FIXED in options.def,
 * and a command line that says otherwise is refused. */
#include "tools/run/settings.h"
#include "core/file.h"
#include "tools/options/settings.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- values ---- */

static void *field_of(const options *o, int id)
{
    return (char *)o + option_rows[id].offset;
}

static void copy_value(options *to, const options *from, int id)
{
    static const size_t bytes[] = {
        [OPTION_FLAG] = sizeof(bool),           [OPTION_INTEGER] = sizeof(int64_t),
        [OPTION_COUNTED] = sizeof(int64_t),     [OPTION_REAL] = sizeof(double),
        [OPTION_CHOICE] = sizeof(const char *), [OPTION_MIXER_NAME] = sizeof(const char *),
        [OPTION_TEXT] = sizeof(const char *),   [OPTION_FILE] = sizeof(const char *),
        [OPTION_FILES] = sizeof(option_list),   [OPTION_TEXTS] = sizeof(option_list)};
    memcpy(field_of(to, id), field_of(from, id), bytes[option_rows[id].type]);
    to->origin[id] = from->origin[id];
}

/* For comparisons and messages; NULL: out of memory. Lists are not compared. */
static const char *value_text(const options *o, int id)
{
    const void *field = field_of(o, id);
    text number = {.arena = o->arena};
    switch (option_rows[id].type) {
    case OPTION_FLAG:
        return *(const bool *)field ? "yes" : "no";
    case OPTION_INTEGER:
    case OPTION_COUNTED:
        return arena_text(o->arena, "%lld", (long long)*(const int64_t *)field);
    case OPTION_REAL:
        text_number(&number, *(const double *)field);
        return text_done(&number);
    case OPTION_FILES:
    case OPTION_TEXTS:
        return "";
    default:
        return *(const char *const *)field ? *(const char *const *)field : "none";
    }
}

/* The absolute path of a file; unchanged if there is none, as for "-" or a file that does not exist. */
static const char *full_name(arena *a, const char *path)
{
    char *full = path && strcmp(path, "-") ? realpath(path, NULL) : NULL;
    const char *copy = full ? arena_copy_text(a, full, strlen(full)) : NULL;
    free(full);
    return copy ? copy : path;
}

/* ---- resuming ---- */

/* The option was set on this command line, in the settings file that it names, or by a preset other than
 * that of the run. */
static bool is_said(const options *o, const options *begun, int id)
{
    bool same_preset = o->preset && begun->preset && !strcmp(o->preset, begun->preset);
    option_origin from = options_origin(o, (option_id)id);
    return from > FROM_PRESET || (from == FROM_PRESET && !same_preset);
}

/* left: the marks of options that are not taken over. */
static bool check_fixed(const options *o, const options *begun, unsigned left, const char *path,
                        rondo_error *error)
{
    for (int id = 0; id < OPTION_COUNT; id++) {
        unsigned marks = option_rows[id].commands;
        if (!(marks & OPTION_FIXED) || (marks & left) || !is_said(o, begun, id))
            continue;
        const char *said = value_text(o, id), *was = value_text(begun, id), *name = option_rows[id].name;
        if (id == OPTION_tokenizer || id == OPTION_from)
            said = full_name(o->arena, said);
        if (!said || !was)
            return fail_memory(error, sizeof *o, "settings");
        if (strcmp(said, was))
            return fail(error, RONDO_MISMATCH,
                        "--%s %s: this run was started with --%s %s (%s), which cannot change; leave the "
                        "option out, or start another run with another --output-folder",
                        name, said, name, was, path);
    }
    return true;
}

static bool adopt(options *o, const char *path, unsigned left, rondo_error *error)
{
    options *begun = ARENA_NEW(o->arena, options, 1);
    if (!begun)
        return fail_memory(error, sizeof *begun, "settings");
    if (!options_begin(begun, o->arena, o->command, error))
        return false;
    begun->context = o->context;
    if (!options_read_settings(begun, path, error) || !options_finish(begun, error) ||
        !check_fixed(o, begun, left, path, error))
        return false;
    for (int id = 0; id < OPTION_COUNT; id++)
        if (option_rows[id].commands >> o->command & 1 && id != OPTION_output_folder &&
            id != OPTION_settings && !is_said(o, begun, id) && !(option_rows[id].commands & left))
            copy_value(o, begun, id);
    return true;
}

bool run_settings_adopt(options *o, const char *path, rondo_error *error)
{
    return adopt(o, path, 0, error);
}

bool run_settings_adopt_from(options *o, const char *path, rondo_error *error)
{
    if (!path || access(path, F_OK))
        return fail(error, RONDO_MISMATCH,
                    "--from %s: this is not the folder of a run; it has no settings.yaml", o->from);
    return adopt(o, path, OPTION_OWN, error);
}

/* ---- writing ---- */

static bool full_list(arena *a, option_list *list)
{
    option_list full = {ARENA_NEW(a, const char *, list->count + 1), list->count, list->count};
    for (int i = 0; full.items && i < list->count; i++)
        full.items[i] = full_name(a, list->items[i]);
    *list = full;
    return full.items != NULL;
}

bool run_settings_write(const options *o, const rondo_allocator *allocator, const char *path,
                        rondo_error *error)
{
    options full = *o;
    text yaml = {.arena = o->arena};
    full.tokenizer = full_name(o->arena, o->tokenizer);
    full.from = full_name(o->arena, o->from);
    full.wisdom = full_name(o->arena, o->wisdom);
    full.output_folder = full_name(o->arena, o->output_folder);
    bool good = full_list(o->arena, &full.train) && full_list(o->arena, &full.valid);
    options_write_settings(&full, &yaml);
    const char *content = text_done(&yaml);
    if (!good || !content)
        return fail_memory(error, yaml.length, "settings");
    return file_store(allocator, path, content, yaml.length, error);
}
