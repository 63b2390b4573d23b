/* Parsing a command line: options with their values, and operands. */
#include "tools/options/command_line.h"
#include "tools/options/options_find.h"
#include "tools/options/settings.h"
#include <string.h>

typedef struct words {
    int at, count;
    const char *const *word;
} words;

static bool is_option(const char *word)
{
    return word[0] == '-' && word[1] && !(word[1] >= '0' && word[1] <= '9') && word[1] != '.';
}

/* The values of an option: one word for most, all up to the next option for FILES. */
static bool take_values(options *o, int id, words *w, rondo_error *error)
{
    const option_row *row = &option_rows[id];
    if (row->type == OPTION_FLAG)
        return options_set_row(o, id, "yes", FROM_COMMAND_LINE, error);
    if (w->at == w->count ||
        (is_option(w->word[w->at]) && (row->type != OPTION_TEXT || strncmp(w->word[w->at], "--", 2) == 0)))
        return fail(error, RONDO_ARGUMENT, "--%s needs a value: --%s %s", row->name, row->name, row->shape);
    do {
        if (!options_set_row(o, id, w->word[w->at++], FROM_COMMAND_LINE, error))
            return false;
    } while (row->type == OPTION_FILES && w->at < w->count && !is_option(w->word[w->at]));
    return true;
}

static bool take_long(options *o, const char *word, words *w, rondo_error *error)
{
    size_t length = strcspn(word, "=");
    int id = option_find(o->command, word, length, error);
    if (id < 0)
        return false;
    if (word[length] == '=')
        return options_set_row(o, id, word + length + 1, FROM_COMMAND_LINE, error);
    return take_values(o, id, w, error);
}

static bool take_short(options *o, const char *word, words *w, rondo_error *error)
{
    int id = option_find_letter(o->command, word, error);
    if (id < 0)
        return false;
    if (word[1] && option_rows[id].type != OPTION_FLAG)
        return options_set_row(o, id, word + 1 + (word[1] == '='), FROM_COMMAND_LINE, error);
    return take_values(o, id, w, error);
}

static bool check_operands(const options *o, rondo_error *error)
{
    const command_row *command = &command_rows[o->command];
    if (o->operands.count > command->most) {
        const char *extra = o->operands.items[command->most];
        return fail(error, RONDO_ARGUMENT, "unexpected argument '%s'; see rondo %s --help", extra,
                    command->name);
    }
    if (o->operands.count < command->fewest)
        return fail(error, RONDO_ARGUMENT, "an argument is missing: rondo %s %s", command->name,
                    command->operands);
    return true;
}

bool options_parse(options *o, int count, const char *const *word, rondo_error *error)
{
    for (int i = 0; i < count && strcmp(word[i], "--") != 0; i++)
        o->help |= strcmp(word[i], "--help") == 0 || strcmp(word[i], "-h") == 0;
    if (o->help)
        return true;
    words w = {0, count, word};
    bool only_operands = false;
    while (w.at < w.count) {
        const char *now = w.word[w.at++];
        bool good;
        if (only_operands || !is_option(now))
            good = option_list_add(&o->operands, o->arena, now, error);
        else if (strcmp(now, "--") == 0)
            good = only_operands = true;
        else
            good = now[1] == '-' ? take_long(o, now + 2, &w, error) : take_short(o, now + 1, &w, error);
        if (!good)
            return false;
    }
    return (!o->settings || options_read_settings(o, o->settings, error)) && options_finish(o, error) &&
           check_operands(o, error);
}
