/* Parsing a command line. */
#pragma once
#include "tools/options/options.h"

/* Parses the words after the name of the command, then the settings file that they name, then applies
 * presets and checks the operands. *o comes from options_begin and keeps no pointer to `words`. Errors are
 * RONDO_ARGUMENT (exit code 2). */
bool options_parse(options *o, int count, const char *const *words, rondo_error *error);
