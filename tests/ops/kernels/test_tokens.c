/* Kernels of tokens and positions on numbers that can be checked by eye. */
#include "kernel_bench.h"
#include "ops/rules.h"
#include <criterion/criterion.h>

static tensor dense(rondo_type type, void *data, int rank, const int64_t *dims)
{
    tensor t = {.data = data, .type = type, .rank = rank};
    int64_t step = 1;
    for (int i = rank - 1; i >= 0; i--) {
        t.dims[i] = dims[i];
        t.strides[i] = step;
        step *= dims[i];
    }
    return t;
}

/* A token that occurs several times gets the sum of the gradients, one that does not occur zero. */
Test(tokens_kernel, a_repeated_token_has_the_sum_of_its_gradients)
{
    int32_t ids[] = {2, 0, 2, 2, 9, -1}; /* the last two are not ids of this table */
    float dy[] = {1, 2, 10, 20, 3, 4, 5, 6, 100, 100, 100, 100}, table[8];
    const float expected[] = {10, 20, 0, 0, 9, 12, 0, 0};
    tensor in[] = {dense(RONDO_I32, ids, 2, (int64_t[]){2, 3}),
                   dense(RONDO_F32, dy, 3, (int64_t[]){2, 3, 2})};
    tensor out = dense(RONDO_F32, table, 2, (int64_t[]){4, 2});
    kernel_call call = {
        .op = OP_embed_grad, .input_count = 2, .output_count = 1, .inputs = in, .outputs = &out};
    for (int backward = 0; backward < 2; backward++) {
        memset(table, 0xff, sizeof table);
        cr_assert(bench_run(&kernel_embed_grad, &call, backward));
        for (int i = 0; i < 8; i++)
            cr_expect_eq(table[i], expected[i], "element %d is %g", i, table[i]);
    }
}

/* New rows are appended to each sentence at its own position; rows for which there is no room are left
 * out. */
Test(tokens_kernel, new_rows_stand_at_their_sentences_position)
{
    enum { BATCH = 3, CAPACITY = 4, ROWS = 2 };
    float cache[BATCH * CAPACITY], rows[BATCH * ROWS] = {1, 2, 3, 4, 5, 6}, result[BATCH * CAPACITY];
    int32_t position[] = {0, 2, 3};
    const float expected[] = {1, 2, 0, 0, 0, 0, 3, 4, 0, 0, 0, 5};
    tensor in[] = {dense(RONDO_F32, cache, 3, (int64_t[]){BATCH, CAPACITY, 1}),
                   dense(RONDO_F32, rows, 3, (int64_t[]){BATCH, ROWS, 1}),
                   dense(RONDO_I32, position, 1, (int64_t[]){BATCH})};
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[append_axis].integer = 1;
    for (int in_place = 0; in_place < 2; in_place++) {
        memset(cache, 0, sizeof cache);
        memset(result, 0xff, sizeof result);
        tensor out = dense(RONDO_F32, in_place ? cache : result, 3, (int64_t[]){BATCH, CAPACITY, 1});
        kernel_call call = bench_call(OP_append, attributes, 3, in, 1, &out);
        cr_assert(bench_run(&kernel_append, &call, false));
        for (int i = 0; i < BATCH * CAPACITY; i++)
            cr_expect_eq(((float *)out.data)[i], expected[i], "element %d is %g", i, ((float *)out.data)[i]);
    }
}
