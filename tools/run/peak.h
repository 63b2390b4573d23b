/* The matmul peak of the machine, with which the progress of training is compared. */
#pragma once
#include "tools/commands/command.h"
#include "tools/run/folder.h"

/* Flops a second: what the folder of the run says of this machine, else, with `measure`, what is measured now and kept
 * there. 0: not known. */
double run_peak(command *c, const run_folder *f, bool measure);
