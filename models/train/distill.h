/* Teaching feature maps to weigh as a softmax does (Zhang et al. 2024, "The Hedgehog & the Porcupine",
 * §4.2): the model runs with the softmax attention it was trained with; beside each one, the mixer that
 * will replace it computes its weights from the same queries and keys. */
#pragma once
#include "models/transformer.h"
#include "models/weights.h"

typedef struct lesson {
    rondo_graph *graph;     /* owned by the caller; all parameters except those of feature maps are frozen */
    rondo_value loss;       /* cross-entropy of the weights, mean over queries and heads, in nats */
    rondo_value zero_share; /* share of feature rows that are all 0: attention ignores such a token */
    int parameters;         /* number of trainable parameters; 0: these feature maps have none */
} lesson;
/* shape names the new mixers, `taught` the places to distill. RONDO_ARGUMENT names a mixer there that does
 * not compute weights of keys; *out then has no graph. */
bool lesson_build(rondo *context, const transformer *shape, const bool taught[PLACE_COUNT], lesson *out,
                  rondo_error *error);
/* Copies each parameter that both have; RONDO_MISMATCH: the shapes differ. */
bool weights_copy(rondo_weights *to, const rondo_weights *from, rondo_error *error);
