/* Misspelt names: how far one word is from another, and which of the known ones was probably meant. */
#pragma once
#include <stdbool.h>

/* How many letters must be inserted, removed, changed or swapped with their neighbour to make b of a. Words
 * of more than 127 letters are as far from any other as that. */
int word_distance(const char *a, const char *b);

/* Begins as {.word = WORD}; then the known names are offered one after another. */
typedef struct suggestion {
    const char *word;
    /* NULL: none is near: a third of the letters of `word` may be wrong, one to three */
    const char *closest;
    int distance;        /* of the closest */
} suggestion;
void suggestion_offer(suggestion *s, const char *name);
