/* tests/compiler/random_graph.h. */
#include "tests/compiler/random_graph.h"
#include <stdio.h>
#include <string.h>

enum { MOST_VALUES = 200 };
typedef struct growing {
    rondo_graph *g;
    uint64_t state;
    value_id values[MOST_VALUES];
    int count;
    dim B, T;
} growing;

static int below(growing *r, int limit)
{
    r->state = r->state * 6364136223846793005u + 1442695040888963407u;
    return (int)((r->state >> 33) % (uint64_t)limit);
}

static value_id any(growing *r)
{
    return r->values[below(r, 4) ? r->count - 1 - below(r, r->count < 6 ? r->count : 6) : below(r, r->count)];
}

static shape shape_of(int rank, const dim *dims)
{
    shape s = {.rank = rank};
    memcpy(s.dims, dims, sizeof *dims * (size_t)rank);
    return s;
}

static shape some_shape(growing *r)
{
    const dim three = dim_number(3), four = dim_number(4), one = dim_number(1);
    switch (below(r, 5)) {
    case 0:
        return shape_of(1, (dim[]){four});
    case 1:
        return shape_of(2, (dim[]){r->T, four});
    case 2:
        return shape_of(3, (dim[]){r->B, one, four});
    case 3:
        return shape_of(4, (dim[]){r->B, three, r->T, four});
    default:
        return shape_of(3, (dim[]){r->B, r->T, four});
    }
}

static value_id unary(growing *r, value_id x)
{
    static const op_id smooth[] = {OP_neg,  OP_tanh, OP_sigmoid, OP_gelu,
                                   OP_silu, OP_relu, OP_elu,     OP_softplus};
    return build_unary(r->g, smooth[below(r, 8)], x);
}

/* The operand that broadcasts with x, if there is one. */
static value_id partner(growing *r, value_id x)
{
    for (int tries = 0; tries < 12; tries++) {
        value_id y = any(r);
        shape joined;
        if (shape_broadcast(graph_shape_of(r->g, x), graph_shape_of(r->g, y), &joined) && joined.rank <= 4)
            return y;
    }
    return x;
}

static value_id binary(growing *r, value_id x, bool constants)
{
    static const op_id ops[] = {OP_add, OP_sub, OP_mul, OP_maximum, OP_minimum, OP_add};
    value_id y = partner(r, x);
    if (constants && !below(r, 4)) {
        static const double numbers[] = {0, 1, -1, 0.5, 2};
        double number = numbers[below(r, 5)];
        y = below(r, 2) ? build_number(r->g, number)
                        : build_constant(r->g, number, RONDO_F32, graph_shape_of(r->g, x));
        if (!below(r, 4))
            return build_div(r->g, x, build_number(r->g, number == 0 ? 1 : number));
    }
    value_id a = below(r, 2) ? x : y;
    value_id out = build_binary(r->g, ops[below(r, 6)], a, a == x ? y : x);
    return below(r, 2) ? out : build_unary(r->g, OP_tanh, out); /* numbers stay small */
}

static value_id product(growing *r, value_id x)
{
    const shape *s = graph_shape_of(r->g, x);
    char name[16];
    if (s->rank < 2 || !dim_is_number(s->dims[s->rank - 1], 4))
        return unary(r, x);
    snprintf(name, sizeof name, "w%d", below(r, 3));
    value_id w = graph_find_leaf(r->g, OP_input, name);
    shape square = shape_of(2, (dim[]){dim_number(4), dim_number(4)});
    w = w == NONE ? build_leaf(r->g, OP_input, name, RONDO_F32, &square) : w;
    value_id y = build_matmul(r->g, x, w, false, below(r, 2));
    if (below(r, 2))
        y = build_add(r->g, y, below(r, 2) ? x : r->values[0]); /* a residual or, x0 being [4], a bias */
    return below(r, 2) ? build_unary(r->g, OP_relu, y) : build_unary(r->g, OP_tanh, y);
}

/* The second part of an axis before the first. */
static value_id turned(rondo_graph *g, value_id x, int axis, int64_t extent)
{
    value_id parts[] = {build_slice(g, x, axis, 2, extent - 2), build_slice(g, x, axis, 0, 2)};
    return build_node(g, OP_concat, 2, parts, (attribute[MAX_ATTRIBUTES]){{.integer = axis}});
}

static value_id view(growing *r, value_id x)
{
    rondo_graph *g = r->g;
    const shape s = *graph_shape_of(g, x);
    shape flat = {.rank = 1};
    switch (below(r, 5)) {
    case 0:
        return s.rank > 1 ? build_swap(g, x, below(r, s.rank), below(r, s.rank)) : x;
    case 1:
        return shape_elements(&s, &flat.dims[0])
                   ? build_reshape(g, build_unary(g, OP_neg, build_reshape(g, x, &flat)), &s)
                   : x;
    case 2:
        return s.rank < 4 ? build_unsqueeze(g, x, below(r, s.rank + 1)) : x;
    case 3: {
        const shape wide = shape_of(3, (dim[]){r->B, r->T, dim_number(4)});
        shape joined;
        return shape_broadcast(&s, &wide, &joined) && shape_equal(&joined, &wide)
                   ? build_broadcast(g, x, &wide)
                   : x;
    }
    default:
        for (int a = 0; a < s.rank; a++)
            if (dim_is_literal(s.dims[a]) && s.dims[a].factor > 2)
                return turned(g, x, a, s.dims[a].factor);
        return x;
    }
}

