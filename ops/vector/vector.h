/* Vectors as wide as the instruction set this file is compiled for, on the compilers' vector extensions.
 * Files in ops/vector are compiled once for each set, with INSTRUCTION_SET = base, avx2 or avx512; every
 * function with external linkage is named ISA(name), stands in ops/vector/table.def and is called as
 * vectors()->name(...).
 *
 * Tails run the same code as bodies: v_load_part fills the missing lanes, v_store_part leaves them out.
 * Sums across lanes have a fixed order. */
#pragma once
#include "ops/vector/table.h"
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#if defined __SSE2__
/* masks, maxima, roots and scalef: the extensions lack them, or make slow code */
#include <immintrin.h>
#endif

#ifndef INSTRUCTION_SET
#define INSTRUCTION_SET base
#endif
#define VECTOR_JOIN(name, set)       name##_##set
#define VECTOR_JOIN_AFTER(name, set) VECTOR_JOIN(name, set)
#define ISA(name)                    VECTOR_JOIN_AFTER(name, INSTRUCTION_SET)

#if defined __AVX512F__
enum { LANES = 16 };
#elif defined __AVX2__
enum { LANES = 8 };
#else
enum { LANES = 4 };
#endif

typedef float vf __attribute__((vector_size(4 * LANES)));      /* LANES floats */
typedef int32_t vi __attribute__((vector_size(4 * LANES)));    /* LANES integers, or a mask: lanes 0 or −1 */
typedef uint32_t vu __attribute__((vector_size(4 * LANES)));
typedef double vd __attribute__((vector_size(4 * LANES)));     /* LANES / 2 doubles */
typedef float vf_half __attribute__((vector_size(2 * LANES))); /* LANES / 2 floats */

#define VECTOR(type, name, arguments) type ISA(name) arguments;
#include "ops/vector/table.def"
#undef VECTOR

/* Memory; any alignment. */
static inline vf v_load(const float *from)
{
    vf x;
    memcpy(&x, from, sizeof x);
    return x;
}
static inline void v_store(float *to, vf x) { memcpy(to, &x, sizeof x); }
static inline vi v_load_integers(const int32_t *from)
{
    vi x;
    memcpy(&x, from, sizeof x);
    return x;
}
static inline vf v_splat(float x) { return x - (vf){0}; }
static inline vi v_splat_integer(int32_t x) { return x - (vi){0}; }
static inline vi v_iota(void)
{
    vi x;
    for (int i = 0; i < LANES; i++)
        x[i] = i;
    return x;
}

/* a in the lanes where `mask` is −1, else b. A NaN in the other one does not matter. */
static inline vf v_select(vi mask, vf a, vf b) { return (vf)((mask & (vi)a) | (~mask & (vi)b)); }
static inline vi v_select_integer(vi mask, vi a, vi b) { return (mask & a) | (~mask & b); }
/* a > b ? a : b, so a NaN in either gives b: v_max(limit, x) passes x's NaN on. */
static inline vf v_max(vf a, vf b)
{
#if defined __AVX512F__
    return (vf)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined __AVX2__
    return (vf)_mm256_max_ps((__m256)a, (__m256)b);
#elif defined __SSE2__
    return (vf)_mm_max_ps((__m128)a, (__m128)b);
#else
    return v_select(a > b, a, b);
#endif
}
static inline vf v_min(vf a, vf b)
{
#if defined __AVX512F__
    return (vf)_mm512_min_ps((__m512)a, (__m512)b);
#elif defined __AVX2__
    return (vf)_mm256_min_ps((__m256)a, (__m256)b);
#elif defined __SSE2__
    return (vf)_mm_min_ps((__m128)a, (__m128)b);
#else
    return v_select(a < b, a, b);
#endif
}
/* a · b + c, rounded once where the processor can: for sums whose bits are promised, however the compiler
 * contracts other expressions. */
static inline vf v_multiply_add(vf a, vf b, vf c)
{
#if defined __AVX512F__
    return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined __FMA__
    return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
    return a * b + c;
#endif
}
/* x · factor in the first `count` lanes, x in the others. */
static inline vf v_multiply_first(vf x, vf factor, int count)
{
#if defined __AVX512F__
    return (vf)_mm512_mask_mul_ps((__m512)x, (__mmask16)((1u << count) - 1), (__m512)x, (__m512)factor);
#else
    return v_select(v_iota() < count, x * factor, x);
#endif
}
static inline vf v_sqrt(vf a)
{
#if defined __AVX512F__
    return (vf)_mm512_sqrt_ps((__m512)a);
#elif defined __AVX2__
    return (vf)_mm256_sqrt_ps((__m256)a);
#elif defined __SSE2__
    return (vf)_mm_sqrt_ps((__m128)a);
#else
    for (int i = 0; i < LANES; i++)
        a[i] = __builtin_sqrtf(a[i]);
    return a;
#endif
}
static inline vf v_abs(vf x) { return (vf)((vi)x & 0x7fffffff); }
/* |size| with the sign bit of `sign`; size ≥ 0. */
static inline vf v_with_sign(vf size, vf sign) { return (vf)((vi)size | ((vi)sign & (int32_t)0x80000000)); }
static inline vf v_to_float(vi x) { return __builtin_convertvector(x, vf); }
/* toward zero; only inside i32 */
static inline vi v_to_integer(vf x) { return __builtin_convertvector(x, vi); }

