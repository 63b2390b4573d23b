/* The gradient of a loop: see autograd/loop.h. The body's gradient is that of Σ result · its gradient, by
 * `differentiate` itself; what it reads of the forward step is kept or made again. */
#include "autograd/loop.h"
#include "autograd/differentiate.h"
#include "ops/build.h"
#include <stdio.h>
#include <string.h>

/* The body on its way: copied with inputs for what is kept, differentiated, and cut to what the backward
 * step needs. */
typedef struct making {
    const loop_parts *p; /* of the loop as it is */
    rondo_graph *asked;  /* the body with its gradients asked for */
    value_id *copied;    /* body → asked */
    int forward_count;   /* values of asked before the gradients of the results */
    value_id asked_for[MAX_INPUTS], seeds[MAX_OUTPUTS]; /* in asked: by operand, by result; NONE: none */
    rondo_graph *all;                                   /* differentiated */
    value_id *expanded;                                 /* asked → all */
    value_id *origin; /* all → body, of values of the forward step; else NONE */
    bool *wanted;     /* by value of all: made in the backward step */
    value_id *kept;   /* of the body, in the order of the stacks */
    int kept_count;
    rondo_graph *step; /* the backward body */
    value_id *map;     /* all → step */
    arena scratch;
} making;

static bool is_f32(const rondo_graph *g, value_id v)
{
    return v != NONE && g->values[v].type == RONDO_F32;
}

/* ---- asking ---- */

/* A carry becomes an input: it is what the forward loop has kept. */
static bool copy_node(making *m, node_id id)
{
    const rondo_graph *body = m->p->body;
    const node *n = &body->nodes[id];
    if (n->op != OP_state)
        return graph_copy_node(m->asked, body, id, m->copied);
    shape s = *graph_shape_of(body, n->first_output);
    char name[LOOP_NAME_BYTES + 8];
    snprintf(name, sizeof name, "saved.%s", body->names[n->attributes[state_name].integer]);
    if (!graph_map_shape(m->asked, body, &s))
        return false;
    m->copied[n->first_output] = build_leaf(m->asked, OP_input, name, body->values[n->first_output].type, &s);
    return graph_good(m->asked);
}

/* Σ over the results of result · gradient of it, a scalar. */
static value_id weighted_sum(making *m)
{
    static const shape scalar;
    value_id sum = NONE;
    for (int i = 0; i < loop_output_count(m->p); i++) {
        value_id made = loop_made(m->p, i);
        m->seeds[i] = NONE;
        if (!is_f32(m->p->body, made))
            continue;
        char name[LOOP_NAME_BYTES];
        snprintf(name, sizeof name, "seed.%d", i);
        value_id v = m->copied[made];
        m->seeds[i] = build_leaf(m->asked, OP_input, name, RONDO_F32, graph_shape_of(m->asked, v));
        value_id part = build_sum_to(m->asked, build_mul(m->asked, v, m->seeds[i]), &scalar);
        sum = sum == NONE ? part : build_add(m->asked, sum, part);
    }
    return sum;
}

static bool ask(making *m)
{
    const rondo_graph *body = m->p->body;
    m->copied = graph_map_new(m->asked, body);
    for (node_id id = 0; m->copied && id < body->node_count; id++)
        if (!copy_node(m, id))
            return false;
    m->forward_count = m->asked->value_count;
    value_id sum = m->copied ? weighted_sum(m) : NONE;
    for (int i = 0; graph_good(m->asked) && i < loop_input_count(m->p); i++) {
        value_id leaf = loop_leaf(m->p, i);
        m->asked_for[i] = is_f32(body, leaf) && sum != NONE
                              ? build_binary(m->asked, OP_gradient, sum, m->copied[leaf])
                              : NONE;
    }
    return graph_good(m->asked);
}

/* ---- what is kept, what is made again ---- */

static bool is_cheap(const node *n)
{
    return (op_table[n->op].flags & (OP_ELEMENTWISE | OP_VIEW | OP_LEAF | OP_SELECTS)) ||
           n->op == OP_constant;
}

static bool find_origins(making *m)
{
    const rondo_graph *body = m->p->body;
    m->origin = graph_map_new(m->all, m->all);
    m->wanted = ARENA_NEW(&m->scratch, bool, m->all->value_count + 1);
    m->kept = ARENA_NEW(&m->scratch, value_id, m->all->value_count + 1);
    if (!m->origin || !m->wanted || !m->kept)
        return graph_refuse(m->all, RONDO_MEMORY, "out of memory for the gradient of a loop");
    for (value_id v = 0; v < body->value_count; v++)
        m->origin[m->expanded[m->copied[v]]] = v;
    return true;
}

