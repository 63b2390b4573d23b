/* --expect NAME>=X: unless the measured number is as stated, the command exits with a code of its own. */
#pragma once
#include "tools/report/message.h"
#include "tools/options/options.h"

typedef struct measured {
    const char *name;
    double value;
} measured;

/* A wish is "NAME OP X", with OP one of >=, <=, >, < and X a number or another name. EXIT_DONE: all are
 * met; EXIT_EXPECTED: each one that was missed was reported; EXIT_USE: one is malformed or names a number
 * that was not measured. */
int expect_check(const char *command, const option_list *wishes, const measured *numbers, int count);
