/* An objective or a metric: a sum with its count, under a name. The trainer takes sum and count from the
 * node; elsewhere it is the sum. */
#include "ops/objective.h"
#include "ops/infer.h"
#include "ops/reference.h"
#include "ops/rules.h"
#include <math.h>

value_id objective_count_of(const rondo_graph *g, value_id sum)
{
    int counted = op_table[graph_op_of(g, sum)].counted;
    return counted && !g->values[sum].port ? build_output(g, sum, counted) : NONE;
}

/* Whether a counted sum that n reads is still in its result. A product with a number that is computed may be
 * a division by a count, so it is taken for a mean. */
static bool keeps_sums(const rondo_graph *g, const node *n)
{
    switch (n->op) {
    case OP_add:
    case OP_sub:
    case OP_neg:
    case OP_stop_gradient:
    case OP_watch:
    case OP_objective:
        return true;
    case OP_mul:
        return graph_op_of(g, n->inputs[0]) == OP_constant || graph_op_of(g, n->inputs[1]) == OP_constant;
    }
    return false;
}

static bool has_count(const rondo_graph *g, value_id v)
{
    return objective_count_of(g, v) != NONE ||
           (graph_op_of(g, v) == OP_objective && graph_node_of(g, v)->input_count > 1);
}

bool objective_lost_count(const rondo_graph *g, arena *a, value_id v, value_id *lost)
{
    node_id last = g->values[v].node;
    bool *reached = ARENA_NEW(a, bool, last + 1);
    *lost = NONE;
    if (!reached)
        return false;
    reached[last] = objective_count_of(g, v) == NONE;
    for (node_id id = last; id >= 0; id--) {
        const node *n = &g->nodes[id];
        int operands = n->op == OP_objective ? 1 : n->input_count;
        for (int i = 0; reached[id] && keeps_sums(g, n) && i < operands; i++) {
            if (graph_shape_of(g, n->inputs[i])->rank)
                continue;
            if (has_count(g, n->inputs[i])) {
                *lost = n->inputs[i];
                return true;
            }
            reached[g->values[n->inputs[i]].node] = true;
        }
    }
    return true;
}

/* ---- infer ---- */

static bool fail_lost(rondo_graph *g, const char *name, value_id lost)
{
    char place[PLACE_BYTES];
    return graph_refuse(g, RONDO_ARGUMENT, LOST_COUNT("objective %s"), name, op_words(graph_node_of(g, lost)),
                        graph_place(g, g->values[lost].node, place));
}

/* Without a count operand: the sum has its own, or is a mean already, which only what is trained may be. */
static bool infer_uncounted(rondo_graph *g, const node *n, const char *name)
{
    value_id lost;
    if (objective_count_of(g, n->inputs[0]) != NONE)
        return true;
    if (n->attributes[objective_weight].real == 0)
        return graph_refuse(g, RONDO_ARGUMENT,
                            "metric %s has no count; give the number of things that its sum is over", name);
    if (!objective_lost_count(g, &g->arena, n->inputs[0], &lost))
        return graph_refuse(g, RONDO_MEMORY, "out of memory for objective %s", name);
    return lost == NONE || fail_lost(g, name, lost);
}

static bool infer_count(rondo_graph *g, const node *n, const char *name)
{
    const value *count = &g->values[n->inputs[1]];
    return ((count->type == RONDO_F32 || count->type == RONDO_I32) && !count->shape.rank) ||
           infer_fail(g, "objective %s: the count is %s%s, it must be one f32 or i32", name,
                      type_name(count->type), shape_words(g, &count->shape));
}

bool infer_objective(rondo_graph *g, node *n, value *outputs)
{
    const value *sum = infer_operand(g, n, 0, 0);
    const char *name = g->names[n->attributes[objective_name].integer];
    double weight = n->attributes[objective_weight].real;
    if (!sum)
        return false;
    if (!*name)
        return graph_refuse(g, RONDO_ARGUMENT, "objective: the name is empty");
    if (!isfinite(weight))
        return graph_refuse(g, RONDO_ARGUMENT, "objective %s: the weight %g is not finite", name, weight);
    if (sum->type != RONDO_F32 || sum->shape.rank)
        return infer_fail(g, "objective %s: the sum is %s%s, it must be one f32; sum it", name,
                          type_name(sum->type), shape_words(g, &sum->shape));
    bool counted = n->input_count > 1 && n->inputs[1] != NONE;
    return (counted ? infer_count(g, n, name) : infer_uncounted(g, n, name)) &&
           infer_result(outputs, RONDO_F32, &(shape){0});
}

/* ---- vjp ---- */

bool vjp_objective(rondo_graph *g, const node *n, const value_id *out_gradients, const bool *needs,
                   value_id *in_gradients)
{
    (void)n;
    in_gradients[0] = needs[0] ? out_gradients[0] : NONE;
    return !g->error.code;
}

/* ---- reference ---- */

bool reference_objective(const reference_call *call)
{
    call->outputs[0].data[0] = call->inputs[0].data[0];
    return true;
}

/* ---- samples ---- */

value_id samples_objective(rondo_graph *g, sampler *s, int index)
{
    static const struct {
        const char *name;
        double weight;
        bool counted;
    } cases[] = {{"loss", 1, false}, {"layers.0.balance", 0.01, true}, {"accuracy", 0, true}};
    if (index >= (int)(sizeof cases / sizeof *cases))
        return NONE;
    value_id inputs[2] = {sample_input(g, s, -2, 2, 0, NULL), NONE};
    if (cases[index].counted)
        inputs[1] = sample_ids(g, s, 9, 0, NULL);
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[objective_name] = integer_attribute(graph_name(g, cases[index].name));
    attributes[objective_weight] = real_attribute(cases[index].weight);
    return build_node(g, OP_objective, cases[index].counted ? 2 : 1, inputs, attributes);
}
