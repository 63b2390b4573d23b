/* The settings file: YAML of `name: value`. A scalar is parsed by the type of its option, so that `no`,
 * 1e-3 and 08 mean what they mean to the option, and not what YAML would make of them. One flat mapping;
 * no anchors, no nesting. */
#include "tools/options/settings.h"
#include "tools/options/options_find.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

typedef struct reader {
    options *options;
    const char *path;
    yaml_parser_t parser;
    yaml_event_t event;
    rondo_error *error;
} reader;

static bool wrong(reader *r, size_t line, const char *what)
{
    return fail(r->error, RONDO_ARGUMENT, "%s line %zu: %s", r->path, line + 1, what);
}

static bool next(reader *r)
{
    yaml_event_delete(&r->event);
    if (yaml_parser_parse(&r->parser, &r->event))
        return true;
    memset(&r->event, 0, sizeof r->event);
    size_t line = r->parser.problem_mark.line ? r->parser.problem_mark.line : r->parser.context_mark.line;
    return wrong(r, line, r->parser.problem ? r->parser.problem : "not YAML");
}

/* The text of a scalar; NULL, with an error, if it is not a scalar or is empty, as in `name:` without a
 * value. */
static const char *scalar(reader *r)
{
    const char *value = (const char *)r->event.data.scalar.value;
    size_t line = r->event.start_mark.line;
    if (r->event.type != YAML_SCALAR_EVENT)
        wrong(r, line, "expected a plain value here: name: value");
    else if (strlen(value) != r->event.data.scalar.length)
        wrong(r, line, "a value contains a NUL byte");
    else if (!value[0] && r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
        wrong(r, line, "a value is missing after the colon");
    else
        return value;
    return NULL;
}

static bool set(reader *r, const char *name, const char *value, size_t line)
{
    rondo_error reason = {0};
    if (options_set(r->options, name, value, FROM_SETTINGS, &reason))
        return true;
    return fail(r->error, reason.code, "%s line %zu: %s", r->path, line + 1, reason.message);
}

static bool read_value(reader *r, const char *name, size_t line)
{
    if (!next(r))
        return false;
    if (r->event.type != YAML_SEQUENCE_START_EVENT) {
        const char *value = scalar(r);
        return value && set(r, name, value, line);
    }
    int id = option_named(name, strlen(name));
    if (id >= 0 && option_rows[id].type != OPTION_FILES && option_rows[id].type != OPTION_TEXTS)
        return wrong(r, line, "this option takes one value, not a list");
    while (next(r)) {
        if (r->event.type == YAML_SEQUENCE_END_EVENT)
            return true;
        const char *value = scalar(r);
        if (!value || !set(r, name, value, r->event.start_mark.line))
            return false;
    }
    return false;
}

static bool read_pairs(reader *r)
{
    bool seen[OPTION_COUNT] = {0};
    while (next(r)) {
        if (r->event.type == YAML_MAPPING_END_EVENT)
            return true;
        const char *key = scalar(r);
        if (!key)
            return false;
        char name[64];
        size_t line = r->event.start_mark.line;
        snprintf(name, sizeof name, "%s", key + (strncmp(key, "--", 2) == 0 ? 2 : 0));
        int id = option_named(name, strlen(name));
        if (id >= 0 && seen[id])
            return wrong(r, line, "this option is set twice");
        if (id >= 0)
            seen[id] = true;
        if (!read_value(r, name, line))
            return false;
    }
    return false;
}

static bool read_document(reader *r)
{
    do
        if (!next(r))
            return false;
    while (r->event.type == YAML_STREAM_START_EVENT || r->event.type == YAML_DOCUMENT_START_EVENT);
    if (r->event.type == YAML_STREAM_END_EVENT)
        return true; /* an empty file sets nothing */
    if (r->event.type != YAML_MAPPING_START_EVENT)
        return wrong(r, r->event.start_mark.line,
                     "a settings file consists of lines of the form name: value");
    return read_pairs(r);
}

bool options_read_settings(options *o, const char *path, rondo_error *error)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return fail(error, RONDO_ARGUMENT, "cannot open the settings file %s: %s", path, strerror(errno));
    reader r = {.options = o, .path = path, .error = error};
    bool good =
        yaml_parser_initialize(&r.parser) ? true : fail_memory(error, sizeof r.parser, "the YAML reader");
    if (good) {
        yaml_parser_set_input_file(&r.parser, file);
        yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
        good = read_document(&r);
        yaml_event_delete(&r.event);
        yaml_parser_delete(&r.parser);
    }
    fclose(file);
    return good;
}

/* ---- Writing ---- */

/* Double quotes with escapes: any text reads back the same. */
static void write_quoted(text *out, const char *value)
{
    text_add(out, "\"");
    for (const char *at = value; *at; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            text_add(out, "\\x%02X", (unsigned char)*at);
        else
            text_add(out, *at == '"' || *at == '\\' ? "\\%c" : "%c", *at);
    text_add(out, "\"");
}

static void write_list(text *out, const option_list *list)
{
    text_add(out, "[");
    for (int i = 0; i < list->count; i++) {
        text_add(out, "%s", i ? ", " : "");
        write_quoted(out, list->items[i]);
    }
    text_add(out, "]");
}

static void write_value(text *out, option_type type, const void *field)
{
    switch (type) {
    case OPTION_FLAG:
        text_add(out, "%s", *(const bool *)field ? "yes" : "no");
        break;
    case OPTION_INTEGER:
    case OPTION_COUNTED:
        text_add(out, "%lld", (long long)*(const int64_t *)field);
        break;
    case OPTION_REAL:
        text_number(out, *(const double *)field);
        break;
    case OPTION_FILES:
    case OPTION_TEXTS:
        write_list(out, field);
        break;
    default:
        write_quoted(out, *(const char *const *)field);
    }
}

static bool is_empty(option_type type, const void *field)
{
    if (type == OPTION_FILES || type == OPTION_TEXTS)
        return ((const option_list *)field)->count == 0;
    return type >= OPTION_CHOICE && !*(const char *const *)field;
}

void options_write_settings(const options *o, text *out)
{
    for (int id = 0; id < OPTION_COUNT; id++) {
        const option_row *row = &option_rows[id];
        const void *field = (const char *)o + row->offset;
        if (!(row->commands >> o->command & 1) || id == OPTION_settings || is_empty(row->type, field))
            continue;
        text_add(out, "%s: ", row->name);
        write_value(out, row->type, field);
        text_add(out, "\n");
    }
}
