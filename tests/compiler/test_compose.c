/* compose: two consecutive products with trained matrices become one where that is less work; the numbers do
 * not change. */
#include "ops/op.h"
#include "compiler/passes/passes.h"
#include "tests/compiler/graph_compare.h"
#include <criterion/criterion.h>
#include <stdio.h>

#define PROJECTION                                                                                           \
    "x = input(name=\"x\", type=f32[B,P,12])\n"                                                              \
    "w = parameter(name=\"w\", type=f32[8,12])\n"                                                            \
    "b = parameter(name=\"b\", type=f32[8])\n"                                                               \
    "p = add(matmul(x, w, transpose_b), b)\n"

/* Counts the products over B and P that are left; checks that the result is the same in double. */
static int products_of(const char *source)
{
    rondo *context = rondo_new(1);
    rondo_error error = {0};
    rondo_graph *before = graph_parse(context, source, "test.graph", &error);
    cr_assert(before, "%s", error.message);
    rondo_graph *after = compose(before, NULL, &error);
    cr_assert(after, "%s", error.message);
    cr_assert(graph_verify(after, &error), "%s", error.message);
    int64_t bound[MAX_SYMBOLS] = {2, 3, 1, 1, 1};
    const char *worst;
    graph_inputs inputs = {.seed = 1, .low = -1, .high = 1, .shortest = 1, .longest = 2};
    double difference = graph_difference(before, after, bound, &inputs, &worst, &error);
    cr_assert(difference >= 0 && difference <= 1e-11, "%s differs by %g: %s\n%s", worst, difference,
              error.message, source);
    int count = 0;
    for (node_id id = 0; id < after->node_count; id++)
        count += after->nodes[id].op == OP_matmul &&
                 !dim_is_literal(graph_shape_of(after, after->nodes[id].first_output)->dims[0]);
    graph_free(after);
    graph_free(before);
    rondo_free(context);
    return count;
}

Test(compose, a_feature_map_behind_a_projection)
{
    cr_assert_eq(products_of(PROJECTION
                             "h = mul(transpose(reshape(p, dims=[B,P,2,4]), order=[0,2,1,3]), 0.5)\n"
                             "f = parameter(name=\"f\", type=f32[2,3,4])\n"
                             "c = parameter(name=\"c\", type=f32[2,1,3])\n"
                             "output y = relu(add(matmul(h, f, transpose_b), c))\n"),
                 1);
    cr_assert_eq(products_of(PROJECTION
                             "h = transpose(reshape(mul(p, 0.5), dims=[B,P,2,4]), order=[0,2,1,3])\n"
                             "f = parameter(name=\"f\", type=f32[4,3])\n"
                             "output y = matmul(h, mul(f, 2))\n"),
                 1);
}

Test(compose, two_products_stay_where_one_would_be_more_work)
{
    cr_assert_eq(products_of(PROJECTION "h = transpose(reshape(p, dims=[B,P,2,4]), order=[0,2,1,3])\n"
                                        "f = parameter(name=\"f\", type=f32[2,16,4])\n"
                                        "output y = matmul(h, f, transpose_b)\n"),
                 2);
}

Test(compose, a_projection_that_others_read_stays)
{
    cr_assert_eq(products_of(PROJECTION "h = transpose(reshape(p, dims=[B,P,2,4]), order=[0,2,1,3])\n"
                                        "f = parameter(name=\"f\", type=f32[2,3,4])\n"
                                        "output y = matmul(h, f, transpose_b)\n"
                                        "output also = h\n"),
                 2);
}

/* Operands that broadcast along the projection or along the batch: nothing is composed, and nothing
 * breaks. */
Test(compose, what_broadcasts_between_them_stays)
{
    cr_assert_eq(products_of("x = input(name=\"x\", type=f32[B,P,12])\n"
                             "w = parameter(name=\"w\", type=f32[8,12])\n"
                             "b = parameter(name=\"b\", type=f32[1])\n"
                             "p = add(matmul(x, w, transpose_b), b)\n"
                             "h = transpose(reshape(p, dims=[B,P,2,4]), order=[0,2,1,3])\n"
                             "f = parameter(name=\"f\", type=f32[2,3,4])\n"
                             "output y = matmul(h, f, transpose_b)\n"),
                 2);
    cr_assert_eq(products_of("x = input(name=\"x\", type=f32[1,P,12])\n"
                             "w = parameter(name=\"w\", type=f32[8,12])\n"
                             "p = mul(matmul(x, w, transpose_b), constant(number=2, type=f32[B,1,1]))\n"
                             "h = transpose(reshape(p, dims=[B,P,2,4]), order=[0,2,1,3])\n"
                             "f = parameter(name=\"f\", type=f32[2,3,4])\n"
                             "output y = matmul(h, f, transpose_b)\n"),
                 1); /* over B; the first has the extent 1 */
}

Test(compose, a_matrix_that_is_not_trained_is_no_part_of_it)
{
    cr_assert_eq(products_of(PROJECTION "h = transpose(reshape(p, dims=[B,P,2,4]), order=[0,2,1,3])\n"
                                        "f = input(name=\"f\", type=f32[B,1,4,3])\n"
                                        "output y = matmul(h, f)\n"),
                 2);
}
