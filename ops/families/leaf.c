/* Leaves: what a run is given (input, parameter, state), and constants, whose number is in the graph. */
#include "ops/infer.h"
#include "ops/reference.h"
#include "ops/rules.h"

/* The four ops have type and dims at the same indices. */
_Static_assert((int)input_type == (int)constant_type && (int)input_dims == (int)constant_dims &&
                   (int)parameter_dims == (int)input_dims && (int)state_dims == (int)input_dims,
               "infer_leaf reads all leaves alike");

bool infer_leaf(rondo_graph *g, node *n, value *outputs)
{
    int64_t type = n->attributes[input_type].integer, dims = n->attributes[input_dims].integer;
    if (type != RONDO_F32 && type != RONDO_I32)
        return infer_fail(g, "%s: a tensor of a graph is f32 or i32", op_words(n));
    if (dims < 0 || dims >= g->shape_count)
        return infer_fail(g, "%s: its dims are not in the graph", op_words(n));
    return infer_result(outputs, (rondo_type)type, &g->shapes[dims]);
}

bool reference_constant(const reference_call *call)
{
    for (int64_t i = 0; i < call->outputs[0].count; i++)
        call->outputs[0].data[i] = call->attributes[constant_number].real;
    return true;
}

value_id samples_constant(rondo_graph *g, sampler *s, int index)
{
    static const struct {
        double number;
        rondo_type type;
        shape shape;
    } cases[] = {
        {0.1, RONDO_F32, {0}},
        {-7, RONDO_I32, {.rank = 1, .dims = {{5}}}},
        {3e38, RONDO_F32, {.rank = 2, .dims = {{3}, {0}}}},
        {-1.0 / 3, RONDO_F32, {.rank = 3, .dims = {{2}, {13}, {31}}}},
    };
    (void)s;
    if (index >= (int)(sizeof cases / sizeof *cases))
        return NONE;
    return build_constant(g, cases[index].number, cases[index].type, &cases[index].shape);
}
