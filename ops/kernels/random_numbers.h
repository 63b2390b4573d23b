/* Random numbers out of the bits of ops/kernels/dropout_hash.h: one definition for the kernels and the
 * reference. */
#pragma once
#include "ops/kernels/dropout_hash.h"
#include <math.h>

typedef double random_rule(dropout_key row, uint32_t channel);

/* In [0, 1), a multiple of 2^−24: exact as a float. */
static inline double random_uniform(dropout_key row, uint32_t channel)
{
    return (dropout_bits(row, channel) >> 8) * 0x1p-24;
}
/* In (0, 1), so that its logarithm is finite. */
static inline double random_open(dropout_key row, uint32_t channel)
{
    return (dropout_bits(row, channel) + 0.5) * 0x1p-32;
}
/* By two uniform numbers, the second from the key with its halves exchanged (Box & Muller 1958). */
static inline double random_normal(dropout_key row, uint32_t channel)
{
    const double two_pi = 6.283185307179586477;
    const dropout_key other = {row.second, row.first};
    return sqrt(-2 * log(random_open(row, channel))) * cos(two_pi * random_open(other, channel));
}
/* Its argmax with logits draws from their softmax (Gumbel 1954). */
static inline double random_gumbel(dropout_key row, uint32_t channel)
{
    return -log(-log(random_open(row, channel)));
}
