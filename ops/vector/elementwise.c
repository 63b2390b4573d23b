/* The tile interpreter's loops: one for each code, over whole vectors that lie in L1. An operand is a run of vectors or one
 * vector of equal lanes (step 0), so one loop serves tensors, broadcasts and numbers. */
#include "ops/vector/mathematics.h"
#include <math.h>

/* Where a step reads and writes; strides in elements, LANES or 0. */
typedef struct places {
    float *y;
    const float *a, *b, *c;
    int64_t a_stride, b_stride, c_stride, count;
} places;

#define LOOP_1(name, ...)                                                                                    \
    static void run_##name(const places *at)                                                                 \
    {                                                                                                        \
        const float *pa = at->a;                                                                             \
        for (int64_t i = 0; i < at->count; i++, pa += at->a_stride) {                                        \
            vf a = v_load(pa);                                                                               \
            v_store(at->y + i * LANES, __VA_ARGS__);                                                         \
        }                                                                                                    \
    }
#define LOOP_2(name, ...)                                                                                    \
    static void run_##name(const places *at)                                                                 \
    {                                                                                                        \
        const float *pa = at->a, *pb = at->b;                                                                \
        for (int64_t i = 0; i < at->count; i++, pa += at->a_stride, pb += at->b_stride) {                    \
            vf a = v_load(pa), b = v_load(pb);                                                               \
            v_store(at->y + i * LANES, __VA_ARGS__);                                                         \
        }                                                                                                    \
    }
#define LOOP_3(name, ...)                                                                                    \
    static void run_##name(const places *at)                                                                 \
    {                                                                                                        \
        const float *pa = at->a, *pb = at->b, *pc = at->c;                                                   \
        for (int64_t i = 0; i < at->count;                                                                   \
             i++, pa += at->a_stride, pb += at->b_stride, pc += at->c_stride) {                              \
            vf a = v_load(pa), b = v_load(pb), c = v_load(pc);                                               \
            v_store(at->y + i * LANES, __VA_ARGS__);                                                         \
        }                                                                                                    \
    }

static inline vf one_where(vi mask)
{
    return (vf)(mask & 0x3f800000);
}
static inline vf keep_nan(vf a, vf y)
{
    return v_select(a == a, y, a);
}

/* libm's, lane by lane; squares are common and exact. */
static inline vf power(vf a, vf b)
{
    if (!v_any(b != 2.0f))
        return a * a;
    vf y;
    for (int i = 0; i < LANES; i++)
        y[i] = powf(a[i], b[i]);
    return y;
}

LOOP_1(copy, a)
LOOP_1(neg, -a)
LOOP_1(exp, v_exp(a))
LOOP_1(log, v_log(a))
LOOP_1(tanh, v_tanh(a))
LOOP_1(sigmoid, v_sigmoid(a))
LOOP_1(relu, v_max(v_splat(0.0f), a))
LOOP_1(gelu, a *v_normal(a))
LOOP_1(silu, a / (1.0f + v_exp(-a)))
LOOP_1(elu, v_select(a > 0.0f, a, v_exp_less_one(v_min(v_splat(0.0f), a))))
LOOP_1(sqrt, v_sqrt(a))
LOOP_1(rsqrt, 1.0f / v_sqrt(a))
LOOP_1(abs, v_abs(a))
LOOP_1(softplus, v_max(v_splat(0.0f), a) + v_log_one_more(v_exp(-v_abs(a))))
LOOP_1(erf, v_erf(a))
LOOP_1(sin, v_sin(a))
LOOP_1(cos, v_cos(a))
LOOP_2(add, a + b)
LOOP_2(sub, a - b)
LOOP_2(mul, a *b)
LOOP_2(div, a / b)
LOOP_2(power, power(a, b))
LOOP_2(minimum, keep_nan(a, v_min(a, b)))
LOOP_2(maximum, keep_nan(a, v_max(a, b)))
LOOP_2(less, one_where(a < b))
LOOP_2(less_equal, one_where(a <= b))
LOOP_2(equal, one_where(a == b))
LOOP_3(select, v_select(a != 0.0f, b, c))
LOOP_3(multiply_add, a *b + c)
LOOP_3(multiply_subtract, a *b - c)
LOOP_3(subtract_product, c - a * b)

static void (*const runs[CODE_COUNT])(const places *) = {
#define RUN(name) [CODE_##name] = run_##name,
    RUN(copy) RUN(neg) RUN(exp) RUN(log) RUN(tanh) RUN(sigmoid) RUN(relu) RUN(gelu) RUN(silu) RUN(elu)
        RUN(sqrt) RUN(rsqrt) RUN(abs) RUN(softplus) RUN(erf) RUN(sin) RUN(cos) RUN(add) RUN(sub) RUN(mul)
            RUN(div) RUN(power) RUN(minimum) RUN(maximum) RUN(less) RUN(less_equal) RUN(equal) RUN(select)
                RUN(multiply_add) RUN(multiply_subtract) RUN(subtract_product)
#undef RUN
};

void ISA(elementwise)(const elementwise_step *steps, int count, const elementwise_slot *slots,
                      int64_t vector_count)
{
    for (int i = 0; i < count; i++) {
        const elementwise_slot *a = &slots[steps[i].a], *b = &slots[steps[i].b], *c = &slots[steps[i].c];
        places at = {slots[steps[i].result].data,
                     a->data,
                     b->data,
                     c->data,
                     a->step * LANES,
                     b->step * LANES,
                     c->step * LANES,
                     vector_count};
        runs[steps[i].code](&at);
    }
}

void ISA(row_copy)(float *to, const float *from, int64_t count)
{
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES)
        v_store(to + i, v_load(from + i));
    if (i < count)
        v_store_part(to + i, count - i, v_load_part(from + i, count - i, 0));
}

void ISA(row_fill)(float *to, float number, int64_t count)
{
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES)
        v_store(to + i, v_splat(number));
    if (i < count)
        v_store_part(to + i, count - i, v_splat(number));
}

void ISA(row_from_i32)(float *to, const int32_t *from, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        to[i] = (float)from[i];
}

/* Toward zero; out of range saturates, NaN gives 0. */
void ISA(row_to_i32)(int32_t *to, const float *from, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        float x = from[i];
        to[i] = x != x ? 0 : x >= 2147483648.0f ? INT32_MAX : x < -2147483648.0f ? INT32_MIN : (int32_t)x;
    }
}

#define MATH(name)                                                                                           \
    void ISA(math_##name)(float *y, const float *x, int64_t count)                                           \
    {                                                                                                        \
        int64_t i = 0;                                                                                       \
        for (; i + LANES <= count; i += LANES)                                                               \
            v_store(y + i, v_##name(v_load(x + i)));                                                         \
        if (i < count)                                                                                       \
            v_store_part(y + i, count - i, v_##name(v_load_part(x + i, count - i, 0)));                      \
    }
MATH(exp)
MATH(log)
MATH(tanh)
MATH(sigmoid)
MATH(erf)
MATH(sin)
MATH(cos)
