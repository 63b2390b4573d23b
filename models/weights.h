/* The weights of a model in one contiguous block: one tensor per parameter, trained ones before frozen
 * ones, otherwise in graph order, each on a 64-byte boundary. Gradients and moments have the layout of the
 * trained part, so that optimiser, clipping and checkpoints are linear sweeps. */
#pragma once
#include "core/safetensors.h"
#include "ops/op.h"
#include <string.h>

typedef struct weight {
    const char *name;
    int rank;
    int64_t dims[MAX_RANK];
    int64_t offset, count; /* elements */
    parameter_initial initial;
} weight;

struct rondo_weights {
    rondo *context;
    arena arena;
    weight *items;
    int item_count, trained_count; /* all; those at the front that are trained */
    int64_t size, trained_size;    /* of a block in elements, gaps included; multiples of WEIGHTS_BLOCK */
    float *block;
};
enum { WEIGHTS_BLOCK = 4096 };

/* The layout only, with block NULL; parameters must have literal dims. */
rondo_weights *weights_layout(const rondo_graph *g, rondo_error *error);
bool weights_allocate(rondo_weights *w, rondo_error *error);
/* NULL: no such parameter. */
static inline const weight *weights_find(const rondo_weights *w, const char *name)
{
    for (int i = 0; w && i < w->item_count; i++)
        if (!strcmp(w->items[i].name, name))
            return &w->items[i];
    return NULL;
}
/* A view of the trained weights; it owns nothing. */
static inline rondo_weights weights_trained(const rondo_weights *w)
{
    rondo_weights part = *w;
    part.item_count = w->trained_count;
    part.size = w->trained_size;
    return part;
}
/* Fills each item with the initial values of its parameter. */
void weights_fill(rondo_weights *w, uint64_t seed);
/* Checks that an open file has each weight of w under prefix + name, with the right shape and checksum.
 * RONDO_MISMATCH or RONDO_FILE names the tensor that is missing, does not fit or is damaged. */
bool weights_check(const rondo_weights *w, const safetensors *file, const char *prefix, rondo_error *error);
/* Copies them into `block`; weights_check has succeeded before. */
bool weights_read(const rondo_weights *w, const safetensors *file, const char *prefix, float *block,
                  rondo_error *error);
/* rondo_weights_save with additional metadata: key, value, key, value, … */
bool weights_save(const rondo_weights *w, const char *path, const char *const *metadata, int pairs,
                  rondo_error *error);
/* The tensors of `block`, named prefix + name; for safetensors_save. */
rondo_tensor *weights_tensors(const rondo_weights *w, arena *a, const char *prefix, float *block);
