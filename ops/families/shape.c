/* Ops that lay out the same elements in another way: reshape, transpose, broadcast. */
#include "ops/infer.h"
#include "ops/reference.h"
#include "ops/rules.h"

/* ---- infer ---- */

bool infer_reshape(rondo_graph *g, node *n, value *outputs)
{
    const value *x = infer_operand(g, n, 0, 0);
    if (!x)
        return false;
    const shape *to = &g->shapes[n->attributes[reshape_dims].integer];
    dim from_elements, to_elements;
    if (!shape_elements(&x->shape, &from_elements) || !shape_elements(to, &to_elements))
        return infer_fail(g, "reshape: %s has too many elements to count", shape_words(g, &x->shape));
    if (!dim_equal(from_elements, to_elements))
        return infer_fail(g, "reshape: %s has %s elements and %s has %s", shape_words(g, &x->shape),
                          dim_words(g, from_elements), shape_words(g, to), dim_words(g, to_elements));
    return infer_result(outputs, x->type, to);
}

bool infer_transpose(rondo_graph *g, node *n, value *outputs)
{
    const value *x = infer_operand(g, n, 0, 0);
    int order[MAX_RANK], rank = order_unpack(n->attributes[transpose_order].integer, order);
    if (!x)
        return false;
    if (rank != x->shape.rank)
        return infer_fail(g, "transpose: the order must name each of the %d axes of %s once", x->shape.rank,
                          shape_words(g, &x->shape));
    shape s = {.rank = rank};
    for (int i = 0; i < rank; i++)
        s.dims[i] = x->shape.dims[order[i]];
    return infer_result(outputs, x->type, &s);
}

bool infer_broadcast(rondo_graph *g, node *n, value *outputs)
{
    const value *x = infer_operand(g, n, 0, 0);
    if (!x)
        return false;
    const shape *to = &g->shapes[n->attributes[broadcast_dims].integer];
    shape s;
    if (!shape_broadcast(&x->shape, to, &s) || !shape_equal(&s, to))
        return infer_fail(
            g, "broadcast: %s does not repeat to %s; only the literal 1 and missing leading dims do",
            shape_words(g, &x->shape), shape_words(g, to));
    return infer_result(outputs, x->type, to);
}

/* ---- vjp ---- */

bool vjp_reshape(rondo_graph *g, const node *n, const value_id *out_gradients, const bool *needs,
                 value_id *in_gradients)
{
    if (needs[0] && out_gradients[0] != NONE)
        in_gradients[0] = build_reshape(g, out_gradients[0], graph_shape_of(g, n->inputs[0]));
    return graph_good(g);
}

bool vjp_transpose(rondo_graph *g, const node *n, const value_id *out_gradients, const bool *needs,
                   value_id *in_gradients)
{
    int order[MAX_RANK], back[MAX_RANK], rank = order_unpack(n->attributes[transpose_order].integer, order);
    for (int i = 0; i < rank; i++)
        back[order[i]] = i;
    if (needs[0] && out_gradients[0] != NONE)
        in_gradients[0] = build_transpose(g, out_gradients[0], back);
    return graph_good(g);
}

bool vjp_broadcast(rondo_graph *g, const node *n, const value_id *out_gradients, const bool *needs,
                   value_id *in_gradients)
{
    if (needs[0] && out_gradients[0] != NONE)
        in_gradients[0] = build_sum_to(g, out_gradients[0], graph_shape_of(g, n->inputs[0]));
    return graph_good(g);
}

/* ---- reference ---- */

bool reference_reshape(const reference_call *call)
{
    for (int64_t i = 0; i < call->outputs[0].count; i++)
        call->outputs[0].data[i] = call->inputs[0].data[i];
    return true;
}

bool reference_transpose(const reference_call *call)
{
    const reference_tensor *x = &call->inputs[0], *y = &call->outputs[0];
    int order[MAX_RANK];
    int64_t index[MAX_RANK] = {0}, from[MAX_RANK];
    order_unpack(call->attributes[transpose_order].integer, order);
    for (int64_t i = 0; i < y->count; i++, reference_next(index, y->dims, y->rank)) {
        for (int k = 0; k < y->rank; k++)
            from[order[k]] = index[k];
        y->data[i] = x->data[reference_offset(x, from, x->rank)];
    }
    return true;
}

bool reference_broadcast(const reference_call *call)
{
    const reference_tensor *x = &call->inputs[0], *y = &call->outputs[0];
    int64_t index[MAX_RANK] = {0};
    for (int64_t i = 0; i < y->count; i++, reference_next(index, y->dims, y->rank))
        y->data[i] = x->data[reference_offset(x, index, y->rank)];
    return true;
}

/* ---- samples ---- */

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

typedef struct shaped_sample {
    int rank;
    int64_t dims[5];
    shape to;
} shaped_sample;

value_id samples_reshape(rondo_graph *g, sampler *s, int index)
{
    static const shaped_sample cases[] = {
        {1, {1}, {0}},
        {2, {3, 5}, {.rank = 1, .dims = {{15}}}},
        {1, {12}, {.rank = 3, .dims = {{2}, {1}, {6}}}},
        {3, {2, 7, 6}, {.rank = 4, .dims = {{2}, {7}, {2}, {3}}}},
        {2, {6, 4}, {.rank = 2, .dims = {{8}, {3}}}}, /* no common refinement */
        {3, {4, 3, 35}, {.rank = 3, .dims = {{6}, {10}, {7}}}},
        {2, {0, 3}, {.rank = 3, .dims = {{5}, {0}, {2}}}},
        {2, {67, 1030}, {.rank = 2, .dims = {{670}, {103}}}},
    };
    if (index >= COUNT(cases))
        return NONE;
    return build_reshape(g, sample_input(g, s, -2, 2, cases[index].rank, cases[index].dims),
                         &cases[index].to);
}

value_id samples_transpose(rondo_graph *g, sampler *s, int index)
{
    static const struct {
        int rank;
        int64_t dims[5];
        int order[5];
    } cases[] = {
        {2, {3, 5}, {1, 0}},
        {2, {1, 7}, {1, 0}},
        {3, {2, 3, 5}, {2, 0, 1}},
        {4, {2, 5, 3, 4}, {0, 2, 1, 3}}, /* split heads */
        {4, {2, 5, 3, 4}, {0, 2, 3, 1}},
        {5, {2, 3, 1, 4, 5}, {4, 2, 0, 3, 1}},
        {3, {3, 0, 2}, {1, 2, 0}},
        {2, {131, 203}, {1, 0}},
        {3, {3, 67, 130}, {0, 2, 1}},
    };
    if (index >= COUNT(cases))
        return NONE;
    return build_transpose(g, sample_input(g, s, -2, 2, cases[index].rank, cases[index].dims),
                           cases[index].order);
}

value_id samples_broadcast(rondo_graph *g, sampler *s, int index)
{
    static const shaped_sample cases[] = {
        {0, {0}, {.rank = 2, .dims = {{3}, {5}}}},
        {1, {5}, {.rank = 2, .dims = {{3}, {5}}}},
        {2, {3, 1}, {.rank = 2, .dims = {{3}, {7}}}},
        {3, {2, 1, 3}, {.rank = 4, .dims = {{5}, {2}, {7}, {3}}}},
        {2, {1, 3}, {.rank = 2, .dims = {{0}, {3}}}},
        {2, {1, 1031}, {.rank = 2, .dims = {{67}, {1031}}}},
    };
    if (index >= COUNT(cases))
        return NONE;
    return build_broadcast(g, sample_input(g, s, -2, 2, cases[index].rank, cases[index].dims),
                           &cases[index].to);
}
