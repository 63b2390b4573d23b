/* The DSL's loop: the caller's function builds the body, and the sequences are turned so that time comes
 * first, which costs nothing where their producer can write them so. */
#include "ops/dsl/dsl.h"
#include "ops/infer.h"
#include "ops/loop.h"

static const char function[] = "rondo_loop";

/* What is known before the body is built. */
typedef struct loop_plan {
    rondo_graph *g, *body;
    const rondo_loop_options *options;
    int carries, sequences, results;
    value_id inputs[MAX_INPUTS]; /* carries, sequences */
    value_id length;             /* of each sequence; NONE: all rows */
    value_id alive; /* [B] in the body: 1 where the row belongs to the sequence; NONE: everywhere */
    value_id states[RONDO_LOOP_VALUES];
} loop_plan;

/* How many values there are; −1: one is missing between others. */
static int count_values(const rondo_value *values)
{
    int count = 0;
    while (count < RONDO_LOOP_VALUES && values[count].graph)
        count++;
    for (int i = count; i < RONDO_LOOP_VALUES; i++)
        if (values[i].graph)
            return -1;
    return count;
}

static bool read_carries(loop_plan *p)
{
    for (int k = 0; k < p->carries; k++) {
        rondo_value v = p->options->carries[k];
        if (!dsl_operand(p->g, function, "a carry", &v))
            return false;
        p->inputs[k] = v.id;
    }
    return true;
}

static bool read_sequences(loop_plan *p)
{
    for (int k = 0; k < p->sequences; k++) {
        rondo_value v = p->options->over[k];
        if (!dsl_operand(p->g, function, "a sequence", &v))
            return false;
        if (graph_shape_of(p->g, v.id)->rank < 2)
            return graph_refuse(p->g, RONDO_SHAPE, "%s: a sequence is [B, T, ...], not %s", function,
                                shape_words(p->g, graph_shape_of(p->g, v.id)));
        p->inputs[p->carries + k] = build_swap(p->g, v.id, 0, 1);
    }
    return graph_good(p->g);
}

static bool read_length(loop_plan *p)
{
    rondo_value length = p->options->length;
    if (!length.graph)
        return true;
    if (p->options->block)
        return graph_refuse(p->g, RONDO_ARGUMENT,
                            "%s: lengths and blocks do not go together; mask the rows in the body", function);
    if (!dsl_operand(p->g, function, "length", &length))
        return false;
    const dim *turned = graph_shape_of(p->g, p->inputs[p->carries])->dims;
    shape rows = {2, {turned[1], turned[0]}};
    p->length = length.id;
    p->inputs[p->carries + p->sequences] = loop_alive(p->g, &rows, length.id);
    return graph_good(p->g);
}

/* ---- the body ---- */

/* The leaf for operand `i` of the loop. */
static value_id add_leaf(loop_plan *p, loop_kind kind, int number, value_id outside)
{
    shape s = *graph_shape_of(p->g, outside);
    if (!graph_map_shape(p->body, p->g, &s))
        return NONE;
    if (kind == LOOP_ROW && p->options->block)
        s.dims[0] = dim_number(p->options->block);
    else if (kind == LOOP_ROW)
        for (int a = 0; a < s.rank; a++)
            s.dims[a] = a + 1 < s.rank ? s.dims[a + 1] : (dim){0};
    s.rank -= kind == LOOP_ROW && !p->options->block;
    return loop_add_leaf(p->body, (loop_place){kind, number}, p->g->values[outside].type, &s);
}

static void fill_step(loop_plan *p, rondo_loop_step *step)
{
    for (int k = 0; k < p->carries; k++) {
        p->states[k] = add_leaf(p, LOOP_CARRY, k, p->inputs[k]);
        step->carries[k] = dsl_value(p->body, p->states[k]);
    }
    for (int k = 0; k < p->sequences; k++) {
        value_id row = add_leaf(p, LOOP_ROW, k, p->inputs[p->carries + k]);
        step->rows[k] = dsl_value(p->body, p->options->block ? build_swap(p->body, row, 0, 1) : row);
    }
    if (p->options->length.graph)
        p->alive = add_leaf(p, LOOP_ROW, p->sequences, p->inputs[p->carries + p->sequences]);
}

static bool take_carries(loop_plan *p, rondo_loop_step *step)
{
    if (count_values(step->carries) != p->carries)
        return graph_refuse(p->body, RONDO_ARGUMENT, "%s: the body leaves %d carries, the loop has %d",
                            function, count_values(step->carries), p->carries);
    for (int k = 0; k < p->carries; k++) {
        const value *state = &p->body->values[p->states[k]];
        if (!dsl_operand(p->body, function, "a carry that the body leaves", &step->carries[k]))
            return false;
        const value *next = &p->body->values[step->carries[k].id];
        if (next->type != state->type || !shape_equal(&next->shape, &state->shape))
            return graph_refuse(p->body, RONDO_SHAPE, "%s: carry %d is %s%s, but the body leaves %s%s",
                                function, k, type_name(state->type), shape_words(p->body, &state->shape),
                                type_name(next->type), shape_words(p->body, &next->shape));
        value_id kept = loop_guard(p->body, p->alive, step->carries[k].id, p->states[k]);
        if (!loop_add_output(p->body, (loop_place){LOOP_CARRY, k}, kept))
            return false;
    }
    return true;
}

