/* Randomness without a stream: every draw is a function of what it is for (Philox 4×32-10, Salmon et al., SC
 * 2011). */
#pragma once
#include <stdint.h>

/* Four 32-bit numbers for (seed, site, sentence, position, index). */
void random_block(uint64_t seed, uint32_t site, uint64_t sentence, uint32_t position, uint32_t index,
                  uint32_t out[4]);
double random_uniform(uint32_t bits);                                    /* [0, 1) */
void random_normal_pair(uint32_t a, uint32_t b, double out[2]);          /* Box–Muller */
/* Fills: element i depends on (seed, name hash, i) only. */
void random_fill_uniform(float *out, int64_t count, double low, double high, uint64_t seed, uint64_t key);
void random_fill_normal(float *out, int64_t count, double deviation, uint64_t seed, uint64_t key);
uint64_t random_key(const char *name); /* FNV-1a */
