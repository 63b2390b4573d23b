/* tests/ops/harness.h, check_gradient: a random projection of the results, differentiated by the rule and by
 * differences.
 *
 * The rule determines which results have a gradient: one for which it gives NONE for every operand, or fails,
 * has none; result 0 must have one. */
#include "harness.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static char message[900];

typedef struct projection {
    op_sample sample;
    double *weights[MAX_OUTPUTS]; /* NULL: that result is left out; in the sample's `numbers` */
    bool needs[MAX_INPUTS];       /* by operand */
    value_id gradients[MAX_INPUTS];
} projection;

static double signed_unit(sampler *s)
{
    return (double)sample_between(s, -(1 << 30), 1 << 30) / (1 << 30);
}

/* A leaf of weights for each result in `ports`, then the rule; false: the rule refused. */
static bool apply_rule(projection *p, unsigned ports)
{
    rondo_graph *g = p->sample.graph;
    value_id out_gradients[MAX_OUTPUTS];
    node n = *graph_node_of(g, p->sample.result);
    for (int at = 0; at < MAX_OUTPUTS; at++) {
        char name[16];
        snprintf(name, sizeof name, "w%d", at);
        bool used = at < n.output_count && (ports >> at & 1);
        out_gradients[at] =
            used ? build_leaf(g, OP_input, name, RONDO_F32, graph_shape_of(g, n.first_output + at)) : NONE;
    }
    for (int i = 0; i < MAX_INPUTS; i++) {
        value_id v = i < n.input_count ? n.inputs[i] : NONE;
        p->gradients[i] = NONE;
        p->needs[i] = v != NONE && graph_op_of(g, v) == OP_input && g->values[v].type == RONDO_F32;
    }
    return op_table[n.op].vjp(g, &n, out_gradients, p->needs, p->gradients) && !g->error.code;
}

static bool has_gradient(const projection *p)
{
    for (int i = 0; i < MAX_INPUTS; i++)
        if (p->gradients[i] != NONE)
            return true;
    return false;
}

/* The f32 results through which, each alone, the rule gives some gradient. */
static unsigned carrying_ports(op_id op, int index)
{
    unsigned ports = 0;
    for (int at = 0; at < MAX_OUTPUTS; at++) {
        projection p = {0};
        if (sample_open(&p.sample, op, index) != SAMPLE_OPEN)
            return 0;
        const node *n = graph_node_of(p.sample.graph, p.sample.result);
        bool real = at < n->output_count && p.sample.graph->values[p.sample.result + at].type == RONDO_F32;
        if (real && apply_rule(&p, 1u << at) && has_gradient(&p))
            ports |= 1u << at;
        sample_close(&p.sample);
    }
    return ports;
}

/* Σ weights · results at the current numbers of the sample. */
static const char *projected(const op_sample *s, double *const *weights, double *sum)
{
    interpretation values;
    const char *wrong = sample_interpret(s, &values);
    if (wrong)
        return wrong;
    *sum = 0;
    for (int at = 0; at < graph_node_of(s->graph, s->result)->output_count; at++) {
        const reference_tensor *y = &values.values[s->result + at];
        for (int64_t i = 0; weights[at] && i < y->count; i++)
            *sum += weights[at][i] * y->data[i];
    }
    interpret_end(&values);
    return NULL;
}

/* The central difference quotient along `direction` (a number for each element of the leaf). */
static const char *quotient(op_sample *s, double *const *weights, int leaf, int64_t count,
                            const double *direction, double *slope)
{
    const double step = 1e-5;
    double above, below, *numbers = s->data[leaf], *kept = ARENA_NEW(&s->numbers, double, count + 1);
    memcpy(kept, numbers, sizeof *kept * (size_t)count);
    for (int64_t i = 0; i < count; i++)
        numbers[i] = kept[i] + step * direction[i];
    const char *wrong = projected(s, weights, &above);
    for (int64_t i = 0; i < count; i++)
        numbers[i] = kept[i] - step * direction[i];
    if (!wrong)
        wrong = projected(s, weights, &below);
    memcpy(numbers, kept, sizeof *kept * (size_t)count);
    if (!wrong)
        *slope = (above - below) / (2 * step);
    return wrong;
}

enum { SMALL = 48, DIRECTIONS = 3 };

/* Compares the gradient of a leaf with differences: along every coordinate of a small leaf, along some
 * directions of a large one. */
