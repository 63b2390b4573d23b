/* Loops: the op, its parts, and its reference. What it means is in ops/loop.h. */
#include "ops/loop.h"
#include "ops/infer.h"
#include "ops/interpret.h"
#include "ops/reference.h"
#include "ops/rules.h"
#include <stdio.h>
#include <string.h>

/* ---- parts ---- */

/* As many as there can be, or −1, which infer refuses. */
static int small_count(attribute a)
{
    return a.integer >= 0 && a.integer <= MAX_INPUTS ? (int)a.integer : -1;
}

void loop_parts_of(const rondo_graph *g, const attribute *a, int input_count, loop_parts *p)
{
    *p = (loop_parts){.body = graph_body_named(g, a[loop_body].integer),
                      .carries = small_count(a[loop_carries]),
                      .sequences = small_count(a[loop_sequences]),
                      .stacks = small_count(a[loop_stacks]),
                      .rows = small_count(a[loop_rows]),
                      .block = a[loop_block].integer,
                      .reverse = a[loop_reverse].integer};
    p->constants = input_count - p->carries - p->sequences - p->stacks;
    p->stacked = p->body ? p->body->output_count - p->rows : 0;
}

static loop_place find_place(int index, const int counts[4])
{
    int kind = LOOP_CARRY;
    while (kind < LOOP_CONSTANT && index >= counts[kind])
        index -= counts[kind++];
    return (loop_place){(loop_kind)kind, index};
}

loop_place loop_operand(const loop_parts *p, int operand)
{
    return find_place(operand, (int[]){p->carries, p->sequences, p->stacks, p->constants});
}

loop_place loop_result(const loop_parts *p, int result)
{
    return find_place(result, (int[]){p->carries, p->rows, p->stacked, 0});
}

void loop_name(loop_place at, char name[LOOP_NAME_BYTES])
{
    static const char *const kinds[] = {"carry", "row", "stack", "constant"};
    snprintf(name, LOOP_NAME_BYTES, "%s.%d", kinds[at.kind], at.number);
}

static int find_port(const rondo_graph *body, const char *name)
{
    for (int i = 0; i < body->port_count; i++)
        if (!strcmp(body->names[body->ports[i].name], name))
            return i;
    return -1;
}

value_id loop_leaf(const loop_parts *p, int operand)
{
    char name[LOOP_NAME_BYTES];
    loop_place at = loop_operand(p, operand);
    loop_name(at, name);
    if (at.kind != LOOP_CARRY)
        return graph_find_leaf(p->body, OP_input, name);
    int port = find_port(p->body, name);
    return port < 0 ? NONE : p->body->ports[port].in;
}

value_id loop_made(const loop_parts *p, int result)
{
    char name[LOOP_NAME_BYTES];
    loop_place at = loop_result(p, result);
    loop_name(at, name);
    if (at.kind != LOOP_CARRY)
        return graph_find_output(p->body, name);
    int port = find_port(p->body, name);
    return port < 0 ? NONE : p->body->ports[port].out;
}

bool loop_steps(const rondo_graph *g, const node *n, const loop_parts *p, dim *steps)
{
    int first = p->carries;
    if (p->sequences + p->stacks == 0 || n->inputs[first] == NONE ||
        !graph_shape_of(g, n->inputs[first])->rank)
        return false;
    *steps = graph_shape_of(g, n->inputs[first])->dims[0];
    return !p->sequences || p->block < 2 || dim_divide(*steps, dim_number(p->block), steps);
}

void loop_bound(const rondo_graph *g, const int64_t *bound, const rondo_graph *body, int64_t *inner)
{
    for (int s = 0; s < body->symbol_count; s++) {
        int outer = graph_find_symbol(g, body->symbols[s]);
        inner[s] = outer < 0 ? -1 : bound[outer];
    }
}

/* ---- infer ---- */

static bool check_counts(rondo_graph *g, const node *n, const loop_parts *p)
{
    if (!p->body)
        return infer_fail(g, "loop: it has no body");
    if (p->rows > p->body->output_count)
        return infer_fail(g,
                          "loop: the body has %d outputs, fewer than the %d rows that the loop takes from it",
                          p->body->output_count, p->rows);
    if (p->carries < 0 || p->sequences < 0 || p->stacks < 0 || p->rows < 0 || p->constants < 0 ||
        p->block < 0 || p->stacked < 0)
        return infer_fail(g, "loop: %d operands, but %d carries, %d sequences, %d stacks", n->input_count,
                          p->carries, p->sequences, p->stacks);
    if (p->sequences + p->stacks == 0)
        return infer_fail(g,
                          "loop: no operand has an axis of time, so nothing says how many steps there are");
    if (loop_output_count(p) > MAX_OUTPUTS || loop_output_count(p) < 1)
        return infer_fail(g, "loop: %d results; 1 to %d are possible", loop_output_count(p), MAX_OUTPUTS);
    if (p->body->port_count != p->carries)
        return infer_fail(g, "loop: it carries %d values, but its body has %d ports", p->carries,
                          p->body->port_count);
    return true;
}

