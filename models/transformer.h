/* The transformer in parallel form: encoder and decoder, or a decoder alone, with any mixer in the place
 * of each of its three attentions. */
#pragma once
#include "models/mixers/mixer.h"

typedef struct transformer {
    bool language_model; /* a decoder alone */
    int64_t vocabulary, dim, ffn, heads;
    int encoder_layers, decoder_layers;
    bool post_norm, untied;
    const char *encoder_self, *decoder_self, *cross; /* names of mixers */
    float dropout, smoothing;
} transformer;

/* Inputs. Translation: source i32[B,S], source_length i32[B], target_in i32[B,T], target_out i32[B,T];
 * language model: target_in, target_out. Id 0 is padding and no target. */
typedef struct transformer_graph {
    rondo_graph *graph;
    rondo_value logits; /* [B, T, V] */
    rondo_value loss;
} transformer_graph;
/* What replaces an attention: mixer m, or something else on the same tokens. */
typedef rondo_value transformer_mix(void *user, const mixer *m, mixer_place place, rondo_value x,
    rondo_value y,
                                    rondo_value length, int64_t heads);
/* The graph is the caller's. Errors name the option that is wrong. */
bool transformer_build_with(rondo *context, const transformer *shape, transformer_mix *mix, void *user,
                            transformer_graph *out, rondo_error *error);
bool transformer_build(rondo *context, const transformer *shape, transformer_graph *out, rondo_error *error);
#define TRANSFORMER_TIME "T"
