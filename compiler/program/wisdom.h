/* Wisdom: which kernel won where it was measured (`rondo tune`). A text file, one choice a line:
 *
 *     # rondo wisdom 1
 *     softmax 64x4x32x32 softmax_onednn
 *
 * an op, the extents of its operands with its whole-number attributes, and the name of one of the op's
 * kernels, which is the rest of the line. */
#pragma once
#include "ops/op.h"

#define WISDOM_HEADER "# rondo wisdom 1"
enum { WISDOM_KEY_BYTES = 320 };

typedef struct choice {
    int op;
    const char *key;
    const kernel *kernel;
} choice;
struct wisdom {
    choice *choices; /* sorted by op and key */
    int count, capacity;
};

/* "2048x256,256x1024;0,1,0": what a choice depends on. False: the key does not fit, so there is no wisdom for
 * the call. */
bool wisdom_key(const kernel_call *call, char key[WISDOM_KEY_BYTES]);
/* Reads the file that context->wisdom names, once; does nothing if there is no name. Any thread may call it.
 * RONDO_IO: it cannot be read; RONDO_FILE: a line cannot be read; the message has its number. */
bool wisdom_load(rondo *context, rondo_error *error);
/* Parses such a text, which is modified; the result lives in the arena. where: the name for messages.
 * missing: NULL, or counts the choices of ops and kernels that this version lacks, which are then skipped.
 * NULL: it failed, and the error is set. */
const struct wisdom *wisdom_read(arena *a, char *content, const char *where, int *missing,
                                 rondo_error *error);
/* The kernel to try first; NULL: no choice for this call. w may be NULL. */
const kernel *wisdom_choice(const struct wisdom *w, const kernel_call *call);
int choice_compare(const choice *a, const choice *b); /* by op and key */
