/* binding: the caller's tensors are checked against the inputs of a graph and bound to them. */
#include "models/decode/binding.h"
#include "ops/build.h"
#include <string.h>

void binding_begin(binding *b)
{
    for (int s = 0; s < MAX_SYMBOLS; s++)
        b->bound[s] = -1;
}

void binding_clear(instance *i)
{
    const rondo_graph *g = i->program->graph;
    for (node_id id = 0; id < g->node_count; id++)
        if (g->nodes[id].op == OP_input)
            instance_bind(i, g->nodes[id].first_output, NULL);
}

void binding_weights(instance *i, const rondo_weights *w)
{
    for (int k = 0; k < w->item_count; k++)
        instance_bind(i, graph_find_leaf(i->program->graph, OP_parameter, w->items[k].name),
                      w->block + w->items[k].offset);
}

/* One extent against one dim: a symbol without a value takes the extent, anything else must be equal to
 * it. */
static bool bind_dim(binding *b, const rondo_graph *g, dim d, int64_t extent, const rondo_tensor *t, int axis,
                     rondo_error *error)
{
    int symbol = dim_only_symbol(d);
    if (extent < 0)
        return fail(error, RONDO_SHAPE, "tensor %s: axis %d has a negative extent", t->name, axis);
    if (symbol >= 0 && b->bound[symbol] < 0) {
        b->bound[symbol] = extent;
        return true;
    }
    if (symbol >= 0 && b->bound[symbol] != extent)
        return fail(error, RONDO_SHAPE, "tensor %s: axis %d has %lld entries, but %s is %lld in this call",
                    t->name, axis, (long long)extent, g->symbols[symbol], (long long)b->bound[symbol]);
    if (symbol < 0 && dim_value(d, b->bound) != extent)
        return fail(error, RONDO_SHAPE, "tensor %s: axis %d has %lld entries, the graph says %lld", t->name,
                    axis, (long long)extent, (long long)dim_value(d, b->bound));
    return true;
}

int64_t binding_id_limit(const rondo_graph *g, value_id ids)
{
    int64_t limit = -1;
    for (node_id id = 0; id < g->node_count; id++) {
        const node *n = &g->nodes[id];
        const id_lookup *l = &op_table[n->op].lookup;
        if (!l->ids || n->inputs[l->ids] != ids)
            continue;
        const shape *table = graph_shape_of(g, n->inputs[l->table]);
        dim rows = table->dims[l->axis < 0 ? table->rank + l->axis : l->axis];
        if (dim_is_literal(rows) && (limit < 0 || rows.factor < limit))
            limit = rows.factor;
    }
    return limit;
}

/* The id that all lookups of these ids ignore. */
static int64_t ignored_id(const rondo_graph *g, value_id ids)
{
    int64_t ignored = NO_ID;
    bool first = true;
    for (node_id id = 0; id < g->node_count; id++) {
        const node *n = &g->nodes[id];
        const op_row *row = &op_table[n->op];
        if (!row->lookup.ids || n->inputs[row->lookup.ids] != ids)
            continue;
        int64_t own = row->ignored ? n->attributes[row->ignored - 1].integer : NO_ID;
        ignored = first || own == ignored ? own : NO_ID;
        first = false;
    }
    return ignored;
}

bool binding_check_ids(const char *name, const int32_t *ids, int64_t count, int64_t limit, int64_t ignored,
                       rondo_error *error)
{
    for (int64_t i = 0; limit >= 0 && i < count; i++)
        if ((ids[i] < 0 || ids[i] >= limit) && ids[i] != ignored)
            return fail(error, RONDO_ARGUMENT, "tensor %s: entry %lld is id %d, the table has rows 0 to %lld",
                        name, (long long)i, ids[i], (long long)limit - 1);
    return true;
}

bool binding_check_leaf(const rondo_graph *g, value_id leaf, const rondo_tensor *t, rondo_error *error)
{
    int64_t count = 1;
    for (int a = 0; a < t->rank; a++)
        count *= t->dims[a];
    return binding_check_ids(t->name, t->data, count, binding_id_limit(g, leaf), ignored_id(g, leaf), error);
}

bool binding_tensor(binding *b, instance *i, const rondo_tensor *t, rondo_error *error)
{
    const rondo_graph *g = i->program->graph;
    if (!t->name || !t->data)
        return fail(error, RONDO_ARGUMENT, "a tensor has no %s", t->name ? "data" : "name");
    value_id leaf = graph_find_leaf(g, OP_input, t->name);
    if (leaf == NONE)
        return true; /* the model does not use it: a pass may have removed the last use */
    const value *v = &g->values[leaf];
    if (v->type != t->type)
        return fail(error, RONDO_SHAPE, "tensor %s is %s, the graph says %s", t->name, type_name(t->type),
                    type_name(v->type));
    if (v->shape.rank != t->rank)
        return fail(error, RONDO_SHAPE, "tensor %s has %d axes, the graph says %d", t->name, t->rank,
                    v->shape.rank);
    for (int a = 0; a < t->rank; a++)
        if (!bind_dim(b, g, v->shape.dims[a], t->dims[a], t, a, error))
            return false;
    if (t->type == RONDO_I32 && !binding_check_leaf(g, leaf, t, error))
        return false;
    instance_bind(i, leaf, t->data);
    return true;
}

/* The fewest rows that a reader of `lengths` has; −1: no op takes it as a length. */
static int64_t row_limit(const binding *b, const rondo_graph *g, value_id lengths)
{
    int64_t limit = -1;
    for (node_id id = 0; id < g->node_count; id++) {
        const node *n = &g->nodes[id];
        const row_length *l = &op_table[n->op].length;
        if (!l->operand || l->operand >= n->input_count || n->inputs[l->operand] != lengths)
            continue;
        const shape *rows = graph_shape_of(g, n->inputs[l->rows]);
        int64_t wanted = l->axis == AXIS_ATTRIBUTE ? n->attributes[0].integer : l->axis;
        int64_t extent = dim_value(rows->dims[normal_axis(wanted, rows->rank)], b->bound);
        limit = limit < 0 || extent < limit ? extent : limit;
    }
    return limit;
}

bool binding_check_lengths(const binding *b, const rondo_graph *g, const rondo_tensor *tensors, int count,
                           rondo_error *error)
{
    for (int k = 0; k < count; k++) {
        const rondo_tensor *t = &tensors[k];
        value_id leaf = graph_find_leaf(g, OP_input, t->name);
        int64_t limit = leaf == NONE || t->type != RONDO_I32 || t->rank != 1 ? -1 : row_limit(b, g, leaf);
        const int32_t *lengths = t->data;
        for (int64_t i = 0; limit >= 0 && i < t->dims[0]; i++)
            if (lengths[i] < 0 || lengths[i] > limit)
                return fail(error, RONDO_ARGUMENT,
                            "tensor %s: sequence %lld has the length %d, but there are %lld rows", t->name,
                            (long long)i, lengths[i], (long long)limit);
    }
    return true;
}

bool binding_whole(const binding *b, const rondo_graph *g, rondo_error *error)
{
    bool used[MAX_SYMBOLS] = {false};
    for (value_id v = 0; v < g->value_count; v++)
        for (int a = 0; a < g->values[v].shape.rank; a++)
            for (int s = 0; s < g->symbol_count; s++)
                used[s] = used[s] || dim_has(g->values[v].shape.dims[a], s);
    for (int s = 0; s < g->symbol_count; s++)
        if (used[s] && b->bound[s] < 0)
            return fail(error, RONDO_SHAPE, "no tensor of this call gives the symbol %s a value",
                        g->symbols[s]);
    return true;
}
