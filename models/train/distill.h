/* Teaching feature maps to weigh as a softmax does (Zhang et al. 2024, "The Hedgehog & the Porcupine", §4.2): the
 * model runs with softmax attention where it was trained with it, and beside each such attention stands the mixer
 * that shall take its place, on the same queries and keys. */
#pragma once
#include "models/transformer.h"
#include "models/weights.h"

typedef struct lesson {
    rondo_graph *graph;     /* the caller's; all parameters but those of feature maps are frozen */
    rondo_value loss;       /* cross-entropy from softmax weights to the mixer's, mean over queries and heads, in nats */
    rondo_value zero_share; /* of the rows of features, those that are 0 throughout: such a token is not seen */
    int parameters;         /* how many there are to learn; 0: these feature maps are fixed */
} lesson;
/* shape names the mixers to come; taught: in which places. A mixer there that does not weigh keys by queries is an
 * error that names it; *out has no graph then. */
bool lesson_build(rondo *context, const transformer *shape, const bool taught[PLACE_COUNT], lesson *out, rondo_error *error);
/* Copies what both have under one name, which must have one shape. */
bool weights_copy(rondo_weights *to, const rondo_weights *from, rondo_error *error);
