/* Signals that ask the command to stop: they are noted, and every long loop of the command checks for
 * them. */
#pragma once
#include "core/status.h"

/* From now on SIGINT, SIGTERM and SIGHUP (unless it is ignored, as under nohup) are noted. A second signal
 * ends the process. */
void signals_begin(void);
/* The number of the signal that asked to stop; 0: none did. */
int signals_caught(void);
/* False, with RONDO_CANCELLED, after a signal has asked to stop. */
bool signals_check(rondo_error *error);

/* For work that cannot check for signals and has nothing to save: until signals_be_noted, a signal ends
 * the process at once. It prints `last_words` on stderr and removes a file and then a folder (NULL: none).
 * The strings are not copied. */
void signals_end_at_once(const char *last_words, const char *file, const char *folder);
void signals_be_noted(void);
