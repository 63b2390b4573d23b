/* Depthwise convolution along the rows of a tile, and the gradient of its weights. Columns are independent;
 * each element is one chain over the taps, so its bits do not depend on where its row lies in the tile. */
#include "ops/vector/tile.h"
#include "ops/vector/vector.h"

/* y[r] = Σ_i weight[i] ∘ x[r + i], i < taps: x has rows + taps − 1 rows. A negative weight_row reverses the
 * taps. */
void ISA(convolve_tile)(int64_t rows, int64_t columns, int64_t taps, const float *x, int64_t x_row,
                        const float *weight, int64_t weight_row, float *y, int64_t y_row)
{
    for (int64_t j = 0; j < columns; j += LANES)
        for (int64_t r = 0; r < rows; r++) {
            vf sum = {0};
            for (int64_t i = 0; i < taps; i++)
                sum =
                    v_multiply_add(v_load(weight + i * weight_row + j), v_load(x + (r + i) * x_row + j), sum);
            v_store(y + r * y_row + j, sum);
        }
}

/* `several` taps from this one on, of one vector of columns. */
static inline __attribute__((always_inline)) void weights_of(int several, int64_t rows, const float *x,
                                                             int64_t x_row, const float *dy, int64_t dy_row,
                                                             float *dweight, int64_t dweight_row)
{
    vf sum[4] = {0};
    for (int64_t r = 0; r < rows; r++) {
        vf gradient = v_load(dy + r * dy_row);
        for (int i = 0; i < several; i++)
            sum[i] = v_multiply_add(gradient, v_load(x + (r + i) * x_row), sum[i]);
    }
    for (int i = 0; i < several; i++)
        v_store(dweight + i * dweight_row, v_load(dweight + i * dweight_row) + sum[i]);
}

/* dweight[i] += Σ_r dy[r] ∘ x[r + i]: one chain over the rows of this tile, then one addition. */
void ISA(convolve_tile_weights)(int64_t rows, int64_t columns, int64_t taps, const float *x, int64_t x_row,
                                const float *dy, int64_t dy_row, float *dweight, int64_t dweight_row)
{
    for (int64_t j = 0; j < columns; j += LANES) {
        int64_t i = 0;
        for (; i + 4 <= taps; i += 4)
            weights_of(4, rows, x + i * x_row + j, x_row, dy + j, dy_row, dweight + i * dweight_row + j,
                       dweight_row);
        for (; i < taps; i++)
            weights_of(1, rows, x + i * x_row + j, x_row, dy + j, dy_row, dweight + i * dweight_row + j,
                       dweight_row);
    }
}
