/* Functions that build nodes in one line, for vjp, form and step rules and for passes. Each returns NONE on
 * failure (the graph holds the error) and passes NONE operands on, so that a chain is checked once at its
 * end. */
#pragma once
#include "ops/op.h"

value_id build_node(rondo_graph *g, op_id op, int input_count, const value_id *inputs,
                    const attribute *attributes);
/* another output of the same node; of NONE: NONE */
value_id build_output(const rondo_graph *g, value_id first, int port);

value_id build_unary(rondo_graph *g, op_id op, value_id x);
value_id build_binary(rondo_graph *g, op_id op, value_id a, value_id b);
static inline value_id build_add(rondo_graph *g, value_id a, value_id b)
{
    return build_binary(g, OP_add, a, b);
}
static inline value_id build_sub(rondo_graph *g, value_id a, value_id b)
{
    return build_binary(g, OP_sub, a, b);
}
static inline value_id build_mul(rondo_graph *g, value_id a, value_id b)
{
    return build_binary(g, OP_mul, a, b);
}
static inline value_id build_div(rondo_graph *g, value_id a, value_id b)
{
    return build_binary(g, OP_div, a, b);
}
value_id build_select(rondo_graph *g, value_id condition, value_id a, value_id b);
value_id build_number(rondo_graph *g, double number);                  /* rank-0 f32 constant */
value_id build_constant(rondo_graph *g, double number, rondo_type type, const shape *s);
/* input, parameter, state */
value_id build_leaf(rondo_graph *g, op_id op, const char *name, rondo_type type, const shape *s);

value_id build_matmul(rondo_graph *g, value_id a, value_id b, bool transpose_a, bool transpose_b);
value_id build_reduce(rondo_graph *g, op_id op, value_id x, int axis, bool keep);
value_id build_sum_to(rondo_graph *g, value_id x, const shape *s); /* x itself if it has this shape */
value_id build_cumsum(rondo_graph *g, value_id x, int axis, bool exclusive, bool reverse);
value_id build_reshape(rondo_graph *g, value_id x, const shape *s);    /* x itself if nothing changes */
value_id build_broadcast(rondo_graph *g, value_id x, const shape *s);  /* likewise */
/* rank entries; likewise for the identity */
value_id build_transpose(rondo_graph *g, value_id x, const int *order);
value_id build_swap(rondo_graph *g, value_id x, int axis_a, int axis_b);
value_id build_slice(rondo_graph *g, value_id x, int axis, int64_t start, int64_t length);
value_id build_pad(rondo_graph *g, value_id x, int axis, int64_t before, int64_t after);
value_id build_row_mask(rondo_graph *g, value_id x, value_id length, int axis, double fill);
/* along an axis other than 0: the first length[b], then zeros; length NONE: all of any axis */
value_id build_reverse(rondo_graph *g, value_id x, value_id length, int axis);
value_id build_gather(rondo_graph *g, value_id x, value_id ids, int axis);
value_id build_scatter(rondo_graph *g, value_id x, value_id ids, int axis, const shape *to);
/* Windows along an axis (ops/families/moves/windows.c). */
typedef struct window_layout {
    int64_t width, stride, before, after;
    double fill;
} window_layout;
value_id build_windows(rondo_graph *g, value_id x, int axis, const window_layout *w);
/* That of a node of windows, windows_next, fold or a convolution; width: of the windows that fold reads. */
window_layout window_layout_of(int op, const attribute *attributes, int64_t width);
value_id build_cast(rondo_graph *g, value_id x, rondo_type type);
/* rank of x plus one: extent 1 before `axis`; and the other way (the extent must be 1). */
value_id build_unsqueeze(rondo_graph *g, value_id x, int axis);
value_id build_squeeze(rondo_graph *g, value_id x, int axis);

/* The gradient of a structured op n is one node of `op` with n's attributes: its inputs are n's first `own`
 * operands, NONE where there is none, then `more`; its results, in order, are the gradients of n's operands
 * `of`. */
typedef struct gradient_node {
    op_id op;
    int own, more_count, of_count;
    const value_id *more;
    const int *of;
} gradient_node;
/* Sets in_gradients[i] where needs[i]; builds no node if nothing is needed or all of `more` is NONE. False:
 * graph_fail was called. */
bool build_gradient(rondo_graph *g, const node *n, const gradient_node *d, const bool *needs,
                    value_id *in_gradients);

/* Attributes. */
static inline attribute integer_attribute(int64_t i) { return (attribute){.integer = i}; }
static inline attribute real_attribute(double r) { return (attribute){.real = r}; }
int64_t order_pack(const int *order, int rank);
int order_unpack(int64_t packed, int *order); /* the rank; −1: not a permutation */
int normal_axis(int64_t axis, int rank);      /* −1 → rank − 1; −1 when out of range */
/* The broadcast of two shapes; false: they do not fit. */
bool shape_broadcast(const shape *a, const shape *b, shape *out);
