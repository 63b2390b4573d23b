/* hoist: what depends on parameters alone runs at load, what depends on the source alone once a sentence, the
 * rest at each step. A value that a later stage reads is an output of the stage that makes it and a fixed
 * port of the later one.
 *
 *   needs: the result of stream     gives: three graphs that compute the same     breaks: nothing */
#include "compiler/passes/stream.h"
#include <string.h>

typedef enum stage { STAGE_LOAD, STAGE_SOURCE, STAGE_STEP } stage;

static stage leaf_stage(const rondo_graph *g, const node *n)
{
    int step = graph_find_symbol(g, STEP_SYMBOL);
    const shape *s = graph_shape_of(g, n->first_output);
    if (n->op == OP_parameter || n->op == OP_constant)
        return STAGE_LOAD;
    if (n->op == OP_state || !strcmp(g->names[n->attributes[input_name].integer], "count"))
        return STAGE_STEP;
    for (int a = 0; a < s->rank; a++)
        if (dim_has(s->dims[a], step))
            return STAGE_STEP;
    return STAGE_SOURCE;
}

/* A node cannot run before the symbols in its shapes are bound: none are at load, those of the source are
 * with the source. */
static stage shape_stage(const rondo_graph *g, const node *n, bool has_source)
{
    const int late[] = {graph_find_symbol(g, STEP_SYMBOL), graph_find_symbol(g, CAPACITY_SYMBOL)};
    stage least = STAGE_LOAD;
    for (int o = 0; o < n->output_count; o++) {
        const shape *s = graph_shape_of(g, n->first_output + o);
        for (int a = 0; a < s->rank; a++) {
            if ((late[0] >= 0 && dim_has(s->dims[a], late[0])) ||
                (late[1] >= 0 && dim_has(s->dims[a], late[1])))
                return STAGE_STEP;
            if (!dim_is_literal(s->dims[a]))
                least = has_source ? STAGE_SOURCE : STAGE_STEP;
        }
    }
    return least;
}

static stage *find_stages(arena *a, const rondo_graph *g)
{
    stage *stages = ARENA_NEW(a, stage, g->node_count + 1);
    bool has_source = false;
    for (node_id id = 0; id < g->node_count; id++)
        has_source =
            has_source || (g->nodes[id].op == OP_input && leaf_stage(g, &g->nodes[id]) == STAGE_SOURCE);
    for (node_id id = 0; stages && id < g->node_count; id++) {
        const node *n = &g->nodes[id];
        stages[id] = n->input_count ? shape_stage(g, n, has_source) : leaf_stage(g, n);
        for (int i = 0; i < n->input_count; i++)
            if (n->inputs[i] != NONE && stages[g->values[n->inputs[i]].node] > stages[id])
                stages[id] = stages[g->values[n->inputs[i]].node];
    }
    return stages;
}

/* Values that cost nothing to make again: leaves, constants, and views of parameters. */
static bool is_free(const rondo_graph *g, value_id v)
{
    const node *n = graph_node_of(g, v);
    while ((op_table[n->op].flags & OP_VIEW) && n->input_count)
        n = graph_node_of(g, n->inputs[0]);
    return n->op == OP_parameter || n->op == OP_constant;
}

typedef struct crossing {
    const rondo_graph *from;
    const stage *stages;
    value_id *load_values, *source_values; /* those of each stage that a later one reads */
    const char **load_names, **source_names;
    int load_count, source_count;
} crossing;

static int find_value(const value_id *values, int count, value_id v)
{
    for (int i = 0; i < count; i++)
        if (values[i] == v)
            return i;
    return -1;
}

static bool collect(crossing *x, arena *a, const rondo_graph *g, stage reader, value_id v)
{
    stage maker = x->stages[g->values[v].node];
    if (maker >= reader || is_free(g, v))
        return true;
    bool load = maker == STAGE_LOAD;
    value_id *values = load ? x->load_values : x->source_values;
    const char **names = load ? x->load_names : x->source_names;
    int *count = load ? &x->load_count : &x->source_count;
    if (find_value(values, *count, v) >= 0)
        return true;
    const char *name = arena_text(a, "%s.%d", load ? "load" : "source", *count);
    values[*count] = v;
    names[(*count)++] = name;
    return name != NULL;
}