/* The first `count` lanes from memory, `fill` in the others; 0 ≤ count ≤ LANES. Reads nothing beyond. */
static inline vf v_load_part(const float *from, int64_t count, float fill)
{
#if defined __AVX512F__
    return (vf)_mm512_mask_loadu_ps((__m512)v_splat(fill), (__mmask16)((1u << count) - 1), from);
#elif defined __AVX2__
    vi mask = v_iota() < (int32_t)count;
    return v_select(mask, (vf)_mm256_maskload_ps(from, (__m256i)mask), v_splat(fill));
#else
    float lanes[LANES];
    for (int i = 0; i < LANES; i++)
        lanes[i] = i < count ? from[i] : fill;
    return v_load(lanes);
#endif
}
static inline void v_store_part(float *to, int64_t count, vf x)
{
#if defined __AVX512F__
    _mm512_mask_storeu_ps(to, (__mmask16)((1u << count) - 1), (__m512)x);
#elif defined __AVX2__
    _mm256_maskstore_ps(to, (__m256i)(vi)(v_iota() < (int32_t)count), (__m256)x);
#else
    for (int i = 0; i < LANES; i++)
        if (i < count)
            to[i] = x[i];
#endif
}

/* Halves as doubles, for accumulators. */
static inline vd v_double_low(vf x)
{
#if defined __AVX512F__
    return (vd)_mm512_cvtps_pd(_mm512_castps512_ps256((__m512)x));
#elif defined __AVX2__
    return (vd)_mm256_cvtps_pd(_mm256_castps256_ps128((__m256)x));
#else
    vf_half half;
    memcpy(&half, &x, sizeof half);
    return __builtin_convertvector(half, vd);
#endif
}
static inline vd v_double_high(vf x)
{
#if defined __AVX512F__
    return (vd)_mm512_cvtps_pd(_mm512_extractf32x8_ps((__m512)x, 1));
#elif defined __AVX2__
    return (vd)_mm256_cvtps_pd(_mm256_extractf128_ps((__m256)x, 1));
#else
    vf_half half;
    memcpy(&half, (const char *)&x + sizeof half, sizeof half);
    return __builtin_convertvector(half, vd);
#endif
}

/* Doubles rounded to one vector of floats. */
static inline vf v_from_doubles(vd low, vd high)
{
#if defined __AVX512F__
    __m512 x = _mm512_castps256_ps512(_mm512_cvtpd_ps((__m512d)low));
    return (vf)_mm512_insertf32x8(x, _mm512_cvtpd_ps((__m512d)high), 1);
#elif defined __AVX2__
    __m256 x = _mm256_castps128_ps256(_mm256_cvtpd_ps((__m256d)low));
    return (vf)_mm256_insertf128_ps(x, _mm256_cvtpd_ps((__m256d)high), 1);
#else
    vf_half halves[2] = {__builtin_convertvector(low, vf_half), __builtin_convertvector(high, vf_half)};
    vf x;
    memcpy(&x, halves, sizeof x);
    return x;
#endif
}

/* The lanes rotated by half, a quarter, … of a vector, so that lane i is combined with lane i + width/2, i +
 * width/4, …: every reduction across lanes is this tree. */
#if defined __AVX512F__
#define V_FOLD(x, meet) \
    x = meet(x, __builtin_shufflevector(x, x, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7)); \
    x = meet(x, __builtin_shufflevector(x, x, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11)); \
    x = meet(x, __builtin_shufflevector(x, x, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13)); \
    x = meet(x, __builtin_shufflevector(x, x, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14))
#define V_FOLD_DOUBLE(x) \
    x += __builtin_shufflevector(x, x, 4, 5, 6, 7, 0, 1, 2, 3); \
    x += __builtin_shufflevector(x, x, 2, 3, 0, 1, 6, 7, 4, 5)
#elif defined __AVX2__
#define V_FOLD(x, meet) \
    x = meet(x, __builtin_shufflevector(x, x, 4, 5, 6, 7, 0, 1, 2, 3)); \
    x = meet(x, __builtin_shufflevector(x, x, 2, 3, 0, 1, 6, 7, 4, 5)); \
    x = meet(x, __builtin_shufflevector(x, x, 1, 0, 3, 2, 5, 4, 7, 6))
#define V_FOLD_DOUBLE(x) x += __builtin_shufflevector(x, x, 2, 3, 0, 1)
#else
#define V_FOLD(x, meet) \
    x = meet(x, __builtin_shufflevector(x, x, 2, 3, 0, 1)); \
    x = meet(x, __builtin_shufflevector(x, x, 1, 0, 3, 2))
#define V_FOLD_DOUBLE(x) (void)x
#endif
static inline vf v_add(vf a, vf b) { return a + b; }
static inline float v_sum(vf x)
{
    V_FOLD(x, v_add);
    return x[0];
}
static inline float v_largest(vf x)
{
    V_FOLD(x, v_max);
    return x[0];
}
static inline double v_sum_double(vd x)
{
    V_FOLD_DOUBLE(x);
    return x[0] + x[1];
}
/* Any lane of the mask set. */
static inline bool v_any(vi mask)
{
#if defined __AVX512F__
    return _mm512_movepi32_mask((__m512i)mask) != 0;
#else
    int32_t any = 0;
    for (int i = 0; i < LANES; i++)
        any |= mask[i];
    return any != 0;
#endif
}
