/* e^x, logarithm, tanh, sigmoid, the error function, sine, cosine and dropout's hash on vectors, without
 * branches, so that a lane's bits depend on its own operand only. Worst errors seen over the whole range, in
 * units of the last place: e^x 1.0, log 0.8, tanh 1.3, erf 1.4, sigmoid 2.2; sin and cos: v_sine
 * (tests/ops/test_vector_math.c). NaN propagates. */
#pragma once
#include "ops/kernels/dropout_hash.h"
#include "ops/vector/vector.h"

/* x = n ln 2 + r, |r| ≤ ln 2 / 2; returns (e^r − 1 − r) / r²; the factor 2^n is left to the caller. ln 2 in
 * two parts, the first with few bits. Polynomial: Cephes expf. */
static inline vf v_exp_reduce(vf x, vf *n, vf *r)
{
    const float shifter = 12582912.0f; /* 1.5 · 2^23: adding it rounds to an integer */
    *n = (x * 1.44269504f + shifter) - shifter;
    *r = (x - *n * 0.693359375f) + *n * 2.12194440e-4f;
    vf p = *r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * *r + 8.3334519073e-3f;
    p = p * *r + 4.1665795894e-2f;
    p = p * *r + 1.6666665459e-1f;
    return p * *r + 5.0000001201e-1f;
}
/* x · 2^n for integral n in [−300, 300], by two factors so that the result may overflow or become
 * denormal. */
static inline vf v_scale(vf x, vf n)
{
#if defined __AVX512F__
    return (vf)_mm512_scalef_ps((__m512)x, (__m512)n);
#else
    vi whole = v_to_integer(n), half = whole >> 1;
    return x * (vf)((half + 127) << 23) * (vf)((whole - half + 127) << 23);
#endif
}
static inline vf v_exp(vf x)
{
    vf n, r;
    x = v_min(v_splat(89.0f), v_max(v_splat(-104.0f), x));
    vf p = v_exp_reduce(x, &n, &r);
    return v_scale(p * (r * r) + r + 1.0f, n);
}
/* e^x − 1 for x ≤ 0 without cancellation: (2^n − 1) + 2^n (e^r − 1). */
static inline vf v_exp_less_one(vf x)
{
    vf n, r;
    x = v_max(v_splat(-80.0f), x);
    vf p = v_exp_reduce(x, &n, &r);
    vf scale = (vf)((v_to_integer(n) + 127) << 23);
    vf y = (scale - 1.0f) + scale * (p * (r * r) + r);
    return v_select(x == x, y, x);
}
/* e^x as *whole + result, with *whole 1 near x = 0 and else 0, which keeps the digits of a factor close to 1.
 * x ≤ 88.7. */
static inline vf v_factor(vf x, vf *whole)
{
    vf n, r;
    vi near = v_abs(x) < 0.5f;
    vf bounded = v_max(v_splat(-104.0f), x);
    vf p = v_exp_reduce(bounded, &n, &r);
    vf less_one = p * (r * r) + r;
    vf far = v_scale(less_one + 1.0f, n), scale = v_scale(v_splat(1.0f), n);
    *whole = v_select(near, v_splat(1.0f), v_splat(0.0f));
    return v_select(near, (scale - 1.0f) + scale * less_one, far);
}

/* x = 2^e m, m in [√½, √2): e ln 2 + log m. log 0 = −inf, log of a negative number is NaN. Polynomial:
 * Cephes logf. */
static inline vf v_log(vf x)
{
    vi tiny = x < 1.17549435e-38f;
    vf scaled = v_select(tiny, x * 8388608.0f, x);
    vi bits = (vi)((vu)scaled - 0x3f3504f3u); /* bits of √½; −0 wraps */
    vf e = v_to_float(bits >> 23) - v_select(tiny, v_splat(23.0f), v_splat(0.0f));
    vf f = (vf)((bits & 0x007fffff) + 0x3f3504f3) - 1.0f;
    vf p = f * 7.0376836292e-2f - 1.1514610310e-1f;
    p = p * f + 1.1676998740e-1f;
    p = p * f - 1.2420140846e-1f;
    p = p * f + 1.4249322787e-1f;
    p = p * f - 1.6668057665e-1f;
    p = p * f + 2.0000714765e-1f;
    p = p * f - 2.4999993993e-1f;
    p = p * f + 3.3333331174e-1f;
    vf square = f * f;
    vf y = p * f * square + e * -2.12194440e-4f;
    y = (y - square * 0.5f) + f + e * 0.693359375f;
    y = v_select(x > 0.0f, y, v_select(x == 0.0f, v_splat(-__builtin_inff()), v_splat(__builtin_nanf(""))));
    return v_select(x < __builtin_inff(), y, x); /* +inf and NaN */
}
/* log(1 + x) for x in [0, 1]: the rounding error of 1 + x is corrected to first order. */
static inline vf v_log_one_more(vf x)
{
    vf sum = 1.0f + x;
    return v_log(sum) + (x - (sum - 1.0f)) / sum;
}

