/* Text as lines: one after the other as they arrive, or a whole file. All text that the command reads is
 * read here: plain or gzip, split on \n only, checked to be UTF-8, with lines of bounded length. */
#pragma once
#include "core/arena.h"
#include "core/utf8.h"
#include "tools/data/byte_reader.h"
#include <string.h>

/* A longer line is an error: a line must fit into memory before it can be used. */
#define LINE_MOST_BYTES (1 << 20)

/* ---- one after the other ---- */

typedef struct line_reader {
    byte_reader bytes;
    int64_t number; /* of the last line, from 1 */
    char *buffer;
    size_t at, end, room; /* bytes [at, end) are not consumed yet */
} line_reader;

typedef enum line_found {
    LINE_TEXT,
    LINE_END,    /* the end */
    LINE_WRONG,  /* not text: *error says where, and the next line may be read */
    LINE_FAILED, /* reading cannot continue: *error */
} line_found;

/* "-" is standard input. */
bool line_reader_open(line_reader *r, const rondo_allocator *allocator, const char *path, rondo_error *error);
/* The next line, without its \n and a \r before it, and without a BOM before the first. It ends in NUL, is
 * valid until the next call, and may be modified. RONDO_FILE: it is not UTF-8 or contains a NUL byte (the
 * message has line and column, in characters), it is longer than LINE_MOST_BYTES, or the gzip is damaged
 * or truncated. Other errors as byte_reader_read. */
line_found line_reader_next(line_reader *r, char **line, size_t *length, rondo_error *error);
void line_reader_close(line_reader *r);

/* ---- a whole file ---- */

typedef struct lines {
    const rondo_allocator *allocator;
    const char *path; /* for messages: the caller's, or "standard input" */
    char *text;       /* line i: text + start[i]; it ends in NUL and contains no other */
    int64_t *start;   /* [count + 1] */
    int64_t count;
    size_t text_bytes, start_bytes; /* as allocated */
} lines;

/* Reads all lines of a file; "-" is standard input. Errors as line_reader_next, and RONDO_FILE if the file
 * cannot be opened. */
bool lines_read(lines *l, const rondo_allocator *allocator, const char *path, rondo_error *error);
void lines_free(lines *l);
/* False, with RONDO_MISMATCH and both counts, unless a and b have the same number of lines. */
bool lines_match(const lines *a, const lines *b, rondo_error *error);

static inline const char *lines_get(const lines *l, int64_t i)
{
    return l->text + l->start[i];
}
static inline int64_t lines_length(const lines *l, int64_t i) /* in bytes */
{
    return l->start[i + 1] - l->start[i] - 1;
}

/* The value of a line "NAME: VALUE" in a short file, such as those in /proc; false: there is no such line. */
bool lines_find_field(const char *path, const char *name, char *value, size_t room);

/* ---- what is in a line ---- */

int64_t words_count(const char *line); /* separated by spaces, tabs and other ASCII white space */
