/* A convolution over the axes between the first and the last, all channels with all:
 *
 *   y[b, i…, o] = Σ_{j…, c} weight[o, (j…, c)] x[b, i… · stride + j… − before, c]
 *
 * x [B, n…, C], weight [O, width · … · C], y [B, n'…, O] with n' as many windows as fit into before + n +
 * after (ops/families/moves/windows.c); x is 0 outside. It is linear in x and in the weight, so the
 * gradients of it and of its gradients are these three ops. */
#include "ops/infer.h"
#include "ops/reference.h"
#include "ops/rules.h"

_Static_assert((int)convolution_width == (int)convolution_input_width &&
                   (int)convolution_width == (int)convolution_weight_width &&
                   (int)convolution_stride == (int)convolution_input_stride &&
                   (int)convolution_stride == (int)convolution_weight_stride &&
                   (int)convolution_before == (int)convolution_input_before &&
                   (int)convolution_before == (int)convolution_weight_before &&
                   (int)convolution_after == (int)convolution_input_after &&
                   (int)convolution_after == (int)convolution_weight_after,
               "the three ops read their attributes alike");

/* ---- infer ---- */

/* The shapes of the result and of the weight, for so many channels of the result. */
static bool infer_shapes(rondo_graph *g, const node *n, const shape *x, dim channels, shape *y, shape *weight)
{
    const window_layout w = window_layout_of(n->op, n->attributes, 0);
    if (x->rank < 3)
        return infer_fail(g, "%s of %s: it needs [B,T,C] or [B,H,W,C]", op_words(n), shape_words(g, x));
    dim columns = x->dims[x->rank - 1];
    *y = *x;
    for (int axis = 1; axis < x->rank - 1; axis++) {
        if (!infer_window_count(g, n, x, axis, &w, &y->dims[axis]))
            return false;
        if (!dim_multiply(columns, dim_number(w.width), &columns))
            return infer_fail(g, "%s of %s: the weight is too large to count", op_words(n),
                              shape_words(g, x));
    }
    y->dims[x->rank - 1] = channels;
    *weight = (shape){.rank = 2, .dims = {channels, columns}};
    return true;
}

static bool infer_same_shape(rondo_graph *g, const node *n, const char *what, const shape *given,
                             const shape *expected)
{
    return shape_equal(given, expected) || infer_fail(g, "%s: the %s is %s, it must be %s", op_words(n), what,
                                                      shape_words(g, given), shape_words(g, expected));
}

bool infer_convolution(rondo_graph *g, node *n, value *outputs)
{
    const value *x = infer_operand(g, n, 0, RONDO_F32),
                *weight = x ? infer_operand(g, n, 1, RONDO_F32) : NULL;
    shape y, expected;
    if (!weight)
        return false;
    if (weight->shape.rank != 2)
        return infer_fail(g, "convolution: the weight is %s, it must be [channels, width · … · C]",
                          shape_words(g, &weight->shape));
    return infer_shapes(g, n, &x->shape, weight->shape.dims[0], &y, &expected) &&
           infer_same_shape(g, n, "weight", &weight->shape, &expected) &&
           infer_result(outputs, RONDO_F32, &y);
}

bool infer_convolution_input(rondo_graph *g, node *n, value *outputs)
{
    const value *dy = infer_operand(g, n, 0, RONDO_F32),
                *weight = dy ? infer_operand(g, n, 1, RONDO_F32) : NULL;
    const shape *x = &g->shapes[n->attributes[convolution_input_dims].integer];
    shape y, expected;
    if (!weight)
        return false;
    return infer_shapes(g, n, x, weight->shape.dims[0], &y, &expected) &&
           infer_same_shape(g, n, "weight", &weight->shape, &expected) &&
           infer_same_shape(g, n, "gradient of the result", &dy->shape, &y) &&
           infer_result(outputs, RONDO_F32, x);
}

bool infer_convolution_weight(rondo_graph *g, node *n, value *outputs)
{
    const value *x = infer_operand(g, n, 0, RONDO_F32), *dy = x ? infer_operand(g, n, 1, RONDO_F32) : NULL;
    shape y, weight;
    if (!dy)
        return false;
    dim channels = dy->shape.rank ? dy->shape.dims[dy->shape.rank - 1] : dim_number(0);
    return infer_shapes(g, n, &x->shape, channels, &y, &weight) &&
           infer_same_shape(g, n, "gradient of the result", &dy->shape, &y) &&
           infer_result(outputs, RONDO_F32, &weight);
}

