/* The sum of all elements that a mask keeps, with their number: what a loss is made of. */
#include "ops/infer.h"
#include "ops/reference.h"
#include "ops/rules.h"

/* ---- infer ---- */

bool infer_total(rondo_graph *g, node *n, value *outputs)
{
    const value *x = infer_operand(g, n, 0, RONDO_F32), *mask;
    shape both;
    if (!x || !infer_optional(g, n, 1, RONDO_F32, &mask))
        return false;
    if (mask && (!shape_broadcast(&x->shape, &mask->shape, &both) || !shape_equal(&both, &x->shape)))
        return infer_fail(g, "total: the mask is %s, which does not repeat to %s",
                          shape_words(g, &mask->shape), shape_words(g, &x->shape));
    return infer_result(&outputs[0], RONDO_F32, &(shape){0}) &&
           infer_result(&outputs[1], RONDO_F32, &(shape){0});
}

/* ---- vjp ---- */

bool vjp_total(rondo_graph *g, const node *n, const value_id *out_gradients, const bool *needs,
               value_id *in_gradients)
{
    if (!needs[0] || out_gradients[0] == NONE)
        return graph_good(g);
    const shape s = *graph_shape_of(g, n->inputs[0]);
    value_id dx = build_broadcast(g, out_gradients[0], &s);
    if (n->input_count > 1 && n->inputs[1] != NONE)
        dx = build_select(g, build_broadcast(g, n->inputs[1], &s), dx, build_number(g, 0));
    in_gradients[0] = dx;
    return graph_good(g);
}

/* ---- reference ---- */

bool reference_total(const reference_call *call)
{
    const reference_tensor *x = &call->inputs[0];
    const double *mask = reference_data(call, 1);
    int64_t index[MAX_RANK] = {0};
    for (int64_t i = 0; i < x->count; i++, reference_next(index, x->dims, x->rank)) {
        if (mask && mask[reference_offset(&call->inputs[1], index, x->rank)] == 0)
            continue;
        call->outputs[0].data[0] += x->data[i];
        call->outputs[1].data[0] += 1;
    }
    return true;
}

/* ---- samples ---- */

value_id samples_total(rondo_graph *g, sampler *s, int index)
{
    static const struct {
        int rank;
        int64_t dims[4];
        int mask_rank; /* −1: there is none */
        int64_t mask[4];
    } cases[] = {
        {0, {0}, -1, {0}},         {1, {1}, 0, {0}},
        {2, {3, 7}, -1, {0}},      {3, {2, 5, 11}, 3, {2, 5, 1}},
        {2, {0, 3}, 2, {0, 3}},    {3, {3, 1, 37}, 1, {37}},
        {2, {7, 4801}, 2, {7, 1}}, {1, {35001}, 1, {35001}},
    };
    if (index >= (int)(sizeof cases / sizeof *cases))
        return NONE;
    value_id inputs[2] = {sample_input(g, s, -2, 2, cases[index].rank, cases[index].dims), NONE};
    int count = cases[index].mask_rank < 0 ? 1 : 2;
    if (count > 1)
        inputs[1] = build_cast(g, sample_ids(g, s, 1, cases[index].mask_rank, cases[index].mask), RONDO_F32);
    return build_node(g, OP_total, count, inputs, NULL);
}
