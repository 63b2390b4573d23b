/* c[m, n] (+)= a[m, k] · b[k, n] for tiles of 16 … 256. Every element is one chain of multiply-adds over k in
 * blocks of DEPTH, so its bits depend on its row of a and its column of b alone, not on where it lies in the
 * tile.
 *
 * a is read one number at a time and may have any strides, so its transpose costs nothing; b and c have
 * padded rows (tile.h). */
#include "ops/vector/tile.h"
#include "ops/vector/transpose.h"

/* Accumulators of one block: ROWS × WIDE vectors, as many as the registers hold next to WIDE of b and one of
 * a. */
#if defined __AVX512F__
enum { ROWS = 8, WIDE = 2 };
#else
enum { ROWS = 4, WIDE = 2 };
#endif
enum { DEPTH = 256 }; /* terms of one chain; WIDE columns of b at this depth stay in L1 */

static inline __attribute__((always_inline)) void block(int rows, int wide, int64_t k, const float *a,
                                                        int64_t a_row, int64_t a_column, const float *b,
                                                        int64_t b_row, float *c, int64_t c_row, bool add)
{
    vf sum[ROWS][WIDE];
    UNROLL for (int i = 0; i < rows; i++) UNROLL for (int j = 0; j < wide; j++) sum[i][j] = (vf){0};
    for (int64_t p = 0; p < k; p++) {
        vf right[WIDE];
        UNROLL for (int j = 0; j < wide; j++) right[j] = v_load(b + p * b_row + j * LANES);
        UNROLL for (int i = 0; i < rows; i++)
        {
            vf left = v_splat(a[i * a_row + p * a_column]);
            UNROLL for (int j = 0; j < wide; j++) sum[i][j] = v_multiply_add(left, right[j], sum[i][j]);
        }
    }
    UNROLL for (int i = 0; i < rows; i++) UNROLL for (int j = 0; j < wide; j++)
    {
        float *to = c + i * c_row + j * LANES;
        v_store(to, add ? v_load(to) + sum[i][j] : sum[i][j]);
    }
}

/* All rows for WIDE (or fewer) vectors of columns. */
#define COLUMN(wide)                                                                                         \
    static void column_##wide(int64_t m, int64_t k, const float *a, int64_t a_row, int64_t a_column,         \
                              const float *b, int64_t b_row, float *c, int64_t c_row, bool add)              \
    {                                                                                                        \
        int64_t i = 0;                                                                                       \
        for (; i + ROWS <= m; i += ROWS)                                                                     \
            block(ROWS, wide, k, a + i * a_row, a_row, a_column, b, b_row, c + i * c_row, c_row, add);       \
        for (; i + 2 <= m; i += 2)                                                                           \
            block(2, wide, k, a + i * a_row, a_row, a_column, b, b_row, c + i * c_row, c_row, add);          \
        for (; i < m; i++)                                                                                   \
            block(1, wide, k, a + i * a_row, a_row, a_column, b, b_row, c + i * c_row, c_row, add);          \
    }
COLUMN(1)
COLUMN(2)

void ISA(tile_product)(int64_t m, int64_t n, int64_t k, const float *a, int64_t a_row, int64_t a_column,
                       const float *b, int64_t b_row, float *c, int64_t c_row, bool add)
{
    int64_t vectors = tile_pitch(n) / LANES;
    for (int64_t p = 0; p < k || (p == 0 && !add); p += DEPTH) {
        int64_t depth = k - p < DEPTH ? k - p : DEPTH;
        const float *left = a + p * a_column, *right = b + p * b_row;
        bool more = add || p > 0;
        int64_t j = 0;
        for (; j + 2 <= vectors; j += 2)
            column_2(m, depth, left, a_row, a_column, right + j * LANES, b_row, c + j * LANES, c_row, more);
        if (j < vectors)
            column_1(m, depth, left, a_row, a_column, right + j * LANES, b_row, c + j * LANES, c_row, more);
    }
}

/* ---- copies into tiles ---- */

static void transpose_square(const float *from, int64_t from_row, int64_t rows, int64_t columns, float *to,
                             int64_t to_row)
{
    vf row[LANES];
    UNROLL for (int i = 0; i < LANES; i++) row[i] = i >= rows ? (vf){0}
                                                    : columns == LANES
                                                        ? v_load(from + i * from_row)
                                                        : v_load_part(from + i * from_row, columns, 0);
    v_transpose(row);
    UNROLL for (int i = 0; i < LANES; i++) if (i < columns) v_store(to + i * to_row, row[i]);
}

void ISA(tile_transpose)(int64_t rows, int64_t columns, const float *from, int64_t from_row,
                         int64_t from_column, float *to, int64_t to_row)
{
    int64_t padded = tile_pitch(rows);
    if (from_column != 1) {
        for (int64_t j = 0; j < columns; j++)
            for (int64_t i = 0; i < padded; i++)
                to[j * to_row + i] = i < rows ? from[i * from_row + j * from_column] : 0;
        return;
    }
    for (int64_t i = 0; i < padded; i += LANES)
        for (int64_t j = 0; j < columns; j += LANES) {
            int64_t wide = columns - j < LANES ? columns - j : LANES;
            int64_t high = rows - i < 0 ? 0 : rows - i < LANES ? rows - i : LANES;
            transpose_square(from + i * from_row + j, from_row, high, wide, to + j * to_row + i, to_row);
        }
}

void ISA(tile_copy)(int64_t rows, int64_t columns, const float *from, int64_t from_row, int64_t from_column,
                    float *to, int64_t to_row)
{
    int64_t padded = tile_pitch(columns), whole = columns / LANES * LANES;
    for (int64_t i = 0; i < rows; i++, from += from_row, to += to_row) {
        if (from_column != 1) {
            for (int64_t j = 0; j < padded; j++)
                to[j] = j < columns ? from[j * from_column] : 0;
            continue;
        }
        int64_t j = 0;
        for (; j < whole; j += LANES)
            v_store(to + j, v_load(from + j));
        for (; j < padded; j += LANES)
            v_store(to + j, j < columns ? v_load_part(from + j, columns - j, 0) : (vf){0});
    }
}

void ISA(tile_store)(int64_t rows, int64_t columns, const float *from, int64_t from_row, float *to,
                     int64_t to_row, int64_t to_column)
{
    for (int64_t i = 0; i < rows; i++, from += from_row, to += to_row) {
        int64_t j = 0;
        if (to_column == 1) {
            for (; j + LANES <= columns; j += LANES)
                v_store(to + j, v_load(from + j));
            if (j < columns)
                v_store_part(to + j, columns - j, v_load(from + j));
            continue;
        }
        for (; j < columns; j++)
            to[j * to_column] = from[j];
    }
}
