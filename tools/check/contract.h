/* The whole contract of a mixer: what is measured, what it may be, and whether it is. Bounds are those of
 * docs/NUMERICS.md. */
#pragma once
#include "compiler/pipeline.h"
#include "core/team.h"
#include "tools/graphs/layer.h"
#include "tools/graphs/leaves.h"

typedef struct contract_row {
    const char *place, *what; /* "decoder", "parallel = rewritten, f64" */
    double value, bound;
    bool good;
    const char *remark; /* NULL: none */
} contract_row;

typedef struct contract {
    rondo *context;
    const mixer *mixer;
    uint64_t seed;
    arena *arena; /* of the rows, and of everything that is kept */
    rondo_error *error;
    mixer_place place; /* now looked at */
    contract_row *rows;
    int count, capacity;
} contract;

/* Fills rows. False: something could not be measured at all, in *error. */
bool contract_check(contract *k);

/* ---- the parts ---- */
bool check_exact(contract *k);    /* in double precision: rewriting, gradients, padding */
bool check_steps(contract *k);    /* decoders: by ones, all compositions, ragged, states; f64 and f32 */
bool check_kernels(contract *k);  /* f32 against f64, threads, causality, padding */
bool check_sessions(contract *k); /* decoders through rondo_session: prefill, reorder, snapshot, state */

/* ---- what they share ---- */

/* Good if what was measured is at most bound; NaN never is. False: memory was refused. */
bool contract_add(contract *k, const char *what, double measured, double bound);
bool contract_remark(contract *k, const char *remark); /* to the last row */

/* Extents of one case: B, T, S and the width and heads of the layer. */
typedef struct case_shape {
    int64_t batch, time, source, width, heads;
} case_shape;
/* One case at work: a layer, numbers for it, and lengths that leave padding where the place has lengths. */
typedef struct contract_case {
    case_shape shape;
    layer layer;
    leaves leaves;
    arena arena;
    extent extents[3];
} contract_case;
bool case_begin(contract *k, case_shape size, bool trained, contract_case *x);
void case_end(contract_case *x);
void case_lengths(contract_case *x,
                  bool ragged); /* "length" and "rows": all, or shorter from sentence to sentence */
int64_t case_length(const contract_case *x, int64_t sentence); /* rows of y that count */

/* Results of a graph by name, as doubles. Takes the graph, also on failure. */
typedef struct results {
    arena arena;
    const char **names;
    double **data;
    int64_t *counts;
    int count;
} results;
bool run_exact(contract *k, rondo_graph *g, const contract_case *x, results *out);
bool run_kernels(contract *k, rondo_graph *g, const contract_case *x, team *t, results *out);
void results_end(results *r);
const double *results_find(const results *r, const char *name, int64_t *count); /* NULL: not there */

/* rms(a − b) / rms(b) and max|a − b| / rms(b); infinite when a has a NaN. */
typedef struct distance {
    double rms, most;
} distance;
distance distance_of(const double *a, const double *b, int64_t count);
/* The same over the rows of [B, T, width] that count. */
distance distance_rows(const contract_case *x, const double *a, const double *b);
/* The worst over all tensors named "gradient.…" of b; a tensor that is nothing beside the largest is held to
 * the largest. */
distance distance_gradients(const results *a, const results *b);
int64_t count_different(const double *a, const double *b, int64_t count); /* in bits */
static inline distance distance_worse(distance a, distance b)
{
    return (distance){a.rms > b.rms ? a.rms : b.rms, a.most > b.most ? a.most : b.most};
}
double f32_bound(int64_t time); /* 1e-6 · max(1, √(T/1000)): of the rms; the largest may be 10 times that */
