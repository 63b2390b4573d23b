/* The contract of a mixer: what is measured, its bound, and whether it holds. The bounds are those of
 * docs/NUMERICS.md. */
#pragma once
#include "models/mixers/mixer.h"

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
    arena *arena; /* owns the rows */
    rondo_error *error;
    mixer_place place; /* that is being checked */
    contract_row *rows;
    int count, capacity;
} contract;

/* Fills rows. False: something could not be measured, see *error. */
bool contract_check(contract *k);

/* ---- its parts, one file each ---- */
bool check_exact(contract *k);    /* in double precision: rewriting, gradients, padding */
/* decoders: one token at a time, all compositions, ragged, states; f64 and f32 */
bool check_steps(contract *k);
bool check_kernels(contract *k);  /* f32 against f64, threads, causality, padding */
bool check_sessions(contract *k); /* decoders through rondo_session: prefill, reorder, snapshot, state */

/* Adds a row, which is good if measured is at most bound; NaN never is. False: out of memory. */
bool contract_add(contract *k, const char *what, double measured, double bound);
bool contract_remark(contract *k, const char *remark); /* to the last row */
