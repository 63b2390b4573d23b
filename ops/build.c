/* ops/build.h: a function for each kind of node, and the arithmetic on attributes that they share. */
#include "ops/build.h"

value_id build_node(rondo_graph *g, op_id op, int input_count, const value_id *inputs,
                    const attribute *attributes)
{
    return graph_good(g) ? graph_add(g, op, inputs, input_count, attributes) : NONE;
}

value_id build_output(const rondo_graph *g, value_id first, int result)
{
    if (first == NONE)
        return NONE;
    return result < graph_node_of(g, first)->output_count ? first + result : NONE;
}

/* A node whose operands are all required: a missing one means that an earlier step failed, so the result is
 * NONE. */
static value_id build_whole(rondo_graph *g, op_id op, int input_count, const value_id *inputs,
                            const attribute *attributes)
{
    for (int i = 0; i < input_count; i++)
        if (inputs[i] == NONE)
            return NONE;
    return build_node(g, op, input_count, inputs, attributes);
}

value_id build_unary(rondo_graph *g, op_id op, value_id x)
{
    return build_whole(g, op, 1, &x, NULL);
}

value_id build_binary(rondo_graph *g, op_id op, value_id a, value_id b)
{
    return build_whole(g, op, 2, (value_id[]){a, b}, NULL);
}

value_id build_select(rondo_graph *g, value_id condition, value_id a, value_id b)
{
    return build_whole(g, OP_select, 3, (value_id[]){condition, a, b}, NULL);
}

value_id build_number(rondo_graph *g, double number)
{
    return build_constant(g, number, RONDO_F32, &(shape){0});
}

value_id build_constant(rondo_graph *g, double number, rondo_type type, const shape *s)
{
    int dims = graph_shape(g, s);
    if (dims < 0)
        return NONE;
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[constant_number] = real_attribute(number);
    attributes[constant_type] = integer_attribute(type);
    attributes[constant_dims] = integer_attribute(dims);
    return build_node(g, OP_constant, 0, NULL, attributes);
}

value_id build_leaf(rondo_graph *g, op_id op, const char *name, rondo_type type, const shape *s)
{
    int dims = graph_shape(g, s), interned = graph_name(g, name);
    if (dims < 0 || !graph_good(g))
        return NONE;
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[input_name] = integer_attribute(interned);
    attributes[input_type] = integer_attribute(type);
    attributes[input_dims] = integer_attribute(dims);
    return build_node(g, op, 0, NULL, attributes);
}

value_id build_matmul(rondo_graph *g, value_id a, value_id b, bool transpose_a, bool transpose_b)
{
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[matmul_transpose_a] = integer_attribute(transpose_a);
    attributes[matmul_transpose_b] = integer_attribute(transpose_b);
    return build_whole(g, OP_matmul, 2, (value_id[]){a, b}, attributes);
}

value_id build_reduce(rondo_graph *g, op_id op, value_id x, int axis, bool keep)
{
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[sum_axis] = integer_attribute(axis);
    attributes[sum_keep] = integer_attribute(keep);
    return build_whole(g, op, 1, &x, attributes);
}

value_id build_cumsum(rondo_graph *g, value_id x, int axis, bool exclusive, bool reverse)
{
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[cumsum_axis] = integer_attribute(axis);
    attributes[cumsum_exclusive] = integer_attribute(exclusive);
    attributes[cumsum_reverse] = integer_attribute(reverse);
    return build_whole(g, OP_cumsum, 1, &x, attributes);
}

/* sum_to, reshape and broadcast: one DIMS attribute, and nothing to do if x has that shape already. */
static value_id build_to(rondo_graph *g, op_id op, value_id x, const shape *s)
{
    if (x == NONE || shape_equal(graph_shape_of(g, x), s))
        return x;
    int dims = graph_shape(g, s);
    if (dims < 0)
        return NONE;
    attribute attributes[MAX_ATTRIBUTES] = {integer_attribute(dims)};
    return build_node(g, op, 1, &x, attributes);
}

value_id build_sum_to(rondo_graph *g, value_id x, const shape *s)
{
    return build_to(g, OP_sum_to, x, s);
}

