/* The matmul peak of the machine, which the speed of training is compared with. */
#pragma once
#include "tools/commands/command.h"
#include "tools/run/folder.h"

/* Flops per second: from the folder of the run if it was measured on this machine, else, with `measure`,
 * measured now and stored there. 0: not known. */
double run_peak(command *c, const run_folder *f, bool measure);
