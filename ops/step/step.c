/* step: how each op of the parallel graph becomes an op of the graph that advances P tokens. A rule sees the
 * time facts of its operands (op.h: still, now, pair) and builds the step form, or says why there is none.
 * This file has the helpers of step rules, and the rules of leaves and of ops without a step form. */
#include "ops/rules.h"
#include "ops/step/step.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const time_fact step_still = {TIME_STILL, -1, -1, false, 0};

time_fact step_now(int axis)
{
    return (time_fact){TIME_NOW, axis, -1, false, 0};
}

const time_fact *step_fact(const step_context *c, value_id old)
{
    return old == NONE ? &step_still : &c->facts[old];
}

bool step_all_still(const step_context *c, const node *n)
{
    for (int i = 0; i < n->input_count; i++)
        if (step_fact(c, n->inputs[i])->kind != TIME_STILL)
            return false;
    return true;
}

bool step_joins(const step_context *c, const node *n, int operand, int axis)
{
    bool moves = step_fact(c, n->inputs[operand])->kind != TIME_STILL;
    return moves && dim_has(graph_shape_of(c->from, n->inputs[operand])->dims[axis], c->batch);
}

bool step_fail(step_context *c, const node *n, const char *format, ...)
{
    char why[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, sizeof why, format, arguments);
    va_end(arguments);
    graph_at(c->to, c->from, c->from->values[n->first_output].node);
    return graph_refuse(c->to, RONDO_NOT_CAUSAL, "%s has no step form: %s", op_table[n->op].signature.name,
                        why);
}

/* ---- shapes ---- */

shape step_shape(const step_context *c, const shape *s)
{
    shape out = *s;
    for (int a = 0; a < s->rank; a++)
        out.dims[a] = dim_replace(s->dims[a], c->time, dim_symbol(c->step));
    return out;
}

/* The time axes of a shape, in order; the count, at most `most`. */
int step_time_axes(const step_context *c, const shape *s, int *axes, int most)
{
    int count = 0;
    for (int a = 0; a < s->rank; a++)
        if (dim_has(s->dims[a], c->time) && count < most)
            axes[count++] = a;
    return count;
}

/* As step_shape, but the key axis gets the cache's capacity. */
shape step_fact_shape(const step_context *c, const shape *s, const time_fact *f)
{
    shape out = step_shape(c, s);
    if (f->kind == TIME_PAIR)
        out.dims[f->key_axis] = dim_replace(s->dims[f->key_axis], c->time, dim_symbol(c->capacity));
    return out;
}

/* ---- building ---- */

void step_inputs(const step_context *c, const node *n, value_id *inputs)
{
    for (int i = 0; i < n->input_count; i++)
        inputs[i] = n->inputs[i] == NONE ? NONE : c->map[n->inputs[i]];
}

bool step_finish(step_context *c, const node *n, value_id first)
{
    for (int o = 0; o < n->output_count; o++)
        c->map[n->first_output + o] = build_output(c->to, first, o);
    return first != NONE;
}

bool step_build(step_context *c, const node *n, const value_id *inputs, const shape *dims, int dims_at)
{
    attribute attributes[MAX_ATTRIBUTES];
    memcpy(attributes, n->attributes, sizeof attributes);
    if (dims)
        attributes[dims_at].integer = graph_shape(c->to, dims);
    return step_finish(c, n, graph_add(c->to, n->op, inputs, n->input_count, attributes));
}

bool step_same(step_context *c, const node *n)
{
    value_id inputs[MAX_INPUTS];
    step_inputs(c, n, inputs);
    return step_build(c, n, inputs, NULL, 0);
}

static const char *port_name(step_context *c, const char *what)
{
    const char *scope = c->to->names[c->to->scope];
    return arena_text(&c->to->arena, "%s%s%s.%d", scope, *scope ? "." : "", what, c->port_count++);
}

bool step_batch_first(const step_context *c, const shape *s)
{
    return s->rank > 0 && dim_only_symbol(s->dims[0]) == c->batch;
}

value_id step_append(step_context *c, value_id rows, int axis)
{
    shape s = *graph_shape_of(c->to, rows);
    if (!step_batch_first(c, &s) || dim_only_symbol(s.dims[axis]) != c->step)
        return graph_fail(c->to, RONDO_NOT_CAUSAL,
                          "a cache needs the batch on its first axis and time on an axis of its own");
    s.dims[axis] = dim_symbol(c->capacity);
    const char *name = port_name(c, "cache");
    value_id cache = name ? build_leaf(c->to, OP_state, name, c->to->values[rows].type, &s) : NONE;
    attribute attributes[MAX_ATTRIBUTES] = {{.integer = axis}};
    value_id out = build_node(c->to, OP_append, 3, (value_id[]){cache, rows, c->position}, attributes);
    if (out != NONE)
        graph_add_port(c->to, name, cache, out, PORT_APPEND, 0, axis, 0);
    return out;
}

value_id step_carry(step_context *c, const shape *s, rondo_type type, int batch_axis, double initial,
                    int *port)
{
    const char *name = port_name(c, "state");
    value_id in = name ? build_leaf(c->to, OP_state, name, type, s) : NONE;
    *port = in == NONE ? -1 : graph_add_port(c->to, name, in, NONE, PORT_CARRY, batch_axis, -1, initial);
    return in;
}

void step_carry_out(step_context *c, int port, value_id out)
{
    if (port >= 0 && out != NONE)
        c->to->ports[port].out = out;
}

/* ---- rules ---- */

bool step_leaf(step_context *c, const node *n, time_fact *facts)
{
    int axes[MAX_RANK], count = step_time_axes(c, graph_shape_of(c->from, n->first_output), axes, MAX_RANK);
    const char *name = c->from->names[n->attributes[0].integer];
    if (count > 1 || (count && n->op != OP_input))
        return step_fail(c, n, "%s carries the time axis %d times", name, count);
    facts[0] = count ? step_now(axes[0]) : step_still;
    shape s = step_shape(c, graph_shape_of(c->from, n->first_output));
    return step_build(c, n, NULL, &s, input_dims);
}

bool step_refuse(step_context *c, const node *n, time_fact *facts)
{
    if (!step_all_still(c, n))
        return step_fail(c, n, "it needs all of time at once");
    for (int o = 0; o < n->output_count; o++)
        facts[o] = step_still;
    return step_same(c, n);
}
