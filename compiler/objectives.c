/* Objectives become outputs. */
#include "compiler/objectives.h"
#include "autograd/differentiate.h"
#include "compiler/passes/passes.h"
#include "ops/infer.h"
#include "ops/objective.h"
#include <stdio.h>
#include <string.h>

/* ---- finding ---- */

static value_id nll_of(const rondo_graph *g, value_id sum)
{
    return graph_op_of(g, sum) == OP_cross_entropy && !g->values[sum].port ? build_output(g, sum, 1) : sum;
}

static objective of_node(const rondo_graph *g, const node *n)
{
    value_id sum = n->inputs[0], count = n->input_count > 1 ? n->inputs[1] : NONE;
    return (objective){.name = g->names[n->attributes[objective_name].integer],
                       .sum = sum,
                       .count = count == NONE ? objective_count_of(g, sum) : count,
                       .nll = nll_of(g, sum),
                       .weight = n->attributes[objective_weight].real};
}

static objective of_value(const rondo_graph *g, value_id sum)
{
    return (objective){
        .name = "loss", .sum = sum, .count = objective_count_of(g, sum), .nll = nll_of(g, sum), .weight = 1};
}

static bool add(objective_list *l, objective o, rondo_error *error)
{
    o.group = o.weight == 0 ? -1 : l->group_count;
    for (int i = 0; i < l->count; i++) {
        if (!strcmp(l->items[i].name, o.name))
            return fail(error, RONDO_ARGUMENT, "two objectives are named %s; rename one", o.name);
        if (o.weight != 0 && l->items[i].group >= 0 && l->items[i].count == o.count)
            o.group = l->items[i].group;
    }
    l->group_count += o.group == l->group_count;
    l->items[l->count++] = o;
    return true;
}

static bool copy_names(arena *a, objective_list *l, rondo_error *error)
{
    for (int i = 0; i < l->count; i++) {
        objective *o = &l->items[i];
        if (!(o->name = arena_copy_text(a, o->name, strlen(o->name))))
            return fail_memory(error, 1, "the name of an objective");
    }
    return true;
}

/* Can a value that is no objective of the graph be trained? */
static bool check_plain(arena *a, rondo_value loss, rondo_error *error)
{
    rondo_graph *g = loss.graph;
    const value *v = &g->values[loss.id];
    value_id lost;
    char here[PLACE_BYTES], there[PLACE_BYTES];
    graph_place(g, v->node, here);
    if (v->type != RONDO_F32 || v->shape.rank)
        return fail(error, RONDO_SHAPE, "%s: the loss is %s%s, it must be one f32; sum it", here,
                    type_name(v->type), shape_words(g, &v->shape));
    if (!objective_lost_count(g, a, loss.id, &lost))
        return fail_memory(error, (size_t)g->node_count, "objectives");
    return lost == NONE ||
           fail(error, RONDO_ARGUMENT, LOST_COUNT("%s: the loss"), here,
                op_table[graph_op_of(g, lost)].signature.name, graph_place(g, g->values[lost].node, there));
}

bool objectives_find(arena *a, rondo_value loss, objective_list *out, rondo_error *error)
{
    const rondo_graph *g = loss.graph;
    if (!g || !graph_check(g, error))
        return false;
    const node *first = graph_node_of(g, loss.id);
    bool named = first->op == OP_objective;
    int count = 1;
    for (node_id id = 0; id < g->node_count; id++)
        count += g->nodes[id].op == OP_objective;
    *out = (objective_list){.items = ARENA_NEW(a, objective, count)};
    if (!out->items)
        return fail_memory(error, sizeof(objective) * (size_t)count, "objectives");
    if (named && first->attributes[objective_weight].real == 0)
        return fail(error, RONDO_ARGUMENT, "%s is a metric, which is reported but not trained; give the loss",
                    g->names[first->attributes[objective_name].integer]);
    bool good = (named || check_plain(a, loss, error)) &&
                add(out, named ? of_node(g, first) : of_value(g, loss.id), error);
    for (node_id id = 0; good && id < g->node_count; id++)
        if (g->nodes[id].op == OP_objective && &g->nodes[id] != first)
            good = add(out, of_node(g, &g->nodes[id]), error);
    return good && copy_names(a, out, error);
}

/* ---- outputs ---- */

static value_id count_in(rewriter *r, const objective *o)
{
    return o->count == NONE ? build_number(r->to, 1) : r->map[o->count];
}

static void add_sums(rewriter *r, const objective_list *l)
{
    const objective *first = &l->items[0];
    graph_add_output(r->to, "loss", r->map[first->sum]);
    graph_add_output(r->to, "nll", r->map[first->nll]);
    graph_add_output(r->to, "count", count_in(r, first));
    for (int i = 1; i < l->count; i++) {
        char name[32];
        snprintf(name, sizeof name, "%d.sum", i);
        graph_add_output(r->to, name, r->map[l->items[i].sum]);
        snprintf(name, sizeof name, "%d.count", i);
        graph_add_output(r->to, name, count_in(r, &l->items[i]));
    }
}

/* Σ weight · sum of a group. */
static value_id group_sum(rewriter *r, const objective_list *l, int group)
{
    value_id total = NONE;
    for (int i = 0; i < l->count; i++) {
        const objective *o = &l->items[i];
        if (o->group != group)
            continue;
        value_id sum = r->map[o->sum];
        if (o->weight != 1)
            sum = build_mul(r->to, sum, build_number(r->to, o->weight));
        total = total == NONE ? sum : build_add(r->to, total, sum);
    }
    return total;
}

static bool add_gradients(rewriter *r, const objective_list *l, rondo_error *error)
{
    bool good = true;
    for (int group = 0; good && group < l->group_count; group++) {
        char prefix[32] = "";
        if (group)
            snprintf(prefix, sizeof prefix, "%d.", group);
        value_id sum = group_sum(r, l, group);
        good = sum != NONE && add_parameter_gradients(r->to, sum, prefix, error);
    }
    return good;
}

rondo_graph *objectives_graph(rondo_value loss, bool with_gradients, rondo_error *error)
{
    rewriter r;
    objective_list list;
    arena names;
    if (!loss.graph)
        return NULL;
    arena_begin(&names, &loss.graph->context->allocator);
    bool good = objectives_find(&names, loss, &list, error) && rewrite_copy(&r, loss.graph, error);
    rondo_graph *made = NULL;
    if (good) {
        r.to->output_count = 0;
        add_sums(&r, &list);
        if (with_gradients)
            add_gradients(&r, &list, error);
        made = rewrite_clean(&r, NULL, error);
    }
    arena_end(&names);
    return made;
}
