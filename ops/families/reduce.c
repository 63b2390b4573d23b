/* Reductions over one axis, the sum that undoes a broadcast, and the running sum. */
#include "ops/infer.h"
#include "ops/reference.h"
#include "ops/rules.h"
#include <float.h>
#include <math.h>

_Static_assert((int)sum_axis == (int)mean_axis && (int)sum_axis == (int)max_axis &&
                   (int)sum_axis == (int)logsumexp_axis && (int)sum_keep == (int)logsumexp_keep,
               "the four reductions read their attributes alike");

/* ---- infer ---- */

bool infer_reduce(rondo_graph *g, node *n, value *outputs)
{
    const value *x = infer_operand(g, n, 0, RONDO_F32);
    int axis = x ? infer_axis(g, n, n->attributes[sum_axis].integer, x->shape.rank) : -1;
    if (axis < 0)
        return false;
    shape s = x->shape;
    if (n->attributes[sum_keep].integer) {
        s.dims[axis] = dim_number(1);
        return infer_result(outputs, RONDO_F32, &s);
    }
    s.rank--;
    for (int i = axis; i < s.rank; i++)
        s.dims[i] = s.dims[i + 1];
    s.dims[s.rank] = (dim){0};
    return infer_result(outputs, RONDO_F32, &s);
}

bool infer_sum_to(rondo_graph *g, node *n, value *outputs)
{
    const value *x = infer_operand(g, n, 0, RONDO_F32);
    if (!x)
        return false;
    const shape *to = &g->shapes[n->attributes[sum_to_dims].integer];
    shape s;
    if (!shape_broadcast(to, &x->shape, &s) || !shape_equal(&s, &x->shape))
        return infer_fail(g, "sum_to: %s does not broadcast to %s", shape_words(g, to),
                          shape_words(g, &x->shape));
    return infer_result(outputs, RONDO_F32, to);
}

/* ---- vjp ---- */

/* v, one number for each reduced line of n's operand, with the reduced axis as extent 1. */
static value_id with_axis(rondo_graph *g, const node *n, value_id v)
{
    if (n->attributes[sum_keep].integer || v == NONE)
        return v;
    int axis = normal_axis(n->attributes[sum_axis].integer, graph_shape_of(g, n->inputs[0])->rank);
    return build_unsqueeze(g, v, axis);
}

bool vjp_sum(rondo_graph *g, const node *n, const value_id *out_gradients, const bool *needs,
             value_id *in_gradients)
{
    if (needs[0] && out_gradients[0] != NONE)
        in_gradients[0] =
            build_broadcast(g, with_axis(g, n, out_gradients[0]), graph_shape_of(g, n->inputs[0]));
    return graph_good(g);
}

/* The extent d as a value: a number, or a sum of d ones. */
static value_id extent_of(rondo_graph *g, dim d)
{
    if (dim_is_literal(d))
        return build_number(g, (double)d.factor);
    return build_reduce(g, OP_sum, build_constant(g, 1, RONDO_F32, &(shape){.rank = 1, .dims = {d}}), 0,
                        false);
}

bool vjp_mean(rondo_graph *g, const node *n, const value_id *out_gradients, const bool *needs,
              value_id *in_gradients)
{
    if (!needs[0] || out_gradients[0] == NONE)
        return true;
    const shape s = *graph_shape_of(g, n->inputs[0]);
    dim extent = s.dims[normal_axis(n->attributes[mean_axis].integer, s.rank)];
    value_id part = build_div(g, out_gradients[0], extent_of(g, extent));
    in_gradients[0] = build_broadcast(g, with_axis(g, n, part), &s);
    return graph_good(g);
}

/* The first of equal elements is the one with no equal before it. */
bool vjp_max(rondo_graph *g, const node *n, const value_id *out_gradients, const bool *needs,
             value_id *in_gradients)
{
    if (!needs[0] || out_gradients[0] == NONE)
        return true;
    value_id x = n->inputs[0], y = with_axis(g, n, n->first_output), dy = with_axis(g, n, out_gradients[0]);
    int axis = normal_axis(n->attributes[max_axis].integer, graph_shape_of(g, x)->rank);
    value_id equals = build_binary(g, OP_equal, x, y);
    value_id before = build_cumsum(g, equals, axis, true, false);
    value_id first = build_mul(g, equals, build_binary(g, OP_less, before, build_number(g, 0.5)));
    in_gradients[0] = build_select(g, first, dy, build_number(g, 0));
    return graph_good(g);
}

