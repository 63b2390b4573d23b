/* Reading lines. Every error names the file, the line and the column. */
#include "tools/data/lines.h"
#include "tools/report/message.h"
#include <stdio.h>

/* ---- one after the other ---- */

enum { FIRST_ROOM = 1 << 17, MOST_ROOM = LINE_MOST_BYTES + 2 /* \r\n */ };

static bool grow(line_reader *r, size_t room, rondo_error *error)
{
    char *grown = memory_new(r->bytes.allocator, room);
    if (!grown)
        return fail_memory(error, room, r->bytes.path);
    if (r->buffer)
        memcpy(grown, r->buffer, r->end);
    memory_free(r->bytes.allocator, r->buffer, r->room);
    r->buffer = grown;
    r->room = room;
    return true;
}

bool line_reader_open(line_reader *r, const rondo_allocator *allocator, const char *path, rondo_error *error)
{
    *r = (line_reader){0};
    if (!byte_reader_open(&r->bytes, allocator, path, error))
        return false;
    if (grow(r, FIRST_ROOM, error))
        return true;
    line_reader_close(r);
    return false;
}

void line_reader_close(line_reader *r)
{
    memory_free(r->bytes.allocator, r->buffer, r->room);
    byte_reader_close(&r->bytes);
    *r = (line_reader){.bytes = r->bytes};
}

/* The first byte of the line that is not UTF-8 text or is NUL, and its column; NULL: there is none. */
static const char *find_wrong(const char *line, size_t length, int64_t *column)
{
    const char *at = line, *end = line + length;
    for (*column = 1; at < end; ++*column) {
        const char *here = at;
        if (utf8_next(&at, end) <= 0)
            return here;
    }
    return NULL;
}

static line_found check_text(const line_reader *r, const char *line, size_t length, rondo_error *error)
{
    int64_t column;
    count_text number;
    const char *wrong = find_wrong(line, length, &column);
    if (!wrong)
        return LINE_TEXT;
    count_format(number, r->number);
    if (*wrong)
        fail(error, RONDO_FILE,
             "%s line %s: not UTF-8 (byte 0x%02X at column %lld); convert it, for example: iconv -f latin1 "
             "-t utf-8",
             r->bytes.path, number, (unsigned char)*wrong, (long long)column);
    else
        fail(error, RONDO_FILE,
             "%s line %s: a NUL byte at column %lld, so this is not UTF-8 text; if it is UTF-16: iconv -f "
             "utf-16 -t utf-8",
             r->bytes.path, number, (long long)column);
    return LINE_WRONG;
}

/* A line that does not end is often not text at all; that is the better message. */
static line_found too_long(const line_reader *r, const char *line, size_t length, rondo_error *error)
{
    enum { LAST_CHARACTER = 4 }; /* may be incomplete */
    count_text number, most;
    if (check_text(r, line, length - LAST_CHARACTER, error) == LINE_TEXT)
        fail(error, RONDO_FILE,
             "%s line %s is longer than %s bytes; break it into lines, for example: fold -s -w 1000",
             r->bytes.path, count_format(number, r->number), count_format(most, LINE_MOST_BYTES));
    return LINE_FAILED;
}

/* Reads more into the buffer; *got = 0: the end. False: *error. */
static bool read_on(line_reader *r, size_t *got, rondo_error *error)
{
    if (r->at) {
        memmove(r->buffer, r->buffer + r->at, r->end - r->at);
        r->end -= r->at;
        r->at = 0;
    }
    size_t twice = 2 * r->room < MOST_ROOM + 1 ? 2 * r->room : MOST_ROOM + 1;
    if (r->end + 1 == r->room && !grow(r, twice, error))
        return false;
    if (!byte_reader_read(&r->bytes, r->buffer + r->end, r->room - r->end - 1, got,
                          error)) /* one byte is reserved for NUL */
        return false;
    r->end += *got;
    return true;
}