/* From the gradients back to what is kept: a walk in falling order. */
static void find_wanted(making *m)
{
    const rondo_graph *all = m->all;
    for (int i = 0; i < loop_input_count(m->p); i++)
        if (m->asked_for[i] != NONE)
            m->wanted[m->expanded[m->asked_for[i]]] = true;
    for (value_id v = all->value_count - 1; v >= 0; v--) {
        const node *n = graph_node_of(all, v);
        if (!m->wanted[v])
            continue;
        if (m->origin[v] != NONE && !is_cheap(n)) {
            m->kept[m->kept_count++] = v;
            continue;
        }
        for (int i = 0; i < n->input_count; i++)
            if (n->inputs[i] != NONE)
                m->wanted[n->inputs[i]] = true;
    }
}

/* ---- the backward body ---- */

static int count_kind(const loop_parts *p, const rondo_graph *g, loop_kind kind, bool results, int before)
{
    int count = 0, all = results ? loop_output_count(p) : loop_input_count(p);
    for (int i = 0; i < all; i++) {
        loop_place at = results ? loop_result(p, i) : loop_operand(p, i);
        if (at.kind == kind && at.number < before)
            count += is_f32(g, results ? loop_made(p, i) : loop_leaf(p, i));
    }
    return count;
}

/* Place `number` of the f32 results of this kind among those alone. */
static int f32_results(const loop_parts *p, loop_kind kind, int before)
{
    return count_kind(p, p->body, kind, true, before);
}

static int first_seed_stack(const making *m)
{
    return m->p->stacks + m->p->carries + m->kept_count;
}

/* The leaf of the backward body for leaf v of `all`. */
static value_id step_leaf_for(making *m, value_id v)
{
    const loop_parts *p = m->p;
    shape s = *graph_shape_of(m->all, v);
    rondo_type type = m->all->values[v].type;
    if (!graph_map_shape(m->step, m->all, &s))
        return NONE;
    for (int i = 0; i < loop_output_count(p); i++) {
        loop_place at = loop_result(p, i);
        if (m->seeds[i] == NONE || m->expanded[m->seeds[i]] != v)
            continue;
        int among = f32_results(p, at.kind, at.number);
        int before = at.kind == LOOP_ROW ? p->sequences : at.kind == LOOP_STACK ? first_seed_stack(m) : 0;
        return loop_add_leaf(m->step, (loop_place){at.kind, before + among}, type, &s);
    }
    for (int i = 0; i < loop_input_count(p); i++) {
        loop_place at = loop_operand(p, i);
        value_id leaf = loop_leaf(p, i);
        if (leaf == NONE || m->expanded[m->copied[leaf]] != v)
            continue;
        if (at.kind == LOOP_CARRY)
            at = (loop_place){LOOP_STACK, p->stacks + at.number};
        return loop_add_leaf(m->step, at, type, &s);
    }
    return graph_fail(m->step, RONDO_ARGUMENT, "a leaf of a body has no place in its gradient");
}

static bool copy_wanted(making *m)
{
    const rondo_graph *all = m->all;
    m->map = graph_map_new(m->step, all);
    if (!m->map)
        return false;
    for (int i = 0; i < m->kept_count; i++) {
        shape s = *graph_shape_of(all, m->kept[i]);
        loop_place at = {LOOP_STACK, m->p->stacks + m->p->carries + i};
        if (graph_map_shape(m->step, all, &s))
            m->map[m->kept[i]] = loop_add_leaf(m->step, at, all->values[m->kept[i]].type, &s);
    }
    for (node_id id = 0; graph_good(m->step) && id < all->node_count; id++) {
        const node *n = &all->nodes[id];
        bool any = false;
        for (int o = 0; o < n->output_count; o++)
            any = any || (m->wanted[n->first_output + o] && m->map[n->first_output + o] == NONE);
        if (!any)
            continue;
        if (op_table[n->op].flags & OP_LEAF)
            m->map[n->first_output] = step_leaf_for(m, n->first_output);
        else if (!graph_copy_node(m->step, all, id, m->map))
            return false;
    }
    return graph_good(m->step);
}

/* The gradient to operand i in the backward body; NONE: it has none. */
static value_id step_gradient(const making *m, int i)
{
    return m->asked_for[i] == NONE ? NONE : m->map[m->expanded[m->asked_for[i]]];
}

