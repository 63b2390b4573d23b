/* The step rules of windows, fold and convolution: along another axis than time as they are; causal
 * windows along time carry the rows before the first. */
#include "ops/rules.h"
#include "ops/step/step.h"

/* The fact of a result whose axes behind `axis` are moved by `by`. */
static time_fact moved(const time_fact *f, int axis, int by)
{
    time_fact out = *f;
    out.axis += f->axis > axis ? by : 0;
    out.key_axis += f->key_axis > axis ? by : 0;
    return out;
}

static value_id fails(step_context *c, const node *n, const char *why)
{
    step_fail(c, n, "%s", why);
    return NONE;
}

/* Causal windows along time: the last width − 1 tokens are the rows before the first of the next advance.
 * NONE: the graph failed. */
static value_id carry_windows(step_context *c, const node *n, int axis, const window_layout *w)
{
    int port;
    value_id x = c->map[n->inputs[0]];
    if (w->stride != 1)
        return fails(c, n, "its stride along time skips tokens");
    if (w->after) /* before is the rest of width − 1, or there were fewer windows than tokens */
        return fails(c, n, "its windows reach later tokens");
    if (w->width == 1)
        return build_windows(c->to, x, axis, w);
    shape rows = *graph_shape_of(c->to, x);
    if (!step_batch_first(c, &rows))
        return fails(c, n, "windows along time need the batch on the first axis");
    rows.dims[axis] = dim_number(w->width - 1);
    value_id before = step_carry(c, &rows, RONDO_F32, 0, w->fill, &port);
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[windows_next_axis] = integer_attribute(axis);
    attributes[windows_next_width] = integer_attribute(w->width);
    value_id y = build_node(c->to, OP_windows_next, 2, (value_id[]){x, before}, attributes);
    step_carry_out(c, port,
                   build_node(c->to, OP_slide, 3, (value_id[]){before, x, c->count},
                              (attribute[MAX_ATTRIBUTES]){{.integer = axis}}));
    return y;
}

bool step_windows(step_context *c, const node *n, time_fact *facts)
{
    const time_fact *f = step_fact(c, n->inputs[0]);
    const window_layout w = window_layout_of(OP_windows, n->attributes, 0);
    int axis = normal_axis(n->attributes[windows_axis].integer, graph_shape_of(c->from, n->inputs[0])->rank);
    if (step_joins(c, n, 0, axis))
        return step_fail(c, n, "it combines sequences, which are at different tokens");
    facts[0] = moved(f, axis, 1);
    facts[0].causal = f->causal && ((!w.before && !w.after) || f->fill == w.fill);
    if (f->kind == TIME_PAIR && (f->axis == axis || f->key_axis == axis))
        return step_fail(c, n, "its operand carries time twice, and its windows lie along time");
    return f->kind == TIME_NOW && f->axis == axis ? step_finish(c, n, carry_windows(c, n, axis, &w))
                                                  : step_same(c, n);
}

bool step_fold(step_context *c, const node *n, time_fact *facts)
{
    const time_fact *f = step_fact(c, n->inputs[0]);
    const shape *to = graph_shape_of(c->from, n->first_output);
    value_id inputs[1] = {c->map[n->inputs[0]]};
    int axis = normal_axis(n->attributes[fold_axis].integer, to->rank);
    if (dim_has(to->dims[axis], c->time) ||
        (f->kind != TIME_STILL &&
         (f->axis == axis || f->axis == axis + 1 || f->key_axis == axis || f->key_axis == axis + 1)))
        return step_fail(c, n, "it adds what later tokens give");
    if (step_joins(c, n, 0, axis))
        return step_fail(c, n, "it combines sequences, which are at different tokens");
    facts[0] = moved(f, axis + 1, -1);
    facts[0].causal = f->causal && f->fill == 0;
    shape result = step_fact_shape(c, to, &facts[0]);
    return step_build(c, n, inputs, &result, fold_dims);
}

/* Along time a product over the windows that are carried. */
bool step_convolution(step_context *c, const node *n, time_fact *facts)
{
    const time_fact *f = step_fact(c, n->inputs[0]);
    int rank = graph_shape_of(c->from, n->inputs[0])->rank;
    facts[0] = *f;
    if (step_fact(c, n->inputs[1])->kind != TIME_STILL)
        return step_fail(c, n, "its weight depends on time");
    if (f->kind == TIME_PAIR)
        return step_fail(c, n, "its operand carries time twice");
    if (f->kind == TIME_STILL || f->axis == 0)
        return step_same(c, n);
    if (f->axis == rank - 1)
        return step_fail(c, n, "it sums over time, so it needs later tokens");
    if (rank != 3)
        return step_fail(c, n, "time is one of several axes that its windows span");
    const window_layout w = window_layout_of(OP_convolution, n->attributes, 0);
    value_id pieces = carry_windows(c, n, 1, &w);
    if (pieces == NONE)
        return false;
    shape rows = *graph_shape_of(c->to, pieces);
    rows.dims[2] = graph_shape_of(c->from, n->inputs[1])->dims[1];
    rows.dims[3] = (dim){0};
    rows.rank = 3;
    pieces = build_reshape(c->to, pieces, &rows);
    return step_finish(c, n, build_matmul(c->to, pieces, c->map[n->inputs[1]], false, true));
}
