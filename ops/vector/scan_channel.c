/* Many recurrences of one number each, one a lane: U_t = e^g_t S_{t−1}, S_t = U_t + k_t v_t, read by q_t.
 * States are doubles, and factors near 1 are kept as 1 + part, so that nothing drifts over many steps. */
#include "ops/vector/exponentials.h"
#include "ops/vector/types.h"

#define ALWAYS static inline __attribute__((always_inline))

/* `lanes` numbers of row t from channel c on. */
ALWAYS vf load_channels(const channel_scan *s, const channel_rows *x, int64_t t, int64_t c, int64_t lanes)
{
    const float *from = x->data + t * x->row + c * x->step;
    if (x->step)
        __builtin_prefetch(from + s->ahead * x->row);
    return x->step == 0 ? v_splat(*from) : lanes == LANES ? v_load(from) : v_load_part(from, lanes, 0);
}
ALWAYS void store_channels(const channel_results *x, int64_t t, int64_t c, int64_t lanes, vf y)
{
    if (!x->data)
        return;
    float *to = x->data + t * x->row + c;
    if (lanes == LANES)
        v_store(to, y);
    else
        v_store_part(to, lanes, y);
}

ALWAYS void decay_at(bool decays, const channel_scan *s, int64_t t, int64_t c, int64_t lanes, vd *low,
                     vd *high)
{
    vf whole, part;
    if (!decays) {
        *low = *high = (vd){0} + 1;
        return;
    }
    part = v_factor(v_min(v_splat(88.5f), load_channels(s, &s->decay, t, c, lanes)), &whole);
    *low = v_double_low(whole) + v_double_low(part), *high = v_double_high(whole) + v_double_high(part);
}

ALWAYS void forward_row(bool decays, const channel_scan *s, int64_t t)
{
    for (int64_t c = 0; c < s->channels; c += LANES) {
        int64_t lanes = s->channels - c < LANES ? s->channels - c : LANES;
        vf k = load_channels(s, &s->k, t, c, lanes), v = load_channels(s, &s->v, t, c, lanes);
        vd low, high, decay_low, decay_high;
        decay_at(decays, s, t, c, lanes, &decay_low, &decay_high);
        v_load_doubles(s->state + c, &low, &high);
        low *= decay_low, high *= decay_high;
        vf before = v_from_doubles(low, high);
        low += v_double_low(k) * v_double_low(v), high += v_double_high(k) * v_double_high(v);
        v_store_doubles(s->state + c, low, high);
        if (s->before)
            v_store(s->before + t * s->pitch + c, before);
        if (s->out.data)
            store_channels(&s->out, t, c, lanes,
                           load_channels(s, &s->q, t, c, lanes) *
                               (s->exclusive ? before : v_from_doubles(low, high)));
    }
}

void ISA(channel_forward)(const channel_scan *s)
{
    for (int64_t t = 0; t < s->rows; t++)
        if (s->decay.data)
            forward_row(true, s, t);
        else
            forward_row(false, s, t);
}

ALWAYS void backward_row(bool decays, const channel_scan *s, int64_t t)
{
    for (int64_t c = 0; c < s->channels; c += LANES) {
        int64_t lanes = s->channels - c < LANES ? s->channels - c : LANES;
        vf q = load_channels(s, &s->q, t, c, lanes), k = load_channels(s, &s->k, t, c, lanes);
        vf v = load_channels(s, &s->v, t, c, lanes), before = v_load(s->before + t * s->pitch + c);
        vf gradient = s->gradient.data ? load_channels(s, &s->gradient, t, c, lanes) : (vf){0};
        vd low, high, decay_low, decay_high;
        decay_at(decays, s, t, c, lanes, &decay_low, &decay_high);
        v_load_doubles(s->state + c, &low, &high);
        vf left = s->exclusive ? v_from_doubles(low, high) : (vf){0};
        low += v_double_low(q) * v_double_low(gradient), high += v_double_high(q) * v_double_high(gradient);
        vf all = v_from_doubles(low, high), after = s->exclusive ? left : all;
        store_channels(&s->dq, t, c, lanes, gradient * (s->exclusive ? before : before + k * v));
        store_channels(&s->dk, t, c, lanes, after * v);
        store_channels(&s->dv, t, c, lanes, after * k);
        if (decays) {
            store_channels(&s->ddecay, t, c, lanes, all * before);
            vd sum_low, sum_high;
            v_load_doubles(s->ddecay_sum + c, &sum_low, &sum_high);
            sum_low += low * v_double_low(before), sum_high += high * v_double_high(before);
            v_store_doubles(s->ddecay_sum + c, sum_low, sum_high);
        }
        v_store_doubles(s->state + c, low * decay_low, high * decay_high);
    }
}

void ISA(channel_backward)(const channel_scan *s)
{
    for (int64_t t = s->rows - 1; t >= 0; t--)
        if (s->decay.data)
            backward_row(true, s, t);
        else
            backward_row(false, s, t);
}
