/* Finding the row of an option by name, and advice if there is none: "did you mean", "Rondo calls it". */
#pragma once
#include "tools/options/options.h"

int option_named(const char *name, size_t length); /* by its name in the table, for any command; −1: none */
/* The option of this command; −1: *error has the best advice that the table allows. */
int option_find(command_id command, const char *name, size_t length, rondo_error *error);
int option_find_letter(command_id command, const char *word, rondo_error *error);