line_found line_reader_next(line_reader *r, char **line, size_t *length, rondo_error *error)
{
    size_t searched = 0, got = 1;
    char *stop = NULL;
    r->number++;
    while (!(stop = memchr(r->buffer + r->at + searched, '\n', r->end - r->at - searched)) && got) {
        searched = r->end - r->at;
        if (searched >= MOST_ROOM)
            return too_long(r, r->buffer + r->at, searched, error);
        if (!read_on(r, &got, error))
            return LINE_FAILED;
    }
    if (!stop && r->at == r->end)
        return LINE_END;
    char *begin = r->buffer + r->at, *end = stop ? stop : r->buffer + r->end;
    r->at = stop ? (size_t)(stop + 1 - r->buffer) : r->end;
    if (r->number == 1 && end - begin >= 3 && !memcmp(begin, "\xEF\xBB\xBF", 3))
        begin += 3;
    end -= end > begin && end[-1] == '\r';
    *end = 0;
    *line = begin;
    *length = (size_t)(end - begin);
    return *length > LINE_MOST_BYTES ? too_long(r, begin, *length, error)
                                     : check_text(r, begin, *length, error);
}

/* ---- a whole file ---- */

/* Makes room for `bytes`, doubling the block. */
static bool make_room(const lines *l, void **block, size_t *room, size_t used, size_t bytes,
                      rondo_error *error)
{
    size_t larger = *room ? *room : 1 << 16;
    if (bytes <= *room)
        return true;
    while (larger < bytes)
        larger *= 2;
    void *grown = memory_new(l->allocator, larger);
    if (!grown)
        return fail_memory(error, larger, l->path);
    if (used)
        memcpy(grown, *block, used);
    memory_free(l->allocator, *block, *room);
    *block = grown;
    *room = larger;
    return true;
}

/* Appends a line, and the position where the next one begins. */
static bool append(lines *l, const char *line, size_t length, rondo_error *error)
{
    size_t used = (size_t)l->start[l->count], starts = (size_t)(l->count + 1) * sizeof *l->start;
    if (!make_room(l, (void **)&l->text, &l->text_bytes, used, used + length + 1, error) ||
        !make_room(l, (void **)&l->start, &l->start_bytes, starts, starts + sizeof *l->start, error))
        return false;
    memcpy(l->text + used, line, length + 1);
    l->start[++l->count] = (int64_t)(used + length + 1);
    return true;
}

bool lines_read(lines *l, const rondo_allocator *allocator, const char *path, rondo_error *error)
{
    char *line;
    size_t length;
    line_reader r;
    *l = (lines){.allocator = allocator, .path = path};
    if (!line_reader_open(&r, allocator, path, error))
        return false;
    l->path = r.bytes.path;
    line_found found = LINE_TEXT;
    bool good = make_room(l, (void **)&l->start, &l->start_bytes, 0, sizeof *l->start, error) &&
                make_room(l, (void **)&l->text, &l->text_bytes, 0, 1, error);
    while (good && (found = line_reader_next(&r, &line, &length, error)) == LINE_TEXT)
        good = append(l, line, length, error);
    line_reader_close(&r);
    if (good && found == LINE_END)
        return true;
    lines_free(l);
    return false;
}

void lines_free(lines *l)
{
    memory_free(l->allocator, l->text, l->text_bytes);
    memory_free(l->allocator, l->start, l->start_bytes);
    *l = (lines){.allocator = l->allocator, .path = l->path};
}

bool lines_match(const lines *a, const lines *b, rondo_error *error)
{
    count_text in_a, in_b;
    if (a->count == b->count)
        return true;
    return fail(error, RONDO_MISMATCH,
                "%s has %s lines and %s has %s: line i of one must belong to line i of the other", a->path,
                count_format(in_a, a->count), b->path, count_format(in_b, b->count));
}

bool lines_find_field(const char *path, const char *name, char *value, size_t room)
{
    line_reader r;
    char *line;
    size_t length, wanted = strlen(name);
    bool found = false;
    if (!line_reader_open(&r, NULL, path, NULL))
        return false;
    while (!found && line_reader_next(&r, &line, &length, NULL) == LINE_TEXT) {
        const char *colon = strncmp(line, name, wanted) ? NULL : line + wanted + strspn(line + wanted, " \t");
        found = colon && *colon == ':';
        if (found)
            snprintf(value, room, "%s", colon + 1 + strspn(colon + 1, " \t"));
    }
    line_reader_close(&r);
    return found;
}

/* ---- what is in a line ---- */

int64_t words_count(const char *line)
{
    int64_t words = 0;
    for (const char *at = line; *at; words++) {
        at += strspn(at, " \t\n\v\f\r");
        if (!*at)
            break;
        at += strcspn(at, " \t\n\v\f\r");
    }
    return words;
}
