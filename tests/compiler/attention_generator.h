/* Random attention expressions, written out with ordinary ops in one of the many ways in which they can be:
 * operand order, transpositions, masks, scales, normalisers before or after, reshapes, several readers.
 * Everything follows from the seed. */
#pragma once
#include "ops/build.h"

typedef struct attention_case {
    rondo_graph *graph; /* NULL: it could not be made; outputs "y", perhaps "y2" and "n" */
    bool causal, exclusive;
    bool one_scan; /* numerator and denominator are over the same product, and no second sum hides in a factor
                    */
    int contractions; /* of that product with values */
    /* What must be refused: the op that ends the product, and words of the reason. NULL reason: nothing. */
    op_id refusing;
    const char *reason;
    char story[256]; /* the steps, for a failing test's message */
} attention_case;

/* What linearize must rewrite. */
attention_case attention_generate(rondo *context, uint64_t seed, rondo_error *error);
/* The same with one step in it that no factorisation survives. */
attention_case attention_generate_refused(rondo *context, uint64_t seed, rondo_error *error);
