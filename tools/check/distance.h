/* How far results are from the expected ones. */
#pragma once
#include "tools/check/results.h"

/* rms(a − b) / rms(b) and max|a − b| / rms(b); infinite when a has a NaN. */
typedef struct distance {
    double rms, most;
} distance;
distance distance_of(const double *a, const double *b, int64_t count);
/* The same over the rows of [B, T, width] that are not padding. */
distance distance_rows(const contract_case *x, const double *a, const double *b);
/* The largest distance_beside of all tensors of b named "gradient.…"; infinite if one is missing from a. */
distance distance_gradients(const results *a, const results *b);
static inline distance distance_worse(distance a, distance b)
{
    return (distance){a.rms > b.rms ? a.rms : b.rms, a.most > b.most ? a.most : b.most};
}
/* As one number. In exact arithmetic: the larger of both; in f32: the rms, or a tenth of the maximum if
 * that is larger. */
static inline double distance_exact(distance d) { return d.rms > d.most ? d.rms : d.most; }
static inline double distance_f32(distance d) { return d.rms > d.most / 10 ? d.rms : d.most / 10; }
double f32_bound(int64_t time); /* bound of distance_f32: 1e-6 · max(1, √(T/1000)) */

double rms_of(const double *a, int64_t count);
double largest_gradient(const results *r); /* the largest rms of a tensor named "gradient.…" */
/* The distance of a tensor of this rms; if it is tiny compared with the largest tensor, relative to that
 * one. */
distance distance_beside(distance d, double rms, double largest);
/* number of elements with different bits */
int64_t count_different(const double *a, const double *b, int64_t count);