static const char *check_leaf(op_sample *s, double *const *weights, int leaf, const double *gradient,
                              int64_t count)
{
    sampler random = {.state = 4711u + (uint64_t)leaf};
    double *direction = ARENA_NEW(&s->numbers, double, count + 1), largest = 0;
    for (int64_t i = 0; i < count; i++)
        largest = fabs(gradient[i]) > largest ? fabs(gradient[i]) : largest;
    int64_t tries = count > SMALL ? DIRECTIONS : count;
    for (int64_t t = 0; t < tries; t++) {
        double expected = 0, slope = 0, squares = 0;
        for (int64_t i = 0; i < count; i++) {
            direction[i] = count > SMALL ? signed_unit(&random) : i == t;
            expected += gradient[i] * direction[i];
            squares += direction[i] * direction[i];
        }
        const char *wrong = quotient(s, weights, leaf, count, direction, &slope);
        if (wrong)
            return wrong;
        if (!(fabs(slope - expected) <= 1e-6 * (largest * sqrt(squares) + 1e-2))) {
            snprintf(message, sizeof message, "x%d, %s %lld: the rule gives %.10g, differences give %.10g",
                     leaf, count > SMALL ? "direction" : "element", (long long)t, expected, slope);
            return message;
        }
    }
    return NULL;
}

/* The sum of the gradients of all operands that are this leaf; a missing gradient is zeros. */
static const char *leaf_gradient(projection *p, const interpretation *values, int leaf, double **gradient,
                                 int64_t *count)
{
    const rondo_graph *g = p->sample.graph;
    const node *n = graph_node_of(g, p->sample.result);
    *count = values->values[p->sample.leaves[leaf]].count;
    *gradient = ARENA_NEW(&p->sample.numbers, double, *count + 1);
    for (int i = 0; i < n->input_count; i++) {
        if (n->inputs[i] != p->sample.leaves[leaf] || p->gradients[i] == NONE)
            continue;
        const value *d = &g->values[p->gradients[i]];
        if (d->type != RONDO_F32 || !shape_equal(&d->shape, graph_shape_of(g, n->inputs[i]))) {
            snprintf(message, sizeof message, "the gradient of operand %d has another type than the operand",
                     i);
            return message;
        }
        for (int64_t e = 0; e < *count; e++)
            (*gradient)[e] += values->values[p->gradients[i]].data[e];
    }
    return NULL;
}

/* The graph with the rule's nodes in it, at the sample's numbers and random weights. */
static const char *evaluate_rule(projection *p, interpretation *values)
{
    interpret_binding bindings[MAX_INPUTS + MAX_OUTPUTS];
    int64_t bound[MAX_SYMBOLS] = {0};
    rondo_error error = {0};
    rondo_graph *g = p->sample.graph;
    sampler random = {.state = 99};
    int count = 0;
    for (; count < p->sample.leaf_count; count++)
        bindings[count] = (interpret_binding){p->sample.leaves[count], p->sample.data[count]};
    for (int at = 0; at < MAX_OUTPUTS; at++) {
        char name[16];
        dim elements;
        snprintf(name, sizeof name, "w%d", at);
        value_id w = graph_find_leaf(g, OP_input, name);
        if (w == NONE || !shape_elements(graph_shape_of(g, w), &elements))
            continue;
        p->weights[at] = ARENA_NEW(&p->sample.numbers, double, elements.factor + 1);
        for (int64_t i = 0; i < elements.factor; i++)
            p->weights[at][i] = signed_unit(&random);
        bindings[count++] = (interpret_binding){w, p->weights[at]};
    }
    if (interpret(g, bound, bindings, count, values, &error))
        return NULL;
    snprintf(message, sizeof message, "the gradient does not run: %s", error.message);
    return message;
}

static const char *check_projection(projection *p, op_sample *forward)
{
    interpretation values;
    const char *wrong = evaluate_rule(p, &values);
    if (wrong)
        return wrong;
    for (int leaf = 0; !wrong && leaf < forward->leaf_count; leaf++) {
        double *gradient;
        int64_t count;
        if (p->sample.sampler.inputs[leaf].integer)
            continue;
        wrong = leaf_gradient(p, &values, leaf, &gradient, &count);
        if (!wrong)
            wrong = check_leaf(forward, p->weights, leaf, gradient, count);
    }
    interpret_end(&values);
    return wrong;
}

const char *check_gradient(op_id op, int index)
{
    unsigned ports = carrying_ports(op, index);
    projection p = {0};
    op_sample forward;
    if (sample_open(&p.sample, op, index) != SAMPLE_OPEN)
        return harness_message();
    bool real = false, differentiable = p.sample.graph->values[p.sample.result].type == RONDO_F32;
    if (differentiable)
        apply_rule(&p, ports | 1);
    for (int i = 0; differentiable && i < MAX_INPUTS; i++)
        real = real || p.needs[i];
    const char *wrong = NULL;
    if (real && p.sample.graph->error.code) {
        snprintf(message, sizeof message, "the rule refuses: %s", p.sample.graph->error.message);
        wrong = message;
    } else if (real && !(ports & 1)) {
        wrong = "result 0 has no gradient";
    } else if (real && sample_open(&forward, op, index) == SAMPLE_OPEN) {
        wrong = check_projection(&p, &forward);
        sample_close(&forward);
    }
    sample_close(&p.sample);
    return wrong;
}
