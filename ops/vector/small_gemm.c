/* c = a · op(b) for few rows and for small tiles: weights are streamed once, and nothing is set up. Columns
 * are cut into stripes of some vectors, k in blocks of GEMM_BLOCK. A stripe's block is read in place, or
 * first copied to a small buffer when b is transposed or its columns end inside a vector. Up to ROWS rows at
 * a time keep their sums in registers. Each element is one chain of multiply-adds in the order of k, a block
 * at a time: docs/GEMM.md. */
#include "ops/vector/mathematics.h"
#include "ops/vector/vector.h"

#define ALWAYS static inline __attribute__((always_inline))
#if defined __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

/* ROWS × VECTORS sums, VECTORS of b and one of a fill the registers. AHEAD: rows of b that are prefetched. */
#if defined __AVX512F__
enum { ROWS = 6, VECTORS = 4 };
#else
enum { ROWS = 6, VECTORS = 2 };
#endif
enum { STRIPE = VECTORS * LANES, AHEAD = 6 };

typedef struct block {
    const float *a;
    int64_t a_row, a_column;
    int64_t k;
    const float *b;
    int64_t ldb;
    bool add;
    float *c;
    int64_t ldc;
    int64_t columns; /* of c; b has all lanes of their vectors */
} block;

/* `rows` rows and `vectors` vectors of columns. */
ALWAYS void tile(const int rows, const int vectors, const block *p, int64_t first)
{
    const float *a = p->a + first * p->a_row, *b = p->b;
    int64_t a_row = p->a_row, a_column = p->a_column, ldb = p->ldb;
    vf sum[ROWS][VECTORS];
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < vectors; v++) sum[r][v] = (vf){0};
    for (int64_t i = 0; i < p->k; i++, a += a_column, b += ldb) {
        vf x[VECTORS];
        UNROLL for (int v = 0; v < vectors; v++)
        {
            __builtin_prefetch(b + AHEAD * ldb + v * LANES);
            x[v] = v_load(b + v * LANES);
        }
        UNROLL for (int r = 0; r < rows; r++)
        {
            vf y = v_splat(a[r * a_row]);
            UNROLL for (int v = 0; v < vectors; v++) sum[r][v] = v_multiply_add(y, x[v], sum[r][v]);
        }
    }
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < vectors; v++)
    {
        float *to = p->c + (first + r) * p->ldc + v * LANES;
        int64_t left = p->columns - v * LANES;
        if (left >= LANES)
            v_store(to, p->add ? v_load(to) + sum[r][v] : sum[r][v]);
        else
            v_store_part(to, left, p->add ? v_load_part(to, left, 0) + sum[r][v] : sum[r][v]);
    }
}

/* All rows for some vectors of columns, in groups of nearly equal height. */
#define STRIPE_OF(vectors)                                                                                   \
    static void stripe_##vectors(int64_t m, const block *p)                                                  \
    {                                                                                                        \
        int64_t groups = (m + ROWS - 1) / ROWS, done = 0;                                                    \
        for (; groups > 0; groups--) {                                                                       \
            int64_t rows = (m - done + groups - 1) / groups;                                                 \
            switch (rows) {                                                                                  \
            case 1:                                                                                          \
                tile(1, vectors, p, done);                                                                   \
                break;                                                                                       \
            case 2:                                                                                          \
                tile(2, vectors, p, done);                                                                   \
                break;                                                                                       \
            case 3:                                                                                          \
                tile(3, vectors, p, done);                                                                   \
                break;                                                                                       \
            case 4:                                                                                          \
                tile(4, vectors, p, done);                                                                   \
                break;                                                                                       \
            case 5:                                                                                          \
                tile(5, vectors, p, done);                                                                   \
                break;                                                                                       \
            default:                                                                                         \
                tile(6, vectors, p, done);                                                                   \
                break;                                                                                       \
            }                                                                                                \
            done += rows;                                                                                    \
        }                                                                                                    \
    }
STRIPE_OF(1)
STRIPE_OF(2)
#if defined __AVX512F__
STRIPE_OF(3)
STRIPE_OF(4)
#endif

static void stripe(int64_t m, const block *p)
{
    switch ((p->columns + LANES - 1) / LANES) {
    case 1:
        stripe_1(m, p);
        break;
#if defined __AVX512F__
    case 2:
        stripe_2(m, p);
        break;
    case 3:
        stripe_3(m, p);
        break;
    default:
        stripe_4(m, p);
        break;
#else
    default:
        stripe_2(m, p);
        break;
#endif
    }
}

/* ---- copies of b ---- */

/* In each four lanes: a0 b0 a1 b1, and a2 b2 a3 b3. */
#if defined __AVX512F__
#define LOW(a, b)  __builtin_shufflevector(a, b, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29)
#define HIGH(a, b) __builtin_shufflevector(a, b, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31)
#elif defined __AVX2__
#define LOW(a, b)  __builtin_shufflevector(a, b, 0, 8, 1, 9, 4, 12, 5, 13)
#define HIGH(a, b) __builtin_shufflevector(a, b, 2, 10, 3, 11, 6, 14, 7, 15)
#else
#define LOW(a, b)  __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define HIGH(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#endif

/* Four numbers from each of the rows at b, b + 4 ldb, b + 8 ldb, …, LANES / 4 of them. */
ALWAYS vf fours(const float *b, int64_t ldb)
{
#if defined __AVX512F__
    __m512 x = _mm512_castps128_ps512(_mm_loadu_ps(b));
    x = _mm512_insertf32x4(x, _mm_loadu_ps(b + 4 * ldb), 1);
    x = _mm512_insertf32x4(x, _mm_loadu_ps(b + 8 * ldb), 2);
    return (vf)_mm512_insertf32x4(x, _mm_loadu_ps(b + 12 * ldb), 3);
#elif defined __AVX2__
    return (vf)_mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(b)), _mm_loadu_ps(b + 4 * ldb), 1);
