/* The tile interpreter's loops: one for each code, over whole vectors that lie in L1. An operand is a run
 * of vectors or one vector of equal lanes (step 0), so one loop serves tensors, broadcasts and numbers. */
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

#define ELEMENTWISE(name, operands, ...) LOOP_##operands(name, __VA_ARGS__)
#define INNER                            ELEMENTWISE
#include "ops/vector/elementwise.def"
#undef ELEMENTWISE

static void (*const runs[CODE_COUNT])(const places *) = {
#define ELEMENTWISE(name, ...) [CODE_##name] = run_##name,
#include "ops/vector/elementwise.def"
#undef ELEMENTWISE
#undef INNER
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
