/* The graphs of the optimiser, built from ordinary ops. */
#include "models/train/optimizer.h"

enum { ROW = 4096 };

static rondo_graph *finish(rondo_graph *g, rondo_error *error)
{
    if (graph_check(g, error))
        return g;
    graph_free(g);
    return NULL;
}

static shape vector(int64_t size)
{
    shape s = {.rank = 1};
    s.dims[0] = dim_number(size);
    return s;
}

rondo_graph *optimizer_norm(rondo *context, int64_t size, rondo_error *error)
{
    rondo_graph *g = graph_new(context, error);
    if (!g)
        return NULL;
    shape flat = vector(size), rows = {.rank = 2};
    rows.dims[0] = dim_number(size / ROW);
    rows.dims[1] = dim_number(ROW);
    value_id gradient = build_reshape(g, build_leaf(g, OP_input, "gradient", RONDO_F32, &flat), &rows);
    value_id squares = build_reduce(g, OP_sum, build_mul(g, gradient, gradient), 1, false);
    graph_add_output(g, "square_sum", build_reduce(g, OP_sum, squares, 0, false));
    return finish(g, error);
}

rondo_graph *optimizer_step(rondo *context, int64_t size, double beta1, double beta2, double epsilon,
                            double weight_decay, rondo_error *error)
{
    rondo_graph *g = graph_new(context, error);
    if (!g)
        return NULL;
    static const char *const names[] = {"weights", "moment1", "moment2"};
    shape flat = vector(size), four = vector(4);
    value_id gradient = build_leaf(g, OP_input, "gradient", RONDO_F32, &flat);
    value_id scalars = build_leaf(g, OP_input, "scalars", RONDO_F32, &four), state[3];
    for (int i = 0; i < 3; i++)
        state[i] = build_leaf(g, OP_state, names[i], RONDO_F32, &flat);
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[adam_beta1].real = beta1;
    attributes[adam_beta2].real = beta2;
    attributes[adam_epsilon].real = epsilon;
    attributes[adam_weight_decay].real = weight_decay;
    value_id after =
        build_node(g, OP_adam, 5, (value_id[]){state[0], gradient, state[1], state[2], scalars}, attributes);
    for (int i = 0; i < 3; i++)
        graph_add_port(g, names[i], state[i], build_output(g, after, i), PORT_CARRY, -1, -1, 0);
    return finish(g, error);
}
