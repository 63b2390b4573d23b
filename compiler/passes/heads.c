/* compiler/passes/heads.h. */
#include "compiler/passes/heads.h"

shape heads_batch(const shape *s)
{
    shape batch = {.rank = s->rank - 2};
    for (int i = 0; i < batch.rank; i++)
        batch.dims[i] = s->dims[i];
    return batch;
}

static shape with_matrix(const shape *batch, const shape *x)
{
    shape s = *batch;
    s.rank = batch->rank + 2;
    s.dims[batch->rank] = x->dims[x->rank - 2];
    s.dims[batch->rank + 1] = x->dims[x->rank - 1];
    return s;
}

value_id heads_in(rondo_graph *g, value_id x, const shape *batch)
{
    if (x == NONE || batch->rank + 2 > MAX_RANK)
        return x == NONE ? NONE : graph_fail(g, RONDO_SHAPE, "an attention over more than %d axes", MAX_RANK);
    shape full = with_matrix(batch, graph_shape_of(g, x));
    shape four = {.rank = 2, .dims = {batch->rank ? batch->dims[0] : dim_number(1), dim_number(1)}};
    for (int i = 1; i < batch->rank; i++)
        if (!dim_multiply(four.dims[1], batch->dims[i], &four.dims[1]))
            return graph_fail(g, RONDO_SHAPE, "the batch axes of an attention have too many elements");
    four = with_matrix(&four, &full);
    return build_reshape(g, build_broadcast(g, x, &full), &four);
}

value_id heads_out(rondo_graph *g, value_id y, const shape *batch)
{
    if (y == NONE)
        return NONE;
    shape full = with_matrix(batch, graph_shape_of(g, y));
    return build_reshape(g, y, &full);
}
