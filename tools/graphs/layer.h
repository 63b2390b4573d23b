/* One mixer alone, as a graph, for `rondo check` and `rondo bench attention`. */
#pragma once
#include "models/mixers/mixer.h"

extern const char *const place_names[PLACE_COUNT]; /* "decoder" */

/* y = mixer(x, …): f32[B,T,width]. x, and for cross-attention memory f32[B,S,width], are parameters when
 * trained (so that they get gradients) and inputs otherwise, under the same names. Encoder and
 * cross-attention take "length" i32[B]. The loss is the sum of y · direction over the rows below "rows"
 * i32[B]. */
typedef struct layer {
    rondo_graph *graph; /* the caller's */
    rondo_value y, loss;
} layer;
/* Turns the f32 inputs of that name (NULL: all) into parameters, so that differentiating gives their
 * gradients. */
void train_inputs(rondo_graph *g, const char *name);
bool layer_build(rondo *context, const mixer *m, mixer_place place, int64_t width, int64_t heads,
                 bool trained, layer *out, rondo_error *error);
