/* The causal mask, element by element: which keys a token sees, at any position and in either direction. */
#include "kernel_bench.h"
#include "ops/rules.h"
#include <criterion/criterion.h>

enum { BATCH = 2, TOKENS = 4, KEYS = 6 };

static void check(const int32_t *offset, bool exclusive, bool transposed, bool in_place)
{
    float x[BATCH * TOKENS * KEYS], y[BATCH * TOKENS * KEYS];
    int64_t rows = transposed ? KEYS : TOKENS, columns = transposed ? TOKENS : KEYS;
    tensor t = {.data = x,
                .rank = 3,
                .dims = {BATCH, rows, columns},
                .strides = {rows * columns, columns, 1},
                .type = RONDO_F32};
    tensor in[2] = {t}, out = t;
    out.data = in_place ? x : y;
    if (offset)
        in[1] =
            (tensor){.data = (void *)offset, .type = RONDO_I32, .rank = 1, .dims = {BATCH}, .strides = {1}};
    for (int i = 0; i < BATCH * TOKENS * KEYS; i++)
        x[i] = (float)(i + 1);
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[causal_mask_fill].real = -7;
    attributes[causal_mask_exclusive].integer = exclusive;
    attributes[causal_mask_transposed].integer = transposed;
    kernel_call call = bench_call(OP_causal_mask, attributes, offset ? 2 : 1, in, 1, &out);
    cr_assert(bench_run(&kernel_mask, &call, false));
    for (int64_t i = 0; i < BATCH * TOKENS * KEYS; i++) {
        int64_t b = i / (TOKENS * KEYS), row = i / columns % rows, column = i % columns;
        int64_t token = (transposed ? column : row) + (offset ? offset[b] : 0),
                key = transposed ? row : column;
        float expected = key < token + !exclusive ? (float)(i + 1) : -7;
        cr_expect_eq(((float *)out.data)[i], expected,
                     "sentence %d, token %d, key %d: %g (exclusive %d, transposed %d)", (int)b, (int)token,
                     (int)key, ((float *)out.data)[i], exclusive, transposed);
    }
}

Test(mask_kernel, a_token_sees_itself_and_what_was_before)
{
    static const int32_t offset[BATCH] = {1, 3};
    for (int variant = 0; variant < 16; variant++)
        check(variant & 1 ? offset : NULL, variant & 2, variant & 4, variant & 8);
}
