/* Softmax attention between its tile products: rows of scores become weights and, in the gradient, weights
 * and their gradients become gradients of scores. Also the single query of decoding, which reads keys and
 * values once, in place. Rows end at `limit`; what a tile holds beyond is never used, and becomes zero up to
 * the end of the vector block. */
#include "ops/vector/mathematics.h"
#include "ops/vector/tile.h"
#include "ops/vector/transpose.h"
#include <math.h>

/* e^(score − largest), whose sum is returned; the sum is taken before dropout is applied. */
static inline __attribute__((always_inline)) float exponentials(float *row, int64_t limit, float largest,
                                                                const attention_dropout *d)
{
    int64_t end = tile_pitch(limit);
    vf sum = {0};
    vu counter = {0};
    if (d)
        counter = (vu)v_iota() * d->step + d->counter;
    for (int64_t i = 0; i < end; i += LANES) {
        vi inside = v_iota() < v_splat_integer((int32_t)(limit - i < LANES ? limit - i : LANES));
        vf e = v_select(inside, v_exp(v_load(row + i) - largest), (vf){0});
        sum += e;
        if (d) {
            e = v_select(v_dropout_keeps(counter, d->second, d->threshold), e * d->kept, (vf){0});
            counter += d->step * LANES;
        }
        v_store(row + i, e);
    }
    return v_sum(sum);
}

static inline float row_largest(const float *row, int64_t limit)
{
    vf most = v_splat(-INFINITY);
    int64_t i = 0;
    for (; i + LANES <= limit; i += LANES)
        most = v_max(v_load(row + i), most);
    if (i < limit)
        most = v_max(v_load_part(row + i, limit - i, -INFINITY), most);
    return v_largest(most);
}

static bool any_nan(const float *row, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if (row[i] != row[i])
            return true;
    return false;
}

/* Scores to weights that are still to be divided by the result; *largest: of the scores. A row of −∞ alone
 * gives zeros and 0; NaN propagates. */
float ISA(attention_weights)(float *row, int64_t limit, float *largest, const attention_dropout *dropout)
{
    *largest = row_largest(row, limit);
    if (*largest == -INFINITY && any_nan(row, limit))
        *largest = 0;
    if (*largest == -INFINITY) {
        memset(row, 0, sizeof *row * (size_t)tile_pitch(limit));
        return 0;
    }
    return dropout ? exponentials(row, limit, *largest, dropout) : exponentials(row, limit, *largest, 0);
}

/* y = x · factor */
void ISA(row_scale)(float *y, const float *x, float factor, int64_t count)
{
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES)
        v_store(y + i, v_load(x + i) * factor);
    if (i < count)
        v_store_part(y + i, count - i, v_load_part(x + i, count - i, 0) * factor);
}

float ISA(row_dot)(const float *x, const float *y, int64_t count)
{
    vf sum = {0};
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES)
        sum += v_load(x + i) * v_load(y + i);
    if (i < count)
        sum += v_load_part(x + i, count - i, 0) * v_load_part(y + i, count - i, 0);
    return v_sum(sum);
}

/* The gradient of a row: scores become the weights after dropout, dweights the gradient of the scores: p
 * (keep · dweights − inner), p = e^(score − logsumexp). Both rows become zero from limit to `end`, whole
 * vector blocks. */
void ISA(attention_gradient)(float *scores, float *dweights, int64_t limit, int64_t end, float logsumexp,
                             float inner, const attention_dropout *d)
{
    vu counter = {0};
    if (d)
        counter = (vu)v_iota() * d->step + d->counter;
    for (int64_t i = 0; i < end; i += LANES) {
        int64_t lanes = limit - i < 0 ? 0 : limit - i < LANES ? limit - i : LANES;
        vi inside = v_iota() < v_splat_integer((int32_t)lanes);
        vf p = v_exp(v_load(scores + i) - logsumexp), dp = v_load(dweights + i), met = p;
        if (d) {
            vf keep = v_select(v_dropout_keeps(counter, d->second, d->threshold), v_splat(d->kept), (vf){0});
            counter += d->step * LANES;
            dp *= keep;
            met = p * keep;
        }
        v_store(scores + i, v_select(inside, met, (vf){0}));
        v_store(dweights + i, v_select(inside, p * (dp - inner), (vf){0}));
    }
}

/* ---- decoding: one query against rows of keys, weights against rows of values, each loaded once ---- */

/* scores[s] = q · k_s for LANES keys at a time; q is padded with zeros to whole vectors, scores has room for
 * them. */
void ISA(attention_scores)(float *scores, const float *q, const float *k, int64_t k_row, int64_t limit,
                           int64_t columns)
{
    int64_t whole = columns / LANES * LANES, rest = columns - whole;
    for (int64_t s = 0; s < limit; s += LANES) {
        vf sum[LANES];
        UNROLL for (int j = 0; j < LANES; j++) sum[j] = (vf){0};
        int64_t last = limit - 1 - s; /* past the end, the last key is read again */
        for (int64_t i = 0; i < whole; i += LANES) {
            vf query = v_load(q + i);
            UNROLL for (int j = 0; j < LANES; j++) sum[j] +=
                query * v_load(k + (s + (j < last ? j : last)) * k_row + i);
        }
        if (rest) {
            vf query = v_load(q + whole);
            UNROLL for (int j = 0; j < LANES; j++) sum[j] +=
                query * v_load_part(k + (s + (j < last ? j : last)) * k_row + whole, rest, 0);
        }
        v_store(scores + s, v_sum_rows(sum));
    }
}

/* out[0 … columns) = Σ_s weights[s] v_s */
void ISA(attention_mix)(float *out, const float *weights, const float *v, int64_t v_row, int64_t limit,
                        int64_t columns)
{
    int64_t column = 0;
    for (; column + 4 * LANES <= columns; column += 4 * LANES) {
        vf sum[4] = {{0}};
        for (int64_t s = 0; s < limit; s++)
            for (int j = 0; j < 4; j++)
                sum[j] += weights[s] * v_load(v + s * v_row + column + j * LANES);
        for (int j = 0; j < 4; j++)
            v_store(out + column + j * LANES, sum[j]);
    }
    for (; column < columns; column += LANES) {
        int64_t lanes = columns - column < LANES ? columns - column : LANES;
        vf sum[2] = {{0}};
        for (int64_t s = 0; s < limit; s++)
            sum[s & 1] += weights[s] * v_load_part(v + s * v_row + column, lanes, 0);
        v_store_part(out + column, lanes, sum[0] + sum[1]);
    }
}
