/* Text as lines: one after the other as they come, or a whole file. Every line of text that the command reads is read
 * here: plain or gzip, split on \n only, checked to be UTF-8, bounded in length. */
#pragma once
#include "core/utf8.h"
#include "tools/data/byte_reader.h"
#include <string.h>

/* A longer line is an error: what is read before its end has to fit into memory, and none would be a sentence. */
#define LINE_MOST_BYTES (1 << 20)

/* ---- one after the other ---- */

typedef struct line_reader {
    byte_reader bytes;
    int64_t number; /* of the line that was read last, from 1 */
    char *buffer;
    size_t at, end, room; /* [at, end) is not handed out yet */
} line_reader;

typedef enum line_found {
    LINE_TEXT,
    LINE_END,    /* there are no more */
    LINE_WRONG,  /* it is not text: *error says where, and the next one may be read */
    LINE_FAILED, /* nothing can be read any more: *error */
} line_found;

/* "-" is standard input. */
bool line_reader_open(line_reader *r, const rondo_allocator *allocator, const char *path, rondo_error *error);
/* The next line, without its \n and a \r before it, and without a BOM before the first; ends in NUL, stays until the next
 * call, and may be changed. RONDO_FILE: it is not UTF-8 or holds a NUL byte (line and column, in characters), it is
 * longer than LINE_MOST_BYTES, or its gzip is damaged or cut off. RONDO_IO, RONDO_MEMORY, RONDO_CANCELLED: as byte_reader_read. */
line_found line_reader_next(line_reader *r, char **line, size_t *length, rondo_error *error);
void line_reader_close(line_reader *r);

/* ---- a whole file ---- */

typedef struct lines {
    const rondo_allocator *allocator;
    const char *path; /* the caller's, for messages */
    char *text;       /* line i: text + start[i], ends in NUL and holds no other */
    int64_t *start;   /* [count + 1] */
    int64_t count;
    size_t text_bytes, start_bytes; /* as allocated */
} lines;

/* All lines of a file; "-" is standard input. Errors as line_reader_next, and RONDO_FILE where it cannot be opened. */
bool lines_read(lines *l, const rondo_allocator *allocator, const char *path, rondo_error *error);
void lines_free(lines *l);
/* RONDO_MISMATCH with both counts unless a and b have the same number of lines. */
bool lines_match(const lines *a, const lines *b, rondo_error *error);

static inline const char *lines_get(const lines *l, int64_t i)
{
    return l->text + l->start[i];
}
static inline int64_t lines_length(const lines *l, int64_t i) /* in bytes */
{
    return l->start[i + 1] - l->start[i] - 1;
}

/* The value of a line "NAME : VALUE" of a short file, such as those in /proc; false: it is not there. */
bool lines_find_field(const char *path, const char *name, char *value, size_t room);

/* ---- what is in a line ---- */

int64_t words_count(const char *line); /* parts between spaces, tabs and other ASCII white space */
