/* The folder of a run: its files, its lock, and whether there is a run to resume. */
#pragma once
#include "tools/options/options.h"

typedef struct run_folder {
    const char *path, *checkpoint, *best, *settings;
    const char *previous, *diverged; /* checkpoints too (tools/run/checkpoint.h) */
    const char *tokenizer; /* the subwords */
    const char *start;     /* weights to start with, if the file exists */
    const char *peak;      /* of the machine (tools/run/peak.h) */
    const char *lock_file;
    bool made;  /* by this process, just now */
    bool begun; /* settings.yaml exists and is in *o */
    int lock;   /* −1: not held */
} run_folder;

/* Makes the folder o->output_folder, or finds the run in it and completes *o from its settings.
 * RONDO_MISMATCH: another process trains there, or the command line describes another model than the run. */
bool run_folder_open(run_folder *f, options *o, rondo_error *error);
/* Until signals_be_noted, a signal ends the process at once, and removes the folder if this process made
 * it and it has no run yet: for work before anything is worth saving. */
void run_folder_end_at_once(const run_folder *f);
/* Releases the folder; it is removed if this process made it and it has no run. */
void run_folder_close(run_folder *f);
bool run_folder_has(const char *path); /* whether a file of it exists */
