/* Random numbers out of the bits of ops/kernels/dropout_hash.h: one definition for the kernel and the
 * reference. The uniform numbers are exact as floats. */
#pragma once
#include "ops/kernels/dropout_hash.h"
#include <math.h>

/* The second number of a pair comes from the key with its halves exchanged. */
static inline dropout_key random_second(dropout_key row) { return (dropout_key){row.second, row.first}; }

/* In [0, 1): a multiple of 2^−24. */
static inline float random_unit(uint32_t bits) { return (float)(int32_t)(bits >> 8) * 0x1p-24f; }
/* In (0, 1), an odd multiple of 2^−24, so that its logarithm is finite. */
static inline float random_open(uint32_t bits) { return (float)(int32_t)(bits >> 8 | 1) * 0x1p-24f; }

/* By two uniform numbers (Box & Muller 1958). */
static inline double random_normal(double u, double v)
{
    const double two_pi = 6.283185307179586477;
    return sqrt(-2 * log(u)) * cos(two_pi * (v - 0.5));
}
/* Its argmax with logits draws from their softmax (Gumbel 1954). */
static inline double random_gumbel(double u) { return -log(-log(u)); }
