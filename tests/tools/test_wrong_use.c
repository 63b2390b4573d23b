/* Malformed command lines and settings files: each is reported, and the command ends with code 2. */
#include "tools/options/command_line.h"
#include "tools/options/settings.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_WORDS = 24, WORD_BYTES = 300, LINES = 2000, FILES = 1500 };

static uint32_t state = 1;
static uint32_t below(uint32_t bound)
{
    state = state * 1664525u + 1013904223u;
    return (uint32_t)((uint64_t)(state >> 8) * bound >> 24);
}

/* Changes a few bytes of a text in a buffer of `room` bytes, never to NUL. */
static void mutate(char *text, size_t room)
{
    for (uint32_t changes = below(3); changes > 0; changes--) {
        size_t length = strlen(text), at = length ? below((uint32_t)length) : 0;
        switch (below(5)) {
        case 0: /* truncate */
            text[at] = 0;
            break;
        case 1: /* delete a byte */
            if (length)
                memmove(text + at, text + at + 1, length - at);
            break;
        case 2: /* repeat a byte, or insert another one */
            if (length + 1 < room) {
                memmove(text + at + 1, text + at, length - at + 1);
                text[at] = below(2) ? text[at + 1] : (char)(1 + below(255));
                text[length + 1] = 0;
            }
            break;
        case 3:
            if (length)
                text[at] = (char)(1 + below(255));
            break;
        default: /* swap two neighbours */
            if (length > 1 && at + 1 < length) {
                char kept = text[at];
                text[at] = text[at + 1];
                text[at + 1] = kept;
            }
        }
    }
}

static const char *any_value(const option_row *row)
{
    static const char *const odd[] = {"",       "-1",  "0",     "1e9",  "99999999999999999999",
                                      "nan",    "inf", "1e400", "0x10", "4k",
                                      "%s%n%d", "-",   "=",     "a b",  "é",
                                      "\xFF",   "\\",  "5"};
    if (below(2))
        return odd[below(sizeof odd / sizeof *odd)];
    return row->initial ? row->initial : row->shape;
}

/* "--name" and its value in two words or in one, sometimes mutated. Returns how many words. */
static int add_option(char (*words)[WORD_BYTES], command_id command)
{
    const option_row *row = &option_rows[below(OPTION_COUNT)];
    for (int tries = 0; tries < 20 && !(row->commands >> command & 1); tries++)
        row = &option_rows[below(OPTION_COUNT)];
    int count = 1;
    if (row->letter && below(4) == 0)
        snprintf(words[0], WORD_BYTES, "-%c%s", row->letter, below(2) ? any_value(row) : "");
    else
        snprintf(words[0], WORD_BYTES, below(4) ? "--%s" : "--%s=%s", row->name, any_value(row));
    if (row->type != OPTION_FLAG && below(5))
        snprintf(words[count++], WORD_BYTES, "%s", any_value(row));
    for (int i = 0; i < count; i++)
        if (below(3) == 0)
            mutate(words[i], WORD_BYTES);
    return count;
}

static bool asks_for_help(const char *word)
{
    return !strcmp(word, "-h") || !strcmp(word, "--help") || !strcmp(word, "--");
}

/* A command line whose last word no command accepts. */
static int make_line(char (*words)[WORD_BYTES], char **out)
{
    command_id command = (command_id)below(COMMAND_COUNT);
    int count = 0, kept = 0;
    snprintf(words[count++], WORD_BYTES, "rondo");
    snprintf(words[count++], WORD_BYTES, "%s", command_rows[command].name);
    for (uint32_t options = below(8); options > 0; options--)
        count += add_option(words + count, command);
    for (int i = 0; i < count; i++)
        if (i < 2 || !asks_for_help(words[i]))
            out[kept++] = words[i];
    out[kept++] = (char *)"--no-such-option";
    out[kept] = NULL;
    return kept;
}

/* "rondo: ..." or "rondo COMMAND: ..." */
static bool in_shape(const char *said)
{
    return !strncmp(said, "rondo: ", 7) || !strncmp(said, "rondo ", 6);
}

Test(wrong_use, a_malformed_command_line_ends_with_code_2_and_a_message)
{
    static char words[MOST_WORDS][WORD_BYTES];
    char *line[MOST_WORDS + 1];
    rondo *context = rondo_new(1);
    FILE *before = stderr;
    for (int i = 0; i < LINES; i++) {
        char *said;
        size_t size;
        int count = make_line(words, line);
        stderr = open_memstream(&said, &size);
        int code = rondo_main(context, count, line);
        fclose(stderr);
        stderr = before;
        cr_assert(code == 2 && in_shape(said), "line %d, %s: code %d, '%s'", i, line[1], code, said);
        free(said);
    }
    rondo_free(context);
}

/* Writes the text of a valid settings file with a few bytes changed. */
static void write_settings(const char *path, const char *good)
{
    static char text[8192];
    snprintf(text, sizeof text, "%s", good);
    size_t length = strlen(text), from = below((uint32_t)length), to = from + below(40);
    char end = text[to < length ? to : length];
    text[to < length ? to : length] = 0;
    char part[WORD_BYTES];
    snprintf(part, sizeof part, "%s", text + from);
    mutate(part, sizeof part);
    mutate(part, sizeof part);
    FILE *file = fopen(path, "w");
    fprintf(file, "%.*s%s%c%s", (int)from, text, part, end ? end : '\n', to < length ? text + to + 1 : "");
    fclose(file);
}

Test(wrong_use, a_settings_file_is_read_or_refused_with_its_line)
{
    arena a;
    options o;
    rondo_error error = {0};
    char path[64];
    int refused = 0;
    snprintf(path, sizeof path, "/tmp/rondo-wrong-%d.yml", (int)getpid());
    arena_begin(&a, NULL);
    text good = {.arena = &a};
    cr_assert(options_begin(&o, &a, COMMAND_TRAIN, &error));
    options_write_settings(&o, &good);
    for (int i = 0; i < FILES; i++) {
        arena again;
        error = (rondo_error){0};
        arena_begin(&again, NULL);
        write_settings(path, text_done(&good));
        cr_assert(options_begin(&o, &again, COMMAND_TRAIN, &error));
        if (!options_read_settings(&o, path, &error)) {
            cr_assert(error.code == RONDO_ARGUMENT && strstr(error.message, " line "), "%s", error.message);
            refused++;
        }
        arena_end(&again);
    }
    cr_expect(refused > FILES / 10 && refused < FILES, "%d of %d", refused, FILES);
    unlink(path);
    arena_end(&a);
}
