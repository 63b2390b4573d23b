/* The kernel choices of programs as text, in the form of a wisdom file: what a checkpoint keeps, so that a run that goes on takes the
 * same kernels, whatever wisdom there is then. */
#pragma once
#include "compiler/program/program.h"

/* The wisdom that the programs follow, and the kernels of the calls that they have made so far. NULL programs are left out. */
void choices_print(text *t, program *const *programs, int count);
