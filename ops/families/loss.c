/* Cross entropy with smoothed labels, q = (1 − ε) onehot + ε / V: sums and counts, never means. Rows whose
 * target is `ignore` are not read. The op that includes the output projection computes its gradients in the
 * same sweep, so that the logits are never stored as a whole. */
#include "ops/infer.h"
#include "ops/reference.h"
#include "ops/rules.h"
#include <math.h>

_Static_assert((int)cross_entropy_smoothing == (int)cross_entropy_grad_smoothing &&
                   (int)cross_entropy_smoothing == (int)linear_cross_entropy_smoothing &&
                   (int)cross_entropy_ignore == (int)cross_entropy_grad_ignore &&
                   (int)cross_entropy_ignore == (int)linear_cross_entropy_ignore,
               "the three read their attributes alike");

/* ---- infer ---- */

/* Operand `ids` has one target for each row of operand 0. */
static const value *infer_targets(rondo_graph *g, const node *n, int ids)
{
    const value *x = infer_operand(g, n, 0, RONDO_F32),
                *targets = x ? infer_operand(g, n, ids, RONDO_I32) : NULL;
    if (!targets)
        return NULL;
    double smoothing = n->attributes[cross_entropy_smoothing].real;
    shape rows = x->shape;
    rows.rank--;
    if (x->shape.rank >= 1)
        rows.dims[rows.rank] = (dim){0};
    if (x->shape.rank < 1 || !shape_equal(&rows, &targets->shape))
        graph_fail(g, RONDO_SHAPE, "%s: the targets are %s, there must be one for each row of %s",
                   op_words(n), shape_words(g, &targets->shape), shape_words(g, &x->shape));
    else if (!(smoothing >= 0 && smoothing < 1))
        graph_fail(g, RONDO_SHAPE, "%s: the smoothing %g must be at least 0 and below 1", op_words(n),
                   smoothing);
    else
        return x;
    return NULL;
}

static bool infer_sums(value *outputs)
{
    for (int p = 0; p < 3; p++)
        infer_result(&outputs[p], RONDO_F32, &(shape){0});
    return true;
}

bool infer_cross_entropy(rondo_graph *g, node *n, value *outputs)
{
    return infer_targets(g, n, 1) && infer_sums(outputs);
}

bool infer_cross_entropy_grad(rondo_graph *g, node *n, value *outputs)
{
    const value *logits = infer_targets(g, n, 1), *dloss = logits ? infer_operand(g, n, 2, RONDO_F32) : NULL;
    if (!dloss)
        return false;
    if (dloss->shape.rank)
        return infer_fail(g, "cross_entropy_grad: the gradient of the loss is %s, it must be one number",
                          shape_words(g, &dloss->shape));
    return infer_result(outputs, RONDO_F32, &logits->shape);
}

bool infer_linear_cross_entropy(rondo_graph *g, node *n, value *outputs)
{
    const value *h = infer_targets(g, n, 2), *w = h ? infer_operand(g, n, 1, RONDO_F32) : NULL, *bias;
    if (!w || !infer_optional(g, n, 3, RONDO_F32, &bias))
        return false;
    if (w->shape.rank != 2 || !dim_equal(w->shape.dims[1], h->shape.dims[h->shape.rank - 1]))
        return infer_fail(g, "linear_cross_entropy %s × %sᵀ: the inner dims differ",
                          shape_words(g, &h->shape), shape_words(g, &w->shape));
    shape vocabulary = {.rank = 1, .dims = {w->shape.dims[0]}};
    if (bias && !shape_equal(&bias->shape, &vocabulary))
        return infer_fail(g, "linear_cross_entropy: the bias is %s, it must be %s",
                          shape_words(g, &bias->shape), shape_words(g, &vocabulary));
    return infer_sums(outputs) && infer_result(&outputs[3], RONDO_F32, &h->shape) &&
           infer_result(&outputs[4], RONDO_F32, &w->shape) &&
           infer_result(&outputs[5], RONDO_F32, &vocabulary);
}

/* ---- vjp ---- */

/* Only the loss has a gradient: nll and the results after it are for reports, and the count is constant. */
static bool only_loss(rondo_graph *g, const node *n, const value_id *out_gradients)
{
    for (int p = 1; p < n->output_count; p++)
        if (p != 2 && out_gradients[p] != NONE)
            return graph_refuse(
                g, RONDO_NO_GRADIENT,
                p == 1 ? "result %d of %s has no gradient; use the loss, its result 0"
                       : "result %d of %s has no gradient: it is one, and this would be a second "
                         "derivative",
                p, op_words(n));
    return true;
}