/* The type that the body sees of an operand. */
static bool seen_shape(rondo_graph *g, const loop_parts *p, loop_place at, const shape *s, dim steps,
                       shape *out)
{
    *out = *s;
    if (at.kind == LOOP_CARRY || at.kind == LOOP_CONSTANT)
        return true;
    bool blocked = at.kind == LOOP_ROW && p->block;
    dim extent = steps;
    if (blocked && !dim_multiply(steps, dim_number(p->block), &extent))
        return infer_fail(g, "loop: too many rows");
    if (!s->rank || !dim_equal(s->dims[0], extent))
        return infer_fail(g, "loop: %s %d is %s along time; the other operands have %s rows%s",
                          at.kind == LOOP_ROW ? "sequence" : "stack", at.number, shape_words(g, s),
                          dim_words(g, extent), p->block ? ", or do not divide into blocks" : "");
    if (blocked)
        out->dims[0] = dim_number(p->block);
    else
        memmove(out->dims, out->dims + 1, sizeof *out->dims * (size_t)--out->rank);
    return true;
}

static bool check_operand(rondo_graph *g, const node *n, const loop_parts *p, int i, dim steps)
{
    char name[LOOP_NAME_BYTES];
    loop_place at = loop_operand(p, i);
    value_id leaf = loop_leaf(p, i);
    const value *given = infer_operand(g, n, i, 0);
    shape seen;
    loop_name(at, name);
    if (!given || !seen_shape(g, p, at, &given->shape, steps, &seen))
        return false;
    if (leaf == NONE)
        return at.kind != LOOP_CARRY || infer_fail(g, "loop: the body has no port %s", name);
    if (at.kind == LOOP_CARRY && graph_op_of(p->body, leaf) != OP_state)
        return infer_fail(g, "loop: port %s of the body does not begin with a state", name);
    const value *inside = &p->body->values[leaf];
    if (inside->type == given->type && shape_same(g, &seen, p->body, &inside->shape))
        return true;
    return infer_fail(g, "loop: the body takes %s as %s%s, but is given %s%s", name, type_name(inside->type),
                      shape_words_of(g, p->body, &inside->shape), type_name(given->type),
                      shape_words(g, &seen));
}

static bool leaf_is_given(const loop_parts *p, value_id leaf)
{
    for (int i = 0; i < loop_input_count(p); i++)
        if (loop_leaf(p, i) == leaf)
            return true;
    return false;
}

static bool check_leaves(rondo_graph *g, const loop_parts *p)
{
    for (int s = 0; s < p->body->symbol_count; s++)
        if (graph_find_symbol(g, p->body->symbols[s]) < 0)
            return infer_fail(g, "loop: the body has the symbol %s, which the graph around it has not",
                              p->body->symbols[s]);
    for (node_id id = 0; id < p->body->node_count; id++) {
        const node *n = &p->body->nodes[id];
        if ((op_table[n->op].flags & OP_LEAF) && !leaf_is_given(p, n->first_output))
            return infer_fail(g, "loop: the body reads \"%.60s\", which is none of the loop's operands",
                              p->body->names[n->attributes[input_name].integer]);
        if (op_table[n->op].flags & OP_RANDOM)
            return infer_fail(g,
                              "loop: %s inside a loop would draw the same numbers at every step; move it "
                              "before or after the loop",
                              op_words(n));
    }
    return true;
}

static bool infer_loop_result(rondo_graph *g, const loop_parts *p, int i, dim steps, value *result)
{
    char name[LOOP_NAME_BYTES];
    loop_place at = loop_result(p, i);
    value_id made = loop_made(p, i);
    loop_name(at, name);
    if (made == NONE)
        return infer_fail(g, "loop: the body does not make %s", name);
    shape s = p->body->values[made].shape;
    if (!graph_map_shape(g, p->body, &s))
        return false;
    if (at.kind == LOOP_CARRY)
        return infer_result(result, p->body->values[made].type, &s);
    bool blocked = at.kind == LOOP_ROW && p->block;
    if (blocked && (!s.rank || !dim_is_number(s.dims[0], p->block)))
        return infer_fail(g, "loop: %s of the body is %s; it has to begin with the %lld rows of a block",
                          name, shape_words(g, &s), (long long)p->block);
    if (!blocked && s.rank == MAX_RANK)
        return infer_fail(g, "loop: %s of the body has %d axes; one more, along time, is too many", name,
                          MAX_RANK);
    if (!blocked)
        memmove(s.dims + 1, s.dims, sizeof *s.dims * (size_t)s.rank++);
    s.dims[0] = steps;
    if (blocked && !dim_multiply(steps, dim_number(p->block), &s.dims[0]))
        return infer_fail(g, "loop: too many rows");
    return infer_result(result, p->body->values[made].type, &s);
}

