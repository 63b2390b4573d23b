/* Printing the tables of commands, options, mixers and tasks: help, manual page, completion. */
#include "models/mixers/mixer.h"
#include "tools/options/options.h"
#include <string.h>

enum { COLUMN = 30, ENTRY_COLUMN = 24, WIDTH = 80 };

/* Characters, not bytes. */
static int columns_of(const char *words, int length)
{
    int columns = 0;
    for (int i = 0; i < length; i++)
        columns += (words[i] & 0xC0) != 0x80;
    return columns;
}

/* Prints words in lines of at most WIDTH columns. The first line begins at column `at`, the others are
 * indented by `indent`. */
static void print_wrapped(FILE *out, const char *words, int at, int indent)
{
    for (bool first = true; *words; first = false) {
        int length = (int)strcspn(words, " "), columns = columns_of(words, length);
        if (!first && at + 1 + columns > WIDTH) {
            fprintf(out, "\n%*s", indent, "");
            at = indent;
            first = true;
        }
        fprintf(out, "%s%.*s", first ? "" : " ", length, words);
        at += columns + !first;
        words += length;
        words += strspn(words, " ");
    }
    fputc('\n', out);
}

static void print_option(FILE *out, const option_row *row)
{
    char left[128], help[512];
    const char *space = row->shape[0] ? " " : "";
    int length = row->letter ? snprintf(left, sizeof left, "  -%c, --%s%s%s", row->letter, row->name, space,
                                        row->shape)
                             : snprintf(left, sizeof left, "      --%s%s%s", row->name, space, row->shape);
    bool defaulted = row->initial && row->type != OPTION_FLAG;
    snprintf(help, sizeof help, defaulted ? "%s [%s]" : "%s", row->help, row->initial);
    fputs(left, out);
    if (length + 2 > COLUMN)
        fprintf(out, "\n%*s", COLUMN, "");
    else
        fprintf(out, "%*s", COLUMN - length, "");
    print_wrapped(out, help, COLUMN, COLUMN);
}

/* ---- lists of the values of an option ---- */

/* Prints one entry, in the format of the page. */
typedef void print_entry(FILE *out, const char *name, const char *meaning);

static void print_help_entry(FILE *out, const char *name, const char *meaning)
{
    int length = fprintf(out, "  %s", name);
    fprintf(out, "%*s", length < ENTRY_COLUMN ? ENTRY_COLUMN - length : 1, "");
    print_wrapped(out, meaning, length < ENTRY_COLUMN ? ENTRY_COLUMN : length + 1, ENTRY_COLUMN);
}

static void list_tasks(FILE *out, print_entry *print)
{
#define TASK(file, name, command, encoder, decoder, cross, files, build, validate, samples, sequences,       \
             tokens, meaning)                                                                                \
    print(out, name, meaning);
#include "tools/tasks/tasks.def"
}

static void list_mixers(FILE *out, print_entry *print, const rondo *context)
{
    char name[48], meaning[512];
    for (int i = 0; context && i < context->mixer_count; i++)
        print(out, context->mixers[i].name, "added by this program");
    for (const mixer *m = mixers; m->name; m++) {
        bool anywhere = m->encoder && m->decoder && m->cross;
        snprintf(name, sizeof name, m->counted ? "%s[:%s]" : "%s", m->name, m->counted);
        snprintf(meaning, sizeof meaning, "%s%s", m->meaning, anywhere ? "" : "; decoder only");
        print(out, name, meaning);
    }
}

static const char mixers_title[] = "Mixers, for --mixer NAME", tasks_title[] = "Tasks, for --type";

void options_print_commands(FILE *out, const rondo *context)
{
    fputs("Usage: rondo COMMAND [OPTIONS]\n\nTrains small sequence models on this CPU, and runs them as "
          "recurrences.\n\n",
          out);
    for (int id = 0; id < COMMAND_COUNT; id++) {
        fprintf(out, "  %-12s", command_rows[id].name);
        print_wrapped(out, command_rows[id].summary, 14, 14);
    }
    fprintf(out, "\n%s\n", tasks_title);
    list_tasks(out, print_help_entry);
    fprintf(out, "\n%s\n", mixers_title);
    list_mixers(out, print_help_entry, context);
    fputs("\nrondo COMMAND --help says more. RONDO_THREADS is the number of threads.\n"
          "Exit codes: 0 done, 1 the machine failed, 2 wrong use, 3 wrong data, 4 wrong\n"
          "model, 5 diverged, 6 an --expect was missed, 128 + n stopped by signal n.\n",
          out);
}

static bool takes(command_id command, int id)
{
    return option_rows[id].commands >> command & 1;
}

static bool group_used(int group, command_id command)
{
    for (int id = 0; id < OPTION_COUNT; id++)
        if (option_rows[id].group == group && takes(command, id))
            return true;
    return false;
}

void options_print_help(FILE *out, command_id command, const rondo *context)
{
    const command_row *row = &command_rows[command];
    fprintf(out, "Usage: rondo %s%s%s [OPTIONS]\n\nrondo %s ", row->name, row->operands[0] ? " " : "",
            row->operands, row->name);
    print_wrapped(out, row->summary, 7 + (int)strlen(row->name), 0);
    for (int group = 0; group < option_group_count; group++) {
        if (!group_used(group, command))
            continue;
        fprintf(out, "\n%s\n", option_groups[group]);
        for (int id = 0; id < OPTION_COUNT; id++)
            if (option_rows[id].group == group && takes(command, id))
                print_option(out, &option_rows[id]);
    }
    if (takes(command, OPTION_type)) {
        fprintf(out, "\n%s\n", tasks_title);
        list_tasks(out, print_help_entry);
    }
    if (takes(command, OPTION_mixer)) {
        fprintf(out, "\n%s\n", mixers_title);
        list_mixers(out, print_help_entry, context);
    }
    fputs("\n  -h, --help                  prints this text\n", out);
}

