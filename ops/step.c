/* step: how each op of the parallel graph becomes an op of one that advances P tokens. A rule sees the time facts of its
 * operands (op.h: still · now · pair) and builds the step form, or says why there is none. Models have no such code. */
#include "core/mutant.h"
#include "ops/rules.h"
#include "ops/build.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const time_fact still = {TIME_STILL, -1, -1, false, 0};

static time_fact now_at(int axis)
{
    return (time_fact){TIME_NOW, axis, -1, false, 0};
}

static const time_fact *fact_of(const step_context *c, value_id old)
{
    return old == NONE ? &still : &c->facts[old];
}

static bool all_still(const step_context *c, const node *n)
{
    for (int i = 0; i < n->input_count; i++)
        if (fact_of(c, n->inputs[i])->kind != TIME_STILL)
            return false;
    return true;
}

bool step_fail(step_context *c, const node *n, const char *format, ...)
{
    char why[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, sizeof why, format, arguments);
    va_end(arguments);
    graph_at(c->to, c->from, c->from->values[n->first_output].node);
    graph_fail(c->to, RONDO_NOT_CAUSAL, "%s has no step form: %s", op_table[n->op].signature.name, why);
    return false;
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
static int time_axes(const step_context *c, const shape *s, int *axes, int most)
{
    int count = 0;
    for (int a = 0; a < s->rank; a++)
        if (dim_has(s->dims[a], c->time) && count < most)
            axes[count++] = a;
    return count;
}

/* As step_shape, but the key axis gets the cache's capacity. */
static shape fact_shape(const step_context *c, const shape *s, const time_fact *f)
{
    shape out = step_shape(c, s);
    if (f->kind == TIME_PAIR)
        out.dims[f->key_axis] = dim_replace(s->dims[f->key_axis], c->time, dim_symbol(c->capacity));
    return out;
}

/* ---- building ---- */

static void mapped(const step_context *c, const node *n, value_id *inputs)
{
    for (int i = 0; i < n->input_count; i++)
        inputs[i] = n->inputs[i] == NONE ? NONE : c->map[n->inputs[i]];
}

static bool finish(step_context *c, const node *n, value_id first)
{
    for (int o = 0; o < n->output_count; o++)
        c->map[n->first_output + o] = build_output(c->to, first, o);
    return first != NONE;
}

static bool build_with(step_context *c, const node *n, const value_id *inputs, const shape *dims, int dims_at)
{
    attribute attributes[MAX_ATTRIBUTES];
    memcpy(attributes, n->attributes, sizeof attributes);
    if (dims)
        attributes[dims_at].integer = graph_shape(c->to, dims);
    return finish(c, n, graph_add(c->to, n->op, inputs, n->input_count, attributes));
}

bool step_same(step_context *c, const node *n)
{
    value_id inputs[MAX_INPUTS];
    mapped(c, n, inputs);
    return build_with(c, n, inputs, NULL, 0);
}

static const char *port_name(step_context *c, const char *what)
{
    const char *scope = c->to->names[c->to->scope];
    return arena_text(&c->to->arena, "%s%s%s.%d", scope, *scope ? "." : "", what, c->port_count++);
}

static bool batch_first(const step_context *c, const shape *s)
{
    return s->rank > 0 && dim_only_symbol(s->dims[0]) == c->batch;
}

value_id step_append(step_context *c, value_id rows, int axis)
{
    shape s = *graph_shape_of(c->to, rows);
    if (!batch_first(c, &s) || dim_only_symbol(s.dims[axis]) != c->step)
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

/* ---- rules that move no data through time ---- */

bool step_leaf(step_context *c, const node *n, time_fact *facts)
{
    int axes[MAX_RANK], count = time_axes(c, graph_shape_of(c->from, n->first_output), axes, MAX_RANK);
    const char *name = c->from->names[n->attributes[0].integer];
    if (count > 1 || (count && n->op != OP_input))
        return step_fail(c, n, "%s carries the time axis %d times", name, count);
    facts[0] = count ? now_at(axes[0]) : still;
    shape s = step_shape(c, graph_shape_of(c->from, n->first_output));
    return build_with(c, n, NULL, &s, input_dims);
}

/* Constants and broadcasts may make a time axis out of nothing. */
static time_fact made_axes(const step_context *c, const shape *s)
{
    int axes[MAX_RANK], count = time_axes(c, s, axes, MAX_RANK);
    if (count == 2)
        return (time_fact){TIME_PAIR, axes[0], axes[1], false, 0};
    return count == 1 ? now_at(axes[0]) : still;
}

bool step_constant(step_context *c, const node *n, time_fact *facts)
{
    const shape *s = graph_shape_of(c->from, n->first_output);
    facts[0] = made_axes(c, s);
    shape out = fact_shape(c, s, &facts[0]);
    return build_with(c, n, NULL, &out, constant_dims);
}

/* Where the operands' time axes fall in a result of this rank, aligned to the right. Operands whose time axis falls on the
 * result's key axis are appended. */
static bool align(step_context *c, const node *n, const shape *result, time_fact *out, value_id *inputs)
{
    *out = made_axes(c, result);
    mapped(c, n, inputs);
    for (int i = 0; i < n->input_count; i++) {
        const time_fact *f = fact_of(c, n->inputs[i]);
        int shift = n->inputs[i] == NONE ? 0 : result->rank - graph_shape_of(c->from, n->inputs[i])->rank;
        if (f->kind == TIME_PAIR && (out->kind != TIME_PAIR || f->axis + shift != out->axis ||
                                     f->key_axis + shift != out->key_axis)) {
            if (out->kind == TIME_PAIR && f->axis + shift == out->key_axis &&
                f->key_axis + shift == out->axis)
                *out = (time_fact){TIME_PAIR, f->axis + shift, f->key_axis + shift, false, 0};
            else
                return step_fail(c, n, "its operands' time axes do not line up");
        }
    }
    for (int i = 0; i < n->input_count; i++) {
        const time_fact *f = fact_of(c, n->inputs[i]);
        int shift = n->inputs[i] == NONE ? 0 : result->rank - graph_shape_of(c->from, n->inputs[i])->rank;
        if (f->kind != TIME_NOW)
            continue;
        if (out->kind == TIME_PAIR && f->axis + shift == out->key_axis)
            inputs[i] = step_append(c, inputs[i], f->axis);
        else if (f->axis + shift != out->axis)
            return step_fail(c, n, "its operands' time axes do not line up");
        if (inputs[i] == NONE)
            return false;
    }
    return true;
}

/* What a masked entry (s > t) becomes: known for functions of it alone, and for a zero that is scaled. */
static void follow_fill(const step_context *c, const node *n, time_fact *out)
{
    const time_fact *pair = NULL;
    int at = 0;
    for (int i = 0; i < n->input_count; i++)
        if (fact_of(c, n->inputs[i])->kind == TIME_PAIR && (!pair || fact_of(c, n->inputs[i])->causal)) {
            pair = fact_of(c, n->inputs[i]);
            at = i;
        }
    out->causal = false;
    if (!pair || !pair->causal)
        return;
    if (n->input_count == 1 && op_table[n->op].reference) {
        double in = pair->fill, fill = 0;
        reference_tensor x = {.data = &in, .count = 1}, y = {.data = &fill, .count = 1};
        const reference_call call = {.graph = c->from,
                                     .attributes = n->attributes,
                                     .input_count = 1,
                                     .output_count = 1,
                                     .inputs = &x,
                                     .outputs = &y,
                                     .scratch = &c->to->arena};
        out->causal = op_table[n->op].reference(&call) && !isnan(fill);
        out->fill = fill;
    } else if (pair->fill == 0 && (n->op == OP_mul || (n->op == OP_div && at == 0))) {
        out->causal = true;
        out->fill = 0;
    }
}

bool step_pointwise(step_context *c, const node *n, time_fact *facts)
{
    value_id inputs[MAX_INPUTS];
    const shape *result = graph_shape_of(c->from, n->first_output);
    if (!align(c, n, result, &facts[0], inputs))
        return false;
    if (n->op == OP_concat) {
        int axis = normal_axis(n->attributes[concat_axis].integer, result->rank);
        if (facts[0].kind != TIME_STILL && (axis == facts[0].axis || axis == facts[0].key_axis))
            return step_fail(c, n, "it joins along time");
    }
    if (facts[0].kind == TIME_PAIR)
        follow_fill(c, n, &facts[0]);
    return build_with(c, n, inputs, NULL, 0);
}

bool step_refuse(step_context *c, const node *n, time_fact *facts)
{
    if (!all_still(c, n))
        return step_fail(c, n, "it looks at the whole of time");
    for (int o = 0; o < n->output_count; o++)
        facts[o] = still;
    return step_same(c, n);
}

/* ---- shapes ---- */

bool step_broadcast(step_context *c, const node *n, time_fact *facts)
{
    value_id inputs[1];
    const shape *result = graph_shape_of(c->from, n->first_output);
    if (!align(c, n, result, &facts[0], inputs))
        return false;
    shape out = fact_shape(c, result, &facts[0]);
    facts[0].causal = false;
    return build_with(c, n, inputs, &out, broadcast_dims);
}

/* The product of what varies faster than time: the dims after its axis and the literal factor of its own. */
static dim after_time(const shape *s, int axis)
{
    dim product = dim_number(s->dims[axis].factor);
    for (int a = axis + 1; a < s->rank; a++)
        dim_multiply(product, s->dims[a], &product);
    return product;
}

bool step_reshape(step_context *c, const node *n, time_fact *facts)
{
    const time_fact *f = fact_of(c, n->inputs[0]);
    const shape *from = graph_shape_of(c->from, n->inputs[0]), *to = graph_shape_of(c->from, n->first_output);
    int axes[MAX_RANK], count = time_axes(c, to, axes, MAX_RANK);
    value_id inputs[1] = {c->map[n->inputs[0]]};
    if (f->kind == TIME_STILL) {
        facts[0] = still;
        return step_same(c, n);
    }
    bool apart = count == (f->kind == TIME_PAIR ? 2 : 1);
    facts[0] = *f;
    if (apart && f->kind == TIME_NOW) {
        facts[0].axis = axes[0];
        apart = dim_equal(after_time(from, f->axis), after_time(to, axes[0]));
    } else if (apart) {
        bool first = f->axis < f->key_axis;
        facts[0].axis = axes[first ? 0 : 1];
        facts[0].key_axis = axes[first ? 1 : 0];
        apart = dim_equal(after_time(from, f->axis), after_time(to, facts[0].axis)) &&
                dim_equal(after_time(from, f->key_axis), after_time(to, facts[0].key_axis));
    }
    if (!apart)
        return step_fail(c, n, "it mixes the time axis with others");
    shape out = fact_shape(c, to, &facts[0]);
    return build_with(c, n, inputs, &out, reshape_dims);
}

bool step_transpose(step_context *c, const node *n, time_fact *facts)
{
    int order[MAX_RANK], rank = order_unpack(n->attributes[transpose_order].integer, order);
    facts[0] = *fact_of(c, n->inputs[0]);
    const time_fact f = facts[0];
    for (int a = 0; a < rank; a++) {
        if (f.kind != TIME_STILL && order[a] == f.axis)
            facts[0].axis = a;
        if (f.kind == TIME_PAIR && order[a] == f.key_axis)
            facts[0].key_axis = a;
    }
    return step_same(c, n);
}

bool step_slice(step_context *c, const node *n, time_fact *facts)
{
    facts[0] = *fact_of(c, n->inputs[0]);
    int axis = normal_axis(n->attributes[slice_axis].integer, graph_shape_of(c->from, n->inputs[0])->rank);
    if (facts[0].kind != TIME_STILL && (axis == facts[0].axis || axis == facts[0].key_axis))
        return step_fail(c, n, "it cuts along time");
    return step_same(c, n);
}

/* ---- reductions ---- */

static bool step_reduce_pair(step_context *c, const node *n, const time_fact *f, int axis, bool keep,
                             time_fact *out)
{
    double wanted = n->op == OP_sum ? 0 : n->op == OP_max || n->op == OP_logsumexp ? -INFINITY : NAN;
    if (axis == f->axis)
        return step_fail(c, n, "it reduces over t, so every row needs all later tokens");
    if (axis != f->key_axis) {
        *out = *f;
        out->axis -= !keep && axis < f->axis;
        out->key_axis -= !keep && axis < f->key_axis;
        return true;
    }
    if (MUTANT(step_sums_without_mask, false, !f->causal || f->fill != wanted))
        return step_fail(c, n,
                         "it reduces over s without a causal mask before it, so a row sees later tokens");
    *out = now_at(f->axis - (!keep && axis < f->axis));
    return true;
}

bool step_reduce(step_context *c, const node *n, time_fact *facts)
{
    const time_fact *f = fact_of(c, n->inputs[0]);
    int axis = normal_axis(n->attributes[sum_axis].integer, graph_shape_of(c->from, n->inputs[0])->rank);
    bool keep = n->attributes[sum_keep].integer;
    if (f->kind == TIME_NOW && axis == f->axis)
        return step_fail(c, n, "it reduces over time, so it needs tokens that are not there yet");
    facts[0] = *f;
    if (f->kind == TIME_NOW)
        facts[0].axis -= !keep && axis < f->axis;
    else if (f->kind == TIME_PAIR && !step_reduce_pair(c, n, f, axis, keep, &facts[0]))
        return false;
    return step_same(c, n);
}

bool step_cumsum(step_context *c, const node *n, time_fact *facts)
{
    const time_fact *f = fact_of(c, n->inputs[0]);
    value_id x = c->map[n->inputs[0]];
    int axis = normal_axis(n->attributes[cumsum_axis].integer, graph_shape_of(c->from, n->inputs[0])->rank),
        port;
    facts[0] = *f;
    if (f->kind == TIME_STILL || (axis != f->axis && axis != f->key_axis))
        return step_same(c, n);
    if (f->kind == TIME_PAIR || n->attributes[cumsum_reverse].integer)
        return step_fail(c, n, "it runs over time %s",
                         f->kind == TIME_PAIR ? "on a value that has it twice" : "backwards");
    shape s = *graph_shape_of(c->to, x);
    if (!batch_first(c, &s))
        return step_fail(c, n, "a running sum needs the batch on its first axis");
    s.dims[axis] = dim_number(1);
    value_id before = step_carry(c, &s, RONDO_F32, 0, 0, &port);
    value_id live = MUTANT(step_sum_counts_padding, x, build_row_mask(c->to, x, c->count, axis, 0));
    value_id sums = build_cumsum(c->to, live, axis, n->attributes[cumsum_exclusive].integer, false);
    step_carry_out(c, port, build_add(c->to, before, build_reduce(c->to, OP_sum, live, axis, true)));
    return finish(c, n, build_add(c->to, sums, before));
}

bool step_last_axis(step_context *c, const node *n, time_fact *facts)
{
    const time_fact f = *fact_of(c, n->inputs[0]);
    int last = graph_shape_of(c->from, n->inputs[0])->rank - 1;
    for (int i = 1; i < n->input_count; i++)
        if (fact_of(c, n->inputs[i])->kind != TIME_STILL)
            return step_fail(c, n, "its gain or bias depends on time");
    for (int o = 0; o < n->output_count; o++)
        facts[o] = f;
    if (f.kind == TIME_NOW && f.axis == last)
        return step_fail(c, n, "it normalises over time, so every row needs all later tokens");
    if (f.kind == TIME_PAIR && f.axis == last)
        return step_fail(c, n, "it normalises over t");
    if (f.kind == TIME_PAIR && f.key_axis == last) {
        if (n->op != OP_softmax || !f.causal || f.fill != -INFINITY)
            return step_fail(
                c, n,
                "it normalises over s without a causal mask (fill −∞) before it, so a row sees later tokens");
        facts[0].fill = 0;
    }
    return step_same(c, n);
}

/* ---- products ---- */

/* Where axis `axis` of an operand stands in the product: 'b'atch, 'r'ow or column of the result, or 'k', summed. */
static char role(int axis, int rank, bool transposed, bool first)
{
    if (axis < rank - 2)
        return 'b';
    bool last = axis == rank - 1;
    return (last != transposed) == first ? 'k' : 'r';
}

bool step_matmul(step_context *c, const node *n, time_fact *facts)
{
    const time_fact *a = fact_of(c, n->inputs[0]), *b = fact_of(c, n->inputs[1]);
    bool ta = n->attributes[matmul_transpose_a].integer, tb = n->attributes[matmul_transpose_b].integer;
    int rank_a = graph_shape_of(c->from, n->inputs[0])->rank,
        rank_b = graph_shape_of(c->from, n->inputs[1])->rank;
    int rank = graph_shape_of(c->from, n->first_output)->rank;
    value_id inputs[MAX_INPUTS];
    mapped(c, n, inputs);
    facts[0] = still;
    if (all_still(c, n))
        return step_same(c, n);
    if (n->input_count > 2)
        return step_fail(c, n, "fused products come after streaming");
    char ra = a->kind == TIME_STILL ? 's' : role(a->axis, rank_a, ta, true);
    char rb = b->kind == TIME_STILL ? 's' : role(b->axis, rank_b, tb, false);
    if (a->kind == TIME_PAIR || b->kind == TIME_PAIR) {
        if (a->kind != TIME_PAIR || b->kind != TIME_NOW || ra != 'r' ||
            role(a->key_axis, rank_a, ta, true) != 'k' || rb != 'k')
            return step_fail(c, n, "of its operands one has time twice and the other does not run along s");
        if (!a->causal || a->fill != 0)
            return step_fail(c, n,
                             "it sums over s without a causal mask before it, so a row sees later tokens");
        inputs[1] = step_append(c, inputs[1], b->axis);
        facts[0] = now_at(rank - 2);
        return inputs[1] != NONE && build_with(c, n, inputs, NULL, 0);
    }
    if (ra == 'k' || rb == 'k')
        return step_fail(c, n, "it sums over time, so it needs tokens that are not there yet");
    if (ra == 'r' && rb == 'r') {
        inputs[1] = step_append(c, inputs[1], b->axis);
        facts[0] = (time_fact){TIME_PAIR, rank - 2, rank - 1, false, 0};
        return inputs[1] != NONE && build_with(c, n, inputs, NULL, 0);
    }
    if ((ra == 'b' && rb == 'r') || (ra == 'r' && rb == 'b') ||
        (ra == 'b' && rb == 'b' && a->axis - rank_a != b->axis - rank_b))
        return step_fail(c, n, "its operands' time axes do not line up");
    int axis = ra == 'r'   ? rank - 2
               : rb == 'r' ? rank - 1
               : ra == 'b' ? a->axis + rank - rank_a
                           : b->axis + rank - rank_b;
    facts[0] = now_at(axis);
    return build_with(c, n, inputs, NULL, 0);
}

/* ---- masks: padding of the target stands on the right, so `count` says all there is to say ---- */

bool step_causal_mask(step_context *c, const node *n, time_fact *facts)
{
    const time_fact *f = fact_of(c, n->inputs[0]);
    value_id inputs[2] = {c->map[n->inputs[0]], c->position};
    int rank = graph_shape_of(c->from, n->inputs[0])->rank;
    bool transposed = n->attributes[causal_mask_transposed].integer;
    facts[0] = *f;
    if (f->kind == TIME_STILL)
        return step_same(c, n);
    if (f->kind != TIME_PAIR || f->axis != rank - 2 + transposed || f->key_axis != rank - 1 - transposed)
        return step_fail(c, n, "its operand has not time twice on its last two axes");
    if (n->input_count > 1 && n->inputs[1] != NONE)
        return step_fail(c, n, "it has an offset of its own");
    if (!batch_first(c, graph_shape_of(c->to, inputs[0])))
        return step_fail(
            c, n, "sequences stand at different positions, so the mask needs the batch on its first axis");
    facts[0].causal = true;
    facts[0].fill = n->attributes[causal_mask_fill].real;
    return finish(c, n, graph_add(c->to, n->op, inputs, 2, n->attributes));
}

bool step_key_mask(step_context *c, const node *n, time_fact *facts)
{
    const time_fact *f = fact_of(c, n->inputs[0]);
    int last = graph_shape_of(c->from, n->inputs[0])->rank - 1;
    facts[0] = *f;
    bool along_time = f->kind != TIME_STILL && (f->axis == last || f->key_axis == last);
    if (!along_time)
        return step_same(c, n);
    c->map[n->first_output] = c->map[n->inputs[0]];
    return true;
}

bool step_row_mask(step_context *c, const node *n, time_fact *facts)
{
    const time_fact *f = fact_of(c, n->inputs[0]);
    int axis = normal_axis(n->attributes[row_mask_axis].integer, graph_shape_of(c->from, n->inputs[0])->rank);
    facts[0] = *f;
    if (f->kind == TIME_STILL || (axis != f->axis && axis != f->key_axis))
        return step_same(c, n);
    value_id x = c->map[n->inputs[0]];
    return finish(c, n,
                  axis == f->key_axis
                      ? x
                      : build_row_mask(c->to, x, c->count, axis, n->attributes[row_mask_fill].real));
}

/* ---- tokens ---- */

bool step_embed(step_context *c, const node *n, time_fact *facts)
{
    facts[0] = *fact_of(c, n->inputs[n->op == OP_embed ? 1 : 0]);
    if (n->op == OP_embed && fact_of(c, n->inputs[0])->kind != TIME_STILL)
        return step_fail(c, n, "its table depends on time");
    if (facts[0].kind == TIME_PAIR)
        return step_fail(c, n, "its ids have time twice");
    return step_same(c, n);
}

bool step_positions(step_context *c, const node *n, time_fact *facts)
{
    facts[0] = *fact_of(c, n->inputs[0]);
    if (facts[0].kind == TIME_STILL)
        return step_same(c, n);
    value_id inputs[2] = {c->map[n->inputs[0]], MUTANT(step_positions_ahead, c->filled, c->position)};
    return finish(c, n, graph_add(c->to, n->op, inputs, 2, n->attributes));
}

/* ---- structured ---- */

bool step_attention(step_context *c, const node *n, time_fact *facts)
{
    value_id inputs[MAX_INPUTS];
    mapped(c, n, inputs);
    const time_fact *q = fact_of(c, n->inputs[0]), *k = fact_of(c, n->inputs[1]),
                    *v = fact_of(c, n->inputs[2]);
    for (int o = 0; o < 2; o++)
        facts[o] = *q;
    if (k->kind == TIME_STILL && v->kind == TIME_STILL) {
        if (n->attributes[attention_causal].integer && q->kind != TIME_STILL)
            return step_fail(c, n, "it is causal over keys that do not move with time");
        return q->kind == TIME_STILL || (q->kind == TIME_NOW && q->axis == 2)
                   ? step_same(c, n)
                   : step_fail(c, n, "its queries' time axis is not the third");
    }
    if (!n->attributes[attention_causal].integer)
        return step_fail(c, n, "it attends to later tokens (no causal mask)");
    if (q->kind != TIME_NOW || k->kind != TIME_NOW || v->kind != TIME_NOW || q->axis != 2 || k->axis != 2 ||
        v->axis != 2)
        return step_fail(c, n, "queries, keys and values must carry time on their third axis");
    inputs[1] = step_append(c, inputs[1], 2);
    inputs[2] = step_append(c, inputs[2], 2);
    inputs[3] = c->filled;
    inputs[4] = c->position;
    if (inputs[1] == NONE || inputs[2] == NONE)
        return false;
    return finish(c, n, graph_add(c->to, n->op, inputs, 5, n->attributes));
}

bool step_scan(step_context *c, const node *n, time_fact *facts)
{
    value_id inputs[MAX_INPUTS] = {NONE, NONE, NONE, NONE, NONE, NONE};
    mapped(c, n, inputs);
    int port;
    if (all_still(c, n))
        return step_refuse(c, n, facts);
    for (int i = 0; i < 4 && i < n->input_count; i++) {
        const time_fact *f = fact_of(c, n->inputs[i]);
        bool constant = i == 3 && f->kind == TIME_STILL; /* a decay that is the same at every step */
        if (n->inputs[i] != NONE && !constant && (f->kind != TIME_NOW || f->axis != 2))
            return step_fail(c, n, "its operands must carry time on their third axis");
    }
    if (n->input_count > 5 && n->inputs[5] != NONE)
        return step_fail(c, n, "it has an initial state of its own");
    const shape *k = graph_shape_of(c->from, n->inputs[1]), *v = graph_shape_of(c->from, n->inputs[2]);
    shape s = *k;
    s.dims[2] = k->dims[3];
    s.dims[3] = v->dims[3];
    if (n->attributes[scan_denominator].integer)
        s.dims[3] = dim_number(v->dims[3].factor + 1);
    inputs[4] = MUTANT(step_scan_counts_padding, NONE, c->count);
    inputs[5] = step_carry(c, &s, RONDO_F32, 0, 0, &port);
    value_id out = inputs[5] == NONE ? NONE : graph_add(c->to, n->op, inputs, 6, n->attributes);
    step_carry_out(c, port, build_output(c->to, out, 2));
    facts[0] = facts[1] = now_at(2);
    facts[2] = still;
    return finish(c, n, out);
}
