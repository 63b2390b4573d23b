/* A gradient that is asked for in the graph: one node, until the pass differentiate puts its graph there. */
#include "ops/infer.h"
#include "ops/rules.h"

bool infer_gradient(rondo_graph *g, node *n, value *outputs)
{
    const value *scalar = infer_operand(g, n, 0, 0), *x = scalar ? infer_operand(g, n, 1, 0) : NULL;
    if (!x)
        return false;
    bool single = scalar->type == RONDO_F32;
    for (int i = 0; i < scalar->shape.rank; i++)
        single = single && dim_is_number(scalar->shape.dims[i], 1);
    if (!single)
        return infer_fail(g, "gradient of %s%s: it must be one f32; sum it", type_name(scalar->type),
                          shape_words(g, &scalar->shape));
    if (x->type != RONDO_F32)
        return infer_fail(g, "gradient to %s%s: only what is f32 can be moved", type_name(x->type),
                          shape_words(g, &x->shape));
    return infer_result(outputs, RONDO_F32, &x->shape);
}
