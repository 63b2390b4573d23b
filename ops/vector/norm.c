/* Layer norm and RMS norm of one row, and their gradients. Means are sums of float lanes inside blocks and of
 * doubles between them; the variance is taken around the mean in a second sweep over the row, which is in L1
 * by then. */
#include "ops/vector/mathematics.h"
#include <math.h>

enum { BLOCK = 16 * LANES };

static inline vf load_at(const float *x, int64_t i, int64_t count)
{
    return count - i < LANES ? v_load_part(x + i, count - i, 0) : v_load(x + i);
}
static inline void store_at(float *x, int64_t i, int64_t count, vf a)
{
    if (count - i < LANES)
        v_store_part(x + i, count - i, a);
    else
        v_store(x + i, a);
}
/* The lanes of `a` that lie inside the row, 0 in the others. */
static inline vf inside(vf a, int64_t i, int64_t count)
{
    return count - i < LANES ? v_select(v_iota() < (int32_t)(count - i), a, (vf){0}) : a;
}
static inline double double_sum(vf a)
{
    return v_sum_double(v_double_low(a) + v_double_high(a));
}

static double squares_around(const float *x, float mean, int64_t count)
{
    double total = 0;
    for (int64_t start = 0; start < count; start += BLOCK) {
        int64_t end = start + BLOCK < count ? start + BLOCK : count;
        vf sums[2] = {0};
        for (int64_t i = start, k = 0; i < end; i += LANES, k ^= 1) {
            vf a = inside(load_at(x, i, count) - mean, i, count);
            sums[k] += a * a;
        }
        total += double_sum(sums[0] + sums[1]);
    }
    return total;
}

/* statistics: mean, 1 / √(variance + ε). y may be x. */
void ISA(layer_norm_row)(float *y, float *statistics, const float *x, const float *gain, const float *bias,
                         int64_t count, double epsilon)
{
    float mean = (float)(ISA(row_sum)(x, count) / (double)count);
    float scale = (float)(1 / sqrt(squares_around(x, mean, count) / (double)count + epsilon));
    statistics[0] = mean;
    statistics[1] = scale;
    for (int64_t i = 0; i < count; i += LANES)
        store_at(y, i, count,
                 (load_at(x, i, count) - mean) * scale * load_at(gain, i, count) + load_at(bias, i, count));
}

/* With n = (x − mean) · scale and g = dy · gain: dx = scale (g − mean(g) − n mean(g n)); dgain += dy n; dbias
 * += dy. */
void ISA(layer_norm_grad_row)(float *dx, float *dgain, float *dbias, const float *x, const float *gain,
                              float mean, float scale, const float *dy, int64_t count)
{
    double total = 0, total_n = 0;
    for (int64_t start = 0; start < count; start += BLOCK) {
        int64_t end = start + BLOCK < count ? start + BLOCK : count;
        vf sum = {0}, sum_n = {0};
        for (int64_t i = start; i < end; i += LANES) {
            vf n = (load_at(x, i, count) - mean) * scale, d = load_at(dy, i, count),
               g = d * load_at(gain, i, count);
            store_at(dgain, i, count, load_at(dgain, i, count) + d * n);
            store_at(dbias, i, count, load_at(dbias, i, count) + d);
            sum += g;
            sum_n += g * n;
        }
        total += double_sum(sum);
        total_n += double_sum(sum_n);
    }
    float mean_g = (float)(total / (double)count), mean_gn = (float)(total_n / (double)count);
    for (int64_t i = 0; i < count; i += LANES) {
        vf n = (load_at(x, i, count) - mean) * scale, g = load_at(dy, i, count) * load_at(gain, i, count);
        store_at(dx, i, count, scale * (g - mean_g - n * mean_gn));
    }
}

/* statistics: 1 / √(mean of squares + ε). y may be x. */
void ISA(rms_norm_row)(float *y, float *statistics, const float *x, const float *gain, int64_t count,
                       double epsilon)
{
    float scale = (float)(1 / sqrt(squares_around(x, 0, count) / (double)count + epsilon));
    statistics[0] = scale;
    for (int64_t i = 0; i < count; i += LANES)
        store_at(y, i, count, load_at(x, i, count) * scale * load_at(gain, i, count));
}

/* With n = x · scale and g = dy · gain: dx = scale (g − n mean(g n)); dgain += dy n. */
void ISA(rms_norm_grad_row)(float *dx, float *dgain, const float *x, const float *gain, float scale,
                            const float *dy, int64_t count)
{
    double total = 0;
    for (int64_t start = 0; start < count; start += BLOCK) {
        int64_t end = start + BLOCK < count ? start + BLOCK : count;
        vf sum = {0};
        for (int64_t i = start; i < end; i += LANES) {
            vf n = load_at(x, i, count) * scale, d = load_at(dy, i, count);
            store_at(dgain, i, count, load_at(dgain, i, count) + d * n);
            sum += d * load_at(gain, i, count) * n;
        }
        total += double_sum(sum);
    }
    float mean_gn = (float)(total / (double)count);
    for (int64_t i = 0; i < count; i += LANES) {
        vf n = load_at(x, i, count) * scale, g = load_at(dy, i, count) * load_at(gain, i, count);
        store_at(dx, i, count, scale * (g - n * mean_gn));
    }
}