value_id build_reshape(rondo_graph *g, value_id x, const shape *s)
{
    return build_to(g, OP_reshape, x, s);
}

value_id build_broadcast(rondo_graph *g, value_id x, const shape *s)
{
    return build_to(g, OP_broadcast, x, s);
}

value_id build_transpose(rondo_graph *g, value_id x, const int *order)
{
    if (x == NONE)
        return NONE;
    int rank = graph_shape_of(g, x)->rank;
    bool identity = true;
    for (int i = 0; i < rank; i++)
        identity = identity && order[i] == i;
    if (identity)
        return x;
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[transpose_order] = integer_attribute(order_pack(order, rank));
    return build_node(g, OP_transpose, 1, &x, attributes);
}

value_id build_swap(rondo_graph *g, value_id x, int axis_a, int axis_b)
{
    if (x == NONE)
        return NONE;
    int rank = graph_shape_of(g, x)->rank, order[MAX_RANK];
    int a = normal_axis(axis_a, rank), b = normal_axis(axis_b, rank);
    if (a < 0 || b < 0)
        return graph_fail(g, RONDO_SHAPE, "swap of axes %d and %d: the tensor has %d axes", axis_a, axis_b,
                          rank);
    for (int i = 0; i < rank; i++)
        order[i] = i == a ? b : i == b ? a : i;
    return build_transpose(g, x, order);
}

value_id build_slice(rondo_graph *g, value_id x, int axis, int64_t start, int64_t length)
{
    if (x == NONE)
        return NONE;
    int normal = normal_axis(axis, graph_shape_of(g, x)->rank);
    if (normal >= 0 && start == 0 && dim_is_number(graph_shape_of(g, x)->dims[normal], length))
        return x;
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[slice_axis] = integer_attribute(axis);
    attributes[slice_start] = integer_attribute(start);
    attributes[slice_length] = integer_attribute(length);
    return build_node(g, OP_slice, 1, &x, attributes);
}

value_id build_pad(rondo_graph *g, value_id x, int axis, int64_t before, int64_t after)
{
    if (x == NONE || (before == 0 && after == 0))
        return x;
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[pad_axis] = integer_attribute(axis);
    attributes[pad_before] = integer_attribute(before);
    attributes[pad_after] = integer_attribute(after);
    return build_node(g, OP_pad, 1, &x, attributes);
}

value_id build_reverse(rondo_graph *g, value_id x, value_id length, int axis)
{
    if (x == NONE)
        return NONE;
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[reverse_axis] = integer_attribute(axis);
    return build_node(g, OP_reverse, 2, (value_id[]){x, length}, attributes);
}

value_id build_gather(rondo_graph *g, value_id x, value_id ids, int axis)
{
    return build_whole(g, OP_gather, 2, (value_id[]){x, ids}, (attribute[MAX_ATTRIBUTES]){{.integer = axis}});
}

value_id build_scatter(rondo_graph *g, value_id x, value_id ids, int axis, const shape *to)
{
    int dims = graph_shape(g, to);
    if (dims < 0)
        return NONE;
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[scatter_axis] = integer_attribute(axis);
    attributes[scatter_dims] = integer_attribute(dims);
    return build_whole(g, OP_scatter, 2, (value_id[]){x, ids}, attributes);
}

value_id build_windows(rondo_graph *g, value_id x, int axis, const window_layout *w)
{
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[windows_axis] = integer_attribute(axis);
    attributes[windows_width] = integer_attribute(w->width);
    attributes[windows_stride] = integer_attribute(w->stride);
    attributes[windows_before] = integer_attribute(w->before);
    attributes[windows_after] = integer_attribute(w->after);
    attributes[windows_fill] = real_attribute(w->fill);
    return build_whole(g, OP_windows, 1, &x, attributes);
}

value_id build_row_mask(rondo_graph *g, value_id x, value_id length, int axis, double fill)
{
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[row_mask_axis] = integer_attribute(axis);
    attributes[row_mask_fill] = real_attribute(fill);
    return build_whole(g, OP_row_mask, 2, (value_id[]){x, length}, attributes);
}

