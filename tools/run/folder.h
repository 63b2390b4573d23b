/* The folder of a run: its files, its lock, and whether there is something to go on with. */
#pragma once
#include "tools/options/options.h"

typedef struct run_folder {
    const char *path, *checkpoint, *best, *settings;
    const char *tokenizer; /* the subwords' file */
    const char *start;     /* weights to begin with, if it is there */
    const char *peak;      /* of the machine (tools/run/peak.h) */
    const char *lock_file;
    bool made;  /* by this process, just now */
    bool begun; /* settings.yaml is there, and *o has what it says */
    int lock;   /* −1: not held */
} run_folder;

/* Makes the folder that o->output_folder names, or finds the run in it and completes *o from its settings.
 * RONDO_MISMATCH: another process trains there, or the run there is another one than the command line
 * describes. */
bool run_folder_open(run_folder *f, options *o, rondo_error *error);
/* Until signals_be_noted, a signal ends the process at once, and removes a folder that this process made and that holds
 * no run yet: for work before which there is nothing to save. */
void run_folder_end_at_once(const run_folder *f);
/* Releases the folder; one that this process made is removed if no run came of it. */
void run_folder_close(run_folder *f);
bool run_folder_has(const char *path); /* a file of it */