bool infer_loop(rondo_graph *g, node *n, value *outputs)
{
    loop_parts p;
    dim steps;
    loop_parts_of(g, n->attributes, n->input_count, &p);
    if (!check_counts(g, n, &p))
        return false;
    if (!loop_steps(g, n, &p, &steps))
        return infer_fail(g, "loop: the rows do not divide into blocks of %lld", (long long)p.block);
    for (int i = 0; i < n->input_count; i++)
        if (!check_operand(g, n, &p, i, steps))
            return false;
    if (!check_leaves(g, &p))
        return false;
    n->output_count = loop_output_count(&p);
    for (int i = 0; i < n->output_count; i++)
        if (!infer_loop_result(g, &p, i, steps, &outputs[i]))
            return false;
    return true;
}

/* ---- reference ---- */

typedef struct reference_run {
    const reference_call *call;
    loop_parts parts;
    int64_t bound[MAX_SYMBOLS];
    int64_t steps;
    double **carried; /* what the next step finds */
} reference_run;

/* Elements of operand or result t that one step sees. */
static int64_t step_elements(const reference_run *r, const reference_tensor *t)
{
    return r->steps ? t->count / r->steps : 0;
}

static bool reference_step(reference_run *r, int64_t step)
{
    const loop_parts *p = &r->parts;
    const reference_call *call = r->call;
    interpret_binding bindings[MAX_INPUTS];
    int count = 0;
    for (int i = 0; i < call->input_count; i++) {
        const reference_tensor *t = &call->inputs[i];
        loop_kind kind = loop_operand(p, i).kind;
        const double *data = kind == LOOP_CARRY      ? r->carried[i]
                             : kind == LOOP_CONSTANT ? t->data
                                                     : t->data + step * step_elements(r, t);
        value_id leaf = loop_leaf(p, i);
        if (leaf != NONE)
            bindings[count++] = (interpret_binding){leaf, data};
    }
    interpretation inside;
    rondo_error error = {0};
    if (!interpret(p->body, r->bound, bindings, count, &inside, &error))
        return false;
    for (int i = 0; i < call->output_count; i++) {
        const reference_tensor *from = &inside.values[loop_made(p, i)], *to = &call->outputs[i];
        double *out = i < p->carries ? r->carried[i] : to->data + step * step_elements(r, to);
        memcpy(out, from->data, sizeof *out * (size_t)from->count);
    }
    interpret_end(&inside);
    return true;
}

bool reference_loop(const reference_call *call)
{
    reference_run r = {.call = call};
    loop_parts_of(call->graph, call->attributes, call->input_count, &r.parts);
    loop_bound(call->graph, call->bound, r.parts.body, r.bound);
    int64_t rows = call->inputs[r.parts.carries].dims[0];
    r.steps = r.parts.sequences && r.parts.block > 1 ? rows / r.parts.block : rows;
    r.carried = ARENA_NEW(call->scratch, double *, r.parts.carries + 1);
    for (int k = 0; r.carried && k < r.parts.carries; k++) {
        int64_t count = call->inputs[k].count;
        if (!(r.carried[k] = ARENA_NEW(call->scratch, double, count + 1)))
            return false;
        memcpy(r.carried[k], call->inputs[k].data, sizeof(double) * (size_t)count);
    }
    bool good = r.carried;
    for (int64_t i = 0; good && i < r.steps; i++)
        good = reference_step(&r, r.parts.reverse ? r.steps - 1 - i : i);
    for (int k = 0; good && k < r.parts.carries; k++)
        memcpy(call->outputs[k].data, r.carried[k], sizeof(double) * (size_t)call->outputs[k].count);
    return good;
}

/* ---- building ---- */

value_id loop_add_leaf(rondo_graph *body, loop_place at, rondo_type type, const shape *s)
{
    char name[LOOP_NAME_BYTES];
    loop_name(at, name);
    return build_leaf(body, at.kind == LOOP_CARRY ? OP_state : OP_input, name, type, s);
}

bool loop_add_output(rondo_graph *body, loop_place at, value_id v)
{
    char name[LOOP_NAME_BYTES];
    loop_name(at, name);
    if (at.kind != LOOP_CARRY)
        return graph_add_output(body, name, v);
    return graph_add_port(body, name, graph_find_leaf(body, OP_state, name), v, PORT_CARRY, -1, -1, 0) !=
           NONE;
}