static value_id reduction(growing *r, value_id x)
{
    const shape *s = graph_shape_of(r->g, x);
    static const op_id ops[] = {OP_sum, OP_mean, OP_max, OP_logsumexp};
    value_id y = build_reduce(r->g, ops[below(r, 4)], x, below(r, s->rank), s->rank < 3 || below(r, 2));
    return build_unary(r->g, OP_tanh, y);
}

/* Elements in other places along an axis; the shape stays. */
static value_id moved(growing *r, value_id x)
{
    rondo_graph *g = r->g;
    int rank = graph_shape_of(g, x)->rank, axis = below(r, rank > 0 ? rank : 1);
    const window_layout w = {3, 1, 1, 1, 0.25};
    if (rank < 1 || rank == MAX_RANK)
        return x;
    switch (below(r, 4)) {
    case 0:
        return build_reverse(g, x, NONE, axis);
    case 1:
        return build_node(g, OP_roll, 1, &x,
                          (attribute[MAX_ATTRIBUTES]){{.integer = axis}, {.integer = below(r, 7) - 3}});
    case 2:
        return build_node(g, OP_sort, 1, &x,
                          (attribute[MAX_ATTRIBUTES]){{.integer = axis}, {.integer = below(r, 2)}});
    default:
        return build_reduce(g, below(r, 2) ? OP_mean : OP_max, build_windows(g, x, axis, &w), axis + 1,
                            false);
    }
}

static void grow(growing *r, random_graph_options o)
{
    value_id x = any(r), y;
    switch (below(r, o.moves ? 9 : 8)) {
    case 0:
    case 1:
        y = unary(r, x);
        break;
    case 2:
    case 3:
    case 4:
        y = binary(r, x, o.constants);
        break;
    case 5:
        y = product(r, x);
        break;
    case 6:
        y = view(r, x);
        break;
    case 8:
        y = moved(r, x);
        break;
    default:
        y = reduction(r, x);
    }
    if (y != NONE && r->count < MOST_VALUES)
        r->values[r->count++] = y;
}

/* A state, readers of it, and its next value: mostly f(old, something), sometimes something unrelated. */
static void add_ports(growing *r)
{
    for (int k = 0; k < 3; k++) {
        char name[16];
        snprintf(name, sizeof name, "s%d", k);
        value_id like = any(r), other = any(r);
        const shape s = *graph_shape_of(r->g, like);
        value_id in = build_leaf(r->g, OP_state, name, RONDO_F32, &s),
                 out = build_unary(r->g, OP_tanh, build_add(r->g, in, like));
        if (below(r, 3) == 0)
            out = build_add(r->g, in, like);
        if (below(r, 3) == 0 && shape_equal(graph_shape_of(r->g, other), &s))
            out = build_unary(r->g, OP_neg, other);
        r->values[r->count++] = in;
        r->values[r->count++] = build_mul(r->g, in, build_number(r->g, 0.5));
        if (below(r, 2))
            r->values[r->count++] = build_unary(r->g, OP_tanh, build_add(r->g, out, in)); /* reads both */
        if (graph_op_of(r->g, out) != OP_state)
            graph_add_port(r->g, name, in, out, PORT_CARRY, -1, -1, 0);
    }
}

rondo_graph *random_graph(rondo *context, uint64_t seed, random_graph_options options, rondo_error *error)
{
    growing r = {.g = rondo_graph_new(context, error), .state = seed * 77 + 5};
    r.B = dim_symbol(graph_symbol(r.g, "B"));
    r.T = dim_symbol(graph_symbol(r.g, "T"));
    for (int i = 0; i < 5; i++) {
        char name[16];
        snprintf(name, sizeof name, "x%d", i);
        shape s = i ? some_shape(&r) : shape_of(1, (dim[]){dim_number(4)});
        r.values[r.count++] = build_leaf(r.g, OP_input, name, RONDO_F32, &s);
    }
    if (options.ports)
        add_ports(&r);
    for (int i = 0; i < options.nodes; i++)
        grow(&r, options);
    for (int o = 0; o < 3; o++) {
        char name[16];
        snprintf(name, sizeof name, "y%d", o);
        graph_add_output(r.g, name, r.values[o ? r.count - 1 - below(&r, r.count / 2) : r.count - 1]);
    }
    if (rondo_graph_check(r.g, error))
        return r.g;
    rondo_graph_free(r.g);
    return NULL;
}
