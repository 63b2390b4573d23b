/* Results of measurements: one JSON object per line, or lines for people. The numbers are kept for
 * --expect. */
#pragma once
#include "tools/commands/command.h"
#include "tools/report/expect.h"

typedef enum report_unit { UNIT_NUMBER, UNIT_COUNT, UNIT_SECONDS, UNIT_BYTES, UNIT_SHARE } report_unit;
typedef struct report {
    arena *arena;
    bool json, compact; /* compact: for people, one line per result */
    text line;          /* of the result that is being written */
    measured *numbers;  /* of all results */
    int count, capacity;
} report;

void report_begin(report *r, const char *format, ...) RONDO_FORMAT(2, 3); /* the result's name */
void report_number(report *r, const char *key, double number,
                   report_unit unit); /* key as in JSON, in lower_case */
void report_text(report *r, const char *key, const char *words);
/* Prints the result. False: out of memory at some time since report_begin. */
bool report_end(report *r, rondo_error *error);
/* Flushes stdout and checks --expect; if several results have a number of that name, the first counts.
 * Returns the exit code. */
int report_exit_code(report *r, const command *c);
