/* Transformers in double precision, for tests of derived decoders: a model of any mixers and sizes, with
 * numbers for every leaf by name, run in parallel form or through the state of a decoder graph. */
#pragma once
#include "compiler/pipeline.h"
#include "models/transformer.h"
#include "ops/interpret.h"

typedef struct sizes {
    int64_t batch, source, time, heads, dim, ffn, vocabulary, capacity;
} sizes;
extern const sizes primes, fours, ones; /* all different · all equal · all 1, as far as a transformer goes */

typedef struct double_model {
    rondo *context;
    transformer shape;
    transformer_graph built;
    sizes n;
    arena numbers;
    double *tokens; /* [B, T], what every leaf "target_in" holds */
    double *logits; /* [B, T, V] of the parallel form as written */
} double_model;

transformer transformer_of(const sizes *n, const char *encoder, const char *decoder, const char *cross,
                           bool post_norm);
/* encoder NULL: a language model. Fails the test on any error. */
double_model double_model_new(transformer shape, const sizes *n, uint64_t seed);
void double_model_free(double_model *m);

/* The numbers of the symbols of g; `step`: of P. */
void double_bound(const double_model *m, const rondo_graph *g, int64_t step, int64_t *bound);
/* The numbers of a leaf, the same in each graph that has it. NULL: a state. */
const double *double_leaf(double_model *m, const rondo_graph *g, const node *leaf, const int64_t *bound);

/* The contents of a graph's ports, by name, from call to call. */
enum { MOST_PORTS = 64 };
typedef struct double_state {
    int count;
    struct {
        char name[96];
        double *data;
        int64_t elements;
        port_kind kind;
        int axis;
    } ports[MOST_PORTS];
} double_state;
void state_free(double_state *s);
/* Runs `advance` (or a step stage, with what earlier stages made in `s`) by `step` tokens of which count[b]
 * count; tokens [B, step]. Carries the ports and returns the output "logits", dense, of *elements numbers;
 * the caller frees it. */
double *double_advance(double_model *m, const rondo_graph *advance, double_state *s, int64_t step,
                       const double *tokens, const double *count, int64_t *elements);
/* Runs a stage and puts its outputs into `s` under their names. NULL graph: does nothing. */
void double_stage(double_model *m, const rondo_graph *stage, double_state *s);
/* Of two tensors: the larger of rms(a − b) / rms(b) and max|a − b| / rms(b) / 10; infinite when not finite.
 */
double double_difference(const double *a, const double *b, int64_t count);
/* Compares the ports after two runs; of caches the `filled` rows that were written. */
double state_difference(const double_state *a, const double_state *b, const double_model *m, int64_t filled);
