/* tests/autograd/differences.h. */
#include "differences.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void model_begin(model *m)
{
    *m = (model){.context = rondo_new(1), .random = {.state = 20}};
    m->g = rondo_graph_new(m->context, NULL);
    cr_assert(m->g);
}

void model_end(model *m)
{
    for (int i = 0; i < m->count; i++)
        free(m->data[i]);
    rondo_graph_free(m->g);
    rondo_free(m->context);
}

static const char *leaf_name(const rondo_graph *g, value_id v)
{
    return g->names[graph_node_of(g, v)->attributes[input_name].integer];
}

static void fill_leaf(model *m, int leaf)
{
    value_id v = m->leaves[leaf];
    bool length = !strcmp(leaf_name(m->g, v), "length");
    for (int64_t i = 0; i < m->counts[leaf]; i++) {
        double real = (double)sample_between(&m->random, -1000, 1000) / 1000;
        double whole = length ? (double)(i % 3) * 5 / 2 : (double)sample_between(&m->random, 0, 5);
        m->data[leaf][i] = m->g->values[v].type == RONDO_I32 ? floor(whole) : real;
    }
}

void model_fill(model *m)
{
    rondo_error error = {0};
    cr_assert(rondo_graph_check(m->g, &error), "%s", error.message);
    for (int s = 0; s < m->g->symbol_count; s++)
        m->bound[s] = !strcmp(m->g->symbols[s], "B") ? 3 : !strcmp(m->g->symbols[s], "T") ? 5 : 4;
    for (value_id v = 0; v < m->g->value_count; v++) {
        dim elements;
        if (!(op_table[graph_op_of(m->g, v)].flags & OP_LEAF))
            continue;
        cr_assert(m->count < MODEL_LEAVES && shape_elements(graph_shape_of(m->g, v), &elements));
        m->leaves[m->count] = v;
        m->counts[m->count] = dim_value(elements, m->bound);
        m->data[m->count] = calloc((size_t)m->counts[m->count] + 1, sizeof(double));
        fill_leaf(m, m->count++);
    }
}

interpretation model_run(const model *m, const rondo_graph *g)
{
    interpret_binding bindings[MODEL_LEAVES];
    interpretation values;
    rondo_error error = {0};
    for (int i = 0; i < m->count; i++) {
        value_id v = graph_find_leaf(g, graph_op_of(m->g, m->leaves[i]), leaf_name(m->g, m->leaves[i]));
        cr_assert_neq(v, NONE);
        bindings[i] = (interpret_binding){v, m->data[i]};
    }
    cr_assert(interpret(g, m->bound, bindings, m->count, &values, &error), "%s", error.message);
    return values;
}

double model_number(const model *m, const rondo_graph *g, value_id v)
{
    interpretation values = model_run(m, g);
    double number = values.values[v].data[0];
    interpret_end(&values);
    return number;
}

void model_check_leaf(model *m, value_id loss, int leaf, const rondo_graph *d, value_id gradient)
{
    const double step = 1e-5;
    interpretation values = model_run(m, d);
    const reference_tensor *given = &values.values[gradient];
    double largest = 0;
    cr_assert_eq(given->count, m->counts[leaf]);
    for (int64_t i = 0; i < given->count; i++)
        largest = fmax(largest, fabs(given->data[i]));
    int64_t stride = given->count / 12 + 1;
    for (int64_t i = 0; i < given->count; i += stride) {
        double kept = m->data[leaf][i];
        m->data[leaf][i] = kept + step;
        double above = model_number(m, m->g, loss);
        m->data[leaf][i] = kept - step;
        double slope = (above - model_number(m, m->g, loss)) / (2 * step);
        m->data[leaf][i] = kept;
        cr_expect(fabs(slope - given->data[i]) <= 1e-7 * (largest + 0.1),
                  "%s[%d]: the gradient is %.12g, differences give %.12g", leaf_name(m->g, m->leaves[leaf]),
                  (int)i, given->data[i], slope);
    }
    interpret_end(&values);
}

rondo_graph *differentiate_parameters(const rondo_graph *g, value_id loss, rondo_error *error)
{
    rondo_graph *asked = graph_new_like(g, error), *d = NULL;
    value_id *map = asked ? graph_map_new(asked, g) : NULL;
    for (node_id id = 0; map && id < g->node_count; id++)
        graph_copy_node(asked, g, id, map);
    if (map)
        graph_copy_ends(asked, g, map);
    if (map)
        graph_add_output(asked, "the loss", map[loss]);
    if (asked && add_parameter_gradients(asked, loss, "", error))
        d = differentiate(asked, NULL, error);
    graph_free(asked);
    return d;
}

rondo_graph *model_check(model *m, rondo_value loss)
{
    rondo_error error = {0};
    model_fill(m);
    rondo_graph *d = differentiate_parameters(m->g, loss.id, &error);
    cr_assert(d, "%s", error.message);
    cr_assert(graph_verify(d, &error), "%s", error.message);
    cr_expect_float_eq(model_number(m, d, graph_find_output(d, "the loss")), model_number(m, m->g, loss.id),
                       0, "the loss itself must stay");
    for (int i = 0; i < m->count; i++) {
        char name[200];
        if (graph_op_of(m->g, m->leaves[i]) != OP_parameter)
            continue;
        snprintf(name, sizeof name, "gradient.%s", leaf_name(m->g, m->leaves[i]));
        value_id gradient = graph_find_output(d, name);
        cr_assert_neq(gradient, NONE, "there is no %s", name);
        model_check_leaf(m, loss.id, i, d, gradient);
    }
    return d;
}

int count_op(const rondo_graph *g, int op)
{
    int count = 0;
    for (node_id id = 0; id < g->node_count; id++)
        count += g->nodes[id].op == op;
    return count;
}
