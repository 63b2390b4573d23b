/* The checksums of what Rondo wrote. */
#pragma once
#include "tools/commands/command.h"

/* Of a file, or of each file of a run's folder: a line for each on standard output. The exit code. */
int check_files(command *c, const char *path);
