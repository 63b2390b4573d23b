/* Philox 4×32-10 and what is made of its numbers. */
#include "core/random.h"
#include <math.h>
#include <string.h>

static void philox(const uint32_t counter[4], uint32_t key0, uint32_t key1, uint32_t out[4])
{
    uint32_t x0 = counter[0], x1 = counter[1], x2 = counter[2], x3 = counter[3];
    for (int round = 0; round < 10; round++) {
        uint64_t left = UINT64_C(0xD2511F53) * x0, right = UINT64_C(0xCD9E8D57) * x2;
        x0 = (uint32_t)(right >> 32) ^ x1 ^ key0;
        x1 = (uint32_t)right;
        x2 = (uint32_t)(left >> 32) ^ x3 ^ key1;
        x3 = (uint32_t)left;
        key0 += 0x9E3779B9; /* golden ratio, √3 − 1 */
        key1 += 0xBB67AE85;
    }
    out[0] = x0;
    out[1] = x1;
    out[2] = x2;
    out[3] = x3;
}

void random_block(uint64_t seed, uint32_t site, uint64_t sentence, uint32_t position, uint32_t index,
                  uint32_t out[4])
{
    /* 224 bits go into 192: the upper half of the sentence's number shares a word with the seed's. */
    uint32_t counter[4] = {index, position, (uint32_t)sentence, site};
    philox(counter, (uint32_t)seed, (uint32_t)(seed >> 32) ^ (uint32_t)(sentence >> 32) * 0x9E3779B1u, out);
}

double random_uniform(uint32_t bits)
{
    return bits * 0x1p-32;
}

void random_normal_pair(uint32_t a, uint32_t b, double out[2])
{
    double radius = sqrt(-2 * log((a + 1.0) * 0x1p-32)), angle = b * (0x1p-31 * 3.14159265358979323846);
    out[0] = radius * cos(angle);
    out[1] = radius * sin(angle);
}

/* Numbers 4i … 4i+3 of a fill. */
static void fill_block(uint64_t seed, uint64_t key, int64_t i, uint32_t out[4])
{
    uint32_t counter[4] = {(uint32_t)i, (uint32_t)((uint64_t)i >> 32), (uint32_t)key, (uint32_t)(key >> 32)};
    philox(counter, (uint32_t)seed, (uint32_t)(seed >> 32), out);
}

void random_fill_uniform(float *out, int64_t count, double low, double high, uint64_t seed, uint64_t key)
{
    for (int64_t i = 0; i < count; i += 4) {
        uint32_t bits[4];
        fill_block(seed, key, i / 4, bits);
        for (int j = 0; j < 4 && i + j < count; j++)
            out[i + j] = (float)(low + (high - low) * random_uniform(bits[j]));
    }
}

void random_fill_normal(float *out, int64_t count, double deviation, uint64_t seed, uint64_t key)
{
    for (int64_t i = 0; i < count; i += 4) {
        uint32_t bits[4];
        double normal[4];
        fill_block(seed, key, i / 4, bits);
        random_normal_pair(bits[0], bits[1], normal);
        random_normal_pair(bits[2], bits[3], normal + 2);
        for (int j = 0; j < 4 && i + j < count; j++)
            out[i + j] = (float)(deviation * normal[j]);
    }
}

uint64_t random_key(const char *name)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
    return hash;
}
