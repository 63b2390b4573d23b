/* Dropout: what it keeps is a function of (site, seed, sentence, position, channel),
 * ops/kernels/dropout_hash.h. So its gradient is the same op, which draws the same. */
#include "ops/kernels/dropout_hash.h"
#include "ops/infer.h"
#include "ops/reference.h"
#include "ops/rules.h"

/* ---- infer ---- */

bool infer_dropout(rondo_graph *g, node *n, value *outputs)
{
    const value *x = infer_operand(g, n, 0, RONDO_F32), *seed = x ? infer_operand(g, n, 1, RONDO_I32) : NULL;
    double rate = n->attributes[dropout_rate].real;
    if (!seed)
        return false;
    int axis = infer_axis(g, n, n->attributes[dropout_axis].integer, x->shape.rank);
    if (axis < 0)
        return false;
    if (axis == 0)
        return infer_fail(g, "dropout of %s: axis 0 is that of the sentences, it cannot be time too",
                          shape_words(g, &x->shape));
    if (!(rate >= 0 && rate < 1))
        return infer_fail(g, "dropout: the rate %g must be at least 0 and below 1", rate);
    if (seed->shape.rank != 1 || !dim_is_number(seed->shape.dims[0], 2))
        return infer_fail(g, "dropout: the seed is %s, it must be [2]", shape_words(g, &seed->shape));
    return infer_per_sentence(g, n, 2, x) && infer_result(outputs, RONDO_F32, &x->shape);
}

/* ---- vjp ---- */

bool vjp_dropout(rondo_graph *g, const node *n, const value_id *out_gradients, const bool *needs,
                 value_id *in_gradients)
{
    if (needs[0] && out_gradients[0] != NONE)
        in_gradients[0] = build_node(
            g, OP_dropout, 3, (value_id[]){out_gradients[0], n->inputs[1], n->inputs[2]}, n->attributes);
    return graph_good(g);
}

/* ---- reference ---- */

bool reference_dropout(const reference_call *call)
{
    const reference_tensor *x = &call->inputs[0];
    const double *seed = call->inputs[1].data, *sentence = call->inputs[2].data;
    double rate = call->attributes[dropout_rate].real;
    int axis = normal_axis(call->attributes[dropout_axis].integer, x->rank);
    int64_t index[MAX_RANK] = {0};
    for (int64_t i = 0; i < x->count; i++, reference_next(index, x->dims, x->rank)) {
        uint64_t key = dropout_sentence(call->attributes[dropout_site].integer, (int32_t)seed[0],
                                        (int32_t)seed[1], (int32_t)sentence[index[0]]);
        uint32_t channel = dropout_channel(x->rank, x->dims, index, axis);
        bool kept = dropout_keeps(dropout_row(key, index[axis]), channel, dropout_threshold(rate));
        call->outputs[0].data[i] = kept ? x->data[i] * dropout_scale(rate) : 0;
    }
    return true;
}

/* ---- samples ---- */

value_id samples_dropout(rondo_graph *g, sampler *s, int index)
{
    static const struct {
        int rank;
        int64_t dims[4];
        double rate;
        int64_t site;
        int axis;
    } cases[] = {
        {3, {1, 1, 1}, 0.5, 0, -2},    {3, {3, 5, 7}, 0.1, 1, -2},    {3, {2, 1, 131}, 0.3, 4, -2},
        {4, {2, 3, 5, 11}, 0.5, 9, 2}, {4, {2, 5, 3, 13}, 0.9, 2, 1}, {3, {2, 3, 31}, 0, 3, -2},
        {2, {3, 17}, 0.25, 7, 1},      {3, {2, 0, 5}, 0.5, 1, -2},    {4, {2, 2, 67, 66}, 0.2, 5, -2},
    };
    if (index >= (int)(sizeof cases / sizeof *cases))
        return NONE;
    value_id inputs[3] = {sample_input(g, s, -2, 2, cases[index].rank, cases[index].dims)};
    inputs[1] = sample_ids(g, s, 1000000, 1, (int64_t[]){2});
    inputs[2] = sample_ids(g, s, 1000000, 1, cases[index].dims);
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[dropout_rate].real = cases[index].rate;
    attributes[dropout_site].integer = cases[index].site;
    attributes[dropout_axis].integer = cases[index].axis;
    return build_node(g, OP_dropout, 3, inputs, attributes);
}
