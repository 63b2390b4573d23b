/* Which elements dropout keeps: a hash of (site, seed, sentence, t, channel), so that masks do not change
 * with padding, batching, gradient accumulation or recomputation. One definition for the kernels, the
 * attention kernels and the reference.
 *
 * Sites, seeds, sentence and t are mixed once a row into 64 bits (Murmur3's finaliser between them); a
 * channel costs two multiplications: channel · odd + first, fold, multiply, + second, fold, multiply, fold.
 *
 * The channel of an element is its index over the axes that are neither the batch (axis 0) nor time, the
 * FIRST of them running fastest: d of [B, T, d]; s · H + h of [B, H, T, s]. So the extent of the last
 * axis, which may be padding, is not part of it. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define DROPOUT_CHANNEL  UINT32_C(0x9e3779b1) /* odd; 2^32 / golden ratio */
/* hash-prospector's pair of multipliers with a low bias: 16, 21f0aaad, 15, d35a2d97, 15. */
#define DROPOUT_MULTIPLY UINT32_C(0x21f0aaad)
#define DROPOUT_AGAIN    UINT32_C(0xd35a2d97)

typedef struct dropout_key {
    uint32_t first, second;
} dropout_key;

static inline uint64_t dropout_mix(uint64_t x)
{
    x ^= x >> 33;
    x *= UINT64_C(0xff51afd7ed558ccd);
    x ^= x >> 33;
    x *= UINT64_C(0xc4ceb9fe1a85ec53);
    return x ^ x >> 33;
}

/* The key of all rows of one sentence at one site. seed: the two numbers of the seed input. */
static inline uint64_t dropout_sentence(int64_t site, int32_t seed0, int32_t seed1, int32_t sentence)
{
    uint64_t key = dropout_mix((uint64_t)(uint32_t)seed0 << 32 | (uint32_t)seed1);
    key = dropout_mix(key + UINT64_C(0x9e3779b97f4a7c15) + (uint64_t)site);
    return dropout_mix(key + UINT64_C(0x9e3779b97f4a7c15) + (uint32_t)sentence);
}
/* The key of the row at time t. */
static inline dropout_key dropout_row(uint64_t sentence_key, int64_t t)
{
    uint64_t key = dropout_mix(sentence_key + UINT64_C(0x9e3779b97f4a7c15) + (uint64_t)t);
    return (dropout_key){(uint32_t)key, (uint32_t)(key >> 32)};
}
/* 32 even bits. */
static inline uint32_t dropout_bits(dropout_key row, uint32_t channel)
{
    uint32_t x = channel * DROPOUT_CHANNEL + row.first;
    x ^= x >> 16;
    x *= DROPOUT_MULTIPLY;
    x += row.second;
    x ^= x >> 15;
    x *= DROPOUT_AGAIN;
    return x ^ x >> 15;
}
/* Kept where dropout_bits ≥ this; a rate of 1 or more drops all but one element in 2^32. */
static inline uint32_t dropout_threshold(double rate)
{
    double scaled = rate * 4294967296.0;
    return scaled >= 4294967295.0 ? UINT32_MAX : scaled > 0 ? (uint32_t)scaled : 0;
}
static inline bool dropout_keeps(dropout_key row, uint32_t channel, uint32_t threshold)
{
    return dropout_bits(row, channel) >= threshold;
}
/* What a kept element is multiplied by; 0 when everything is dropped. */
static inline double dropout_scale(double rate) { return rate < 1 ? 1 / (1 - rate) : 0; }
/* The channel of the element at index[] in a tensor of `rank` axes with extents dims[]; time: the axis of
 * t. */
static inline uint32_t dropout_channel(int rank, const int64_t *dims, const int64_t *index, int time)
{
    uint32_t channel = 0, step = 1;
    for (int i = 1; i < rank; i++)
        if (i != time) {
            channel += (uint32_t)index[i] * step;
            step *= (uint32_t)dims[i];
        }
    return channel;
}
