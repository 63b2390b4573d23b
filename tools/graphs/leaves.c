/* Numbers by name: those of a leaf depend on the seed and on its name alone. */
#include "tools/graphs/leaves.h"
#include "core/random.h"
#include <math.h>
#include <string.h>

void extents_bind(const rondo_graph *g, const extent *extents, int count, int64_t bound[MAX_SYMBOLS])
{
    for (int s = 0; s < MAX_SYMBOLS; s++)
        bound[s] = 1;
    for (int i = 0; i < count; i++) {
        int s = graph_find_symbol(g, extents[i].symbol);
        if (s >= 0)
            bound[s] = extents[i].number;
    }
}

const char *leaf_name(const rondo_graph *g, node_id id)
{
    return g->names[g->nodes[id].attributes[input_name].integer];
}

leaf *leaves_find(const leaves *l, const char *name)
{
    for (int i = 0; i < l->count; i++)
        if (!strcmp(l->items[i].name, name))
            return &l->items[i];
    return NULL;
}

void leaf_store(leaf *x)
{
    for (int64_t i = 0; i < x->count; i++) {
        if (x->type == RONDO_I32)
            x->exact[i] = ((int32_t *)x->stored)[i] = (int32_t)x->exact[i];
        else
            x->exact[i] = ((float *)x->stored)[i] = (float)x->exact[i];
    }
}

/* The interval middle ± half: gains near 1, biases near 0, matrices by their fan-in, inputs with deviation
 * 1. */
static void spread(const rondo_graph *g, node_id id, const int64_t *bound, double *middle, double *half)
{
    const shape *s = graph_shape_of(g, g->nodes[id].first_output);
    const char *name = leaf_name(g, id), *last = strrchr(name, '.');
    bool parameter = g->nodes[id].op == OP_parameter;
    *middle = parameter && s->rank < 2 && !strcmp(last ? last + 1 : name, "weight") ? 1 : 0;
    if (!parameter || !last) /* an input, or a parameter in the place of one */
        *half = sqrt(3);
    else
        *half = s->rank < 2 ? 0.1 : sqrt(3 / (double)dim_value(s->dims[s->rank - 1], bound));
}

static bool make(leaves *l, const rondo_graph *g, node_id id, const int64_t *bound, rondo_error *error)
{
    const value *v = &g->values[g->nodes[id].first_output];
    const char *name = leaf_name(g, id);
    leaf x = {.type = v->type, .count = 1, .name = arena_copy_text(l->arena, name, strlen(name))};
    for (int a = 0; a < v->shape.rank; a++)
        x.count *= dim_value(v->shape.dims[a], bound);
    x.exact = ARENA_NEW(l->arena, double, x.count + 1);
    x.stored = ARENA_NEW(l->arena, float, x.count + 1);
    if (!x.name || !x.exact || !x.stored || !ARENA_PUSH(l->arena, l->items, l->count, l->capacity))
        return fail_memory(error, sizeof(double) * (size_t)x.count, name);
    double middle, half;
    spread(g, id, bound, &middle, &half);
    if (v->type == RONDO_F32)
        random_fill_uniform(x.stored, x.count, middle - half, middle + half, l->seed, random_key(name));
    for (int64_t i = 0; i < x.count; i++) {
        uint32_t bits[4];
        if (v->type == RONDO_F32)
            x.exact[i] = ((float *)x.stored)[i];
        else if (l->ids > 0) {
            random_block(l->seed, 0, random_key(name), (uint32_t)i, 0, bits);
            x.exact[i] = ((int32_t *)x.stored)[i] = (int32_t)(bits[0] % (uint64_t)l->ids);
        }
    }
    l->items[l->count++] = x;
    return true;
}

bool leaves_for(leaves *l, const rondo_graph *g, const int64_t *bound, rondo_error *error)
{
    for (node_id id = 0; id < g->node_count; id++) {
        int op = g->nodes[id].op;
        if ((op == OP_input || op == OP_parameter) && !leaves_find(l, leaf_name(g, id)) &&
            !make(l, g, id, bound, error))
            return false;
    }
    return true;
}

interpret_binding *leaves_exact(const leaves *l, const rondo_graph *g, arena *a, int room, int *count)
{
    interpret_binding *all = ARENA_NEW(a, interpret_binding, g->node_count + room + 1);
    *count = 0;
    for (node_id id = 0; all && id < g->node_count; id++) {
        const leaf *x = op_table[g->nodes[id].op].flags & OP_LEAF ? leaves_find(l, leaf_name(g, id)) : NULL;
        if (x)
            all[(*count)++] = (interpret_binding){g->nodes[id].first_output, x->exact};
    }
    return all;
}

void leaves_bind(const leaves *l, instance *i)
{
    const rondo_graph *g = i->program->graph;
    for (node_id id = 0; id < g->node_count; id++) {
        const leaf *x = op_table[g->nodes[id].op].flags & OP_LEAF ? leaves_find(l, leaf_name(g, id)) : NULL;
        if (x)
            instance_bind(i, g->nodes[id].first_output, x->stored);
    }
}