bool vjp_cross_entropy(rondo_graph *g, const node *n, const value_id *out_gradients, const bool *needs,
                       value_id *in_gradients)
{
    if (!only_loss(g, n, out_gradients))
        return false;
    if (needs[0] && out_gradients[0] != NONE)
        in_gradients[0] =
            build_node(g, OP_cross_entropy_grad, 3,
                       (value_id[]){n->inputs[0], n->inputs[1], out_gradients[0]}, n->attributes);
    return graph_good(g);
}

static bool is_one(const rondo_graph *g, value_id v)
{
    const node *n = graph_node_of(g, v);
    return n->op == OP_constant && n->attributes[constant_number].real == 1;
}

bool vjp_linear_cross_entropy(rondo_graph *g, const node *n, const value_id *out_gradients, const bool *needs,
                              value_id *in_gradients)
{
    static const int operands[] = {0, 1, 3}; /* whose gradients are results 3, 4, 5 */
    if (!only_loss(g, n, out_gradients))
        return false;
    value_id dloss = out_gradients[0];
    for (int i = 0; dloss != NONE && i < 3; i++) {
        if (operands[i] >= n->input_count || !needs[operands[i]])
            continue;
        value_id whole = n->first_output + 3 + i;
        in_gradients[operands[i]] = is_one(g, dloss) ? whole : build_mul(g, whole, dloss);
    }
    return graph_good(g);
}

/* ---- reference ---- */

typedef struct loss_terms {
    double smoothing;
    int64_t ignore, vocabulary;
} loss_terms;

static loss_terms loss_begin(const reference_call *call, int64_t vocabulary)
{
    return (loss_terms){call->attributes[cross_entropy_smoothing].real,
                        call->attributes[cross_entropy_ignore].integer, vocabulary};
}

/* Whether the target counts. */
static bool loss_counts(const loss_terms *l, int64_t target)
{
    return target != l->ignore && target >= 0 && target < l->vocabulary;
}

static double row_logsumexp(const double *x, int64_t count)
{
    double largest = -INFINITY, sum = 0;
    for (int64_t i = 0; i < count; i++)
        largest = x[i] > largest ? x[i] : largest;
    for (int64_t i = 0; i < count; i++)
        sum += exp(x[i] - largest);
    return largest + log(sum);
}

/* Adds the row to loss, nll and count. */
static void loss_row(const loss_terms *l, const double *x, int64_t target, reference_tensor *sums)
{
    double all = row_logsumexp(x, l->vocabulary), mean = 0;
    for (int64_t i = 0; i < l->vocabulary; i++)
        mean += x[i] / (double)l->vocabulary;
    sums[0].data[0] += all - (1 - l->smoothing) * x[target] - l->smoothing * mean;
    sums[1].data[0] += all - x[target];
    sums[2].data[0] += 1;
}

/* (p − q) scale. dx may be x. */
static void loss_row_grad(const loss_terms *l, const double *x, int64_t target, double scale, double *dx)
{
    double all = row_logsumexp(x, l->vocabulary);
    for (int64_t i = 0; i < l->vocabulary; i++) {
        double q = l->smoothing / (double)l->vocabulary + (i == target ? 1 - l->smoothing : 0);
        dx[i] = (exp(x[i] - all) - q) * scale;
    }
}

bool reference_cross_entropy(const reference_call *call)
{
    reference_axis a = reference_around(&call->inputs[0], -1);
    loss_terms l = loss_begin(call, a.extent);
    for (int64_t row = 0; row < a.outer; row++) {
        int64_t target = (int64_t)call->inputs[1].data[row];
        if (loss_counts(&l, target))
            loss_row(&l, call->inputs[0].data + row * a.extent, target, call->outputs);
    }
    return true;
}

bool reference_cross_entropy_grad(const reference_call *call)
{
    reference_axis a = reference_around(&call->inputs[0], -1);
    loss_terms l = loss_begin(call, a.extent);
    for (int64_t row = 0; row < a.outer; row++) {
        int64_t target = (int64_t)call->inputs[1].data[row];
        if (loss_counts(&l, target))
            loss_row_grad(&l, call->inputs[0].data + row * a.extent, target, call->inputs[2].data[0],
                          call->outputs[0].data + row * a.extent);
    }
    return true;
}

