/* The settings.yaml of a run: what it was begun with, and what a command line may still change when it goes
 * on. */
#pragma once
#include "tools/options/options.h"

/* Gives *o, as parsed from a command line, what the settings file of its run says wherever the command line
 * is silent. RONDO_MISMATCH names the option that would make it another model than the one begun. */
bool run_settings_adopt(options *o, const char *path, rondo_error *error);
/* The same for a run that begins with the weights of another, whose settings these are: limits, seed and where it
 * comes from are its own. */
bool run_settings_adopt_from(options *o, const char *path, rondo_error *error);
/* Writes all options of *o to path, whole or not at all; names of files in full, so that the run goes on from
 * any folder. */
bool run_settings_write(const options *o, const rondo_allocator *allocator, const char *path,
                        rondo_error *error);
