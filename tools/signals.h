/* Signals that ask the command to stop: they are noted, and every long loop of the command looks for them. */
#pragma once
#include "core/status.h"

/* Notes SIGINT, SIGTERM and, unless it is ignored as under nohup, SIGHUP from now on. A second signal ends the process. */
void signals_begin(void);
/* The number of the signal that asked to stop; 0: none did. */
int signals_caught(void);
/* False, with RONDO_CANCELLED, once a signal has asked to stop. */
bool signals_check(rondo_error *error);

/* For work that cannot look for signals and has nothing to lose: between these two calls the first one ends the process,
 * after printing `last_words` on stderr, and removing a file and then a folder (NULL: none). The texts stay where they are. */
void signals_end_at_once(const char *last_words, const char *file, const char *folder);
void signals_be_noted(void);