/* dy e^(x − y); a line of −∞ has no gradient. */
bool vjp_logsumexp(rondo_graph *g, const node *n, const value_id *out_gradients, const bool *needs,
                   value_id *in_gradients)
{
    if (!needs[0] || out_gradients[0] == NONE)
        return true;
    value_id x = n->inputs[0], y = with_axis(g, n, n->first_output), dy = with_axis(g, n, out_gradients[0]);
    value_id share = build_unary(g, OP_exp, build_sub(g, x, y));
    value_id finite = build_binary(g, OP_less_equal, build_number(g, -FLT_MAX), y);
    value_id gradient = build_mul(g, share, dy);
    in_gradients[0] = build_select(g, finite, gradient, build_number(g, 0));
    return graph_good(g);
}

bool vjp_sum_to(rondo_graph *g, const node *n, const value_id *out_gradients, const bool *needs,
                value_id *in_gradients)
{
    if (needs[0] && out_gradients[0] != NONE)
        in_gradients[0] = build_broadcast(g, out_gradients[0], graph_shape_of(g, n->inputs[0]));
    return graph_good(g);
}

bool vjp_cumsum(rondo_graph *g, const node *n, const value_id *out_gradients, const bool *needs,
                value_id *in_gradients)
{
    if (needs[0] && out_gradients[0] != NONE)
        in_gradients[0] =
            build_cumsum(g, out_gradients[0], (int)n->attributes[cumsum_axis].integer,
                         n->attributes[cumsum_exclusive].integer, !n->attributes[cumsum_reverse].integer);
    return graph_good(g);
}

/* ---- reference ---- */

/* One line of `count` numbers, `stride` apart, to one. */
static double line_sum(const double *x, int64_t count, int64_t stride)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += x[i * stride];
    return sum;
}

static double line_mean(const double *x, int64_t count, int64_t stride)
{
    return line_sum(x, count, stride) / (double)count;
}

static double line_max(const double *x, int64_t count, int64_t stride)
{
    double largest = -INFINITY;
    for (int64_t i = 0; i < count; i++)
        largest = x[i * stride] > largest ? x[i * stride] : largest;
    return largest;
}

static double line_logsumexp(const double *x, int64_t count, int64_t stride)
{
    double largest = line_max(x, count, stride), sum = 0;
    if (isinf(largest))
        return largest;
    for (int64_t i = 0; i < count; i++)
        sum += exp(x[i * stride] - largest);
    return largest + log(sum);
}

static bool reference_lines(const reference_call *call, double (*line)(const double *, int64_t, int64_t))
{
    const reference_tensor *x = &call->inputs[0];
    reference_axis a = reference_around(x, call->attributes[sum_axis].integer);
    for (int64_t o = 0; o < a.outer; o++)
        for (int64_t i = 0; i < a.inner; i++)
            call->outputs[0].data[o * a.inner + i] =
                line(x->data + o * a.extent * a.inner + i, a.extent, a.inner);
    return true;
}

bool reference_sum(const reference_call *call)
{
    return reference_lines(call, line_sum);
}
bool reference_mean(const reference_call *call)
{
    return reference_lines(call, line_mean);
}
bool reference_max(const reference_call *call)
{
    return reference_lines(call, line_max);
}
bool reference_logsumexp(const reference_call *call)
{
    return reference_lines(call, line_logsumexp);
}

bool reference_sum_to(const reference_call *call)
{
    const reference_tensor *x = &call->inputs[0], *y = &call->outputs[0];
    int64_t index[MAX_RANK] = {0};
    for (int64_t i = 0; i < x->count; i++, reference_next(index, x->dims, x->rank))
        y->data[reference_offset(y, index, x->rank)] += x->data[i];
    return true;
}

static void cumsum_line(const double *x, double *y, int64_t count, int64_t stride, bool exclusive)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++) {
        double before = sum;
        sum += x[i * stride];
        y[i * stride] = exclusive ? before : sum;
    }
}

