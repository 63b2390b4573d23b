/* Layer norm and RMS norm over the last axis. Their second result, the statistics of each row, is an operand
 * of their gradients; it has no gradient itself. */
#include "ops/infer.h"
#include "ops/reference.h"
#include "ops/rules.h"
#include <math.h>

/* ---- infer ---- */

/* Operand i has one number for each channel of x. */
static bool infer_channels(rondo_graph *g, const node *n, int i, const value *x)
{
    const value *vector = infer_operand(g, n, i, RONDO_F32);
    if (!vector)
        return false;
    if (vector->shape.rank != 1 || !dim_equal(vector->shape.dims[0], x->shape.dims[x->shape.rank - 1]))
        return infer_fail(g, "%s: operand %d is %s, it must have one number for each channel of %s",
                          op_words(n), i, shape_words(g, &vector->shape), shape_words(g, &x->shape));
    return true;
}

static const value *infer_rows(rondo_graph *g, const node *n)
{
    const value *x = infer_operand(g, n, 0, RONDO_F32);
    if (!x || x->shape.rank >= 1)
        return x;
    graph_fail(g, RONDO_SHAPE, "%s: a single number has no channels", op_words(n));
    return NULL;
}

static shape statistics_shape(const value *x, int count)
{
    shape s = x->shape;
    s.dims[s.rank - 1] = dim_number(count);
    return s;
}

bool infer_norm(rondo_graph *g, node *n, value *outputs)
{
    const value *x = infer_rows(g, n);
    bool centred = n->op == OP_layer_norm;
    if (!x || !infer_channels(g, n, 1, x) || (centred && !infer_channels(g, n, 2, x)))
        return false;
    shape statistics = statistics_shape(x, centred ? 2 : 1);
    return infer_result(&outputs[0], RONDO_F32, &x->shape) &&
           infer_result(&outputs[1], RONDO_F32, &statistics);
}

static bool infer_norm_grad(rondo_graph *g, node *n, value *outputs, int numbers)
{
    const value *x = infer_rows(g, n);
    if (!x || !infer_channels(g, n, 1, x))
        return false;
    const value *statistics = infer_operand(g, n, 2, RONDO_F32), *dy = infer_operand(g, n, 3, RONDO_F32);
    if (!statistics || !dy)
        return false;
    shape expected = statistics_shape(x, numbers);
    if (!shape_equal(&statistics->shape, &expected) || !shape_equal(&dy->shape, &x->shape))
        return infer_fail(g, "%s: statistics %s and gradient %s are not those of %s", op_words(n),
                          shape_words(g, &statistics->shape), shape_words(g, &dy->shape),
                          shape_words(g, &x->shape));
    const shape *channels = &g->values[n->inputs[1]].shape;
    for (int p = 1; p < n->output_count; p++)
        infer_result(&outputs[p], RONDO_F32, channels);
    return infer_result(&outputs[0], RONDO_F32, &x->shape);
}

bool infer_layer_norm_grad(rondo_graph *g, node *n, value *outputs)
{
    return infer_norm_grad(g, n, outputs, 2);
}

bool infer_rms_norm_grad(rondo_graph *g, node *n, value *outputs)
{
    return infer_norm_grad(g, n, outputs, 1);
}

/* ---- vjp ---- */

static bool vjp_norm(rondo_graph *g, const node *n, op_id op, const value_id *out_gradients,
                     const bool *needs, value_id *in_gradients)
{
    if (out_gradients[1] != NONE)
        return graph_refuse(g, RONDO_NO_GRADIENT, "the statistics of %s have no gradient", op_words(n));
    bool needed = false;
    for (int i = 0; i < n->input_count; i++)
        needed = needed || needs[i];
    if (!needed || out_gradients[0] == NONE)
        return true;
    value_id inputs[] = {n->inputs[0], n->inputs[1], n->first_output + 1, out_gradients[0]};
    value_id first = build_node(g, op, 4, inputs, n->attributes);
    for (int i = 0; first != NONE && i < n->input_count; i++)
        if (needs[i])
            in_gradients[i] = first + i;
    return first != NONE;
}

bool vjp_layer_norm(rondo_graph *g, const node *n, const value_id *out_gradients, const bool *needs,
                    value_id *in_gradients)
{
    _Static_assert((int)layer_norm_epsilon == (int)layer_norm_grad_epsilon,
                   "norm and gradient share their attributes");
    return vjp_norm(g, n, OP_layer_norm_grad, out_gradients, needs, in_gradients);
}

bool vjp_rms_norm(rondo_graph *g, const node *n, const value_id *out_gradients, const bool *needs,
                  value_id *in_gradients)
{
    _Static_assert((int)rms_norm_epsilon == (int)rms_norm_grad_epsilon,
                   "norm and gradient share their attributes");
    return vjp_norm(g, n, OP_rms_norm_grad, out_gradients, needs, in_gradients);
}

/* ---- reference ---- */

bool reference_layer_norm(const reference_call *call)
{
    reference_axis a = reference_around(&call->inputs[0], -1);
    const double *gain = call->inputs[1].data, *bias = call->inputs[2].data;
    for (int64_t row = 0; row < a.outer; row++) {
        const double *x = call->inputs[0].data + row * a.extent;
        double *y = call->outputs[0].data + row * a.extent, mean = 0, variance = 0;
        for (int64_t i = 0; i < a.extent; i++)
            mean += x[i] / (double)a.extent;
        for (int64_t i = 0; i < a.extent; i++)
            variance += (x[i] - mean) * (x[i] - mean) / (double)a.extent;
        double inverse = 1 / sqrt(variance + call->attributes[layer_norm_epsilon].real);
        for (int64_t i = 0; i < a.extent; i++)
            y[i] = (x[i] - mean) * inverse * gain[i] + bias[i];
        call->outputs[1].data[2 * row] = mean;
        call->outputs[1].data[2 * row + 1] = inverse;
    }
    return true;
}

