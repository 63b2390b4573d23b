/* Softmax over the last axis, and its gradient. */
#include "ops/build.h"
#include "ops/reference.h"
#include "ops/rules.h"
#include <math.h>

/* ---- vjp ---- */

bool vjp_softmax(rondo_graph *g, const node *n, const value_id *out_gradients, const bool *needs,
                 value_id *in_gradients)
{
    if (needs[0] && out_gradients[0] != NONE)
        in_gradients[0] =
            build_node(g, OP_softmax_grad, 2, (value_id[]){n->first_output, out_gradients[0]}, NULL);
    return graph_good(g);
}

/* ---- reference ---- */

static void softmax_row(const double *x, double *y, int64_t count)
{
    double largest = -INFINITY, sum = 0;
    bool empty = true; /* all are −∞; a NaN is not */
    for (int64_t i = 0; i < count; i++) {
        largest = x[i] > largest ? x[i] : largest;
        empty = empty && x[i] == -INFINITY;
    }
    for (int64_t i = 0; !empty && i < count; i++)
        sum += y[i] = exp(x[i] - largest);
    for (int64_t i = 0; !empty && i < count; i++)
        y[i] /= sum;
}

bool reference_softmax(const reference_call *call)
{
    const reference_tensor *x = &call->inputs[0];
    reference_axis a = reference_around(x, -1);
    for (int64_t row = 0; row < a.outer; row++)
        softmax_row(x->data + row * a.extent, call->outputs[0].data + row * a.extent, a.extent);
    return true;
}

bool reference_softmax_grad(const reference_call *call)
{
    reference_axis a = reference_around(&call->inputs[0], -1);
    for (int64_t row = 0; row < a.outer; row++) {
        const double *y = call->inputs[0].data + row * a.extent, *dy = call->inputs[1].data + row * a.extent;
        double *dx = call->outputs[0].data + row * a.extent, dot = 0;
        for (int64_t i = 0; i < a.extent; i++)
            dot += y[i] * dy[i];
        for (int64_t i = 0; i < a.extent; i++)
            dx[i] = y[i] * (dy[i] - dot);
    }
    return true;
}

/* ---- samples ---- */

static const struct {
    int rank;
    int64_t dims[4];
    double range;
} cases[] = {
    {1, {1}, 3},    {1, {7}, 3},    {2, {3, 5}, 80},        {3, {2, 3, 13}, 3}, {4, {2, 3, 5, 31}, 3},
    {2, {0, 5}, 1}, {2, {5, 0}, 1}, {4, {2, 2, 67, 67}, 9}, {2, {3, 1031}, 3},
};
enum { CASES = sizeof cases / sizeof *cases };

value_id samples_softmax(rondo_graph *g, sampler *s, int index)
{
    if (index >= CASES)
        return NONE;
    double range = cases[index].range;
    return build_unary(g, OP_softmax,
                       sample_input(g, s, -range, range, cases[index].rank, cases[index].dims));
}

value_id samples_softmax_grad(rondo_graph *g, sampler *s, int index)
{
    if (index >= CASES)
        return NONE;
    value_id y = sample_input(g, s, 0, 1, cases[index].rank, cases[index].dims);
    value_id dy = sample_input(g, s, -2, 2, cases[index].rank, cases[index].dims);
    return build_binary(g, OP_softmax_grad, y, dy);
}
