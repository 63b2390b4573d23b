/* Kernels of argmax, sort and top_k on numbers that random samples do not have: NaN, infinities, zeros of
 * both signs, and many equals. */
#include "kernel_bench.h"
#include "ops/rules.h"
#include <criterion/criterion.h>

enum { MOST = 700 };

static float awkward(void)
{
    static const float special[] = {NAN, -NAN, INFINITY, -INFINITY, 0.0f, -0.0f, 1e-45f, -1e-45f};
    int64_t kind = bench_below(16);
    return kind < 8 ? special[kind] : (float)(bench_below(9) - 4);
}

/* −0 and 0 are equal; a NaN is behind everything. */
static bool in_front(float a, float b, bool descending)
{
    if (isnan(a) || isnan(b))
        return !isnan(a) && isnan(b);
    return descending ? a > b : a < b;
}

static void run_line(int op, const kernel *k, const attribute *attributes, float *x, int64_t count,
                     int64_t wanted, int32_t *ids)
{
    float values[MOST];
    tensor in = {x, RONDO_F32, 1, {count}, {1}};
    tensor out[] = {
        {op == OP_argmax ? (void *)ids : values, op == OP_argmax ? RONDO_I32 : RONDO_F32, 1, {wanted}, {1}},
        {ids, RONDO_I32, 1, {wanted}, {1}}};
    kernel_call call = bench_call(op, attributes, 1, &in, op == OP_argmax ? 1 : 2, out);
    cr_assert(bench_run(k, &call, false));
    for (int64_t i = 0; i < wanted && op != OP_argmax; i++)
        cr_assert(!memcmp(&values[i], &x[ids[i]], sizeof values[i]), "value %d is not that of its place",
                  (int)i);
}

/* ids are the first `wanted` places in order. */
static void check_line(const float *x, int64_t count, int64_t wanted, const int32_t *ids, bool descending)
{
    bool seen[MOST] = {false};
    for (int64_t i = 0; i < wanted; i++) {
        cr_assert(ids[i] >= 0 && ids[i] < count && !seen[ids[i]], "place %d is %d", (int)i, ids[i]);
        seen[ids[i]] = true;
        bool later = i && (in_front(x[ids[i]], x[ids[i - 1]], descending) ||
                           (!in_front(x[ids[i - 1]], x[ids[i]], descending) && ids[i] < ids[i - 1]));
        cr_assert(!later, "of %d, %g at %d comes after %g at %d", (int)count, x[ids[i - 1]], ids[i - 1],
                  x[ids[i]], ids[i]);
    }
    for (int64_t i = 0; i < count && wanted; i++)
        cr_assert(seen[i] || !in_front(x[i], x[ids[wanted - 1]], descending), "%g at %d is left out", x[i],
                  (int)i);
}

Test(order_kernel, every_line_is_in_order)
{
    static const int64_t counts[] = {1, 2, 7, 47, 48, 49, 256, MOST};
    float x[MOST];
    int32_t ids[MOST];
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++)
        for (int falling = 0; falling < 2; falling++) {
            for (int64_t i = 0; i < counts[c]; i++)
                x[i] = awkward();
            attribute attributes[MAX_ATTRIBUTES] = {{.integer = 0}, {.integer = falling}};
            run_line(OP_sort, &kernel_sort, attributes, x, counts[c], counts[c], ids);
            check_line(x, counts[c], counts[c], ids, falling);
            int64_t wanted = 1 + bench_below(counts[c]);
            attributes[top_k_k].integer = wanted;
            run_line(OP_top_k, &kernel_top_k, attributes, x, counts[c], wanted, ids);
            check_line(x, counts[c], wanted, ids, true);
            bool numbers = !isnan(x[ids[0]]);
            int32_t largest = numbers ? ids[0] : 0, found;
            run_line(OP_argmax, &kernel_argmax, attributes, x, counts[c], 1, &found);
            cr_expect_eq(found, largest, "the largest of %d is at %d, not %d", (int)counts[c], largest,
                         found);
        }
}
