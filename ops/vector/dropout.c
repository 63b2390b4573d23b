/* Dropout of one row. */
#include "ops/vector/mathematics.h"

/* y[i] = x[i] · scale where channel + i · channel_step is kept under the row's key (first, second), else 0. y
 * may be x. */
void ISA(dropout_row)(float *y, const float *x, int64_t count, uint32_t first, uint32_t second,
                      uint32_t channel, uint32_t channel_step, uint32_t threshold, float scale)
{
    uint32_t step = channel_step * DROPOUT_CHANNEL;
    vu counter = (vu)v_iota() * step + (channel * DROPOUT_CHANNEL + first);
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES, counter += step * LANES)
        v_store(y + i, v_select(v_dropout_keeps(counter, second, threshold), v_load(x + i) * scale, (vf){0}));
    if (i < count) {
        vf kept = v_select(v_dropout_keeps(counter, second, threshold),
                           v_load_part(x + i, count - i, 0) * scale, (vf){0});
        v_store_part(y + i, count - i, kept);
    }
}
