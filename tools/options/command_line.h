/* From the words of a command line to the values of its options. */
#pragma once
#include "tools/options/options.h"

/* Reads the words behind the command's name, then the settings file that they name, then presets; checks operands.
 * *o is from options_begin and keeps no pointer to `words`. Errors are RONDO_ARGUMENT (exit code 2). */
bool options_parse(options *o, int count, const char *const *words, rondo_error *error);