/* ---- vjp ---- */

static value_id build_convolution(rondo_graph *g, op_id op, const node *n, value_id a, value_id b,
                                  const shape *x)
{
    attribute attributes[MAX_ATTRIBUTES] = {0};
    for (int i = convolution_width; i <= (int)convolution_after; i++)
        attributes[i] = n->attributes[i];
    if (x)
        attributes[convolution_input_dims].integer = graph_shape(g, x);
    return a == NONE || b == NONE ? NONE : build_node(g, op, 2, (value_id[]){a, b}, attributes);
}

bool vjp_convolution(rondo_graph *g, const node *n, const value_id *out_gradients, const bool *needs,
                     value_id *in_gradients)
{
    value_id x = n->inputs[0], weight = n->inputs[1], dy = out_gradients[0];
    if (needs[0])
        in_gradients[0] = build_convolution(g, OP_convolution_input, n, dy, weight, graph_shape_of(g, x));
    if (needs[1])
        in_gradients[1] = build_convolution(g, OP_convolution_weight, n, x, dy, NULL);
    return graph_good(g);
}

bool vjp_convolution_input(rondo_graph *g, const node *n, const value_id *out_gradients, const bool *needs,
                           value_id *in_gradients)
{
    value_id dy = n->inputs[0], weight = n->inputs[1], back = out_gradients[0];
    if (needs[0])
        in_gradients[0] = build_convolution(g, OP_convolution, n, back, weight, NULL);
    if (needs[1])
        in_gradients[1] = build_convolution(g, OP_convolution_weight, n, back, dy, NULL);
    return graph_good(g);
}

bool vjp_convolution_weight(rondo_graph *g, const node *n, const value_id *out_gradients, const bool *needs,
                            value_id *in_gradients)
{
    value_id x = n->inputs[0], dy = n->inputs[1], back = out_gradients[0];
    if (needs[0])
        in_gradients[0] = build_convolution(g, OP_convolution_input, n, dy, back, graph_shape_of(g, x));
    if (needs[1])
        in_gradients[1] = build_convolution(g, OP_convolution, n, x, back, NULL);
    return graph_good(g);
}

/* ---- reference ---- */

/* One term of the sum: offsets in x, weight and y. */
typedef void term_rule(const reference_call *call, int64_t x, int64_t weight, int64_t y);

/* Calls `term` for every pair of an element of y and a column of the weight whose element of x exists. */
static void all_terms(const reference_call *call, const reference_tensor *x, const reference_tensor *y,
                      term_rule *term)
{
    const window_layout w = window_layout_of(OP_convolution, call->attributes, 0);
    int axes = x->rank - 2;
    int64_t index[MAX_RANK] = {0}, channels = x->dims[axes + 1], taps = 1, place[MAX_RANK];
    for (int i = 0; i < axes; i++)
        taps *= w.width;
    for (int64_t at = 0; at < y->count; at++, reference_next(index, y->dims, y->rank))
        for (int64_t tap = 0; tap < taps; tap++) {
            bool inside = true;
            int64_t rest = tap;
            place[0] = index[0];
            for (int axis = axes; axis > 0; axis--, rest /= w.width) {
                place[axis] = index[axis] * w.stride + rest % w.width - w.before;
                inside = inside && place[axis] >= 0 && place[axis] < x->dims[axis];
            }
            for (place[axes + 1] = 0; inside && place[axes + 1] < channels; place[axes + 1]++)
                term(call, reference_offset(x, place, x->rank),
                     (index[axes + 1] * taps + tap) * channels + place[axes + 1], at);
        }
}

static void add_to_result(const reference_call *call, int64_t x, int64_t weight, int64_t y)
{
    call->outputs[0].data[y] += call->inputs[0].data[x] * call->inputs[1].data[weight];
}
static void add_to_input(const reference_call *call, int64_t x, int64_t weight, int64_t y)
{
    call->outputs[0].data[x] += call->inputs[0].data[y] * call->inputs[1].data[weight];
}
static void add_to_weight(const reference_call *call, int64_t x, int64_t weight, int64_t y)
{
    call->outputs[0].data[weight] += call->inputs[0].data[x] * call->inputs[1].data[y];
}

