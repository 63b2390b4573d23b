/* exp, log, tanh, sigmoid, erf, sin and cos of every instruction set of this processor, against libm in
 * double. */
#include "ops/vector/table.h"
#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>

enum { SETS = 3, MANY = 200000 };
typedef void row_function(float *y, const float *x, int64_t count);

/* |got − exact| in units of exact's last place as f32; results below the normal range count against the
 * smallest normal. */
static double ulps(float got, double exact)
{
    if (isnan(exact) || isnan(got))
        return isnan(exact) && isnan(got) ? 0 : INFINITY;
    if ((float)exact == got)
        return 0;
    if (isinf(got) || isinf((float)exact))
        return INFINITY;
    int exponent;
    frexp(exact, &exponent);
    double place = ldexp(1, (exponent < -125 ? -125 : exponent) - 24);
    return fabs(got - exact) / place;
}

static double worst(row_function *f, double (*exact)(double), double low, double high)
{
    float *x = malloc(sizeof *x * MANY), *y = malloc(sizeof *y * MANY);
    double most = 0;
    for (int i = 0; i < MANY; i++)
        x[i] = (float)(low + (high - low) * i / (MANY - 1));
    f(y, x, MANY);
    for (int i = 0; i < MANY; i++)
        most = fmax(most, ulps(y[i], exact(x[i])));
    free(x);
    free(y);
    return most;
}
/* Also over exponents: ± 2^low … 2^high. */
static double worst_scaled(row_function *f, double (*exact)(double), double low, double high, bool negative)
{
    float *x = malloc(sizeof *x * MANY), *y = malloc(sizeof *y * MANY);
    double most = 0;
    for (int i = 0; i < MANY; i++)
        x[i] = (float)(exp2(low + (high - low) * i / (MANY - 1)) * (negative && i % 2 ? -1 : 1));
    f(y, x, MANY);
    for (int i = 0; i < MANY; i++)
        most = fmax(most, ulps(y[i], exact(x[i])));
    free(x);
    free(y);
    return most;
}
static double exact_sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}
static float one(row_function *f, float x)
{
    float y;
    f(&y, &x, 1);
    return y;
}
#define EACH_SET(v)                                                                                          \
    for (int set = 0; set < SETS; set++)                                                                     \
        for (const vector_table *v = vectors_of(set); v; v = NULL)

Test(vector_math, exp_is_within_one_ulp_over_its_whole_range)
{
    EACH_SET(v)
    {
        cr_expect_leq(worst(v->math_exp, exp, -103, 89), 1);
        cr_expect_leq(worst(v->math_exp, exp, -1, 1), 1);
        cr_expect_leq(worst_scaled(v->math_exp, exp, -40, 6, true), 1);
    }
}

Test(vector_math, log_is_within_one_ulp_over_its_whole_range)
{
    EACH_SET(v)
    {
        cr_expect_leq(worst_scaled(v->math_log, log, -126, 127.9, false), 1);
        cr_expect_leq(worst(v->math_log, log, 0.4, 2.5), 1);
        cr_expect_leq(worst(v->math_log, log, 0.9999, 1.0001), 1);
    }
}

Test(vector_math, tanh_and_erf_are_within_two_ulp_and_sigmoid_within_two_and_a_half)
{
    EACH_SET(v)
    {
        cr_expect_leq(worst(v->math_tanh, tanh, -12, 12), 2);
        cr_expect_leq(worst_scaled(v->math_tanh, tanh, -60, 10, true), 2);
        cr_expect_leq(worst(v->math_sigmoid, exact_sigmoid, -80, 30), 2.5);
        cr_expect_leq(worst(v->math_erf, erf, -6, 6), 2);
        cr_expect_leq(worst_scaled(v->math_erf, erf, -60, 5, true), 2);
    }
}

/* Near a zero other than 0 the error is that of the angle, so it is relative to the largest sine. */
static double worst_angle(row_function *f, double (*exact)(double), double low, double high)
{
    float *x = malloc(sizeof *x * MANY), *y = malloc(sizeof *y * MANY);
    double most = 0;
    for (int i = 0; i < MANY; i++)
        x[i] = (float)(low + (high - low) * i / (MANY - 1));
    f(y, x, MANY);
    for (int i = 0; i < MANY; i++)
        most = fmax(most, fabs(y[i] - exact(x[i])));
    free(x);
    free(y);
    return most;
}

Test(vector_math, sin_and_cos_are_within_a_rounding_of_one_up_to_1600)
{
    EACH_SET(v)
    {
        cr_expect_leq(worst(v->math_sin, sin, -0.78, 0.78), 1.5);
        cr_expect_leq(worst(v->math_cos, cos, -0.78, 0.78), 1.5);
        cr_expect_leq(worst_angle(v->math_sin, sin, -1600, 1600), FLT_EPSILON);
        cr_expect_leq(worst_angle(v->math_cos, cos, -1600, 1600), FLT_EPSILON);
        cr_expect_eq(one(v->math_sin, 0), 0);
        cr_expect_eq(one(v->math_cos, 0), 1);
        cr_expect(isnan(one(v->math_sin, INFINITY)));
    }
}

Test(vector_math, infinities_zeros_and_nan_come_out_as_they_should)
{
    EACH_SET(v)
    {
        cr_expect_eq(one(v->math_exp, -INFINITY), 0);
        cr_expect_eq(one(v->math_exp, -200), 0);
        cr_expect_eq(one(v->math_exp, INFINITY), INFINITY);
        cr_expect_eq(one(v->math_exp, 88.73f), INFINITY);
        cr_expect(isfinite(one(v->math_exp, 88.72f)));
        cr_expect_eq(one(v->math_exp, 0), 1);
        cr_expect_eq(one(v->math_log, 0), -INFINITY);
        cr_expect_eq(one(v->math_log, INFINITY), INFINITY);
        cr_expect(isnan(one(v->math_log, -1)));
        cr_expect(isnan(one(v->math_log, -INFINITY)));
        cr_expect_eq(one(v->math_log, 1), 0);
        cr_expect_eq(one(v->math_tanh, INFINITY), 1);
        cr_expect_eq(one(v->math_tanh, -INFINITY), -1);
        cr_expect(signbit(one(v->math_tanh, -0.0f)));
        cr_expect_eq(one(v->math_sigmoid, INFINITY), 1);
        cr_expect_eq(one(v->math_sigmoid, -INFINITY), 0);
        cr_expect_eq(one(v->math_erf, INFINITY), 1);
        cr_expect_eq(one(v->math_erf, -INFINITY), -1);
        row_function *all[] = {v->math_exp, v->math_log, v->math_tanh, v->math_sigmoid,
                               v->math_erf, v->math_sin, v->math_cos};
        for (int i = 0; i < 7; i++)
            cr_expect(isnan(one(all[i], NAN)), "function %d of set %d", i, set);
    }
}

Test(vector_math, an_element_has_the_same_bits_at_every_place)
{
    EACH_SET(v)
    {
        row_function *all[] = {v->math_exp, v->math_log, v->math_tanh, v->math_sigmoid,
                               v->math_erf, v->math_sin, v->math_cos};
        float x[53], y[53], alone;
        for (int i = 0; i < 53; i++)
            x[i] = 0.03f + 0.071f * (float)i;
        for (int f = 0; f < 7; f++)
            for (int count = 1; count <= 53; count++) {
                all[f](y, x, count);
                for (int i = 0; i < count; i++) {
                    all[f](&alone, &x[i], 1);
                    cr_assert_eq(y[i], alone, "function %d of set %d, element %d of %d", f, set, i, count);
                }
            }
    }
}
