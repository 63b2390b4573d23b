/* Random attention expressions in ordinary ops, in one of the many ways to write them: operand order,
 * transpositions, masks, scales, normalisers before or after, reshapes, several readers. Everything follows
 * from the seed. */
#pragma once
#include "ops/build.h"

typedef struct attention_case {
    rondo_graph *graph; /* NULL: it could not be made; outputs "y", perhaps "y2" and "n" */
    bool causal, exclusive;
    bool one_scan; /* numerator and denominator are over the same product; no factor has a second sum */
    int contractions; /* of that product with values */
    /* What must be refused: the op that ends the product, and a part of the reason. NULL reason: nothing. */
    op_id refusing;
    const char *reason;
    char story[256]; /* the steps, for the message of a failing test */
} attention_case;

/* What linearize must rewrite. */
attention_case attention_generate(rondo *context, uint64_t seed, rondo_error *error);
/* The same with one step after which the product is not separable. */
attention_case attention_generate_refused(rondo *context, uint64_t seed, rondo_error *error);
