/* Writing results; numbers are formatted as in the C locale. */
#include "tools/report/report.h"
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

enum { KEY_WIDTH = 26 };

static void add_quoted(text *t, const char *words)
{
    text_add(t, "\"");
    for (; *words; words++)
        if (*words == '"' || *words == '\\')
            text_add(t, "\\%c", *words);
        else if ((unsigned char)*words < ' ')
            text_add(t, "\\u%04x", *words);
        else
            text_add(t, "%c", *words);
    text_add(t, "\"");
}

/* Four significant digits, or all of the whole part if that has more; always a point. */
static void add_short(text *t, double number)
{
    double size = fabs(number);
    int digits = size > 0 ? 3 - (int)floor(log10(size)) : 0;
    digits = digits < 0 ? 0 : digits;
    if (!isfinite(number) || digits > 9 || size > 1e15) {
        text_number(t, number);
        return;
    }
    int64_t one = 1, all;
    for (int i = 0; i < digits; i++)
        one *= 10;
    all = llround(size * (double)one);
    for (; digits > 0 && all % 10 == 0; digits--, one /= 10)
        all /= 10;
    text_add(t, "%s%" PRId64, number < 0 && all ? "-" : "", all / one);
    if (digits > 0)
        text_add(t, ".%0*" PRId64, digits, all % one);
}

static void add_scaled(text *t, double number, double one, const char *unit)
{
    add_short(t, number / one);
    text_add(t, " %s", unit);
}

static void add_for_people(text *t, double number, report_unit unit)
{
    count_text count;
    switch (unit) {
    case UNIT_SECONDS:
        if (number < 1e-3)
            add_scaled(t, number, 1e-6, "µs");
        else if (number < 1)
            add_scaled(t, number, 1e-3, "ms");
        else
            add_scaled(t, number, 1, "s");
        return;
    case UNIT_BYTES:
        if (number < 1e4)
            add_scaled(t, number, 1, "bytes");
        else if (number < 1e7)
            add_scaled(t, number, 1e3, "kB");
        else
            add_scaled(t, number, 1e6, "MB");
        return;
    case UNIT_SHARE:
        add_scaled(t, number, 0.01, "%");
        return;
    case UNIT_COUNT:
        text_add(t, "%s", count_format(count, (int64_t)number));
        return;
    default:
        add_short(t, number);
    }
}

void report_begin(report *r, const char *format, ...)
{
    char name[256];
    va_list list;
    va_start(list, format);
    vsnprintf(name, sizeof name, format, list);
    va_end(list);
    r->line = (text){.arena = r->arena};
    if (!r->json) {
        text_add(&r->line, r->compact ? "%-40s" : "%s\n", name);
        return;
    }
    text_add(&r->line, "{\"name\": ");
    add_quoted(&r->line, name);
}

/* What the name of the line says already, or the caller chose: there is no room for it in a line for
 * people. */
static bool is_left_out(const report *r, const char *key)
{
    static const char *const known[] = {"length", "runs"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (r->compact && !r->json && !strcmp(key, known[i]))
            return true;
    return false;
}

/* "median_seconds" → "  median seconds            ". */
static void add_key(report *r, const char *key)
{
    if (r->json) {
        text_add(&r->line, ", \"%s\": ", key);
        return;
    }
    char words[64];
    snprintf(words, sizeof words, "%s", key);
    char *rate = strstr(words, "_per_second");
    if (rate)
        strcpy(rate, "/s");
    for (char *c = words; *c; c++)
        *c = *c == '_' ? ' ' : *c;
    if (r->compact)
        text_add(&r->line, "  %s ", words);
    else
        text_add(&r->line, "  %-*s", KEY_WIDTH, words);
}

static void add_number(report *r, double number, report_unit unit)
{
    if (!r->json)
        add_for_people(&r->line, number, unit);
    else if (fabs(number) < 1e15 && number == round(number))
        text_add(&r->line, "%lld", (long long)number);
    else if (isfinite(number))
        text_number(&r->line, number);
    else
        text_add(&r->line, "null"); /* JSON has no infinity */
    if (!r->json && !r->compact)
        text_add(&r->line, "\n");
}

void report_number(report *r, const char *key, double number, report_unit unit)
{
    if (!is_left_out(r, key)) {
        add_key(r, key);
        add_number(r, number, unit);
    }
    if (ARENA_PUSH(r->arena, r->numbers, r->count, r->capacity))
        r->numbers[r->count++] = (measured){arena_copy_text(r->arena, key, strlen(key)), number};
}

void report_text(report *r, const char *key, const char *words)
{
    add_key(r, key);
    if (r->json)
        add_quoted(&r->line, words);
    else
        text_add(&r->line, "%s%s", words, r->compact ? "" : "\n");
}

bool report_end(report *r, rondo_error *error)
{
    if (r->json || r->compact)
        text_add(&r->line, r->json ? "}\n" : "\n");
    const char *line = text_done(&r->line);
    if (!line || r->arena->failed)
        return fail_memory(error, r->line.capacity, "a report");
    fputs(line, stdout);
    fflush(stdout);
    return true;
}

int report_exit_code(report *r, const command *c)
{
    int code = message_finish_output(c->name);
    return code == EXIT_DONE ? expect_check(c->name, &c->options->expect, r->numbers, r->count) : code;
}