static bool take_results(loop_plan *p, rondo_loop_step *step)
{
    p->results = count_values(step->results);
    if (p->results < 0)
        return graph_refuse(p->body, RONDO_ARGUMENT, "%s: the results of the body have a gap", function);
    for (int k = 0; k < p->results; k++) {
        if (!dsl_operand(p->body, function, "a result of the body", &step->results[k]))
            return false;
        value_id row = step->results[k].id;
        const shape *s = graph_shape_of(p->body, row);
        bool blocked = p->options->block;
        if (blocked && (s->rank < 2 || !dim_is_number(s->dims[1], p->options->block)))
            return graph_refuse(p->body, RONDO_SHAPE, "%s: result %d of a block is [B, %lld, ...], not %s",
                                function, k, (long long)p->options->block, shape_words(p->body, s));
        if (!loop_add_output(p->body, (loop_place){LOOP_ROW, k},
                             blocked ? build_swap(p->body, row, 0, 1) : row))
            return false;
    }
    return true;
}

/* Builds the body; its mistakes become those of g when it is given to it. */
static void build_body(loop_plan *p, rondo_loop_body *body)
{
    rondo_loop_step step = {0};
    fill_step(p, &step);
    if (graph_good(p->body))
        body(p->body, &step, p->options->user);
    if (graph_good(p->body) && take_carries(p, &step))
        take_results(p, &step);
}

/* ---- the loop ---- */

static rondo_loop_results hand_out(const loop_plan *p, value_id first)
{
    rondo_loop_results r = {0};
    for (int k = 0; k < p->carries; k++)
        r.carries[k] = dsl_value(p->g, build_output(p->g, first, k));
    for (int k = 0; k < p->results; k++) {
        value_id rows = build_output(p->g, first, p->carries + k);
        rows = rows == NONE || graph_shape_of(p->g, rows)->rank < 2 ? rows : build_swap(p->g, rows, 0, 1);
        if (p->length != NONE)
            rows = build_row_mask(p->g, rows, p->length, 1, 0);
        r.results[k] = dsl_value(p->g, rows);
    }
    return r;
}

static bool read_options(loop_plan *p)
{
    p->carries = count_values(p->options->carries);
    p->sequences = count_values(p->options->over);
    if (p->carries < 0 || p->sequences < 1)
        return graph_refuse(p->g, RONDO_ARGUMENT, "%s: %s", function,
                            p->carries < 0 ? "there is a gap in the carries"
                                           : "it needs a sequence to go over, and no gap between several");
    if (p->options->block < 0)
        return graph_refuse(p->g, RONDO_ARGUMENT, "%s: a block of %lld rows", function,
                            (long long)p->options->block);
    return read_carries(p) && read_sequences(p) && read_length(p);
}

static rondo_loop_results build_loop(loop_plan *p, rondo_loop_body *body)
{
    const rondo_loop_options *o = p->options;
    p->alive = p->length = NONE;
    rondo_loop_results none = {0};
    if (!read_options(p))
        return none;
    const char *name = o->name ? o->name : "loop";
    rondo_enter(p->g, "%s", name);
    if (!(p->body = graph_begin_body(p->g)))
        return none;
    build_body(p, body);
    graph_end_body(p->g);
    rondo_leave(p->g);
    loop_parts parts = {.carries = p->carries,
                        .sequences = p->sequences + (p->alive != NONE),
                        .constants = p->body->capture_count,
                        .rows = p->results,
                        .block = o->block,
                        .reverse = o->reverse};
    int at = p->carries + parts.sequences;
    if (at + parts.constants > MAX_INPUTS) {
        graph_fail(p->g, RONDO_ARGUMENT, "%s: its body reads %d values from outside; at most %d are possible",
                   function, parts.constants, MAX_INPUTS - at);
        graph_free(p->body);
        return none;
    }
    for (int i = 0; i < parts.constants; i++)
        p->inputs[at + i] = p->body->captures[i].outer;
    return hand_out(p, loop_build(p->g, name, p->body, &parts, p->inputs));
}

rondo_loop_results rondo_loop_at(rondo_place place, rondo_graph *graph, rondo_loop_body *body,
                                 const rondo_loop_options *options)
{
    rondo_loop_options o;
    rondo_loop_results none = {0};
    rondo_graph *g = dsl_graph(place, graph);
    if (!g || !dsl_options(g, function, &o, sizeof o, options))
        return none;
    if (!body) {
        graph_fail(g, RONDO_ARGUMENT, "%s: there is no function that builds the body", function);
        return none;
    }
    loop_plan p = {.g = g, .options = &o};
    return build_loop(&p, body);
}

rondo_value rondo_loop_zeros_at(rondo_place place, rondo_value x, int64_t width)
{
    rondo_graph *g = dsl_start(place, "rondo_loop_zeros", &x);
    if (!g)
        return dsl_value(x.graph, NONE);
    if (!graph_shape_of(g, x.id)->rank || width < 1)
        return dsl_value(g, graph_fail(g, RONDO_SHAPE, "rondo_loop_zeros: a width of %lld, for %s",
                                       (long long)width, shape_words(g, graph_shape_of(g, x.id))));
    const shape s = {2, {graph_shape_of(g, x.id)->dims[0], dim_number(width)}};
    return dsl_value(g, build_constant(g, 0, RONDO_F32, &s));
}