static bool collect_all(crossing *x, arena *a, const rondo_graph *g)
{
    size_t most = (size_t)g->value_count + 1;
    x->load_values = ARENA_NEW(a, value_id, most);
    x->source_values = ARENA_NEW(a, value_id, most);
    x->load_names = ARENA_NEW(a, const char *, most);
    x->source_names = ARENA_NEW(a, const char *, most);
    if (!x->load_values || !x->source_values || !x->load_names || !x->source_names)
        return false;
    for (node_id id = 0; id < g->node_count; id++)
        for (int i = 0; i < g->nodes[id].input_count; i++)
            if (g->nodes[id].inputs[i] != NONE && !collect(x, a, g, x->stages[id], g->nodes[id].inputs[i]))
                return false;
    return true;
}

static int batch_axis_of(const rondo_graph *g, const shape *s)
{
    int symbol = -1;
    value_id position = graph_find_leaf(g, OP_state, "position");
    if (position != NONE)
        symbol = dim_only_symbol(graph_shape_of(g, position)->dims[0]);
    for (int a = 0; a < s->rank; a++)
        if (dim_only_symbol(s->dims[a]) == symbol)
            return a;
    return -1;
}

/* Copies the nodes of one stage, and those that are free; values of earlier stages are state leaves. */
static rondo_graph *one_stage(const crossing *x, stage which, rondo_error *error)
{
    rewriter r;
    const rondo_graph *g = x->from;
    if (!rewrite_begin(&r, g, error))
        return NULL;
    for (node_id id = 0; id < g->node_count; id++) {
        value_id v = g->nodes[id].first_output;
        for (int o = 0; o < g->nodes[id].output_count; o++) {
            int load = which > STAGE_LOAD ? find_value(x->load_values, x->load_count, v + o) : -1;
            int source = which > STAGE_SOURCE ? find_value(x->source_values, x->source_count, v + o) : -1;
            const char *name = load >= 0 ? x->load_names[load] : source >= 0 ? x->source_names[source] : NULL;
            if (!name)
                continue;
            const shape *s = graph_shape_of(g, v + o);
            r.map[v + o] = build_leaf(r.to, OP_state, name, g->values[v + o].type, s);
            graph_add_port(r.to, name, r.map[v + o], NONE, PORT_FIXED, load >= 0 ? -1 : batch_axis_of(g, s),
                           -1, 0);
        }
        if (r.map[v] == NONE && (x->stages[id] == which || is_free(g, v)))
            graph_copy_node(r.to, g, id, r.map);
    }
    if (which == STAGE_STEP)
        graph_copy_ends(r.to, g, r.map);
    for (int i = 0; which == STAGE_LOAD && i < x->load_count; i++)
        graph_add_output(r.to, x->load_names[i], r.map[x->load_values[i]]);
    for (int i = 0; which == STAGE_SOURCE && i < x->source_count; i++)
        graph_add_output(r.to, x->source_names[i], r.map[x->source_values[i]]);
    return rewrite_clean(&r, NULL, error);
}

bool hoist(const rondo_graph *advance, staged *out, rondo_error *error)
{
    crossing x = {.from = advance};
    arena scratch;
    *out = (staged){0};
    arena_begin(&scratch, &advance->context->allocator);
    x.stages = find_stages(&scratch, advance);
    bool good = x.stages && collect_all(&x, &scratch, advance);
    if (!good)
        fail_memory(error, (size_t)advance->value_count, "hoist");
    if (good && x.load_count)
        good = (out->load = one_stage(&x, STAGE_LOAD, error)) != NULL;
    if (good && x.source_count)
        good = (out->source = one_stage(&x, STAGE_SOURCE, error)) != NULL;
    good = good && (out->step = one_stage(&x, STAGE_STEP, error));
    arena_end(&scratch);
    if (!good)
        staged_free(out);
    return good;
}
