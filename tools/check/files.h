/* Checks the checksums of files that Rondo wrote. */
#pragma once
#include "tools/commands/command.h"

/* Checks a file, or each file with weights in the folder of a run, and prints a line for each. Returns the
 * exit code. */
int check_files(command *c, const char *path);
