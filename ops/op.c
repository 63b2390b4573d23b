/* The op table, made from ops.def, and the verifier that checks the result of every pass. */
#include "ops/op.h"
#include "ops/rules.h"
#include <math.h>
#include <string.h>

#define FIELD(op, kind, name, initial) {#name, ATTRIBUTE_##kind, initial},
#define OP(name, operands, results, flags, fields, ...)                                                      \
    static const attribute_field name##_fields[] = {fields{NULL, ATTRIBUTE_END, 0}};
#include "ops/ops.def"
#undef OP
#undef FIELD

/* clang-format off */
#define KERNELS(...) \
    ADDRESSES(__VA_ARGS__, ADDRESSES_4, ADDRESSES_3, ADDRESSES_2, ADDRESSES_1, )(__VA_ARGS__)
/* clang-format on */
#define ADDRESSES(_1, _2, _3, _4, n, ...) n
#define ADDRESSES_1(a)                    &a,
#define ADDRESSES_2(a, b)                 &a, &b,
#define ADDRESSES_3(a, b, c)              &a, &b, &c,
#define ADDRESSES_4(a, b, c, d)           &a, &b, &c, &d,
#define RECURRENCE(operand, result, object)
#define IN_PLACE(result, operand)
#define LOOKUP(ids, table, axis)
#define IGNORED(attribute)
#define LENGTH(operand, rows, axis)
#define COUNTED(result)
#define OP(name, operands, results, flags, fields, infer, vjp, form, step, columns, meaning)                 \
    static const kernel *const name##_kernels[] = {columns NULL};
#include "ops/ops.def"
#undef OP
#undef KERNELS
#undef RECURRENCE
#undef IN_PLACE
#undef LOOKUP
#undef IGNORED
#undef LENGTH
#undef COUNTED

/* librondo-run loads graphs and runs them: no gradients, no updates, no passes, no samples. */
#ifdef RONDO_RUN_ONLY
static const kernel *const no_kernels[] = {NULL};
#define WHOLE(rule)             NULL
#define KERNELS_OF(name, flags) ((flags)&OP_TRAINING ? no_kernels : name##_kernels)
#else
#define WHOLE(rule)             rule
#define KERNELS_OF(name, flags) name##_kernels
#endif
#define COMPUTES(flags, rule) ((flags) & (OP_LEAF | OP_EXPANDED) ? NULL : WHOLE(rule))
#define RANGE(least, most)    least, most
#define vjp_none              NULL
#define KERNELS(...)
#define IN_PLACE(result, operand)   .in_place[result] = 1 + (operand),
#define LOOKUP(ids, table, axis)    .lookup = {ids, table, axis},
#define IGNORED(attribute)          .ignored = 1 + (attribute),
#define LENGTH(operand, rows, axis) .length = {operand, rows, axis},
#define COUNTED(result)             .counted = result,
#define RECURRENCE(operand, result, object)                                                                  \
    IN_PLACE(result, operand).recurrence = WHOLE(&object), .state = {operand, result},
#define OP(name, operands, results, flags, fields, infer, vjp, form, step, columns, meaning)                 \
    [OP_##name] = {{#name, RANGE operands, results, name##_fields, !((flags)&OP_NAMED), infer},              \
                   WHOLE(vjp),                                                                               \
                   WHOLE(form),                                                                              \
                   WHOLE(step),                                                                              \
                   flags,                                                                                    \
                   KERNELS_OF(name, flags),                                                                  \
                   COMPUTES(flags, reference_##name),                                                        \
                   COMPUTES(flags, samples_##name),                                                          \
                   meaning,                                                                                  \
                   columns},
const op_row op_table[OP_COUNT] = {
#include "ops/ops.def"
};
#undef OP

int node_in_place(const node *n, int result)
{
    int operand = op_table[n->op].in_place[result] - 1;
    return operand < n->input_count ? operand : -1;
}

#define OP(name, ...) [OP_##name] = &op_table[OP_##name].signature,
static const op_signature *const signatures[OP_COUNT] = {
#include "ops/ops.def"
};
#undef OP
const op_list all_ops = {signatures, OP_COUNT};

static bool verify_ids(const rondo_graph *g, node_id id, rondo_error *error)
{
    const node *n = &g->nodes[id];
    const op_signature *s = graph_signature(g, n->op);
    if (!s)
        return fail(error, RONDO_ARGUMENT, "node %d: op %d is not in the table", id, n->op);
    if (n->input_count < s->min_inputs || n->input_count > s->max_inputs)
        return fail(error, RONDO_ARGUMENT, "node %d: %s has %d operands, it takes %d to %d", id, s->name,
                    n->input_count, s->min_inputs, s->max_inputs);
    for (int i = 0; i < n->input_count; i++)
        if (n->inputs[i] < NONE || n->inputs[i] >= n->first_output)
            return fail(error, RONDO_ARGUMENT, "node %d: operand %d of %s is value %d, made after it", id, i,
                        s->name, n->inputs[i]);
    for (int p = 0; p < n->output_count; p++) {
        value_id v = n->first_output + p;
        if (v < 0 || v >= g->value_count || g->values[v].node != id || g->values[v].port != p)
            return fail(error, RONDO_ARGUMENT, "node %d: output %d of %s is not value %d", id, p, s->name, v);
    }
    return true;
}

/* infer may add names and shapes and may fail the graph, so it runs on a scratch copy of the header. */
static bool verify_types(const rondo_graph *g, node_id id, rondo_error *error)
{
    node n = g->nodes[id];
    value outputs[MAX_OUTPUTS];
    memset(outputs, 0, sizeof outputs);
    rondo_graph probe = *g;
    arena_begin(&probe.arena, g->arena.allocator);
    bool good = op_table[n.op].signature.infer(&probe, &n, outputs);
    good = graph_check(&probe, error) && good;
    arena_end(&probe.arena);
    for (int p = 0; good && p < n.output_count; p++) {
        const value *v = &g->values[g->nodes[id].first_output + p];
        if (v->type != outputs[p].type || !shape_equal(&v->shape, &outputs[p].shape))
            return fail(error, RONDO_SHAPE,
                        "node %d: output %d of %s does not have the type that its operands give it", id, p,
                        op_table[n.op].signature.name);
    }
    return good;
}

bool graph_verify(const rondo_graph *g, rondo_error *error)
{
    if (!graph_check(g, error))
        return false;
    for (node_id id = 0; id < g->node_count; id++)
        if (!verify_ids(g, id, error) || !verify_types(g, id, error))
            return false;
    for (int p = 0; p < g->port_count; p++) {
        const port *port = &g->ports[p];
        if (port->in < 0 || port->in >= g->value_count || graph_op_of(g, port->in) != OP_state)
            return fail(error, RONDO_ARGUMENT, "port %s: its `in` is not a state node", g->names[port->name]);
        if (port->kind != PORT_FIXED && (port->out < 0 || port->out >= g->value_count))
            return fail(error, RONDO_ARGUMENT, "port %s: it has no `out`", g->names[port->name]);
        if (port->out >= 0 && !shape_equal(&g->values[port->in].shape, &g->values[port->out].shape))
            return fail(error, RONDO_SHAPE, "port %s: `in` and `out` differ in shape", g->names[port->name]);
    }
    for (int o = 0; o < g->output_count; o++)
        if (g->outputs[o].value < 0 || g->outputs[o].value >= g->value_count)
            return fail(error, RONDO_ARGUMENT, "output %s is not a value", g->names[g->outputs[o].name]);
    for (int i = 0; i < g->body_count; i++)
        if (!graph_verify(g->bodies[i].graph, error))
            return false;
    return true;
}