bool reference_rms_norm(const reference_call *call)
{
    reference_axis a = reference_around(&call->inputs[0], -1);
    for (int64_t row = 0; row < a.outer; row++) {
        const double *x = call->inputs[0].data + row * a.extent;
        double *y = call->outputs[0].data + row * a.extent, square = 0;
        for (int64_t i = 0; i < a.extent; i++)
            square += x[i] * x[i] / (double)a.extent;
        double inverse = 1 / sqrt(square + call->attributes[rms_norm_epsilon].real);
        for (int64_t i = 0; i < a.extent; i++)
            y[i] = x[i] * inverse * call->inputs[1].data[i];
        call->outputs[1].data[row] = inverse;
    }
    return true;
}

/* One row, with h = (x − mean) · inverse and e = gain · dy: dx = inverse · (e − mean(e) − h · mean(e h));
 * without the middle term when the row was not centred. dbias may be NULL. */
static void norm_grad_row(const double *x, const double *gain, const double *dy, double mean, double inverse,
                          bool centred, int64_t count, double *dx, double *dgain, double *dbias)
{
    double e_mean = 0, eh_mean = 0;
    for (int64_t i = 0; i < count; i++) {
        double h = (x[i] - mean) * inverse, e = gain[i] * dy[i];
        e_mean += centred ? e / (double)count : 0;
        eh_mean += e * h / (double)count;
        dgain[i] += dy[i] * h;
        if (dbias)
            dbias[i] += dy[i];
    }
    for (int64_t i = 0; i < count; i++)
        dx[i] = inverse * (gain[i] * dy[i] - e_mean - (x[i] - mean) * inverse * eh_mean);
}

static bool reference_norm_grad(const reference_call *call, bool centred)
{
    reference_axis a = reference_around(&call->inputs[0], -1);
    int numbers = centred ? 2 : 1;
    for (int64_t row = 0; row < a.outer; row++) {
        const double *statistics = call->inputs[2].data + numbers * row;
        int64_t at = row * a.extent;
        norm_grad_row(call->inputs[0].data + at, call->inputs[1].data, call->inputs[3].data + at,
                      centred ? statistics[0] : 0, statistics[numbers - 1], centred, a.extent,
                      call->outputs[0].data + at, call->outputs[1].data,
                      centred ? call->outputs[2].data : NULL);
    }
    return true;
}

bool reference_layer_norm_grad(const reference_call *call)
{
    return reference_norm_grad(call, true);
}

bool reference_rms_norm_grad(const reference_call *call)
{
    return reference_norm_grad(call, false);
}

/* ---- samples ---- */

static const struct {
    int rank;
    int64_t dims[4];
    double epsilon;
} cases[] = {
    {1, {7}, 1e-5},           {2, {3, 5}, 1e-5},    {3, {2, 3, 13}, 1e-3},
    {4, {2, 1, 5, 31}, 1e-5}, {2, {1, 2}, 0.5},     {2, {0, 5}, 1e-5},
    {3, {2, 67, 66}, 1e-5},   {2, {5, 1031}, 1e-5}, {2, {131, 3}, 1e-2},
};
enum { CASES = sizeof cases / sizeof *cases };

static value_id sample_norm(rondo_graph *g, sampler *s, int index, op_id op)
{
    if (index >= CASES)
        return NONE;
    int rank = cases[index].rank;
    const int64_t *channels = &cases[index].dims[rank - 1];
    value_id inputs[3] = {sample_input(g, s, -2, 3, rank, cases[index].dims),
                          sample_input(g, s, 0.5, 2, 1, channels), NONE};
    if (op == OP_layer_norm)
        inputs[2] = sample_input(g, s, -1, 1, 1, channels);
    return build_node(g, op, op == OP_layer_norm ? 3 : 2, inputs,
                      (attribute[MAX_ATTRIBUTES]){{.real = cases[index].epsilon}});
}

static value_id sample_norm_grad(rondo_graph *g, sampler *s, int index, op_id op)
{
    if (index >= CASES)
        return NONE;
    int rank = cases[index].rank;
    int64_t rows[MAX_RANK];
    for (int i = 0; i < rank; i++)
        rows[i] = cases[index].dims[i];
    rows[rank - 1] = op == OP_layer_norm_grad ? 2 : 1;
    value_id inputs[] = {sample_input(g, s, -2, 3, rank, cases[index].dims),
                         sample_input(g, s, 0.5, 2, 1, &cases[index].dims[rank - 1]),
                         sample_input(g, s, 0.3, 1.5, rank, rows),
                         sample_input(g, s, -2, 2, rank, cases[index].dims)};
    return build_node(g, op, 4, inputs, (attribute[MAX_ATTRIBUTES]){{.real = cases[index].epsilon}});
}

value_id samples_layer_norm(rondo_graph *g, sampler *s, int index)
{
    return sample_norm(g, s, index, OP_layer_norm);
}
value_id samples_rms_norm(rondo_graph *g, sampler *s, int index)
{
    return sample_norm(g, s, index, OP_rms_norm);
}

value_id samples_layer_norm_grad(rondo_graph *g, sampler *s, int index)
{
    return sample_norm_grad(g, s, index, OP_layer_norm_grad);
}

value_id samples_rms_norm_grad(rondo_graph *g, sampler *s, int index)
{
    return sample_norm_grad(g, s, index, OP_rms_norm_grad);
}