/* roff takes a leading dot for a request and a backslash for an escape; hyphens are escaped so that they
 * can be copied. */
static void print_roff(FILE *out, const char *words)
{
    for (const char *at = words; *at; at++)
        if (*at == '-')
            fputs("\\-", out);
        else if (*at == '\\')
            fputs("\\e", out);
        else if ((*at == '.' || *at == '\'') && at == words)
            fprintf(out, "\\&%c", *at);
        else
            fputc(*at, out);
}

static void print_roff_entry(FILE *out, const char *name, const char *meaning)
{
    fputs(".TP\n\\fB", out);
    print_roff(out, name);
    fputs("\\fR\n", out);
    print_roff(out, meaning);
    fputc('\n', out);
}

static void print_roff_option(FILE *out, const option_row *row)
{
    fputs(".TP\n\\fB", out);
    if (row->letter)
        fprintf(out, "\\-%c\\fR, \\fB", row->letter);
    fputs("\\-\\-", out);
    print_roff(out, row->name);
    fputs("\\fR \\fI", out);
    print_roff(out, row->shape);
    fputs("\\fR\n", out);
    print_roff(out, row->help);
    if (row->initial && row->type != OPTION_FLAG) {
        fputs(" [", out);
        print_roff(out, row->initial);
        fputs("]", out);
    }
    fputs(" (", out);
    bool first = true;
    for (int c = 0; c < COMMAND_COUNT; c++)
        if (row->commands >> c & 1) {
            fprintf(out, "%s%s", first ? "" : ", ", command_rows[c].name);
            first = false;
        }
    fputs(")\n", out);
}

void options_print_manual(FILE *out)
{
    fputs(".TH RONDO 1\n.SH NAME\nrondo \\- train small sequence models and run them as recurrences\n"
          ".SH SYNOPSIS\n.B rondo\n.I COMMAND\n[\\fIOPTIONS\\fR]\n.SH COMMANDS\n",
          out);
    for (int id = 0; id < COMMAND_COUNT; id++) {
        fprintf(out, ".TP\n\\fBrondo %s\\fR \\fI", command_rows[id].name);
        print_roff(out, command_rows[id].operands);
        fputs("\\fR\n", out);
        print_roff(out, command_rows[id].summary);
        fputc('\n', out);
    }
    fputs(".SH OPTIONS\nA count may end in k, M or G. Each option names the commands that it belongs to.\n",
          out);
    for (int group = 0; group < option_group_count; group++) {
        fprintf(out, ".SS %s\n", option_groups[group]);
        for (int id = 0; id < OPTION_COUNT; id++)
            if (option_rows[id].group == group)
                print_roff_option(out, &option_rows[id]);
    }
    fprintf(out, ".SH TASKS\n%s.\n", tasks_title);
    list_tasks(out, print_roff_entry);
    fprintf(out, ".SH MIXERS\n%s.\n", mixers_title);
    list_mixers(out, print_roff_entry, NULL);
    fputs(".SH ENVIRONMENT\n.TP\n.B RONDO_THREADS\nThe number of threads.\n.TP\n.B NO_COLOR\nNo colour and "
          "no carriage returns.\n"
          ".SH EXIT STATUS\n0 done, 1 the machine failed, 2 wrong use, 3 wrong data, 4 wrong or damaged "
          "model, 5 diverged,\n"
          "6 an \\-\\-expect was missed, 128 + n stopped by signal n after saving.\n",
          out);
}

void options_print_completion(FILE *out)
{
    fputs("_rondo() {\n  local now=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
          "  if [ \"$COMP_CWORD\" = 1 ]; then COMPREPLY=($(compgen -W \"",
          out);
    for (int id = 0; id < COMMAND_COUNT; id++)
        fprintf(out, "%s%s", id ? " " : "", command_rows[id].name);
    fputs("\" -- \"$now\")); return; fi\n  case $before in\n", out);
    for (int id = 0; id < OPTION_COUNT; id++)
        if (option_rows[id].type == OPTION_CHOICE) {
            fprintf(out, "    --%s) COMPREPLY=($(compgen -W \"", option_rows[id].name);
            for (const char *at = option_rows[id].shape; *at; at++)
                fputc(*at == '|' ? ' ' : *at, out);
            fputs("\" -- \"$now\")); return;;\n", out);
        }
    fputs("  esac\n  case ${COMP_WORDS[1]}:$now in\n", out);
    for (int c = 0; c < COMMAND_COUNT; c++) {
        fprintf(out, "    %s:-*) COMPREPLY=($(compgen -W \"--help", command_rows[c].name);
        for (int id = 0; id < OPTION_COUNT; id++)
            if (takes((command_id)c, id))
                fprintf(out, " --%s", option_rows[id].name);
        fputs("\" -- \"$now\"));;\n", out);
    }
    fputs(
        "    *) COMPREPLY=($(compgen -f -- \"$now\"));;\n  esac\n}\ncomplete -o filenames -F _rondo rondo\n",
        out);
}
