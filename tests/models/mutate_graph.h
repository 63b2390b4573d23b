/* Changes to the text of a graph that keep it readable: what somebody who knows the format would try. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum { MUTATE_MOST_LINES = 2000 };
typedef struct mutation {
    char *lines[MUTATE_MOST_LINES]; /* each from malloc */
    int count;
    uint64_t random;
} mutation;

/* Types behind a colon and places are left out, so that what follows from a change is inferred again. */
void mutation_begin(mutation *m, const char *text, uint64_t seed);
uint64_t mutation_random(mutation *m, uint64_t below);
/* One change at random; what was done, for messages. */
const char *mutation_change(mutation *m);
void mutation_exchange(mutation *m, const char *a, const char *b); /* two words throughout */
char *mutation_end(mutation *m); /* the text; the caller frees it */
