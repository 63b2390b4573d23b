/* Softmax over a row and its gradient. Sums: float lanes inside a block of 8 vectors a stream, double between
 * blocks. */
#include "ops/vector/mathematics.h"
#include <math.h>

enum { BLOCK = 16 * LANES };

/* y may be x. A row of −inf gives zeros; a NaN anywhere gives NaN everywhere. */
void ISA(softmax_row)(float *y, const float *x, int64_t count)
{
    float largest = ISA(row_max)(x, count);
    if (largest == -INFINITY) {
        ISA(row_fill)(y, 0, count);
        return;
    }
    double total = 0;
    for (int64_t start = 0; start < count; start += BLOCK) {
        int64_t end = start + BLOCK < count ? start + BLOCK : count, i = start;
        vf sum = {0}, other = {0};
        for (; i + 2 * LANES <= end; i += 2 * LANES) {
            vf a = v_exp(v_load(x + i) - largest), b = v_exp(v_load(x + i + LANES) - largest);
            v_store(y + i, a);
            v_store(y + i + LANES, b);
            sum += a;
            other += b;
        }
        for (; i < end; i += LANES) {
            int64_t lanes = end - i < LANES ? end - i : LANES;
            vf a = v_exp(v_load_part(x + i, lanes, -INFINITY) - largest);
            v_store_part(y + i, lanes, a);
            sum += a;
            vf swap = sum;
            sum = other;
            other = swap;
        }
        sum += other;
        total += v_sum_double(v_double_low(sum) + v_double_high(sum));
    }
    float scale = (float)(1 / total);
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES)
        v_store(y + i, v_load(y + i) * scale);
    if (i < count)
        v_store_part(y + i, count - i, v_load_part(y + i, count - i, 0) * scale);
}

/* dx = y (dy − Σ y dy); dx may be dy or y. */
void ISA(softmax_grad_row)(float *dx, const float *y, const float *dy, int64_t count)
{
    double total = 0;
    for (int64_t start = 0; start < count; start += BLOCK) {
        int64_t end = start + BLOCK < count ? start + BLOCK : count;
        vf sum = {0};
        for (int64_t i = start; i < end; i += LANES) {
            int64_t lanes = end - i < LANES ? end - i : LANES;
            sum += v_load_part(y + i, lanes, 0) * v_load_part(dy + i, lanes, 0);
        }
        total += v_sum_double(v_double_low(sum) + v_double_high(sum));
    }
    float inner = (float)total;
    for (int64_t i = 0; i < count; i += LANES) {
        int64_t lanes = count - i < LANES ? count - i : LANES;
        v_store_part(dx + i, lanes, v_load_part(y + i, lanes, 0) * (v_load_part(dy + i, lanes, 0) - inner));
    }
}
