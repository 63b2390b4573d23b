/* Exponentials of doubles as vectors of floats, for decays. */
#pragma once
#include "ops/vector/mathematics.h"

/* x rounded to float, and the remainder. */
static inline void v_round_doubles(vd x_low, vd x_high, vf *rounded, vf *left)
{
    *rounded = v_from_doubles(x_low, x_high);
    *left = v_from_doubles(x_low - v_double_low(*rounded), x_high - v_double_high(*rounded));
}
/* LANES doubles. */
static inline void v_load_doubles(const double *from, vd *low, vd *high)
{
    memcpy(low, from, sizeof *low);
    memcpy(high, from + LANES / 2, sizeof *high);
}
static inline void v_store_doubles(double *to, vd low, vd high)
{
    memcpy(to, &low, sizeof low);
    memcpy(to + LANES / 2, &high, sizeof high);
}
/* e^(x + left), never infinite, so that 0 times it is 0. */
static inline vf v_exp_rounded(vf x, vf left)
{
    vf y = v_exp(v_min(v_splat(88.5f), x));
    return y + y * left;
}