#else
    (void)ldb;
    return v_load(b);
#endif
}

/* to[4, LANES] from b[LANES, 4]. */
ALWAYS void transpose_fours(const float *b, int64_t ldb, float *to, int64_t to_row)
{
    vf x0 = fours(b, ldb), x1 = fours(b + ldb, ldb), x2 = fours(b + 2 * ldb, ldb),
       x3 = fours(b + 3 * ldb, ldb);
    vf even = LOW(x0, x2), odd = LOW(x1, x3);
    v_store(to, LOW(even, odd));
    v_store(to + to_row, HIGH(even, odd));
    even = HIGH(x0, x2), odd = HIGH(x1, x3);
    v_store(to + 2 * to_row, LOW(even, odd));
    v_store(to + 3 * to_row, HIGH(even, odd));
}

/* to[k, LANES] from b[LANES, k]. */
ALWAYS void transpose_lanes(const float *b, int64_t ldb, int64_t k, float *to, int64_t to_row)
{
    int64_t i = 0;
    for (; i + LANES <= k; i += LANES)
        UNROLL for (int four = 0; four < LANES; four += 4)
            transpose_fours(b + i + four, ldb, to + (i + four) * to_row, to_row);
    for (; i < k; i++)
        for (int64_t c = 0; c < LANES; c++)
            to[i * to_row + c] = b[c * ldb + i];
}

/* to[k, STRIPE] from b[columns, k]; columns up to a whole vector are 0. */
static void pack_transposed(const float *b, int64_t ldb, int64_t columns, int64_t k, float *to)
{
    int64_t j = 0;
    for (; j + LANES <= columns; j += LANES)
        transpose_lanes(b + j * ldb, ldb, k, to + j, STRIPE);
    for (int64_t i = 0; j < columns && i < k; i++)
        for (int64_t c = 0; c < LANES; c++)
            to[i * STRIPE + j + c] = j + c < columns ? b[(j + c) * ldb + i] : 0;
}

/* to[columns, rows] from from[rows, columns]. */
void ISA(gemm_transpose)(int64_t rows, int64_t columns, const float *from, int64_t from_row, float *to,
                         int64_t to_row)
{
    int64_t j = 0;
    for (; j + LANES <= rows; j += LANES)
        transpose_lanes(from + j * from_row, from_row, columns, to + j, to_row);
    for (; j < rows; j++)
        for (int64_t i = 0; i < columns; i++)
            to[i * to_row + j] = from[j * from_row + i];
}

/* to[k, STRIPE] from b[k, columns]; likewise. */
static void pack(const float *b, int64_t ldb, int64_t columns, int64_t k, float *to)
{
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = 0; j < columns; j += LANES) {
            int64_t left = columns - j < LANES ? columns - j : LANES;
            v_store(to + i * STRIPE + j, v_load_part(b + i * ldb + j, left, 0));
        }
}

void ISA(small_gemm)(const small_product *p)
{
    float packed[GEMM_BLOCK * STRIPE] __attribute__((aligned(64)));
    for (int64_t j = 0; j < p->n; j += STRIPE) {
        int64_t columns = p->n - j < STRIPE ? p->n - j : STRIPE;
        for (int64_t i = 0; i < p->k; i += GEMM_BLOCK) {
            int64_t k = p->k - i < GEMM_BLOCK ? p->k - i : GEMM_BLOCK;
            const float *b = p->b + (p->transpose_b ? j * p->ldb + i : i * p->ldb + j);
            bool copy = p->transpose_b || columns % LANES;
            if (p->transpose_b)
                pack_transposed(b, p->ldb, columns, k, packed);
            else if (copy)
                pack(b, p->ldb, columns, k, packed);
            stripe(p->m, &(block){p->a + i * p->a_column, p->a_row, p->a_column, k, copy ? packed : b,
                                  copy ? STRIPE : p->ldb, p->add || i, p->c + j, p->ldc, columns});
        }
    }
}

/* ---- what follows a product ---- */

/* The functions of the elementwise ops, with the same bits. */
ALWAYS vf activate(vf x, int activation)
{
    switch (activation) {
    case 1:
        return v_max(v_splat(0), x);
    case 2:
        return 0.5f * x * (1.0f + v_erf(x * 0.707106781f));
    case 3:
        return x / (1.0f + v_exp(-x));
    default:
        return x;
    }
}

ALWAYS void finish_row(float *c, int64_t columns, const float *bias, int activation)
{
    for (int64_t j = 0; j < columns; j += LANES) {
        int64_t left = columns - j;
        vf x = left >= LANES ? v_load(c + j) : v_load_part(c + j, left, 0);
        if (bias)
            x += left >= LANES ? v_load(bias + j) : v_load_part(bias + j, left, 0);
        x = activate(x, activation);
        if (left >= LANES)
            v_store(c + j, x);
        else
            v_store_part(c + j, left, x);
    }
}

void ISA(gemm_rows_finish)(float *c, int64_t ldc, int64_t rows, int64_t columns, const float *bias,
                           int activation)
{
    for (int64_t i = 0; i < rows; i++, c += ldc)
        switch (activation) {
        case 1:
            finish_row(c, columns, bias, 1);
            break;
        case 2:
            finish_row(c, columns, bias, 2);
            break;
        case 3:
            finish_row(c, columns, bias, 3);
            break;
        default:
            finish_row(c, columns, bias, 0);
            break;
        }
}
