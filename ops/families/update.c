/* The optimiser's step: AdamW (Loshchilov & Hutter 2019) on flat blocks. What changes from step to step is
 * passed as four numbers, so that one program serves all steps. */
#include "ops/infer.h"
#include "ops/reference.h"
#include "ops/rules.h"
#include <math.h>

enum { PARAMETER, GRADIENT, MOMENT_1, MOMENT_2, SCALARS }; /* operands */
enum { GRADIENT_SCALE, RATE, CORRECTION_1, CORRECTION_2 }; /* of SCALARS */

/* ---- infer ---- */

bool infer_adam(rondo_graph *g, node *n, value *outputs)
{
    const value *operands[5];
    for (int i = 0; i < 5; i++)
        if (!(operands[i] = infer_operand(g, n, i, RONDO_F32)))
            return false;
    const shape *p = &operands[PARAMETER]->shape, *scalars = &operands[SCALARS]->shape;
    for (int i = GRADIENT; i <= MOMENT_2; i++)
        if (!shape_equal(p, &operands[i]->shape))
            return infer_fail(g, "adam: operand %d is %s, the parameters are %s", i,
                              shape_words(g, &operands[i]->shape), shape_words(g, p));
    if (scalars->rank != 1 || !dim_is_number(scalars->dims[0], 4))
        return infer_fail(g, "adam: the numbers of the step are %s, they must be [4]",
                          shape_words(g, scalars));
    return infer_result(&outputs[0], RONDO_F32, p) && infer_result(&outputs[1], RONDO_F32, p) &&
           infer_result(&outputs[2], RONDO_F32, p);
}

/* ---- reference ---- */

bool reference_adam(const reference_call *call)
{
    const double *scalars = call->inputs[SCALARS].data;
    double beta1 = call->attributes[adam_beta1].real, beta2 = call->attributes[adam_beta2].real;
    for (int64_t i = 0; i < call->inputs[PARAMETER].count; i++) {
        double p = call->inputs[PARAMETER].data[i],
               gradient = call->inputs[GRADIENT].data[i] * scalars[GRADIENT_SCALE];
        double m = beta1 * call->inputs[MOMENT_1].data[i] + (1 - beta1) * gradient;
        double v = beta2 * call->inputs[MOMENT_2].data[i] + (1 - beta2) * gradient * gradient;
        double step = m / scalars[CORRECTION_1] /
                      (sqrt(v / scalars[CORRECTION_2]) + call->attributes[adam_epsilon].real);
        call->outputs[0].data[i] = p - scalars[RATE] * (step + call->attributes[adam_weight_decay].real * p);
        call->outputs[1].data[i] = m;
        call->outputs[2].data[i] = v;
    }
    return true;
}

/* ---- samples ---- */

value_id samples_adam(rondo_graph *g, sampler *s, int index)
{
    static const struct {
        int64_t count;
        double beta1, beta2, epsilon, weight_decay;
    } cases[] = {
        {1, 0.9, 0.98, 1e-9, 0}, {7, 0.9, 0.999, 1e-8, 0.01},   {131, 0, 0.5, 1e-3, 0},
        {0, 0.9, 0.98, 1e-9, 0}, {66001, 0.9, 0.98, 1e-9, 0.1},
    };
    if (index >= (int)(sizeof cases / sizeof *cases))
        return NONE;
    const int64_t *count = &cases[index].count;
    value_id inputs[5] = {sample_input(g, s, -1, 1, 1, count), sample_input(g, s, -2, 2, 1, count),
                          sample_input(g, s, -1, 1, 1, count)};
    inputs[MOMENT_2] = sample_input(g, s, 0.1, 1, 1, count);
    inputs[SCALARS] = sample_input(g, s, 0.1, 0.9, 1, (int64_t[]){4});
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[adam_beta1].real = cases[index].beta1;
    attributes[adam_beta2].real = cases[index].beta2;
    attributes[adam_epsilon].real = cases[index].epsilon;
    attributes[adam_weight_decay].real = cases[index].weight_decay;
    return build_node(g, OP_adam, 5, inputs, attributes);
}