bool reference_cumsum(const reference_call *call)
{
    const reference_tensor *x = &call->inputs[0];
    reference_axis a = reference_around(x, call->attributes[cumsum_axis].integer);
    bool exclusive = call->attributes[cumsum_exclusive].integer,
         reverse = call->attributes[cumsum_reverse].integer;
    for (int64_t o = 0; a.extent && o < a.outer; o++)
        for (int64_t i = 0; i < a.inner; i++) {
            int64_t at = (o * a.extent + (reverse ? a.extent - 1 : 0)) * a.inner + i;
            cumsum_line(x->data + at, call->outputs[0].data + at, a.extent, reverse ? -a.inner : a.inner,
                        exclusive);
        }
    return true;
}

/* ---- samples ---- */

static value_id sample_reduce(rondo_graph *g, sampler *s, int index, op_id op)
{
    static const struct {
        int rank;
        int64_t dims[4];
        int axis;
        bool keep;
    } cases[] = {
        {1, {1}, 0, false},           {1, {7}, -1, false},        {2, {3, 5}, 0, false},
        {2, {3, 5}, -1, true},        {3, {2, 7, 3}, 1, true},    {3, {2, 7, 3}, -3, false},
        {4, {2, 3, 5, 7}, -2, false}, {3, {3, 0, 5}, 2, true},    {2, {5, 1031}, 1, false},
        {2, {1031, 5}, 0, true},      {3, {3, 67, 66}, 1, false},
    };
    if (index >= (int)(sizeof cases / sizeof *cases))
        return NONE;
    value_id x = sample_input(g, s, -2, 3, cases[index].rank, cases[index].dims);
    return build_reduce(g, op, x, cases[index].axis, cases[index].keep);
}

value_id samples_sum(rondo_graph *g, sampler *s, int index)
{
    if (index == 0) /* an empty sum is 0 */
        return build_reduce(g, OP_sum, sample_input(g, s, -1, 1, 2, (int64_t[]){3, 0}), 1, false);
    return sample_reduce(g, s, index - 1, OP_sum);
}

value_id samples_mean(rondo_graph *g, sampler *s, int index)
{
    return sample_reduce(g, s, index, OP_mean);
}
value_id samples_max(rondo_graph *g, sampler *s, int index)
{
    return sample_reduce(g, s, index, OP_max);
}
value_id samples_logsumexp(rondo_graph *g, sampler *s, int index)
{
    return sample_reduce(g, s, index, OP_logsumexp);
}

value_id samples_sum_to(rondo_graph *g, sampler *s, int index)
{
    static const struct {
        int rank;
        int64_t dims[4];
        shape to;
    } cases[] = {
        {1, {7}, {0}},
        {2, {3, 5}, {.rank = 1, .dims = {{5}}}},
        {2, {3, 5}, {.rank = 2, .dims = {{3}, {1}}}},
        {3, {2, 7, 3}, {.rank = 2, .dims = {{7}, {1}}}},
        {4, {2, 3, 5, 7}, {.rank = 4, .dims = {{1}, {3}, {1}, {7}}}},
        {3, {2, 0, 3}, {.rank = 1, .dims = {{3}}}},
        {2, {1031, 67}, {.rank = 1, .dims = {{67}}}},
        {2, {67, 1031}, {.rank = 1, .dims = {{1}}}},
    };
    if (index >= (int)(sizeof cases / sizeof *cases))
        return NONE;
    return build_sum_to(g, sample_input(g, s, -2, 3, cases[index].rank, cases[index].dims), &cases[index].to);
}

value_id samples_cumsum(rondo_graph *g, sampler *s, int index)
{
    static const struct {
        int rank;
        int64_t dims[4];
        int axis;
        bool exclusive, reverse;
    } cases[] = {
        {1, {1}, 0, false, false},           {1, {7}, 0, true, false},
        {2, {3, 5}, 1, false, true},         {3, {2, 7, 3}, 1, true, true},
        {4, {2, 3, 5, 7}, -2, false, false}, {2, {3, 0}, 1, true, false},
        {3, {2, 301, 5}, 1, false, false},   {2, {3, 1031}, -1, true, true},
    };
    if (index >= (int)(sizeof cases / sizeof *cases))
        return NONE;
    value_id x = sample_input(g, s, -2, 3, cases[index].rank, cases[index].dims);
    return build_cumsum(g, x, cases[index].axis, cases[index].exclusive, cases[index].reverse);
}
