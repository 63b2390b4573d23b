/* The growth of a value from one step of time to the next, traced back to its source: what e^(c[t] − c[s])
 * decays by. In f32 the difference of two long running sums is wrong in its last digits and then in its
 * first; the summands are not. */
#include "ops/form/form.h"
#include "ops/rules.h"

static const form_growth unknown = {false, NONE}, still = {true, NONE};

static form_growth by(value_id steps)
{
    return (form_growth){true, steps};
}

/* The axis whose extent is exactly the symbol; −1: none, −2: the symbol is a factor of an extent, or in
 * several of them. */
static int time_axis(const shape *s, int symbol)
{
    int axis = -1;
    for (int i = 0; i < s->rank; i++)
        if (dim_has(s->dims[i], symbol))
            axis = axis == -1 && dim_only_symbol(s->dims[i]) == symbol ? i : -2;
    return axis;
}

/* Shape s with the extent along time that the growth `steps` has: that of s, or 1. */
static shape shaped_like(const form_context *c, const shape *s, value_id steps, int symbol)
{
    shape out = *s;
    int axis = time_axis(s, symbol);
    if (time_axis(graph_shape_of(c->to, steps), symbol) < 0 && axis >= 0)
        out.dims[axis] = dim_number(1);
    return out;
}

/* A summand that is the same at every step, with extent 1 along time. */
static value_id once(const form_context *c, value_id old, int axis)
{
    const node *n = graph_node_of(c->from, old);
    shape s = *graph_shape_of(c->from, old);
    s.dims[axis] = dim_number(1);
    if (n->op == OP_constant)
        return build_constant(c->to, n->attributes[constant_number].real, c->from->values[old].type, &s);
    if (n->op == OP_broadcast && !form_spans(graph_shape_of(c->from, n->inputs[0]), s.rank, axis))
        return build_broadcast(c->to, c->map[n->inputs[0]], &s);
    return c->map[old];
}

static form_growth growth_of_sum(const form_context *c, const node *n, int symbol)
{
    const shape *s = graph_shape_of(c->from, n->first_output);
    int axis = normal_axis(n->attributes[cumsum_axis].integer, s->rank);
    if (time_axis(s, symbol) != axis || n->attributes[cumsum_reverse].integer ||
        n->attributes[cumsum_exclusive].integer)
        return unknown;
    return by(once(c, n->inputs[0], axis));
}

/* Positions: 1 a step. */
static form_growth growth_of_positions(const form_context *c, const node *n, int symbol)
{
    shape s = *graph_shape_of(c->from, n->first_output);
    int axis = time_axis(&s, symbol);
    if (axis < 0)
        return unknown;
    s.dims[axis] = dim_number(1);
    return by(build_constant(c->to, 1, c->from->values[n->first_output].type, &s));
}

static form_growth growth_of_product(const form_context *c, const node *n, int symbol)
{
    form_growth a = form_growth_of(c, n->inputs[0], symbol), b = form_growth_of(c, n->inputs[1], symbol);
    bool a_moves = time_axis(graph_shape_of(c->from, n->inputs[0]), symbol) != -1,
         b_moves = time_axis(graph_shape_of(c->from, n->inputs[1]), symbol) != -1;
    if (!a.known || !b.known || (n->op == OP_div ? b_moves : a_moves && b_moves))
        return unknown;
    if (a.steps == NONE && b.steps == NONE)
        return still;
    if (n->op == OP_div)
        return by(build_div(c->to, a.steps, c->map[n->inputs[1]]));
    int moving = a.steps == NONE, other = 1 - moving;
    value_id steps = moving ? b.steps : a.steps;
    const node *number = graph_node_of(c->from, n->inputs[other]);
    if (number->op == OP_constant && number->attributes[constant_number].real == -1)
        return by(form_negative(c->to, steps));
    return by(build_mul(c->to, steps, c->map[n->inputs[other]]));
}

static form_growth growth_of_two(const form_context *c, const node *n, int symbol)
{
    form_growth a = form_growth_of(c, n->inputs[0], symbol), b = form_growth_of(c, n->inputs[1], symbol);
    if (!a.known || !b.known)
        return unknown;
    value_id second = n->op == OP_sub && b.steps != NONE ? form_negative(c->to, b.steps) : b.steps;
    return by(form_sum_of(c->to, a.steps, second));
}

