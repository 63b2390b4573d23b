/* What the command needs of a trainer beyond rondo.h: its programs for reports, and metadata of its own in
 * a checkpoint. */
#pragma once
#include "compiler/program/instance.h"

/* rondo_trainer_save with additional metadata: key, value, …; it replaces a key of the trainer. */
bool trainer_save(const rondo_trainer *t, const char *path, const char *const *metadata, int pairs,
                  rondo_error *error);
/* The forward and backward program, and the floating-point operations of matrix products in its last run. */
const program *trainer_program(const rondo_trainer *t);
double trainer_flops(const rondo_trainer *t);
/* Forward and backward passes so far, including those before a resume. */
int64_t trainer_batches(const rondo_trainer *t);
/* Seconds spent in each node of that program since the first call, by node id. NULL: RONDO_MEMORY. */
double *trainer_profile(rondo_trainer *t, rondo_error *error);
