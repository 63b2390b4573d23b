/* Reading and writing options as a settings file: YAML of `name: value`. */
#pragma once
#include "tools/options/options.h"

/* Sets each option in the file, parsed by its own type; options that take several words may have a list.
 * RONDO_ARGUMENT names file and line. */
bool options_read_settings(options *o, const char *path, rondo_error *error);
/* Writes every value of the command as YAML that options_read_settings reads back the same. */
void options_write_settings(const options *o, text *out);