static bool is_zero(const rondo_graph *g, value_id v)
{
    const node *n = graph_node_of(g, v);
    return n->op == OP_constant && n->attributes[constant_number].real == 0;
}

/* ---- gradients of constants ---- */

static bool is_factored(const rondo_graph *g, value_id v)
{
    const node *n = graph_node_of(g, v);
    return n->op == OP_matmul && n->input_count == 2 && n->attributes[matmul_transpose_a].integer &&
           !n->attributes[matmul_transpose_b].integer && !n->attributes[matmul_activation].integer &&
           g->values[v].shape.rank == 2;
}

/* The number of v among the factors, new or known. */
static int piece_of(loop_gradient *d, value_id *pieces, value_id v)
{
    for (int i = 0; i < d->pieces; i++)
        if (pieces[i] == v)
            return i;
    pieces[d->pieces] = v;
    return d->pieces++;
}

/* Splits a sum into products over rows, which become one product over all steps, and the rest, which is
 * summed in the loop. */
static void split(const making *m, loop_gradient *d, int constant, value_id v, value_id *pieces,
                  value_id *rest)
{
    rondo_graph *g = m->step;
    const node *n = graph_node_of(g, v);
    value_id a = n->inputs[0], b = n->input_count > 1 ? n->inputs[1] : NONE;
    if (is_zero(g, v))
        return;
    if (n->op == OP_add && shape_equal(graph_shape_of(g, a), graph_shape_of(g, v)) &&
        shape_equal(graph_shape_of(g, b), graph_shape_of(g, v))) {
        split(m, d, constant, a, pieces, rest);
        split(m, d, constant, b, pieces, rest);
    } else if (is_factored(g, v) && d->factor_count < MAX_OUTPUTS / 4) {
        loop_factor f = {constant, piece_of(d, pieces, a), piece_of(d, pieces, b)};
        d->factors[d->factor_count++] = f;
    } else {
        *rest = *rest == NONE ? v : build_add(g, *rest, v);
    }
}

static void end_constants(making *m, loop_gradient *d, int first_carry, int first_stack)
{
    value_id pieces[MAX_OUTPUTS];
    const loop_parts *p = m->p;
    int first = p->carries + p->sequences + p->stacks;
    for (int j = 0; j < p->constants; j++) {
        value_id v = step_gradient(m, first + j), rest = NONE;
        d->summed[j] = -1;
        if (v == NONE)
            continue;
        split(m, d, j, v, pieces, &rest);
        if (rest == NONE)
            continue;
        loop_place at = {LOOP_CARRY, first_carry + d->summed_count};
        value_id sum = loop_add_leaf(m->step, at, RONDO_F32, graph_shape_of(m->step, rest));
        loop_add_output(m->step, at, build_add(m->step, sum, rest));
        d->summed[j] = d->summed_count++;
    }
    for (int i = 0; i < d->pieces; i++)
        loop_add_output(m->step, (loop_place){LOOP_STACK, first_stack + i}, pieces[i]);
}

/* ---- ends ---- */

/* A carry that the gradient does not read is a leaf all the same: its port needs one. */
static void end_carry(making *m, int number, value_id gradient)
{
    loop_place at = {LOOP_CARRY, number};
    char name[LOOP_NAME_BYTES];
    loop_name(at, name);
    if (graph_find_leaf(m->step, OP_state, name) == NONE)
        loop_add_leaf(m->step, at, RONDO_F32, graph_shape_of(m->step, gradient));
    loop_add_output(m->step, at, gradient);
}

static bool add_ends(making *m, loop_gradient *d)
{
    const loop_parts *p = m->p;
    int carries = 0, rows = 0, stacks = 0;
    for (int i = 0; i < loop_input_count(p) && graph_good(m->step); i++) {
        value_id v = step_gradient(m, i);
        loop_place at = loop_operand(p, i);
        if (v == NONE || at.kind == LOOP_CONSTANT)
            continue;
        if (at.kind == LOOP_CARRY)
            end_carry(m, carries++, v);
        else if (at.kind == LOOP_ROW)
            loop_add_output(m->step, (loop_place){LOOP_ROW, rows++}, v);
        else
            loop_add_output(m->step, (loop_place){LOOP_STACK, stacks++}, v);
    }
    if (graph_good(m->step))
        end_constants(m, d, carries, stacks);
    return graph_good(m->step);
}

/* ---- the loop that keeps ---- */

