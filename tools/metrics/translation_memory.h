/* The simplest translator: the target of the most similar source. A baseline that a model has to beat. */
#pragma once
#include "tools/data/lines.h"

typedef struct translation_memory translation_memory;
/* Indexes the words, pairs and triples of words of every line; keeps nothing of `source`. */
translation_memory *translation_memory_new(const rondo_allocator *allocator, const lines *source,
                                           rondo_error *error);
/* The line most like `line`: shared n-grams over all of both (Dice); the first of several, line 0 when none
 * shares any. *similarity (NULL: not wanted) is in [0, 1]. False: RONDO_MEMORY. */
bool translation_memory_find(translation_memory *m, const char *line, int64_t *found, double *similarity,
                             rondo_error *error);
void translation_memory_free(translation_memory *m);
