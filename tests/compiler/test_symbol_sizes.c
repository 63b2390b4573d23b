/* Symbols are equal by name, never by their numbers: the samples of every op, with symbols on their axes, run
 * as programs with all symbols 4, all 1, and different primes, and agree with the double interpreter. Nothing
 * may recognise an axis by its extent. Covers every row of the op table. */
#include "compiler/program/instance.h"
#include "ops/interpret.h"
#include "tests/compiler/symbolic_sample.h"
#include <criterion/alloc.h>
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <math.h>
#include <stdlib.h>

static const double bound_f32 = 5e-6; /* as for random graphs, whose numbers are near 1 too */
static const int64_t sizes[][2] = {{4, 4}, {1, 1}, {3, 7}}; /* B, T */

typedef struct sized {
    const symbolic_sample *sample;
    int64_t bound[MAX_SYMBOLS];
    double *numbers[SYMBOLIC_LEAVES];
    void *data[SYMBOLIC_LEAVES];
    const char *op;
    int index;
} sized;

static int64_t elements(const sized *z, value_id v)
{
    dim all;
    cr_assert(shape_elements(graph_shape_of(z->sample->graph, v), &all));
    return dim_value(all, z->bound);
}

/* Reals from the domain of the leaf. Integers may be indices into an axis that has extent 1 now: then 0, else
 * 0 and 1. */
static double number(sampler *random, const symbolic_leaf *leaf, int64_t index, int64_t smallest)
{
    if (leaf->integer)
        return leaf->low + (index % 2 && smallest > 1 && leaf->high > leaf->low);
    double unit = (double)sample_between(random, 1, (1 << 24) - 1) / (1 << 24);
    return (float)(leaf->low + (leaf->high - leaf->low) * unit);
}

static void make_leaves(sized *z)
{
    sampler random = {.state = 7};
    int64_t smallest = z->bound[z->sample->batch] < z->bound[z->sample->time] ? z->bound[z->sample->batch]
                                                                              : z->bound[z->sample->time];
    for (int k = 0; k < z->sample->leaf_count; k++) {
        const symbolic_leaf *leaf = &z->sample->leaves[k];
        int64_t count = elements(z, leaf->value);
        z->numbers[k] = calloc((size_t)count + 1, sizeof(double));
        z->data[k] = calloc((size_t)count + 1, sizeof(float));
        for (int64_t i = 0; i < count; i++) {
            z->numbers[k][i] = number(&random, leaf, i, smallest);
            if (z->sample->graph->values[leaf->value].type == RONDO_I32)
                ((int32_t *)z->data[k])[i] = (int32_t)z->numbers[k][i];
            else
                ((float *)z->data[k])[i] = (float)z->numbers[k][i];
        }
    }
}

/* The results of instance_run against the references, relative to the rms, which counts as 0.1 at least. */
static double difference(const tensor *got, const reference_tensor *wanted)
{
    double squares = 0, largest = 0;
    for (int64_t i = 0; i < wanted->count; i++) {
        double is = got->type == RONDO_I32 ? ((int32_t *)got->data)[i] : ((float *)got->data)[i],
               should = wanted->data[i], d = fabs(is - should);
        if (is == should || (isnan(is) && isnan(should)))
            d = 0;
        squares += isfinite(should) ? should * should : 0;
        largest = fmax(largest, isnan(d) ? INFINITY : d);
    }
    return largest == 0 ? 0 : largest / 10 / fmax(sqrt(squares / (double)wanted->count), 0.1);
}

static void compare(const sized *z, const instance *i, const interpretation *wanted)
{
    const rondo_graph *g = i->program->graph, *from = z->sample->graph;
    for (int o = 0; o < g->output_count; o++) {
        const char *name = g->names[g->outputs[o].name];
        value_id was = graph_find_output(from, name);
        if (op_table[graph_op_of(from, was)].flags & OP_LEAF)
            continue;
        tensor got = instance_tensor(i, g->outputs[o].value);
        double d = difference(&got, &wanted->values[was]);
        cr_expect_leq(d, bound_f32, "%s, sample %d, B = %d, T = %d: %s differs by %g", z->op, z->index,
                      (int)z->bound[z->sample->batch], (int)z->bound[z->sample->time], name, d);
    }
}

static void run(const sized *z, program *p, team *t)
{
    interpret_binding bindings[SYMBOLIC_LEAVES];
    instance i = {0};
    interpretation wanted;
    rondo_error error = {0};
    const rondo_graph *from = z->sample->graph;
    cr_assert(instance_begin(&i, p, &error), "%s", error.message);
    for (int k = 0; k < z->sample->leaf_count; k++) {
        const node *n = graph_node_of(from, z->sample->leaves[k].value);
        value_id leaf = graph_find_leaf(p->graph, OP_input, from->names[n->attributes[input_name].integer]);
        if (leaf != NONE)
            instance_bind(&i, leaf, z->data[k]);
        bindings[k] = (interpret_binding){z->sample->leaves[k].value, z->numbers[k]};
    }
    cr_assert(interpret(from, z->bound, bindings, z->sample->leaf_count, &wanted, &error) &&
                  instance_run(&i, t, z->bound, &error),
              "%s, sample %d, B = %d, T = %d: %s", z->op, z->index, (int)z->bound[z->sample->batch],
              (int)z->bound[z->sample->time], error.message);
    compare(z, &i, &wanted);
    interpret_end(&wanted);
    instance_end(&i);
}

typedef struct checking {
    sized sized;
    team *team;
} checking;

/* Their results span too many orders of magnitude for a bound. */
static bool has_infinities(const rondo_graph *g)
{
    for (node_id id = 0; id < g->node_count; id++)
        if (g->nodes[id].op == OP_causal_mask && isinf(g->nodes[id].attributes[causal_mask_fill].real))
            return true;
    return false;
}

static void check_form(const symbolic_sample *s, void *data)
{
    checking *c = data;
    rondo_error error = {0};
    if (has_infinities(s->graph))
        return;
    const program_options poisoned = {.poison = true};
    program *p = program_new(graph_clean(s->graph, NULL, &error), &poisoned, &error);
    cr_assert(p, "%s, sample %d: %s", c->sized.op, c->sized.index, error.message);
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        c->sized.sample = s;
        c->sized.bound[s->batch] = sizes[k][0];
        c->sized.bound[s->time] = sizes[k][1];
        make_leaves(&c->sized);
        run(&c->sized, p, c->team);
        for (int leaf = 0; leaf < s->leaf_count; leaf++) {
            free(c->sized.numbers[leaf]);
            free(c->sized.data[leaf]);
        }
    }
    program_free(p);
}

ParameterizedTestParameters(symbol_sizes, every_op_with_equal_and_unequal_numbers)
{
    int *every_op = cr_malloc(sizeof(int) * OP_COUNT), count = 0;
    for (int op = 0; op < OP_COUNT; op++)
        if (op_table[op].samples)
            every_op[count++] = op;
    return cr_make_param_array(int, every_op, count);
}
ParameterizedTest(int *parameter, symbol_sizes, every_op_with_equal_and_unequal_numbers)
{
    rondo_error error = {0};
    checking c = {.sized = {.op = op_table[*parameter].signature.name},
                  .team = team_new(&memory_malloc, 1, &error)};
    cr_assert(c.team, "%s", error.message);
    while (symbolic_samples((op_id)*parameter, c.sized.index, check_form, &c))
        c.sized.index++;
    team_free(c.team);
}
