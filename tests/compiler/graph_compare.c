/* tests/compiler/graph_compare.h. */
#include "tests/compiler/graph_compare.h"
#include "autograd/differentiate.h"
#include "ops/build.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static uint64_t mix(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9u;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static double *leaf_data(const rondo_graph *g, const node *n, const int64_t *bound, const graph_inputs *in,
                         arena *a)
{
    dim elements;
    const value *v = &g->values[n->first_output];
    int64_t count = shape_elements(&v->shape, &elements) ? dim_value(elements, bound) : -1;
    double *data = count < 0 ? NULL : ARENA_NEW(a, double, count + 1);
    uint64_t key = in->seed;
    for (const char *c = g->names[n->attributes[input_name].integer]; *c; c++)
        key = mix(key ^ (uint64_t)*c);
    for (int64_t i = 0; data && i < count; i++) {
        uint64_t r = mix(key + (uint64_t)i * 0x9e3779b97f4a7c15u);
        double unit = (double)(r >> 11) * 0x1p-53;
        data[i] = v->type == RONDO_I32
                      ? (double)(in->shortest + (int64_t)(r % (uint64_t)(in->longest - in->shortest + 1)))
                      : in->low + (in->high - in->low) * unit;
    }
    return data;
}

static bool run(const rondo_graph *g, const int64_t *bound, const graph_inputs *in, interpretation *result,
                rondo_error *error)
{
    arena a;
    arena_begin(&a, NULL);
    interpret_binding *bindings = ARENA_NEW(&a, interpret_binding, g->node_count + 1);
    int count = 0;
    for (node_id id = 0; bindings && id < g->node_count; id++)
        if (op_table[g->nodes[id].op].flags & OP_LEAF)
            bindings[count++] =
                (interpret_binding){g->nodes[id].first_output, leaf_data(g, &g->nodes[id], bound, in, &a)};
    bool good = bindings && interpret(g, bound, bindings, count, result, error);
    arena_end(&a);
    return good;
}

static double tensor_difference(const reference_tensor *a, const reference_tensor *b)
{
    if (!a->data || !b->data || a->count != b->count || a->rank != b->rank ||
        memcmp(a->dims, b->dims, sizeof *a->dims * (size_t)a->rank))
        return -1;
    double squares = 0, differences = 0, largest = 0;
    for (int64_t i = 0; i < a->count; i++) {
        double d = fabs(a->data[i] - b->data[i]);
        if (!isfinite(a->data[i]) || !isfinite(b->data[i]))
            return -1;
        squares += a->data[i] * a->data[i];
        differences += d * d;
        largest = fmax(largest, d);
    }
    if (!a->count || largest == 0)
        return 0;
    double rms = sqrt(squares / (double)a->count);
    return rms > 0 ? fmax(sqrt(differences / (double)a->count) / rms, largest / rms / 10) : INFINITY;
}

double graph_difference(const rondo_graph *a, const rondo_graph *b, const int64_t *bound,
                        const graph_inputs *inputs, const char **worst, rondo_error *error)
{
    interpretation x, y;
    double largest = 0;
    *worst = "";
    if (!run(a, bound, inputs, &x, error))
        return -1;
    if (!run(b, bound, inputs, &y, error)) {
        interpret_end(&x);
        return -1;
    }
    for (int o = 0; o < a->output_count && largest >= 0; o++) {
        const char *name = a->names[a->outputs[o].name];
        value_id other = graph_find_output(b, name);
        double d = other == NONE ? -1 : tensor_difference(&x.values[a->outputs[o].value], &y.values[other]);
        if (d < 0 || d > largest) {
            *worst = name;
            largest = d;
        }
    }
    interpret_end(&x);
    interpret_end(&y);
    return largest;
}

bool graph_has_pair(const rondo_graph *g, const char *names)
{
    for (value_id v = 0; v < g->value_count; v++) {
        int axes = 0;
        for (int i = 0; i < g->values[v].shape.rank; i++)
            for (const char *c = names; *c; c++)
                axes += dim_has(g->values[v].shape.dims[i], graph_find_symbol(g, (char[]){*c, 0})) &&
                        graph_find_symbol(g, (char[]){*c, 0}) >= 0;
        if (axes > 1)
            return true;
    }
    return false;
}

int graph_count(const rondo_graph *g, op_id op)
{
    int count = 0;
    for (node_id id = 0; id < g->node_count; id++)
        count += g->nodes[id].op == op;
    return count;
}

rondo_graph *graph_with_loss(const rondo_graph *g, rondo_error *error)
{
    rondo_graph *copy = graph_clean(g, NULL, error);
    value_id loss = NONE;
    for (int o = 0; copy && o < copy->output_count; o++) {
        shape flat = {.rank = 1};
        value_id y = copy->outputs[o].value;
        if (!shape_elements(graph_shape_of(copy, y), &flat.dims[0]))
            continue;
        y = build_reshape(copy, y, &flat);
        y = build_reduce(copy, OP_sum, build_mul(copy, y, y), 0, false);
        loss = loss == NONE ? y : build_add(copy, loss, y);
    }
    if (copy)
        graph_add_output(copy, "loss", loss);
    if (rondo_graph_check(copy, error))
        return copy;
    graph_free(copy);
    return NULL;
}

rondo_graph *graph_with_gradients(const rondo_graph *g, rondo_error *error)
{
    enum { MOST = 64 };
    value_id inputs[MOST], gradients[MOST];
    int count = 0;
    for (node_id id = 0; id < g->node_count && count < MOST; id++)
        if (g->nodes[id].op == OP_input && g->values[g->nodes[id].first_output].type == RONDO_F32)
            inputs[count++] = g->nodes[id].first_output;
    rondo_graph *copy =
        differentiate_values(g, graph_find_output(g, "loss"), inputs, count, gradients, error);
    for (int i = 0; copy && i < count; i++) {
        char name[80];
        snprintf(name, sizeof name, "gradient.%s",
                 g->names[graph_node_of(g, inputs[i])->attributes[input_name].integer]);
        if (graph_op_of(copy, gradients[i]) != OP_constant) /* 0: a pass may drop such an input */
            graph_add_output(copy, name, gradients[i]);
    }
    if (rondo_graph_check(copy, error))
        return copy;
    graph_free(copy);
    return NULL;
}
