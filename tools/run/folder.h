/* The folder of a run: its files, its lock, and whether there is something to go on with. */
#pragma once
#include "tools/options/options.h"

typedef struct run_folder {
    const char *path, *checkpoint, *best, *settings;
    const char *tokenizer; /* the subwords' file */
    const char *start;     /* weights to begin with, if it is there */
    bool made;                                                   /* by this process, just now */
    bool begun; /* settings.yaml was there: *o has what it says */
    int lock;   /* −1: not held */
} run_folder;

/* Makes the folder that o->output_folder names, or finds the run in it and completes *o from its settings.
 * RONDO_MISMATCH: another process trains there, or the run there is another one than the command line
 * describes. */
bool run_folder_open(run_folder *f, options *o, rondo_error *error);
/* Gives the folder free; one that this process made is removed when no run came of it. */
void run_folder_close(run_folder *f);
bool run_folder_has(const char *path); /* a file of it */
