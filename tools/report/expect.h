/* --expect NAME>=X: a number that was measured must be as stated, or the command ends with its own exit code. */
#pragma once
#include "tools/report/message.h"
#include "tools/options/options.h"

typedef struct measured {
    const char *name;
    double value;
} measured;

/* Wishes are "NAME OP X" with OP one of >=, <=, >, < and X a number or another name. EXIT_DONE: all are met;
 * EXIT_EXPECTED: each missed one was named; EXIT_USE: one is malformed or names what was not measured. */
int expect_check(const char *command, const option_list *wishes, const measured *numbers, int count);