bool reference_convolution(const reference_call *call)
{
    all_terms(call, &call->inputs[0], &call->outputs[0], add_to_result);
    return true;
}
bool reference_convolution_input(const reference_call *call)
{
    all_terms(call, &call->outputs[0], &call->inputs[0], add_to_input);
    return true;
}
bool reference_convolution_weight(const reference_call *call)
{
    all_terms(call, &call->inputs[0], &call->inputs[1], add_to_weight);
    return true;
}

/* ---- samples ---- */

static const struct convolution_case {
    int rank;
    int64_t dims[5], out; /* of x; channels of y */
    int64_t width, stride, before, after;
} cases[] = {
    {3, {1, 1, 1}, 1, 1, 1, 0, 0},       {3, {3, 7, 2}, 5, 3, 1, 2, 0},
    {3, {2, 9, 3}, 1, 4, 2, 1, 2},       {4, {2, 5, 4, 3}, 2, 3, 1, 1, 1},
    {4, {3, 7, 6, 1}, 5, 3, 2, 1, 1},    {4, {1, 4, 6, 2}, 3, 2, 2, 0, 0},
    {5, {2, 3, 4, 3, 2}, 3, 2, 1, 1, 0}, {3, {0, 5, 2}, 3, 3, 1, 2, 0},
    {3, {3, 5, 7}, 2, 2, 3, 0, 1},       {3, {2, 0, 3}, 2, 3, 1, 2, 0},
    {3, {3, 67, 19}, 33, 5, 1, 4, 0},    {4, {2, 17, 16, 8}, 16, 3, 1, 1, 1},
};
enum { CASES = sizeof cases / sizeof *cases };

/* The leaves of one case; `gradient`: of y rather than of x. */
static value_id leaf_of(rondo_graph *g, sampler *s, const struct convolution_case *c, bool gradient)
{
    int64_t dims[5] = {0};
    for (int i = 0; i < c->rank; i++)
        dims[i] = c->dims[i];
    for (int i = 1; gradient && i < c->rank - 1; i++)
        dims[i] = (dims[i] + c->before + c->after - c->width) / c->stride + 1;
    if (gradient)
        dims[c->rank - 1] = c->out;
    return sample_input(g, s, -2, 2, c->rank, dims);
}

static value_id weight_of(rondo_graph *g, sampler *s, const struct convolution_case *c)
{
    int64_t dims[2] = {c->out, c->dims[c->rank - 1]};
    for (int i = 2; i < c->rank; i++)
        dims[1] *= c->width;
    return sample_input(g, s, -2, 2, 2, dims);
}

static value_id build_case(rondo_graph *g, op_id op, const struct convolution_case *c, value_id a, value_id b)
{
    shape x = {.rank = c->rank};
    node n = {.op = op};
    for (int i = 0; i < c->rank; i++)
        x.dims[i] = dim_number(c->dims[i]);
    n.attributes[convolution_width] = integer_attribute(c->width);
    n.attributes[convolution_stride] = integer_attribute(c->stride);
    n.attributes[convolution_before] = integer_attribute(c->before);
    n.attributes[convolution_after] = integer_attribute(c->after);
    return build_convolution(g, op, &n, a, b, op == OP_convolution_input ? &x : NULL);
}

value_id samples_convolution(rondo_graph *g, sampler *s, int index)
{
    if (index >= CASES)
        return NONE;
    value_id x = leaf_of(g, s, &cases[index], false), weight = weight_of(g, s, &cases[index]);
    return build_case(g, OP_convolution, &cases[index], x, weight);
}

value_id samples_convolution_input(rondo_graph *g, sampler *s, int index)
{
    if (index >= CASES)
        return NONE;
    value_id dy = leaf_of(g, s, &cases[index], true), weight = weight_of(g, s, &cases[index]);
    return build_case(g, OP_convolution_input, &cases[index], dy, weight);
}

value_id samples_convolution_weight(rondo_graph *g, sampler *s, int index)
{
    if (index >= CASES)
        return NONE;
    value_id x = leaf_of(g, s, &cases[index], false), dy = leaf_of(g, s, &cases[index], true);
    return build_case(g, OP_convolution_weight, &cases[index], x, dy);
}
