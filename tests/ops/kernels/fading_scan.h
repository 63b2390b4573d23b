/* Scans with a decay, for tests: operands, the recurrence in double, and the kernel that accepts them.
 *
 *   U_t = e^{g_t} ∘ S_{t−1}      S_t = U_t + k_t v̂_tᵀ      v̂ = (v, 1)
 *
 * Padding is NaN in every operand. */
#pragma once
#include "ops/kernels/recurrent/scan_shape.h"
#include "tests/ops/kernels/kernel_bench.h"

typedef struct fading_case {
    int64_t batch, heads, time, key, value;
    int64_t decay[4];                         /* dims of the log decay; decay[0] 0: there is none */
    double (*gate)(int64_t t, double uniform); /* the log decay of step t, from a number in [0, 1) */
    bool exclusive, denominator, ragged, state, channels; /* channels: heads are adjacent, [B, T, H] */
    int64_t chunk;
} fading_case;

enum { FADING_OPERANDS = 9, FADING_RESULTS = 5 };
typedef struct fading_scan {
    fading_case c;
    int64_t width;
    tensor in[FADING_OPERANDS], out[FADING_RESULTS];
    attribute attributes[3];
    int32_t length[8];
    double *expected[FADING_RESULTS]; /* dense */
} fading_scan;

fading_scan fading_new(fading_case c);
void fading_free(fading_scan *x);
void fading_free_results(fading_scan *x);
/* Makes tensors for the results and runs the first kernel that accepts them, other than the plain one. */
void fading_run(fading_scan *x, bool grad);
/* Fills `expected`. */
void fading_expect(fading_scan *x, bool grad);
/* Each result against what is expected: rms, and the largest difference at ten times that. */
void fading_compare(const fading_scan *x, double bound);
/* New, expected, run, compared, freed. */
void fading_check(fading_case c, bool grad);
float *fading_at(const tensor *t, int64_t b, int64_t h, int64_t i, int64_t j); /* 0 along extents of 1 */
