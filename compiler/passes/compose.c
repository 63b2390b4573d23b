/* compose: two successive products with trained matrices become one.
 *
 *   (x Wᵀ + b) P = x (Wᵀ P) + b P
 *
 * A learned feature map after the projection of each head (T2R, Hedgehog) then costs no more than a
 * projection to its features. The products of matrices depend on parameters alone, so hoist computes them
 * once, at load.
 *
 *   needs: the result of stream     gives: no such pair where one product is less work     breaks: nothing */
#include "compiler/passes/passes.h"

/* The first product and what may come between the two: x Wᵀ (+ b), split into heads, times numbers. Old
 * values; NONE: absent. */
typedef struct projection {
    value_id x, weight, bias; /* weight [H·D, d], bias [H·D] */
    bool split;               /* [B, T, H·D] → [B, H, T, D] */
    double scale;
} projection;

typedef struct composer {
    rewriter r;
    const bool *trained; /* by old value: made of parameters and constants alone */
    const int *readers;
} composer;

static bool is_literal(const shape *s)
{
    for (int i = 0; i < s->rank; i++)
        if (!dim_is_literal(s->dims[i]))
            return false;
    return true;
}

static bool *find_trained(arena *a, const rondo_graph *g)
{
    bool *trained = ARENA_NEW(a, bool, g->value_count + 1);
    for (node_id id = 0; trained && id < g->node_count; id++) {
        const node *n = &g->nodes[id];
        bool all = n->input_count ? true : n->op == OP_parameter || n->op == OP_constant;
        for (int i = 0; i < n->input_count; i++)
            all = all && n->inputs[i] != NONE && trained[n->inputs[i]];
        for (int o = 0; o < n->output_count; o++)
            trained[n->first_output + o] = all && is_literal(graph_shape_of(g, n->first_output + o));
    }
    return trained;
}

/* A product of two operands and nothing else. */
static bool is_product(const node *n)
{
    return n->op == OP_matmul && n->input_count == 2 && !n->attributes[matmul_activation].integer;
}

/* transpose [0, 2, 1, 3] of a reshape of [B, T, H·D] to [B, T, H, D]: its operand, or NONE. */
static value_id before_split(const rondo_graph *g, value_id v)
{
    int order[MAX_RANK];
    const node *swap = graph_node_of(g, v);
    if (swap->op != OP_transpose || order_unpack(swap->attributes[transpose_order].integer, order) != 4 ||
        order[0] != 0 || order[1] != 2 || order[2] != 1)
        return NONE;
    const node *split = graph_node_of(g, swap->inputs[0]);
    const shape *to = graph_shape_of(g, swap->inputs[0]);
    if (split->op != OP_reshape || graph_shape_of(g, split->inputs[0])->rank != 3)
        return NONE;
    const shape *from = graph_shape_of(g, split->inputs[0]);
    bool kept = dim_equal(from->dims[0], to->dims[0]) && dim_equal(from->dims[1], to->dims[1]);
    return kept ? split->inputs[0] : NONE;
}

/* Which operand of an addition is a trained vector; −1: none. */
static int is_bias(const composer *c, const node *n)
{
    for (int i = 0; i < 2; i++)
        if (c->trained[n->inputs[i]] && graph_shape_of(c->r.from, n->inputs[i])->rank == 1)
            return i;
    return -1;
}

/* Every value on the way must have one reader only; otherwise the others need the work anyway. */
static bool follow(const composer *c, value_id v, projection *p)
{
    const rondo_graph *g = c->r.from;
    *p = (projection){.bias = NONE, .scale = 1};
    for (;;) {
        if (c->readers[v] != 1)
            return false;
        const node *n = graph_node_of(g, v);
        value_id whole = p->split || p->bias != NONE ? NONE : before_split(g, v);
        int number = n->op == OP_mul ? graph_op_of(g, n->inputs[0]) == OP_constant ? 0 : 1 : -1;
        if (number >= 0 && graph_op_of(g, n->inputs[number]) == OP_constant && p->bias == NONE &&
            shape_equal(graph_shape_of(g, v), graph_shape_of(g, n->inputs[1 - number]))) {
            p->scale *= graph_node_of(g, n->inputs[number])->attributes[constant_number].real;
            v = n->inputs[1 - number];
        } else if (whole != NONE && c->readers[n->inputs[0]] == 1) {
            p->split = true;
            v = whole;
        } else if (n->op == OP_add && p->bias == NONE && is_bias(c, n) >= 0) {
            p->bias = n->inputs[is_bias(c, n)];
            v = n->inputs[1 - is_bias(c, n)];
        } else {
            if (!is_product(n) || !c->trained[n->inputs[1]] || c->trained[n->inputs[0]] ||
                graph_shape_of(g, n->inputs[1])->rank != 2 || n->attributes[matmul_transpose_a].integer ||
                !n->attributes[matmul_transpose_b].integer)
                return false;
            p->x = n->inputs[0];
            p->weight = n->inputs[1];
            return p->split;
        }
    }
}