value_id loop_alive(rondo_graph *g, const shape *rows, value_id length)
{
    value_id ones = build_constant(g, 1, RONDO_F32, rows);
    return build_swap(g, build_row_mask(g, ones, length, 1, 0), 0, 1);
}

value_id loop_guard(rondo_graph *body, value_id alive, value_id next, value_id before)
{
    if (alive == NONE || next == NONE)
        return next;
    const shape *s = graph_shape_of(body, next);
    if (!s->rank || !dim_equal(s->dims[0], graph_shape_of(body, alive)->dims[0]))
        return graph_fail(body, RONDO_SHAPE, "loop: a carry is %s; it has to begin with the sequences, %s",
                          shape_words(body, s), shape_words(body, graph_shape_of(body, alive)));
    shape spread = {.rank = s->rank};
    for (int a = 0; a < s->rank; a++)
        spread.dims[a] = a ? dim_number(1) : s->dims[0];
    value_id condition = build_broadcast(body, build_reshape(body, alive, &spread), s);
    return build_select(body, condition, next, before);
}

value_id loop_build(rondo_graph *g, const char *name, rondo_graph *body, const loop_parts *p,
                    const value_id *inputs)
{
    attribute a[MAX_ATTRIBUTES] = {{0}};
    a[loop_body].integer = graph_give_body(g, name, body);
    a[loop_carries].integer = p->carries;
    a[loop_sequences].integer = p->sequences;
    a[loop_stacks].integer = p->stacks;
    a[loop_rows].integer = p->rows;
    a[loop_block].integer = p->block;
    a[loop_reverse].integer = p->reverse;
    if (!a[loop_body].integer)
        return NONE;
    return build_node(g, OP_loop, loop_input_count(p), inputs, a);
}

/* ---- samples ---- */

/* The body h' = tanh(x + h · w) + s, y = x · h', kept h; of `rows` rows a step, 0: one without an axis. */
static rondo_graph *sample_body(rondo_graph *g, int64_t rows, int64_t batch, int64_t width, bool stack)
{
    rondo_graph *body = graph_new(g->context, NULL);
    if (!body)
        return NULL;
    shape state = {2, {dim_number(batch), dim_number(width)}};
    shape square = {2, {dim_number(width), dim_number(width)}};
    shape row = {3, {dim_number(rows), state.dims[0], state.dims[1]}};
    value_id h = loop_add_leaf(body, (loop_place){LOOP_CARRY, 0}, RONDO_F32, &state);
    value_id x = loop_add_leaf(body, (loop_place){LOOP_ROW, 0}, RONDO_F32, rows ? &row : &state);
    value_id w = loop_add_leaf(body, (loop_place){LOOP_CONSTANT, 0}, RONDO_F32, &square);
    value_id drive = rows ? build_reduce(body, OP_sum, x, 0, false) : x;
    value_id next =
        build_unary(body, OP_tanh, build_add(body, drive, build_matmul(body, h, w, false, false)));
    if (stack)
        next = build_add(body, next, loop_add_leaf(body, (loop_place){LOOP_STACK, 0}, RONDO_F32, &state));
    loop_add_output(body, (loop_place){LOOP_CARRY, 0}, next);
    loop_add_output(body, (loop_place){LOOP_ROW, 0}, build_mul(body, x, next));
    if (stack)
        loop_add_output(body, (loop_place){LOOP_STACK, 0}, h);
    return body;
}

value_id samples_loop(rondo_graph *g, sampler *s, int index)
{
    static const struct {
        int64_t steps, block, batch, width;
        bool stack, reverse;
    } cases[] = {
        {5, 0, 2, 3, false, false}, {1, 0, 1, 1, true, false}, {4, 0, 3, 7, true, true},
        {3, 2, 2, 5, false, false}, {2, 3, 1, 4, true, true},  {0, 0, 2, 3, false, false},
    };
    if (index >= (int)(sizeof cases / sizeof *cases))
        return NONE;
    int64_t steps = cases[index].steps, block = cases[index].block, batch = cases[index].batch,
            width = cases[index].width;
    int64_t rows = block ? steps * block : steps;
    loop_parts p = {.carries = 1,
                    .sequences = 1,
                    .stacks = cases[index].stack,
                    .constants = 1,
                    .rows = 1,
                    .block = block,
                    .reverse = cases[index].reverse};
    value_id inputs[4] = {sample_input(g, s, -1, 1, 2, (int64_t[]){batch, width}),
                          sample_input(g, s, -1, 1, 3, (int64_t[]){rows, batch, width})};
    if (p.stacks)
        inputs[2] = sample_input(g, s, -1, 1, 3, (int64_t[]){steps, batch, width});
    inputs[2 + p.stacks] = sample_input(g, s, -1, 1, 2, (int64_t[]){width, width});
    return loop_build(g, "cell", sample_body(g, block, batch, width, p.stacks), &p, inputs);
}
