/* Small transformers in f32 for tests of sessions, trainers and files. */
#pragma once
#include "models/decode/decoder.h"
#include "models/transformer.h"

enum { SMALL_VOCABULARY = 23, SMALL_SOURCE = 6 };
typedef struct small_model {
    rondo *context;
    transformer_graph built;
    rondo_weights *weights;
    rondo_program *program;
    bool translates;
} small_model;
/* encoder NULL: a language model. Fails the test on any error. */
small_model small_model_new(const char *encoder, const char *decoder, const char *cross, int threads);
void small_model_free(small_model *m);

/* A small transformer with a trainer. */
typedef struct training {
    rondo *context;
    transformer_graph built;
    rondo_weights *weights;
    rondo_trainer *trainer;
} training;
/* Takes the context. Fails the test on any error. */
training training_of(rondo *context, const transformer *shape, float clip, uint64_t seed);
void training_free(training *t);

/* Tokens by place, in [3, SMALL_VOCABULARY): the same for each batch size. */
int32_t small_token(int64_t sentence, int64_t place);
/* Gives a session the sources `first`, first + 1, …; nothing for a language model. */
void small_source(const small_model *m, rondo_session *s, int64_t batch, int64_t first);
rondo_session *small_session(const small_model *m, int64_t batch, int64_t first); /* with its source */
/* Logits [batch, length, V] of the parallel graph; the caller frees them. */
float *small_parallel(const small_model *m, const int32_t *tokens, int64_t batch, int64_t length,
                      int64_t first);

/* rms(a − b) / rms(b) and max|a − b| / rms(b) / 10, the larger. */
double small_difference(const float *a, const float *b, int64_t count);