/* Cephes tanhf: a polynomial below 0.625, else 1 − 2 / (e^2|x| + 1). */
static inline vf v_tanh(vf x)
{
    vf size = v_abs(x), square = x * x;
    vf p = square * -5.70498872745e-3f + 2.06390887954e-2f;
    p = p * square - 5.37397155531e-2f;
    p = p * square + 1.33314422036e-1f;
    p = p * square - 3.33332819422e-1f;
    vf near = p * square * size + size;
    vf far = 1.0f - 2.0f / (v_exp(2.0f * size) + 1.0f);
    return v_with_sign(v_select(size < 0.625f, near, far), x);
}
static inline vf v_sigmoid(vf x) { return 1.0f / (1.0f + v_exp(-x)); }

/* erf(t) below √0.875, a polynomial in t²; and −log(1 − erf(t)) from there to 4. Fitted by weighted
 * minimax, 2e-8 and 3e-9. */
static inline vf v_erf_near(vf t)
{
    vf square = t * t;
    vf p = square * -5.9289689e-4f + 4.9810363e-3f;
    p = p * square - 2.6758354e-2f;
    p = p * square + 1.1281589e-1f;
    p = p * square - 3.7612471e-1f;
    p = p * square + 1.2837915e-1f;
    return p * t + t;
}
static inline vf v_erf_exponent(vf t)
{
    vf q = t * -2.139852877e-4f + 3.214958124e-3f;
    q = q * t - 2.288997173e-2f;
    q = q * t + 1.052618548e-1f;
    q = q * t + 6.357182860e-1f;
    q = q * t + 1.285143644e-1f;
    return q * t + t;
}
static inline vf v_erf(vf x)
{
    vf size = v_abs(x);
    vf far = 1.0f - v_exp(-v_erf_exponent(v_min(v_splat(4.0f), size)));
    return v_with_sign(v_select(size * size < 0.875f, v_erf_near(size), far), x);
}
/* x = n π/2 + r, |r| ≤ π/4, π/2 in three parts of few bits: exact products while n has no more than ten (|x|
 * < 1600); beyond it the error grows with |x|, and from 4e6 on, where neighbouring floats are half a turn
 * apart, the angle is taken as 0. Polynomials: Cephes sinf, cosf. quarter: turns by π/2 to add. */
static inline vf v_sine(vf x, int32_t quarter)
{
    const float shifter = 12582912.0f;
    x = v_select(v_abs(x) < 4e6f, x, x - x); /* inf and NaN: NaN */
    vf n = (x * 0.636619772f + shifter) - shifter;
    vf r = ((x - n * 1.5703125f) - n * 4.837512969970703e-4f) - n * 7.549789948768648e-8f;
    vf square = r * r;
    vf s = square * -1.9515295891e-4f + 8.3321608736e-3f;
    s = (s * square - 1.6666654611e-1f) * square * r + r;
    vf c = square * 2.443315711809948e-5f - 1.388731625493765e-3f;
    c = (c * square + 4.166664568298827e-2f) * square * square - 0.5f * square + 1.0f;
    vi turns = v_to_integer(n) + quarter;
    vf y = v_select((turns & 1) != 0, c, s);
    return v_select((turns & 2) != 0, -y, y);
}
static inline vf v_sin(vf x) { return v_sine(x, 0); }
static inline vf v_cos(vf x) { return v_sine(x, 1); }

/* Φ, the normal distribution: (1 + erf(x / √2)) / 2 without cancellation on the left. Beyond t = 4, where it
 * is below 8e-9, it is continued as e^−t². */
static inline vf v_normal(vf x)
{
    vf t = x * 0.707106781f, size = v_abs(t), inner = v_min(v_splat(4.0f), size);
    vf tail = 0.5f * v_exp(-v_erf_exponent(inner) - (size - inner) * (size + inner));
    vf far = v_select(x < 0.0f, tail, 1.0f - tail);
    return v_select(t * t < 0.875f, 0.5f + 0.5f * v_erf_near(t), far);
}

/* dropout_bits of ops/kernels/dropout_hash.h for LANES channels; counter = channel · DROPOUT_CHANNEL +
 * first. */
static inline vu v_dropout_bits(vu counter, uint32_t second)
{
    vu x = counter ^ counter >> 16;
    x = x * DROPOUT_MULTIPLY + second;
    x ^= x >> 15;
    x *= DROPOUT_AGAIN;
    return x ^ x >> 15;
}
/* Mask: the lanes that dropout keeps. */
static inline vi v_dropout_keeps(vu counter, uint32_t second, uint32_t threshold)
{
    return (vi)(v_dropout_bits(counter, second) >= threshold);
}
