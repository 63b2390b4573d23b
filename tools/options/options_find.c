/* Finding the row of an option by name, and advice if there is none. */
#include "tools/options/options_find.h"
#include "core/text/words.h"
#include <string.h>

enum { LONGEST = 48 };

int command_find(const char *name, const char **near)
{
    suggestion s = {.word = name};
    *near = NULL;
    for (int id = 0; id < COMMAND_COUNT; id++) {
        if (!strcmp(name, command_rows[id].name))
            return id;
        suggestion_offer(&s, command_rows[id].name);
    }
    *near = s.closest;
    return -1;
}

int option_named(const char *name, size_t length)
{
    for (int id = 0; id < OPTION_COUNT; id++)
        if (strlen(option_rows[id].name) == length && memcmp(option_rows[id].name, name, length) == 0)
            return id;
    return -1;
}

/* Is `word` (with its dashes) among the space-separated names? */
static bool listed(const char *names, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = names; *at; at += strspn(at, " ")) {
        size_t size = strcspn(at, " ");
        if (size == length && memcmp(at, word, length) == 0)
            return true;
        at += size;
    }
    return false;
}

static const char *foreign_answer(const char *word)
{
    static const struct {
        const char *names, *answer;
    } rows[] = {
#define FOREIGN(...) {__VA_ARGS__},
#include "tools/options/options.def"
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (listed(rows[i].names, word))
            return rows[i].answer;
    return NULL;
}

static bool used_by(int id, command_id command)
{
    return option_rows[id].commands >> command & 1;
}

/* "train, bench": the commands that have the option. */
static void list_commands(int id, char *out, size_t size)
{
    size_t used = 0;
    out[0] = 0;
    for (int c = 0; c < COMMAND_COUNT; c++)
        if (used_by(id, (command_id)c) && used < size)
            used += (size_t)snprintf(out + used, size - used, "%s%s", used ? ", " : "", command_rows[c].name);
}

static bool advise(command_id command, const char *word, rondo_error *error)
{
    for (int id = 0; id < OPTION_COUNT; id++)
        if (used_by(id, command) && listed(option_rows[id].others, word))
            return fail(error, RONDO_ARGUMENT, "Rondo calls %s --%s: %s", word, option_rows[id].name,
                        option_rows[id].help);
    const char *answer = foreign_answer(word);
    if (answer)
        return fail(error, RONDO_ARGUMENT, "there is no option %s: %s", word, answer);
    suggestion near = {.word = word + strspn(word, "-")};
    for (int id = 0; id < OPTION_COUNT; id++)
        if (used_by(id, command))
            suggestion_offer(&near, option_rows[id].name);
    if (near.closest)
        return fail(error, RONDO_ARGUMENT, "there is no option %s; did you mean --%s?", word, near.closest);
    for (int id = 0; id < OPTION_COUNT; id++)
        if (listed(option_rows[id].others, word)) {
            char commands[160];
            list_commands(id, commands, sizeof commands);
            return fail(error, RONDO_ARGUMENT,
                        "there is no option %s here; Rondo calls it --%s, and it belongs to: %s", word,
                        option_rows[id].name, commands);
        }
    return fail(error, RONDO_ARGUMENT, "there is no option %s; see rondo %s --help", word,
                command_rows[command].name);
}

int option_find(command_id command, const char *name, size_t length, rondo_error *error)
{
    int id = option_named(name, length);
    if (id >= 0 && used_by(id, command))
        return id;
    if (id >= 0) {
        char commands[160];
        list_commands(id, commands, sizeof commands);
        fail(error, RONDO_ARGUMENT, "--%s is not an option of this command; it belongs to: %s",
             option_rows[id].name, commands);
        return -1;
    }
    char word[LONGEST + 3];
    snprintf(word, sizeof word, "--%.*s", (int)(length < LONGEST ? length : LONGEST), name);
    advise(command, word, error);
    return -1;
}

int option_find_letter(command_id command, const char *letters, rondo_error *error)
{
    for (int id = 0; id < OPTION_COUNT; id++)
        if (option_rows[id].letter && option_rows[id].letter == letters[0] && used_by(id, command))
            return id;
    char word[3] = {'-', letters[0], 0};
    advise(command, word, error);
    return -1;
}
