/* The checkpoints of a run. checkpoint.safetensors is the last state that was saved; whether it is a good one shows only when
 * the next update computes its loss. previous.safetensors is the last one of which this is known, kept for when training
 * diverges. */
#pragma once
#include "core/safetensors.h"
#include "models/tokenizer/tokenizer.h"
#include "models/train/trainer.h"
#include "tools/run/folder.h"

/* What the command keeps in a checkpoint beside what the trainer does. */
typedef struct checkpoint_facts {
    double seconds;           /* of training */
    double best_nll;          /* on the validation text; NAN: none yet */
    int64_t best_update;      /* 0: not known */
    int64_t epoch, index;     /* the next batch; −1: not known, which a checkpoint of an older version leaves it */
    double lowest_nll;        /* of training, smoothed; INFINITY: not known */
    uint64_t data;            /* run_data_mark of what it is trained on */
} checkpoint_facts;

typedef struct checkpoints {
    const run_folder *folder;
    const rondo_allocator *allocator;
    int64_t saved; /* the update of checkpoint.safetensors; −1: there is none */
    bool proven;   /* an update since then found the loss as it should be */
} checkpoints;

/* Continues from the checkpoint, which is there: the trainer's state, and the facts in it. RONDO_FILE: one of them cannot be;
 * RONDO_MISMATCH: it was trained with another tokenizer. */
bool checkpoint_load(checkpoints *c, rondo_trainer *t, const tokenizer *tokenizer, checkpoint_facts *facts,
                     rondo_error *error);
/* RONDO_MISMATCH: the weights in this file were trained with another tokenizer than t. A file that does not know is
 * believed. */
bool checkpoint_check_tokenizer(const rondo_allocator *a, const char *path, const tokenizer *t, rondo_error *error);
/* Weights alone, which know their tokenizer. */
bool checkpoint_save_weights(const rondo_weights *w, const tokenizer *t, const char *path, rondo_error *error);

/* Saves the state after `update`; the checkpoint before becomes the previous one if it has proven good. */
bool checkpoint_save(checkpoints *c, const rondo_trainer *t, const tokenizer *tokenizer, const checkpoint_facts *facts,
                     int64_t update, rondo_error *error);
/* After each update: whether the loss was as it should be, which speaks for the state that was saved before. */
void checkpoint_judge(checkpoints *c, bool good);
/* Training has diverged: a checkpoint that has not proven good becomes diverged.safetensors, and the previous one takes its
 * place. Leaves in `saved` where training can continue. False: a file could not be renamed or read. */
bool checkpoint_roll_back(checkpoints *c, rondo_error *error);
