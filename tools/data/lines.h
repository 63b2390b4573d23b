/* A text file as lines: plain or .gz, split on \n only, checked to be UTF-8. */
#pragma once
#include "core/memory.h"
#include "core/utf8.h"
#include <string.h>

typedef struct lines {
    const rondo_allocator *allocator;
    const char *path; /* the caller's, for messages */
    char *text;       /* line i: text + start[i], ends in NUL and holds no other */
    int64_t *start;   /* [count + 1] */
    int64_t count;
    size_t text_bytes, start_bytes; /* as allocated */
} lines;

/* Reads all of a file; "-" is standard input. A BOM at the beginning and a \r before \n are dropped.
 * RONDO_FILE: cannot be opened, is not UTF-8 (with line and column, counted in characters), holds a NUL byte,
 * or is a .gz that is cut off. */
bool lines_read(lines *l, const rondo_allocator *allocator, const char *path, rondo_error *error);
void lines_free(lines *l);
/* RONDO_MISMATCH with both counts unless a and b have the same number of lines. */
bool lines_match(const lines *a, const lines *b, rondo_error *error);

static inline const char *lines_get(const lines *l, int64_t i)
{
    return l->text + l->start[i];
}
static inline int64_t lines_length(const lines *l, int64_t i)
{
    return l->start[i + 1] - l->start[i] - 1;
} /* bytes */
int64_t words_count(const char *line); /* parts between spaces, tabs and other ASCII white space */