static rondo_graph *copy_keeping(rondo_graph *g, const making *m)
{
    const loop_parts *p = m->p;
    rondo_graph *to = graph_new_like(p->body, NULL);
    value_id *map = to ? graph_map_new(to, p->body) : NULL;
    if (!map) {
        graph_free(to);
        graph_fail(g, RONDO_MEMORY, "out of memory for a body");
        return NULL;
    }
    for (node_id id = 0; id < p->body->node_count; id++)
        graph_copy_node(to, p->body, id, map);
    graph_copy_ends(to, p->body, map);
    for (int k = 0; k < p->carries; k++)
        loop_add_output(to, (loop_place){LOOP_STACK, p->stacked + k}, map[loop_leaf(p, k)]);
    for (int i = 0; i < m->kept_count; i++)
        loop_add_output(to, (loop_place){LOOP_STACK, p->stacked + p->carries + i},
                        map[m->origin[m->kept[i]]]);
    return to;
}

/* The mistake of `from`, or memory that was refused to it, becomes that of g; false. */
static bool take_error(rondo_graph *g, const rondo_graph *from)
{
    if (graph_good(g) && from && from->error.code)
        g->error = from->error;
    return graph_refuse(g, RONDO_MEMORY, "out of memory for the gradient of a loop");
}

static bool make(rondo_graph *g, making *m, loop_gradient *d, rondo_graph **keeping)
{
    rondo_error error = {0};
    if (!(m->asked = graph_new_like(m->p->body, &error)))
        return graph_refuse(g, RONDO_MEMORY, "out of memory for the gradient of a loop");
    if (!ask(m))
        return take_error(g, m->asked);
    if (!(m->all = differentiate(m->asked, &m->expanded, &error)))
        return graph_refuse(g, error.code, "in the body of a loop: %s", error.message);
    if (!find_origins(m))
        return take_error(g, m->all);
    find_wanted(m);
    if (!(m->step = graph_new_like(m->all, &error)) || !copy_wanted(m) || !add_ends(m, d))
        return take_error(g, m->step);
    d->body = m->step;
    d->kept = m->kept_count;
    *keeping = copy_keeping(g, m);
    if (!*keeping)
        return false;
    m->step = NULL;
    return true;
}

bool loop_gradient_make(rondo_graph *g, const rondo_graph *from, const node *n, loop_gradient *d,
                        rondo_graph **keeping)
{
    loop_parts p;
    loop_parts_of(from, n->attributes, n->input_count, &p);
    making m = {.p = &p};
    *d = (loop_gradient){.forward = p};
    arena_begin(&m.scratch, &g->context->allocator);
    bool good = make(g, &m, d, keeping) && graph_good(g);
    graph_free(m.asked);
    graph_free(m.all);
    graph_free(m.step);
    arena_end(&m.scratch);
    if (!good && graph_good(g))
        graph_fail(g, RONDO_MEMORY, "out of memory for the gradient of a loop");
    return good;
}

/* ---- applying ---- */

typedef struct application {
    rondo_graph *g;
    const loop_gradient *d;
    loop_parts backward;
    value_id inputs[4 * MAX_INPUTS];
    int count;
} application;

static void put(application *a, value_id v)
{
    if (a->count < 4 * MAX_INPUTS)
        a->inputs[a->count++] = v;
}

static value_id or_zeros(rondo_graph *g, value_id gradient, value_id like)
{
    return gradient != NONE ? gradient : build_constant(g, 0, RONDO_F32, graph_shape_of(g, like));
}

/* The gradients of the loop's f32 results of one kind; `parts`: of the loop without what it keeps. */
static void put_seeds(application *a, const node *loop, loop_kind kind, const value_id *out_gradients)
{
    const loop_parts *p = &a->d->forward;
    for (int i = 0; i < loop_output_count(p); i++) {
        value_id result = loop->first_output + i;
        if (loop_result(p, i).kind == kind && is_f32(a->g, result))
            put(a, or_zeros(a->g, out_gradients[i], result));
    }
}

static void put_operands(application *a, const node *loop, loop_kind kind)
{
    const loop_parts *p = &a->d->forward;
    for (int i = 0; i < loop->input_count; i++)
        if (loop_operand(p, i).kind == kind)
            put(a, loop->inputs[i]);
}

static void put_sums(application *a)
{
    for (int k = 0; k < a->d->summed_count; k++) {
        char name[LOOP_NAME_BYTES];
        loop_name((loop_place){LOOP_CARRY, f32_results(&a->d->forward, LOOP_CARRY, MAX_OUTPUTS) + k}, name);
        value_id leaf = graph_find_leaf(a->d->body, OP_state, name);
        shape s = *graph_shape_of(a->d->body, leaf);
        if (graph_map_shape(a->g, a->d->body, &s))
            put(a, build_constant(a->g, 0, RONDO_F32, &s));
    }
}