/* Equal growths have to be equal values, however they were moved. So a sign is moved outside, two reshapes
 * become one, two transposes become one, and a transpose that only moves extents of 1 becomes a reshape. */
static value_id reshaped(rondo_graph *g, value_id x, const shape *s)
{
    const node *n = graph_node_of(g, x);
    if (n->op == OP_neg)
        return form_negative(g, reshaped(g, n->inputs[0], s));
    return build_reshape(g, n->op == OP_reshape ? n->inputs[0] : x, s);
}

static value_id transposed(rondo_graph *g, value_id x, const int *order)
{
    int composed[MAX_RANK], inner[MAX_RANK], last = -1;
    const node *n = graph_node_of(g, x);
    if (n->op == OP_neg)
        return form_negative(g, transposed(g, n->inputs[0], order));
    shape s = {.rank = graph_shape_of(g, x)->rank};
    for (int i = 0; i < s.rank; i++)
        composed[i] = order[i];
    if (n->op == OP_transpose && order_unpack(n->attributes[transpose_order].integer, inner) == s.rank) {
        x = n->inputs[0];
        for (int i = 0; i < s.rank; i++)
            composed[i] = inner[order[i]];
    }
    bool kept = true;
    for (int i = 0; i < s.rank; i++) {
        s.dims[i] = graph_shape_of(g, x)->dims[composed[i]];
        if (dim_is_number(s.dims[i], 1))
            continue;
        kept = kept && composed[i] > last;
        last = composed[i];
    }
    return kept ? reshaped(g, x, &s) : build_transpose(g, x, composed);
}

value_id form_growth_factor(rondo_graph *g, value_id steps, int rank, int axis, int other)
{
    const shape *s = graph_shape_of(g, steps);
    shape raised = {.rank = rank};
    int order[MAX_RANK], count = 0;
    for (int i = 0, missing = rank - s->rank; i < rank; i++) {
        raised.dims[i] = i < missing ? dim_number(1) : s->dims[i - missing];
        if (i != axis && i != other)
            order[count++] = i;
    }
    order[count++] = axis;
    order[count] = other;
    value_id x = reshaped(g, steps, &raised);
    return x == NONE ? NONE : transposed(g, x, order);
}

form_growth form_growth_moved(const form_context *c, const node *n, form_growth x, int symbol)
{
    const shape *s = graph_shape_of(c->from, n->first_output);
    int order[MAX_RANK];
    if (!x.known || x.steps == NONE || time_axis(s, symbol) < 0)
        return x.known && x.steps == NONE ? still : unknown;
    shape to = shaped_like(c, s, x.steps, symbol);
    switch (n->op) {
    case OP_transpose:
        return order_unpack(n->attributes[transpose_order].integer, order) < 0
                   ? unknown
                   : by(transposed(c->to, x.steps, order));
    case OP_reshape:
        return by(reshaped(c->to, x.steps, &to));
    case OP_broadcast:
        return by(build_broadcast(c->to, x.steps, &to));
    default:
        return by(build_cast(c->to, x.steps, c->from->values[n->first_output].type));
    }
}

form_growth form_growth_of(const form_context *c, value_id old, int symbol)
{
    const node *n = graph_node_of(c->from, old);
    if (time_axis(graph_shape_of(c->from, old), symbol) == -1 || n->op == OP_constant)
        return still;
    form_growth x;
    switch (n->op) {
    case OP_cumsum:
        return growth_of_sum(c, n, symbol);
    case OP_positions:
        return growth_of_positions(c, n, symbol);
    case OP_mul:
    case OP_div:
        return growth_of_product(c, n, symbol);
    case OP_add:
    case OP_sub:
        return growth_of_two(c, n, symbol);
    case OP_neg:
        x = form_growth_of(c, n->inputs[0], symbol);
        return x.known && x.steps != NONE ? by(form_negative(c->to, x.steps)) : x;
    case OP_transpose:
    case OP_reshape:
    case OP_broadcast:
    case OP_cast:
        return form_growth_moved(c, n, form_growth_of(c, n->inputs[0], symbol), symbol);
    default:
        return unknown;
    }
}
