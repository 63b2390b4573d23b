/* Options as a settings file: YAML of `name: value`. */
#pragma once
#include "tools/options/options.h"

/* Sets each option of the file, read by its own type; lists for options that take several words. RONDO_ARGUMENT
 * names file and line. */
bool options_read_settings(options *o, const char *path, rondo_error *error);
/* Every value of the command as YAML that options_read_settings reads back the same. False: memory was refused. */
bool options_write_settings(const options *o, text *out);
