/* The values of the options of one command. Everything is made from tools/options/options.def; an option
 * that the command does not have is an error. A value comes from the command line, else from the settings
 * file, else from the preset, else it is the default. */
#pragma once
#include "core/text/text.h"
#include <stdio.h>

typedef enum command_id {
#define COMMAND(id, ...) COMMAND_##id,
#include "tools/options/options.def"
    COMMAND_COUNT
} command_id;

typedef enum option_id {
#define OPTION(field, ...) OPTION_##field,
#include "tools/options/options.def"
    OPTION_COUNT
} option_id;

typedef enum option_type {
    OPTION_FLAG,
    OPTION_INTEGER,
    OPTION_COUNTED,
    OPTION_REAL,
    OPTION_CHOICE,
    OPTION_MIXER_NAME,
    OPTION_TEXT,
    OPTION_FILE,
    OPTION_FILES,
    OPTION_TEXTS
} option_type;

typedef struct option_list {
    const char **items;
    int count, capacity;
} option_list;

typedef enum option_origin { FROM_DEFAULT, FROM_PRESET, FROM_SETTINGS, FROM_COMMAND_LINE } option_origin;

/* The C type of a field, from the type in its row. */
typedef bool option_FLAG;
typedef int64_t option_INTEGER, option_COUNT;
typedef double option_REAL;
typedef const char *option_CHOICE, *option_MIXER, *option_TEXT, *option_FILE;
typedef option_list option_FILES, option_TEXTS;

typedef struct options {
    arena *arena; /* owns all strings below */
    const rondo *context; /* knows the mixers; NULL: their names are not checked */
    command_id command;
#define OPTION(field, name, letter, type, ...) option_##type field;
#include "tools/options/options.def"
    option_list operands; /* arguments that belong to no option */
    bool help;            /* -h or --help was given: nothing else was checked */
    uint8_t origin[OPTION_COUNT];
} options;

/* ---- Values. Errors are RONDO_ARGUMENT (exit code 2). ---- */

/* Sets everything to its default. */
bool options_begin(options *o, arena *a, command_id command, rondo_error *error);
/* Sets the option of that name (without dashes) to a value from this origin, unless a stronger origin has
 * set it. */
bool options_set(options *o, const char *name, const char *value, option_origin origin, rondo_error *error);
/* The same for a row of the table. Appends to a list that the same origin began. */
bool options_set_row(options *o, int id, const char *value, option_origin origin, rondo_error *error);
/* Applies --preset and --mixer to options that were not set: the last step, after all values are set. */
bool options_finish(options *o, rondo_error *error);
bool option_list_add(option_list *list, arena *a, const char *value, rondo_error *error);
static inline option_origin options_origin(const options *o, option_id id)
{
    return (option_origin)o->origin[id];
}

/* ---- The tables ---- */

enum { OPTION_FIXED = 1 << 29, OPTION_OWN = 1 << 30 };

typedef struct command_row {
    const char *name, *operands;
    int fewest, most;
    const char *summary;
} command_row;
typedef struct option_row {
    const char *name;
    char letter;
    option_type type;
    const char *initial; /* the default, as text; NULL: none */
    double least, most;
    const char *shape; /* placeholder, or choices separated by | */
    int group;
    unsigned commands; /* bit 1 << command_id, and OPTION_FIXED, OPTION_OWN */
    const char *others;
    const char *help;
    size_t offset; /* of the field in options */
} option_row;
extern const command_row command_rows[COMMAND_COUNT];
extern const option_row option_rows[OPTION_COUNT];
extern const char *const option_groups[];
extern const int option_group_count;

/* The command of that name; −1: there is none, and *near is the closest name or NULL. */
int command_find(const char *name, const char **near);

/* ---- Help. The context knows the mixers that the program added; NULL: only those of Rondo. ---- */

void options_print_commands(FILE *out, const rondo *context);                 /* rondo help */
void options_print_help(FILE *out, command_id command, const rondo *context); /* rondo COMMAND --help */
/* a manual page, for `man -l` */
void options_print_manual(FILE *out);
/* for bash: source <(rondo completion) */
void options_print_completion(FILE *out);
