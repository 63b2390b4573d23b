/* What the command needs of a trainer beyond rondo.h: its programs for reports, and metadata of its own in a checkpoint. */
#pragma once
#include "compiler/program/program.h"

/* As rondo_trainer_save and _load; pairs: key, value, key, value, …; kept beside the trainer's own. */
bool trainer_save(const rondo_trainer *t, const char *path, const char *const *metadata, int pairs, rondo_error *error);
/* The forward and backward program, and the matmul-like work of its last run in floating-point operations. */
const program *trainer_program(const rondo_trainer *t);
double trainer_flops(const rondo_trainer *t);
int64_t trainer_batches(const rondo_trainer *t); /* forward and backward runs so far, those before a resume included */
/* Seconds spent in each node of that program since profiling began; by node id. NULL: refused. */
double *trainer_profile(rondo_trainer *t, rondo_error *error);
