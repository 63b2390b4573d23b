/* Sums, maxima and logsumexp of rows and of columns. Orders depend on positions alone: element i of a row
 * always goes to the same lane and stream. */
#include "ops/vector/mathematics.h"
#include <math.h>

enum { STREAMS = 4, BLOCK = 8 * STREAMS * LANES };

/* In double from the first element on: the mean of equal numbers is that number. */
double ISA(row_sum)(const float *x, int64_t count)
{
    vd sums[STREAMS] = {0};
    int64_t i = 0;
    for (; i + STREAMS * LANES <= count; i += STREAMS * LANES)
        for (int k = 0; k < STREAMS; k++) {
            vf a = v_load(x + i + k * LANES);
            sums[k] += v_double_low(a) + v_double_high(a);
        }
    for (int k = 0; i < count; i += LANES, k++) {
        vf a = count - i < LANES ? v_load_part(x + i, count - i, 0) : v_load(x + i);
        sums[k] += v_double_low(a) + v_double_high(a);
    }
    return v_sum_double((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

/* The largest; NaN if there is one; −inf for an empty row. */
float ISA(row_max)(const float *x, int64_t count)
{
    vf largest = v_splat(-INFINITY);
    vi nan = {0};
    for (int64_t i = 0; i < count; i += LANES) {
        vf a = count - i < LANES ? v_load_part(x + i, count - i, -INFINITY) : v_load(x + i);
        largest = v_max(a, largest);
        nan |= a != a;
    }
    return v_any(nan) ? NAN : v_largest(largest);
}

/* Σ e^(x − largest) over at most BLOCK elements, in float lanes. */
static double exp_sum(const float *x, int64_t count, float largest)
{
    vf sums[STREAMS] = {0};
    int64_t i = 0;
    for (; i + STREAMS * LANES <= count; i += STREAMS * LANES)
        for (int k = 0; k < STREAMS; k++)
            sums[k] += v_exp(v_load(x + i + k * LANES) - largest);
    for (int k = 0; i < count; i += LANES, k++)
        sums[k] +=
            v_exp((count - i < LANES ? v_load_part(x + i, count - i, -INFINITY) : v_load(x + i)) - largest);
    vf sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    return v_sum_double(v_double_low(sum) + v_double_high(sum));
}

/* Float inside blocks of BLOCK elements, double between them. */
float ISA(row_logsumexp)(const float *x, int64_t count)
{
    float largest = ISA(row_max)(x, count);
    if (!(largest < INFINITY && largest > -INFINITY))
        return largest;
    double total = 0;
    for (int64_t at = 0; at < count; at += BLOCK)
        total += exp_sum(x + at, count - at < BLOCK ? count - at : BLOCK, largest);
    return (float)(largest + log(total));
}

/* For j in columns, whole vectors and then the part: i, x → body. */
#define COLUMNS(columns, ...)                                                                                \
    for (int64_t i = 0; i < (columns); i += LANES) {                                                         \
        int64_t lanes = (columns)-i < LANES ? (columns)-i : LANES;                                           \
        __VA_ARGS__                                                                                          \
    }
static inline vf load_lanes(const float *x, int64_t lanes)
{
    return lanes < LANES ? v_load_part(x, lanes, 0) : v_load(x);
}
static inline void store_lanes(float *x, int64_t lanes, vf a)
{
    if (lanes < LANES)
        v_store_part(x, lanes, a);
    else
        v_store(x, a);
}

/* total[j] += Σ over rows x[r · pitch + j], in float, row after row; eight rows a sweep. */
void ISA(columns_sum)(float *total, const float *x, int64_t pitch, int64_t rows, int64_t columns)
{
    for (; rows >= 8; rows -= 8, x += 8 * pitch)
        COLUMNS(columns, {
            vf sum = load_lanes(total + i, lanes);
            for (int r = 0; r < 8; r++)
                sum += load_lanes(x + r * pitch + i, lanes);
            store_lanes(total + i, lanes, sum);
        })
    for (; rows > 0; rows--, x += pitch)
        COLUMNS(columns,
                store_lanes(total + i, lanes, load_lanes(total + i, lanes) + load_lanes(x + i, lanes));)
}

/* total[j] = scale · Σ over parts, in double, part after part. total may be the first part. */
void ISA(columns_combine)(float *total, const float *parts, int64_t pitch, int64_t part_count,
                          int64_t columns, double scale)
{
    COLUMNS(columns, {
        vd low = {0};
        vd high = {0};
        for (int64_t p = 0; p < part_count; p++) {
            vf a = load_lanes(parts + p * pitch + i, lanes);
            low += v_double_low(a);
            high += v_double_high(a);
        }
        float out[LANES];
        for (int k = 0; k < LANES / 2; k++) {
            out[k] = (float)(low[k] * scale);
            out[k + LANES / 2] = (float)(high[k] * scale);
        }
        store_lanes(total + i, lanes, v_load(out));
    })
}

/* largest[j] = the largest of itself and the rows; NaN propagates. */
void ISA(columns_max)(float *largest, const float *x, int64_t pitch, int64_t rows, int64_t columns)
{
    COLUMNS(columns, {
        vf most = load_lanes(largest + i, lanes);
        for (int64_t r = 0; r < rows; r++) {
            vf a = load_lanes(x + r * pitch + i, lanes);
            most = v_select(most == most, v_max(most, a), most);
        }
        store_lanes(largest + i, lanes, most);
    })
}

/* total[j] += Σ over rows e^(x − largest[j]): float over the rows of one call (at most 64), double from call
 * to call. An infinite largest counts as 0. total has room for whole vectors. */
void ISA(columns_exp_sum)(double *total, const float *x, const float *largest, int64_t pitch, int64_t rows,
                          int64_t columns)
{
    COLUMNS(columns, {
        vf most = load_lanes(largest + i, lanes);
        vf sum = {0};
        most = v_select(v_abs(most) == INFINITY, (vf){0}, most);
        for (int64_t r = 0; r < rows; r++)
            sum += v_exp(load_lanes(x + r * pitch + i, lanes) - most);
        vd halves[2];
        memcpy(halves, total + i, sizeof halves);
        halves[0] += v_double_low(sum);
        halves[1] += v_double_high(sum);
        memcpy(total + i, halves, sizeof halves);
    })
}

/* to = largest + log(total); largest itself where it is infinite. */
void ISA(columns_finish_logsumexp)(float *to, const float *largest, const double *total, int64_t columns)
{
    COLUMNS(columns, {
        vf most = load_lanes(largest + i, lanes);
        float sums[LANES];
        for (int k = 0; k < LANES; k++)
            sums[k] = (float)total[i + k];
        vf y = most + v_log(v_load(sums));
        store_lanes(to + i, lanes, v_select(v_abs(most) == INFINITY, most, y));
    })
}

/* One row of a running sum: running[j] += x[j]; to[j] is its value before (exclusive) or after. Running sums
 * are doubles. */
void ISA(columns_cumsum)(float *to, const float *x, double *running, int64_t columns, bool exclusive)
{
    for (int64_t j = 0; j < columns; j++) {
        double before = running[j], after = before + x[j];
        running[j] = after;
        to[j] = (float)(exclusive ? before : after);
    }
}
