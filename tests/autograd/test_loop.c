/* Gradients of loops against differences in double. */
#include "differences.h"
#include "loop_models.h"
#include <criterion/criterion.h>

static rondo_value squashed(rondo_value x)
{
    rondo_value y = rondo_tanh(x);
    while (graph_shape_of(y.graph, y.id)->rank)
        y = rondo_sum(y, -1);
    return y;
}

Test(loop, of_every_model_to_every_parameter)
{
    for (int i = 0; i < loop_case_count; i++) {
        model m;
        model_begin(&m);
        rondo_value y = loop_cases[i].make(rondo_input(m.g, "x", "f32[B,T,3]"));
        cr_assert(graph_good(m.g), "%s: %s", loop_cases[i].name, m.g->error.message);
        rondo_graph *d = model_check(&m, squashed(y));
        cr_expect(graph_verify(d, NULL));
        graph_free(d);
        model_end(&m);
    }
}

/* To an input, through the sequence and through what the first step finds. */
Test(loop, of_an_input)
{
    for (int i = 0; i < loop_case_count; i++) {
        model m;
        model_begin(&m);
        rondo_value x = rondo_input(m.g, "x", "f32[B,T,3]"), loss = squashed(loop_cases[i].make(x));
        value_id gradient;
        model_fill(&m);
        rondo_error error = {0};
        rondo_graph *d = differentiate_values(m.g, loss.id, &x.id, 1, &gradient, &error);
        cr_assert(d, "%s: %s", loop_cases[i].name, error.message);
        for (int leaf = 0; leaf < m.count; leaf++)
            if (m.leaves[leaf] == x.id)
                model_check_leaf(&m, loss.id, leaf, d, gradient);
        graph_free(d);
        model_end(&m);
    }
}