value_id build_cast(rondo_graph *g, value_id x, rondo_type type)
{
    if (x == NONE || g->values[x].type == type)
        return x;
    attribute attributes[MAX_ATTRIBUTES] = {integer_attribute(type)};
    return build_node(g, OP_cast, 1, &x, attributes);
}

value_id build_unsqueeze(rondo_graph *g, value_id x, int axis)
{
    if (x == NONE)
        return NONE;
    shape s = *graph_shape_of(g, x);
    int at = normal_axis(axis, s.rank + 1);
    if (at < 0 || s.rank == MAX_RANK)
        return graph_fail(g, RONDO_SHAPE, "unsqueeze at axis %d: the tensor has %d axes", axis, s.rank);
    for (int i = s.rank; i > at; i--)
        s.dims[i] = s.dims[i - 1];
    s.dims[at] = dim_number(1);
    s.rank++;
    return build_reshape(g, x, &s);
}

value_id build_squeeze(rondo_graph *g, value_id x, int axis)
{
    if (x == NONE)
        return NONE;
    shape s = *graph_shape_of(g, x);
    int at = normal_axis(axis, s.rank);
    if (at < 0 || !dim_is_number(s.dims[at], 1))
        return graph_fail(g, RONDO_SHAPE, "squeeze of axis %d: its extent is not 1", axis);
    s.rank--;
    for (int i = at; i < s.rank; i++)
        s.dims[i] = s.dims[i + 1];
    s.dims[s.rank] = (dim){0};
    return build_reshape(g, x, &s);
}

bool build_gradient(rondo_graph *g, const node *n, const gradient_node *d, const bool *needs,
                    value_id *in_gradients)
{
    value_id inputs[MAX_INPUTS];
    bool needed = false, given = false;
    for (int i = 0; i < d->of_count; i++)
        needed = needed || (d->of[i] < n->input_count && needs[d->of[i]]);
    for (int i = 0; i < d->own; i++)
        inputs[i] = i < n->input_count ? n->inputs[i] : NONE;
    for (int i = 0; i < d->more_count; i++) {
        inputs[d->own + i] = d->more[i];
        given = given || d->more[i] != NONE;
    }
    if (!needed || !given)
        return true;
    value_id first = build_node(g, d->op, d->own + d->more_count, inputs, n->attributes);
    for (int i = 0; first != NONE && i < d->of_count; i++)
        if (d->of[i] < n->input_count && needs[d->of[i]])
            in_gradients[d->of[i]] = first + i;
    return first != NONE;
}

int64_t order_pack(const int *order, int rank)
{
    uint64_t packed = (uint64_t)rank << 60;
    for (int i = 0; i < rank; i++)
        packed |= (uint64_t)(order[i] & 15) << (4 * i);
    return (int64_t)packed;
}

int order_unpack(int64_t packed, int *order)
{
    int rank = (int)((uint64_t)packed >> 60);
    unsigned seen = 0;
    if (rank > MAX_RANK)
        return -1;
    for (int i = 0; i < rank; i++) {
        order[i] = (int)((uint64_t)packed >> (4 * i) & 15);
        seen |= 1u << order[i];
    }
    return seen == (1u << rank) - 1 ? rank : -1;
}

int normal_axis(int64_t axis, int rank)
{
    if (axis < -rank || axis >= rank)
        return -1;
    return (int)(axis < 0 ? axis + rank : axis);
}

bool shape_broadcast(const shape *a, const shape *b, shape *out)
{
    shape result = {.rank = a->rank > b->rank ? a->rank : b->rank};
    for (int i = 1; i <= result.rank; i++) {
        dim one = dim_number(1);
        dim x = i <= a->rank ? a->dims[a->rank - i] : one, y = i <= b->rank ? b->dims[b->rank - i] : one;
        if (!dim_equal(x, y) && !dim_is_number(x, 1) && !dim_is_number(y, 1))
            return false;
        result.dims[result.rank - i] = dim_is_number(x, 1) ? y : x;
    }
    *out = result;
    return true;
}
