/* The numbers of a model: one contiguous block, one tensor a parameter, those that are trained before the frozen
 * ones, else in graph order, each on a 64-byte boundary. Gradients and moments have the layout of the trained
 * part, so that optimiser, clipping and checkpoints are linear sweeps. */
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
    int item_count, trained_count; /* of all of them, of the first ones that are trained */
    int64_t size, trained_size;    /* of a block in elements, gaps included; multiples of WEIGHTS_BLOCK */
    float *block;
};
enum { WEIGHTS_BLOCK = 4096 };

/* The layout alone, block NULL; parameters must have literal dims. */
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
/* The trained ones alone: a view, which has nothing of its own. */
static inline rondo_weights weights_trained(const rondo_weights *w)
{
    rondo_weights part = *w;
    part.item_count = w->trained_count;
    part.size = w->trained_size;
    return part;
}
/* Fills each item as its parameter was told to begin. */
void weights_fill(rondo_weights *w, uint64_t seed);
/* Whether an open file holds each weight of w under prefix + name, with its shape and its checksum; names what is missing,
 * does not fit or is damaged. */
bool weights_check(const rondo_weights *w, const safetensors *file, const char *prefix, rondo_error *error);
/* Copies them into `block`, once they have been checked. */
bool weights_read(const rondo_weights *w, const safetensors *file, const char *prefix, float *block, rondo_error *error);
/* As rondo_weights_save, with metadata beside: key, value, key, value, … */
bool weights_save(const rondo_weights *w, const char *path, const char *const *metadata, int pairs, rondo_error *error);
/* The tensors of `block`, named prefix + name; for safetensors_save. */
rondo_tensor *weights_tensors(const rondo_weights *w, arena *a, const char *prefix, float *block);