/* Sizes of the second matrix: [H, D, K], or one [D, K] for all heads. */
typedef struct sizes {
    int64_t heads, depth, width, channels; /* H, D, K, d */
} sizes;

static bool read_sizes(const composer *c, const node *n, const projection *p, sizes *z)
{
    const rondo_graph *g = c->r.from;
    const shape *u = graph_shape_of(g, n->inputs[0]), *y = graph_shape_of(g, n->first_output),
                *second = graph_shape_of(g, n->inputs[1]), *w = graph_shape_of(g, p->weight);
    if (u->rank != 4 || y->rank != 4 || second->rank > 3 || !dim_is_literal(u->dims[1]))
        return false;
    *z = (sizes){u->dims[1].factor, u->dims[3].factor, y->dims[3].factor, w->dims[1].factor};
    bool fits = dim_equal(y->dims[1], u->dims[1]) && dim_is_number(w->dims[0], z->heads * z->depth);
    fits = fits && (p->bias == NONE || dim_equal(graph_shape_of(g, p->bias)->dims[0], w->dims[0]));
    return fits && z->width * z->channels < z->depth * (z->channels + z->width); /* less work than in two */
}

static value_id scaled(rondo_graph *g, value_id v, double scale)
{
    return scale == 1 ? v : build_mul(g, v, build_number(g, scale));
}

static value_id build_composed(composer *c, const node *n, const projection *p, const sizes *z)
{
    rondo_graph *g = c->r.to;
    const dim heads = dim_number(z->heads), depth = dim_number(z->depth), width = dim_number(z->width);
    bool rows = n->attributes[matmul_transpose_b].integer; /* the second matrix is [..., K, D] */
    value_id second = c->r.map[n->inputs[1]];
    const shape three = {.rank = 3, .dims = {heads, depth, dim_number(z->channels)}},
                one = {.rank = 3, .dims = {heads, dim_number(1), depth}};
    const shape flat = {.rank = 2, .dims = {dim_number(z->heads * z->width), dim_number(z->channels)}},
                line = {.rank = 1, .dims = {dim_number(z->heads * z->width)}};
    value_id weight = build_matmul(g, second, build_reshape(g, c->r.map[p->weight], &three), !rows, false);
    value_id y =
        build_matmul(g, c->r.map[p->x], scaled(g, build_reshape(g, weight, &flat), p->scale), false, true);
    if (p->bias != NONE) {
        value_id bias = build_matmul(g, build_reshape(g, c->r.map[p->bias], &one), second, false, rows);
        y = build_add(g, y, scaled(g, build_reshape(g, bias, &line), p->scale));
    }
    shape split = *graph_shape_of(c->r.from, n->first_output);
    split.dims[2] = heads;
    split.dims[1] = graph_shape_of(c->r.from, n->first_output)->dims[2];
    split.dims[3] = width;
    return build_swap(g, build_reshape(g, y, &split), 1, 2);
}

static bool compose_node(composer *c, node_id id)
{
    const node *n = &c->r.from->nodes[id];
    projection p;
    sizes z;
    bool pair = is_product(n) && c->trained[n->inputs[1]] && !c->trained[n->inputs[0]] &&
                !n->attributes[matmul_transpose_a].integer && follow(c, n->inputs[0], &p) &&
                read_sizes(c, n, &p, &z);
    if (!pair)
        return graph_copy_node(c->r.to, c->r.from, id, c->r.map);
    graph_at(c->r.to, c->r.from, id);
    c->r.map[n->first_output] = build_composed(c, n, &p, &z);
    return c->r.map[n->first_output] != NONE;
}

rondo_graph *compose(const rondo_graph *g, value_id **map, rondo_error *error)
{
    composer c;
    if (!rewrite_begin(&c.r, g, error))
        return NULL;
    c.trained = find_trained(&c.r.to->arena, g);
    c.readers = count_readers(&c.r.to->arena, g);
    bool good = (c.trained && c.readers) || graph_refuse(c.r.to, RONDO_MEMORY, "out of memory for compose");
    for (node_id id = 0; good && id < g->node_count; id++)
        good = compose_node(&c, id);
    return rewrite_end(&c.r, map, error);
}
