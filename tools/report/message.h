/* Messages of the command, all in one form, and its exit codes. Messages go to stderr, data to stdout. */
#pragma once
#include "rondo.h"

typedef enum exit_code {
    EXIT_DONE = 0,
    EXIT_MACHINE = 1,  /* the machine failed: memory, disk, a broken pipe */
    EXIT_USE = 2,      /* wrong use: an unknown option, a value out of range */
    EXIT_DATA = 3,     /* wrong data: a text that cannot be used */
    EXIT_MODEL = 4,    /* a wrong or damaged model */
    EXIT_DIVERGED = 5, /* the loss is not finite; the last good checkpoint is kept */
    EXIT_EXPECTED = 6, /* an --expect was missed */
    EXIT_SIGNAL = 128  /* + n: stopped by signal n; what was trained is saved */
} exit_code;

/* "rondo COMMAND: ..." and a newline; command NULL: "rondo: ...". */
void message(const char *command, const char *format, ...) RONDO_FORMAT(2, 3);
/* The same, and returns `code`, so that a command can end with `return message_fail(...)`. */
int message_fail(const char *command, exit_code code, const char *format, ...) RONDO_FORMAT(3, 4);
/* Prints *error. Failures of the machine and of the caller have their own codes; everything else is
 * `otherwise`: EXIT_DATA if a corpus was read, EXIT_MODEL if a model was read. */
int message_error(const char *command, const rondo_error *error, exit_code otherwise);
/* Says that there is no command of this name; near: the closest name, or NULL. EXIT_USE. */
int message_no_command(const char *name, const char *near);
/* Flushes stdout. EXIT_DONE, or a message and EXIT_MACHINE if not everything could be written (disk full,
 * broken pipe). */
int message_finish_output(const char *command);

/* 10412 → "10,412", whatever the locale. Returns `out`. */
typedef char count_text[32];
const char *count_format(count_text out, int64_t count);
