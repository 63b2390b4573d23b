/* One row of logits: its cross entropy with a smoothed label and, if wanted, the gradient. Sums: float lanes
 * inside a block, double between blocks. */
#include "ops/vector/mathematics.h"
#include <math.h>

enum { BLOCK = 16 * LANES };

/* Adds the bias in place; the largest. NaN comes out as NaN. */
static float add_bias(float *x, const float *bias, int64_t count)
{
    vf most = v_splat(-INFINITY);
    for (int64_t i = 0; i < count; i += LANES) {
        int64_t lanes = count - i < LANES ? count - i : LANES;
        vf row = v_load_part(x + i, lanes, -INFINITY);
        if (bias) {
            row += v_load_part(bias + i, lanes, 0);
            v_store_part(x + i, lanes, row);
        }
        most = v_max(most, row);
    }
    return v_largest(most);
}

/* Σ e^(x − largest); the exponentials go to `to` unless that is NULL. */
static double exponentials(float *to, const float *x, float largest, int64_t count)
{
    double total = 0;
    for (int64_t start = 0; start < count; start += BLOCK) {
        int64_t end = start + BLOCK < count ? start + BLOCK : count, i = start;
        vf sum = {0};
        for (; i + LANES <= end; i += LANES) {
            vf e = v_exp(v_load(x + i) - largest);
            sum += e;
            if (to)
                v_store(to + i, e);
        }
        if (i < end) {
            vf e = v_exp(v_load_part(x + i, end - i, -INFINITY) - largest);
            sum += e;
            if (to)
                v_store_part(to + i, end - i, e);
        }
        total += v_sum_double(v_double_low(sum) + v_double_high(sum));
    }
    return total;
}

/* e · factor − even, added to the columns' sums too. */
static void finish(float *x, float *column_sums, float factor, float even, int64_t count)
{
    for (int64_t i = 0; i < count; i += LANES) {
        int64_t lanes = count - i < LANES ? count - i : LANES;
        vf gradient = v_load_part(x + i, lanes, 0) * factor - even;
        v_store_part(x + i, lanes, gradient);
        if (column_sums)
            v_store_part(column_sums + i, lanes, v_load_part(column_sums + i, lanes, 0) + gradient);
    }
}

/* With p the softmax: loss = log Σ e^(x − largest) + (1 − ε) (largest − hit) + ε (largest − mean), whose
 * terms are not negative; the target's own gradient is taken as p − 1 = −Σ others / Σ, which does not cancel.
 */
void ISA(loss_row)(const loss_row_work *w, double sums[2])
{
    float largest = add_bias(w->x, w->bias, w->count);
    double smoothing = w->smoothing, even = smoothing / (double)w->count;
    double mean = smoothing > 0 ? ISA(row_sum)(w->x, w->count) / (double)w->count : 0;
    double below = (double)largest - (double)w->x[w->target];
    double total = exponentials(w->gradient, w->x, largest, w->count);
    sums[0] +=
        log(total) + (1 - smoothing) * below + (smoothing > 0 ? smoothing * ((double)largest - mean) : 0);
    sums[1] += log(total) + below;
    if (!w->gradient)
        return;
    double own = (((double)w->gradient[w->target] - total) / total + smoothing - even) * w->scale;
    float before = w->column_sums ? w->column_sums[w->target] : 0;
    finish(w->gradient, w->column_sums, (float)(w->scale / total), (float)(even * w->scale), w->count);
    w->gradient[w->target] = (float)own;
    if (w->column_sums)
        w->column_sums[w->target] = before + (float)own;
}

/* out = parts[0] + parts[1] + …, in order; parts are `pitch` numbers apart. */
void ISA(sum_lanes)(float *out, const float *parts, int64_t pitch, int64_t lanes, int64_t count)
{
    for (int64_t i = 0; i < count; i += LANES) {
        int64_t wide = count - i < LANES ? count - i : LANES;
        vf sum = v_load_part(parts + i, wide, 0);
        for (int64_t lane = 1; lane < lanes; lane++)
            sum += v_load_part(parts + lane * pitch + i, wide, 0);
        v_store_part(out + i, wide, sum);
    }
}
