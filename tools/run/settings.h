/* The settings.yaml of a run: what it was started with, and what may change when it is resumed. */
#pragma once
#include "tools/options/options.h"

/* Completes *o, as parsed from a command line, with the settings file of its run. RONDO_MISMATCH names an
 * option that would make it another model. */
bool run_settings_adopt(options *o, const char *path, rondo_error *error);
/* The same for a run that starts with the weights of another run, whose settings these are; its limits,
 * seed and origin are its own. */
bool run_settings_adopt_from(options *o, const char *path, rondo_error *error);
/* Writes all options of *o to path, whole or not at all; paths are absolute, so that the run can be
 * resumed from any folder. */
bool run_settings_write(const options *o, const rondo_allocator *allocator, const char *path,
                        rondo_error *error);
