/* A text that grows in an arena, and numbers as text in the C locale. */
#pragma once
#include "core/arena.h"

/* An addition that is refused memory leaves the text failed for good, so additions need no check of their
 * own: text_done is asked at the end. Nothing else reads `content`. */
typedef struct text {
    arena *arena;
    char *content;
    size_t length, capacity;
    bool failed;
} text;
/* numbers in the C locale always: use text_number */
void text_add(text *t, const char *format, ...) RONDO_FORMAT(2, 3);
void text_number(text *t, double number); /* shortest form that reads back the same */
void text_cut(text *t, size_t length);    /* takes back what was added beyond this length */
void text_fail(text *t);                  /* as if an addition had been refused */
/* All of it, "" if nothing was added; NULL: an addition was refused. Good until the next addition. */
const char *text_done(const text *t) __attribute__((warn_unused_result));
/* Reads a number in the C locale whatever the host's; *end past it. False: no number there. */
bool parse_number(const char *text, const char **end, double *number);
