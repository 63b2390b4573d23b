/* Reading text files line by line, with every complaint naming file, line and column. */
#include "tools/data/lines.h"
#include "tools/report/message.h"
#include <errno.h>
#include <unistd.h>
#include <zlib.h>

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

/* The file's bytes, however it is stored, with room for one more. */
static bool read_all(lines *l, gzFile file, size_t *bytes, rondo_error *error)
{
    *bytes = 0;
    for (;;) {
        if (l->text_bytes - *bytes < 2) {
            size_t larger = l->text_bytes ? 2 * l->text_bytes : 1 << 16;
            char *grown = memory_new(l->allocator, larger);
            if (!grown)
                return fail_memory(error, larger, l->path);
            if (l->text)
                memcpy(grown, l->text, *bytes);
            memory_free(l->allocator, l->text, l->text_bytes);
            l->text = grown;
            l->text_bytes = larger;
        }
        size_t room = l->text_bytes - *bytes - 1;
        int got = gzread(file, l->text + *bytes, room < 1 << 30 ? (unsigned)room : 1u << 30);
        if (got > 0) {
            *bytes += (size_t)got;
            continue;
        }
        int code;
        const char *words = gzerror(file, &code);
        if (code == Z_OK || (code == Z_STREAM_END && got == 0))
            return true;
        if (code == Z_BUF_ERROR)
            return fail(error, RONDO_FILE, "%s ends in the middle of its compressed data; fetch it again",
                        l->path);
        if (code == Z_ERRNO)
            return fail(error, errno == EISDIR ? RONDO_FILE : RONDO_IO, "cannot read %s: %s", l->path,
                        strerror(errno));
        return fail(error, RONDO_FILE, "%s is damaged (%s); fetch it again", l->path, words);
    }
}

static bool complain(const lines *l, int64_t line, const char *begin, const char *at, rondo_error *error)
{
    count_text number;
    int64_t column = 1;
    for (const char *p = begin; p < at && utf8_next(&p, at) >= 0;)
        column++;
    count_format(number, line + 1);
    if (*at == 0)
        return fail(error, RONDO_FILE,
                    "%s line %s: a NUL byte at column %lld, so this is no UTF-8 text; if it is UTF-16: iconv "
                    "-f utf-16 -t utf-8",
                    l->path, number, (long long)column);
    return fail(error, RONDO_FILE,
                "%s line %s: not UTF-8 (byte 0x%02X at column %lld); convert it, for example: iconv -f "
                "latin1 -t utf-8",
                l->path, number, (unsigned char)*at, (long long)column);
}

/* Cuts the bytes into lines in place: drops each \r before \n, puts NUL for \n. */
static bool split(lines *l, size_t bytes, rondo_error *error)
{
    const char *at = l->text, *end = l->text + bytes;
    char *out = l->text;
    if (bytes >= 3 && memcmp(at, "\xEF\xBB\xBF", 3) == 0)
        at += 3;
    for (int64_t line = 0; line < l->count; line++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        const char *next = stop ? stop + 1 : end;
        stop = stop ? stop : end;
        stop -= stop > at && stop[-1] == '\r';
        for (const char *p = at; p < stop;) {
            const char *here = p;
            if (utf8_next(&p, stop) <= 0)
                return complain(l, line, at, here, error);
        }
        l->start[line] = out - l->text;
        memmove(out, at, (size_t)(stop - at));
        out += stop - at;
        *out++ = 0; /* never past what was read: there is a \n, or the spare byte at the end */
        at = next;
    }
    l->start[l->count] = out - l->text;
    return true;
}

static int64_t count_lines(const char *data, size_t bytes)
{
    int64_t count = 0;
    const char *at = data, *end = data + bytes;
    for (; at < end; count++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        at = stop ? stop + 1 : end;
    }
    return count;
}

bool lines_read(lines *l, const rondo_allocator *allocator, const char *path, rondo_error *error)
{
    bool standard = strcmp(path, "-") == 0;
    *l = (lines){.allocator = allocator, .path = standard ? "standard input" : path};
    errno = 0;
    gzFile file = standard ? gzdopen(dup(0), "rb") : gzopen(path, "rb");
    if (!file)
        return errno ? fail(error, RONDO_FILE, "cannot open %s: %s", l->path, strerror(errno))
                     : fail_memory(error, 1 << 16, l->path);
    gzbuffer(file, 1 << 17);
    size_t bytes;
    bool good = read_all(l, file, &bytes, error);
    gzclose_r(file);
    if (good) {
        l->count = count_lines(l->text, bytes);
        l->start_bytes = (size_t)(l->count + 1) * sizeof *l->start;
        l->start = memory_new(allocator, l->start_bytes);
        good = l->start ? split(l, bytes, error) : fail_memory(error, l->start_bytes, l->path);
    }
    if (!good)
        lines_free(l);
    return good;
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