/* One row of h: its logits into x, [V], the sums, then its part of dh, dW and dbias. */
static void linear_loss_row(const reference_call *call, const loss_terms *l, int64_t row, int64_t width,
                            double *x)
{
    const double *h = call->inputs[0].data + row * width, *w = call->inputs[1].data,
                 *bias = reference_data(call, 3);
    double *dh = call->outputs[3].data + row * width, *dw = call->outputs[4].data,
           *dbias = call->outputs[5].data;
    int64_t target = (int64_t)call->inputs[2].data[row];
    for (int64_t v = 0; v < l->vocabulary; v++) {
        x[v] = bias ? bias[v] : 0;
        for (int64_t c = 0; c < width; c++)
            x[v] += h[c] * w[v * width + c];
    }
    loss_row(l, x, target, call->outputs);
    loss_row_grad(l, x, target, 1, x);
    for (int64_t v = 0; v < l->vocabulary; v++) {
        dbias[v] += x[v];
        for (int64_t c = 0; c < width; c++) {
            dh[c] += x[v] * w[v * width + c];
            dw[v * width + c] += x[v] * h[c];
        }
    }
}

bool reference_linear_cross_entropy(const reference_call *call)
{
    reference_axis a = reference_around(&call->inputs[0], -1);
    loss_terms l = loss_begin(call, call->inputs[1].dims[0]);
    double *x = ARENA_NEW(call->scratch, double, l.vocabulary + 1);
    for (int64_t row = 0; x && row < a.outer; row++)
        if (loss_counts(&l, (int64_t)call->inputs[2].data[row]))
            linear_loss_row(call, &l, row, a.extent, x);
    return x;
}

/* ---- samples ---- */

/* Rows [B, T], vocabulary, width. ignore = −1: every target counts; limit 0 with ignore 0: none does. */
static const struct {
    int64_t dims[2], vocabulary, width;
    double smoothing;
    int64_t ignore, limit;
    bool bias;
} cases[] = {
    {{1, 1}, 7, 1, 0, -1, 6, false},     {{2, 3}, 7, 5, 0, 0, 6, true},
    {{7, 1}, 2, 1, 0, -1, 1, false},     {{3, 5}, 13, 7, 0.1, 0, 12, false},
    {{1, 17}, 31, 3, 0.3, -1, 30, true}, {{2, 5}, 11, 13, 0.1, 0, 0, true},
    {{0, 3}, 5, 2, 0.1, 0, 4, false},    {{5, 29}, 131, 67, 0.1, 0, 130, true},
    {{2, 2}, 1, 3, 0.1, -1, 0, false},   {{1, 3}, 2053, 11, 0.1, 0, 2052, false},
};
enum { CASES = sizeof cases / sizeof *cases };

static void loss_attributes(int index, attribute *attributes)
{
    attributes[cross_entropy_smoothing].real = cases[index].smoothing;
    attributes[cross_entropy_ignore].integer = cases[index].ignore;
}

static value_id sample_loss(rondo_graph *g, sampler *s, int index, op_id op)
{
    if (index >= CASES)
        return NONE;
    const int64_t *dims = cases[index].dims;
    value_id inputs[3] = {
        sample_input(g, s, -4, 4, 3, (int64_t[]){dims[0], dims[1], cases[index].vocabulary})};
    inputs[1] = sample_ids(g, s, cases[index].limit, 2, dims);
    if (op == OP_cross_entropy_grad)
        inputs[2] = sample_input(g, s, 0.5, 2, 0, dims);
    attribute attributes[MAX_ATTRIBUTES] = {0};
    loss_attributes(index, attributes);
    return build_node(g, op, op == OP_cross_entropy ? 2 : 3, inputs, attributes);
}

value_id samples_cross_entropy(rondo_graph *g, sampler *s, int index)
{
    return sample_loss(g, s, index, OP_cross_entropy);
}

value_id samples_cross_entropy_grad(rondo_graph *g, sampler *s, int index)
{
    return sample_loss(g, s, index, OP_cross_entropy_grad);
}

value_id samples_linear_cross_entropy(rondo_graph *g, sampler *s, int index)
{
    if (index >= CASES)
        return NONE;
    const int64_t *dims = cases[index].dims, vocabulary = cases[index].vocabulary, width = cases[index].width;
    value_id inputs[4] = {sample_input(g, s, -1, 1, 3, (int64_t[]){dims[0], dims[1], width})};
    inputs[1] = sample_input(g, s, -1, 1, 2, (int64_t[]){vocabulary, width});
    inputs[2] = sample_ids(g, s, cases[index].limit, 2, dims);
    inputs[3] = cases[index].bias ? sample_input(g, s, -1, 1, 1, &vocabulary) : NONE;
    attribute attributes[MAX_ATTRIBUTES] = {0};
    loss_attributes(index, attributes);
    return build_node(g, OP_linear_cross_entropy, 4, inputs, attributes);
}
