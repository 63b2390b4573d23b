/* ops/interpret.h: first dims, then leaves, then all nodes in order. */
#include "ops/interpret.h"
#include <string.h>

typedef struct interpreter {
    const rondo_graph *graph;
    const int64_t *bound;
    interpretation *result;
    rondo_error *error;
} interpreter;

/* "model.c:42: decoder.3: matmul", for an error about node n. */
static bool interpret_fail(const interpreter *i, node_id id, const char *what)
{
    const node *n = &i->graph->nodes[id];
    const char *scope = i->graph->names[n->scope], *op = op_table[n->op].signature.name;
    if (n->file)
        return fail(i->error, RONDO_ARGUMENT, "%s:%d: %s%snode %d, %s: %s", n->file, n->line, scope,
                    *scope ? ": " : "", id, op, what);
    return fail(i->error, RONDO_ARGUMENT, "%s%snode %d, %s: %s", scope, *scope ? ": " : "", id, op, what);
}

static bool interpret_memory(const interpreter *i)
{
    return fail(i->error, RONDO_MEMORY, "out of memory for an interpreted graph of %d values",
                i->graph->value_count);
}

static bool interpret_dims(const interpreter *i, value_id v)
{
    const shape *s = graph_shape_of(i->graph, v);
    reference_tensor *t = &i->result->values[v];
    t->rank = s->rank;
    t->count = 1;
    for (int axis = 0; axis < s->rank; axis++) {
        t->dims[axis] = dim_value(s->dims[axis], i->bound);
        if (t->dims[axis] < 0 || __builtin_mul_overflow(t->count, t->dims[axis], &t->count) ||
            t->count > (int64_t)(PTRDIFF_MAX / sizeof(double)))
            return interpret_fail(i, i->graph->values[v].node, "it is too large to interpret");
    }
    return true;
}

/* Never NULL for an empty tensor: NULL says "absent". */
static bool interpret_room(const interpreter *i, value_id v)
{
    reference_tensor *t = &i->result->values[v];
    t->data = ARENA_NEW(&i->result->arena, double, t->count + 1);
    return t->data || interpret_memory(i);
}

static bool interpret_bindings(const interpreter *i, const interpret_binding *bindings, int count)
{
    for (int b = 0; b < count; b++) {
        value_id v = bindings[b].value;
        if (v < 0 || v >= i->graph->value_count)
            return fail(i->error, RONDO_ARGUMENT, "binding %d is not a value of the graph", b);
        if (!(op_table[graph_op_of(i->graph, v)].flags & OP_LEAF))
            return interpret_fail(i, i->graph->values[v].node, "only leaves can be bound");
        if (!interpret_room(i, v))
            return false;
        if (bindings[b].data)
            memcpy(i->result->values[v].data, bindings[b].data,
                   sizeof(double) * (size_t)i->result->values[v].count);
    }
    for (int p = 0; p < i->graph->port_count; p++) {
        const port *state = &i->graph->ports[p];
        if (i->result->values[state->in].data)
            continue;
        if (!interpret_room(i, state->in))
            return false;
        for (int64_t e = 0; e < i->result->values[state->in].count; e++)
            i->result->values[state->in].data[e] = state->initial;
    }
    return true;
}

static bool interpret_node(const interpreter *i, node_id id)
{
    const node *n = &i->graph->nodes[id];
    const op_row *row = &op_table[n->op];
    reference_tensor inputs[MAX_INPUTS];
    memset(inputs, 0, sizeof inputs);
    if (row->flags & OP_LEAF)
        return true;
    if (row->flags & OP_EXPANDED)
        return interpret_fail(i, id, "a pass must put its graph in its place before it runs");
    if (!row->reference)
        return interpret_fail(i, id, "it has no reference");
    for (int k = 0; k < n->input_count; k++) {
        if (n->inputs[k] == NONE)
            continue;
        inputs[k] = i->result->values[n->inputs[k]];
        if (!inputs[k].data)
            return interpret_fail(i, id, "it reads a leaf that is not bound");
    }
    for (int p = 0; p < n->output_count; p++)
        if (!interpret_room(i, n->first_output + p))
            return false;
    arena scratch;
    arena_begin(&scratch, i->result->arena.allocator);
    reference_call call = {i->graph,        n->attributes, n->input_count,
                           n->output_count, inputs,        &i->result->values[n->first_output],
                           &scratch,        i->bound};
    bool good = row->reference(&call);
    arena_end(&scratch);
    return good || interpret_memory(i);
}

static bool interpret_all(const interpreter *i, const interpret_binding *bindings, int count)
{
    for (value_id v = 0; v < i->graph->value_count; v++)
        if (!interpret_dims(i, v))
            return false;
    if (!interpret_bindings(i, bindings, count))
        return false;
    for (node_id id = 0; id < i->graph->node_count; id++)
        if (!interpret_node(i, id))
            return false;
    return true;
}

bool interpret(const rondo_graph *g, const int64_t *bound, const interpret_binding *bindings, int count,
               interpretation *result, rondo_error *error)
{
    interpreter i = {g, bound, result, error};
    if (!graph_check(g, error))
        return false;
    arena_begin(&result->arena, &g->context->allocator);
    result->values = ARENA_NEW(&result->arena, reference_tensor, g->value_count + 1);
    if (result->values ? interpret_all(&i, bindings, count) : interpret_memory(&i))
        return true;
    interpret_end(result);
    return false;
}

void interpret_end(interpretation *result)
{
    arena_end(&result->arena);
    result->values = NULL;
}
