/* From a name to a row of the option table, and the answer when there is none: "did you mean", "Rondo calls
 * it". */
#pragma once
#include "tools/options/options.h"

int option_named(const char *name, size_t length); /* by Rondo's own name, whatever the command; −1: none */
/* The option of this command; −1 fills *error with the best advice that the table has. */
int option_find(command_id command, const char *name, size_t length, rondo_error *error);
int option_find_letter(command_id command, const char *word, rondo_error *error);
