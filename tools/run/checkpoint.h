/* The checkpoints of a run. checkpoint.safetensors is the last state that was saved; only the loss of a
 * later update shows whether it is good. previous.safetensors is the last one that has proved good, kept in
 * case training diverges. */
#pragma once
#include "core/safetensors.h"
#include "models/tokenizer/tokenizer.h"
#include "models/train/trainer.h"
#include "tools/run/folder.h"
#include "tools/run/measures.h"

/* What the command stores in a checkpoint in addition to the trainer. */
typedef struct checkpoint_facts {
    double seconds;       /* of training */
    double best_nll;      /* on the validation text; NAN: none yet */
    int64_t best_update;  /* 0: not known */
    int64_t epoch, index; /* the next batch; −1: not known (in checkpoints of older versions) */
    double lowest_nll;    /* of training, smoothed; INFINITY: not known */
    uint64_t data;        /* run_data_mark of the training data */
    measures measured;    /* by the last validation of this process; saved for information */
} checkpoint_facts;

typedef struct checkpoints {
    const run_folder *folder;
    const rondo_allocator *allocator;
    int64_t saved; /* the update of checkpoint.safetensors; −1: there is none */
    bool proven;   /* an update since then had a normal loss */
} checkpoints;

/* Loads the checkpoint, which exists: the state of the trainer, and the facts. RONDO_FILE: damaged, or an
 * impossible fact; RONDO_MISMATCH: it was trained with another tokenizer. */
bool checkpoint_load(checkpoints *c, rondo_trainer *t, const tokenizer *tokenizer, checkpoint_facts *facts,
                     rondo_error *error);
/* RONDO_MISMATCH: the weights in this file were trained with another tokenizer than t. A file without the
 * checksum of a tokenizer passes. */
bool checkpoint_check_tokenizer(const rondo_allocator *a, const char *path, const tokenizer *t,
                                rondo_error *error);
/* Saves weights alone, with the checksum of their tokenizer. */
bool checkpoint_save_weights(const rondo_weights *w, const tokenizer *t, const char *path,
                             rondo_error *error);

/* Saves the state after `update`; the last checkpoint becomes the previous one if it has proved good. */
bool checkpoint_save(checkpoints *c, const rondo_trainer *t, const tokenizer *tokenizer,
                     const checkpoint_facts *facts, int64_t update, rondo_error *error);
/* To be called after each update. good: its loss was normal, so the state that was saved last is good. */
void checkpoint_judge(checkpoints *c, bool good);
/* After training has diverged: a checkpoint that has not proved good becomes diverged.safetensors, and the
 * previous one takes its place. c->saved is then the update from which training can resume. False: a file
 * could not be renamed or read. */
bool checkpoint_roll_back(checkpoints *c, rondo_error *error);
