/* The simplest translator: the target of the most similar source. A baseline that a model should beat. */
#pragma once
#include "tools/data/lines.h"

typedef struct translation_memory translation_memory;
/* Indexes the n-grams of up to three words of every line; keeps no pointer to `source`. */
translation_memory *translation_memory_new(const rondo_allocator *allocator, const lines *source,
                                           rondo_error *error);
/* The most similar line: shared n-grams relative to all of both (Dice); of several the first, and line 0
 * if no n-gram is shared. *similarity (NULL: not wanted) is in [0, 1]. False: RONDO_MEMORY. */
bool translation_memory_find(translation_memory *m, const char *line, int64_t *found, double *similarity,
                             rondo_error *error);
void translation_memory_free(translation_memory *m);
