/* The kernel choices of programs as text, in the form of a wisdom file: a checkpoint keeps them, so that a
 * resumed run uses the same kernels whatever wisdom it finds. */
#pragma once
#include "compiler/program/program.h"

/* The wisdom that the programs use, and the kernels of their calls so far. NULL programs are skipped. */
void choices_print(text *t, program *const *programs, int count);