static void put_all(application *a, const node *loop, const value_id *out_gradients)
{
    const loop_parts *p = &a->d->forward;
    int at = 0;
    put_seeds(a, loop, LOOP_CARRY, out_gradients);
    put_sums(a);
    a->backward.carries = a->count - at;
    at = a->count;
    put_operands(a, loop, LOOP_ROW);
    put_seeds(a, loop, LOOP_ROW, out_gradients);
    a->backward.sequences = a->count - at;
    at = a->count;
    put_operands(a, loop, LOOP_STACK);
    for (int i = 0; i < p->carries + a->d->kept; i++)
        put(a, loop->first_output + loop_output_count(p) + i);
    put_seeds(a, loop, LOOP_STACK, out_gradients);
    a->backward.stacks = a->count - at;
    put_operands(a, loop, LOOP_CONSTANT);
    a->backward.constants = p->constants;
}

/* [n, R, p] → [n·R, p] */
static value_id flatten(rondo_graph *g, value_id v)
{
    shape s = {.rank = 2};
    if (v == NONE)
        return NONE;
    const shape *from = graph_shape_of(g, v);
    s.dims[1] = from->dims[2];
    if (!dim_multiply(from->dims[0], from->dims[1], &s.dims[0]))
        return graph_fail(g, RONDO_SHAPE, "the steps of a loop have too many rows");
    return build_reshape(g, v, &s);
}

static value_id constant_gradient(const application *a, int constant, value_id first, int first_piece)
{
    rondo_graph *g = a->g;
    int carries = f32_results(&a->d->forward, LOOP_CARRY, MAX_OUTPUTS);
    value_id sum = NONE;
    if (a->d->summed[constant] >= 0)
        sum = build_output(g, first, carries + a->d->summed[constant]);
    for (int i = 0; i < a->d->factor_count; i++) {
        const loop_factor *f = &a->d->factors[i];
        if (f->constant != constant)
            continue;
        value_id product =
            build_matmul(g, flatten(g, build_output(g, first, first_piece + f->left)),
                         flatten(g, build_output(g, first, first_piece + f->right)), true, false);
        sum = sum == NONE ? product : build_add(g, sum, product);
    }
    return sum;
}

/* The results of the backward loop, in their order, to the operands that need them. */
static bool hand_out(const application *a, value_id first, const bool *needs, value_id *in_gradients)
{
    const loop_parts *p = &a->d->forward;
    int sums = a->d->summed_count, next = 0, first_constant = p->carries + p->sequences + p->stacks;
    for (int i = 0; i < first_constant; i++) {
        if (i == p->carries)
            next += sums;
        if (loop_leaf(p, i) == NONE || !is_f32(p->body, loop_leaf(p, i)))
            continue;
        value_id gradient = build_output(a->g, first, next++);
        if (needs[i])
            in_gradients[i] = gradient;
    }
    for (int j = 0; j < p->constants; j++)
        if (needs[first_constant + j])
            in_gradients[first_constant + j] = constant_gradient(a, j, first, next);
    return graph_good(a->g);
}

bool loop_gradient_apply(rondo_graph *g, node_id id, loop_gradient *d, const value_id *out_gradients,
                         const bool *needs, value_id *in_gradients)
{
    node loop = g->nodes[id]; /* a copy: the tables move while they grow */
    application a = {.g = g, .d = d};
    char name[256];
    a.backward.block = d->forward.block;
    a.backward.reverse = !d->forward.reverse;
    for (int i = 0; i < d->body->output_count; i++)
        a.backward.rows += !strncmp(d->body->names[d->body->outputs[i].name], "row.", 4);
    put_all(&a, &loop, out_gradients);
    if (a.count > MAX_INPUTS)
        return graph_refuse(g, RONDO_NO_GRADIENT,
                            "the gradient of a loop would have %d operands; at most %d are possible", a.count,
                            MAX_INPUTS);
    snprintf(name, sizeof name, "%.200s.gradient", g->names[loop.attributes[loop_body].integer]);
    atomic_fetch_add(&d->body->sharers, 1); /* d keeps it: the loop may have other gradients */
    value_id first = loop_build(g, name, d->body, &a.backward, a.inputs);
    return first != NONE && hand_out(&a, first, needs, in_gradients);
}
