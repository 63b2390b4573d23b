/* LANES vectors as a square matrix, transposed in registers. */
#pragma once
#include "ops/vector/vector.h"

#if defined __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

/* One step of a transpose: rows `low` and `high` = low + distance exchange their off-diagonal blocks. */
#define EACH_4(f, d) f(0, d), f(1, d), f(2, d), f(3, d)
#define EACH_8(f, d) EACH_4(f, d), f(4, d), f(5, d), f(6, d), f(7, d)
#define EACH_16(f, d)                                                                                        \
    EACH_8(f, d), f(8, d), f(9, d), f(10, d), f(11, d), f(12, d), f(13, d), f(14, d), f(15, d)
#define LOW_LANE(i, d)  ((i) & (d) ? LANES + (i) - (d) : (i))
#define HIGH_LANE(i, d) ((i) & (d) ? LANES + (i) : (i) + (d))
#if defined __AVX512F__
#define EACH_LANE EACH_16
#elif defined __AVX2__
#define EACH_LANE EACH_8
#else
#define EACH_LANE EACH_4
#endif
#define EXCHANGE(d)                                                                                          \
    UNROLL for (int i = 0; i < LANES; i++) if (!(i & (d)))                                                   \
    {                                                                                                        \
        vf low = row[i], high = row[i + (d)];                                                                \
        row[i] = __builtin_shufflevector(low, high, EACH_LANE(LOW_LANE, d));                                 \
        row[i + (d)] = __builtin_shufflevector(low, high, EACH_LANE(HIGH_LANE, d));                          \
    }

static inline __attribute__((always_inline)) void v_transpose(vf row[LANES])
{
#if defined __AVX512F__
    EXCHANGE(8)
#endif
#if defined __AVX2__
    EXCHANGE(4)
#endif
    EXCHANGE(2)
    EXCHANGE(1)
}

/* Lane i of the result: the sum of row[i]'s lanes, as the tree of v_sum. */
static inline __attribute__((always_inline)) vf v_sum_rows(vf row[LANES])
{
    v_transpose(row);
    UNROLL for (int width = LANES / 2; width > 0; width /= 2) UNROLL for (int i = 0; i < width; i++) row[i] +=
        row[i + width];
    return row[0];
}
