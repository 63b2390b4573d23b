/* lower, first half: where each value lives. Layout is decided here and nowhere else: a view op becomes
 * strides on its operand's storage when it can, and a value that will be transposed is stored in the
 * transposed order from the start, so that split heads, merge heads and their gradients cost nothing.
 *
 *   needs: a verified graph, bound symbols
 *   gives: dims and placements
 *   breaks: nothing */
#include "compiler/program/lower.h"
#include "ops/build.h"
#include <string.h>

/* More than any machine's memory, and small enough that products of several extents do not overflow. */
static const int64_t most_elements = INT64_C(1) << 40;

static bool bind_dims(specialisation *s, const program *p, rondo_error *error)
{
    const rondo_graph *g = p->graph;
    for (value_id v = 0; v < g->value_count; v++) {
        int64_t count = 1;
        for (int a = 0; a < g->values[v].shape.rank; a++) {
            int64_t extent = dim_value(g->values[v].shape.dims[a], s->bound);
            if (extent < 0 || (extent > 0 && count > most_elements / extent))
                return fail(error, RONDO_SHAPE, "%s: a tensor is too large for this machine's addresses",
                            op_table[graph_op_of(g, v)].signature.name);
            s->dims[v][a] = extent;
            count *= extent ? extent : 1;
        }
    }
    return true;
}

/* Dense strides for axes that are stored in this order. */
static void dense(const int64_t *dims, const int *order, int rank, int64_t *strides)
{
    int64_t step = 1;
    for (int i = rank - 1; i >= 0; i--) {
        strides[order[i]] = step;
        step *= dims[order[i]];
    }
}

static void identity(int *order, int rank)
{
    for (int i = 0; i < rank; i++)
        order[i] = i;
}

/* ---- the order of axes that a value's readers prefer ---- */

/* order[i]: the axis of v that is the i-th in storage; packed, 0: no preference. */
static int64_t wish_of_reader(const rondo_graph *g, const node *reader, value_id v, const int64_t *wishes)
{
    int order[MAX_RANK];
    value_id out = reader->first_output;
    if (reader->op == OP_transpose && order_unpack(reader->attributes[transpose_order].integer, order) > 0)
        return reader->attributes[transpose_order].integer;
    bool same = shape_equal(graph_shape_of(g, v), graph_shape_of(g, out));
    if (same && (op_table[reader->op].flags & OP_ELEMENTWISE || node_in_place(reader, 0) == 0))
        return wishes[out];
    return 0;
}

static int64_t *wishes_new(specialisation *s, const program *p)
{
    const rondo_graph *g = p->graph;
    int64_t *wishes = ARENA_NEW(&s->arena, int64_t, g->value_count + 1);
    if (!wishes)
        return NULL;
    for (node_id id = g->node_count - 1; id >= 0; id--) {
        const node *n = &g->nodes[id];
        for (int i = 0; i < n->input_count; i++) {
            value_id v = n->inputs[i];
            if (v != NONE && !wishes[v])
                wishes[v] = wish_of_reader(g, n, v, wishes);
        }
    }
    return wishes;
}

/* The order of x's axes in its storage, if x is dense in some order. */
static bool stored_order(const specialisation *s, const rondo_graph *g, value_id x, int *order)
{
    int rank = g->values[x].shape.rank;
    const int64_t *strides = s->placements[x].strides, *dims = s->dims[x];
    identity(order, rank);
    for (int i = 1; i < rank; i++) /* by falling stride; stable, extents of 1 stay where they are */
        for (int j = i; j > 0 && strides[order[j - 1]] < strides[order[j]] && dims[order[j]] > 1 &&
                        dims[order[j - 1]] > 1;
             j--) {
            int t = order[j];
            order[j] = order[j - 1];
            order[j - 1] = t;
        }
    int64_t expected[MAX_RANK];
    dense(dims, order, rank, expected);
    for (int a = 0; a < rank; a++)
        if (dims[a] > 1 && strides[a] != expected[a])
            return false;
    return true;
}

/* The rows of a product are contiguous; any other result may be written in any layout. */
static bool can_grant(const node *n, int64_t wish)
{
    int order[MAX_RANK], rank = wish ? order_unpack(wish, order) : 0;
    return wish && n->op != OP_loop && (n->op != OP_matmul || order[rank - 1] == rank - 1);
}

static void own_storage(specialisation *s, const program *p, value_id v, int64_t wish)
{
    const rondo_graph *g = p->graph;
    const node *n = graph_node_of(g, v);
    int rank = g->values[v].shape.rank, order[MAX_RANK];
    identity(order, rank);
    if (!p->kept[v] && !p->dense[v] && !(op_table[n->op].flags & OP_LEAF)) {
        if (can_grant(n, wish))
            order_unpack(wish, order);
        else if (op_table[n->op].flags & OP_ELEMENTWISE || n->op == OP_fused || n->op == OP_dropout ||
                 n->op == OP_row_mask)
            for (int i = 0; i < n->input_count; i++)
                if (n->inputs[i] != NONE &&
                    shape_equal(graph_shape_of(g, v), graph_shape_of(g, n->inputs[i]))) {
                    if (!stored_order(s, g, n->inputs[i], order))
                        identity(order, rank);
                    else
                        break;
                }
    }
    s->placements[v].root = v;
    s->placements[v].offset = 0;
    dense(s->dims[v], order, rank, s->placements[v].strides);
}

/* ---- view ops ---- */

/* Strides for `to` dims over storage that has `from` dims with `strides`: where a group of axes with equal
 * products is split differently, it must be contiguous. */
static bool view_reshape(const int64_t *from, int from_rank, const int64_t *strides, const int64_t *to,
                         int to_rank, int64_t *out)
{
    int64_t dims[MAX_RANK], steps[MAX_RANK];
    int rank = 0;
    for (int a = 0; a < from_rank; a++) { /* merge what is contiguous; drop extents of 1 */
        if (from[a] == 0)
            return false;
        if (from[a] == 1)
            continue;
        if (rank && steps[rank - 1] == strides[a] * from[a]) {
            dims[rank - 1] *= from[a];
            steps[rank - 1] = strides[a];
        } else {
            dims[rank] = from[a];
            steps[rank++] = strides[a];
        }
    }
    int at = rank - 1;
    int64_t left = at >= 0 ? dims[at] : 1, step = at >= 0 ? steps[at] : 1;
    for (int a = to_rank - 1; a >= 0; a--) {
        if (to[a] == 1) {
            out[a] = step;
            continue;
        }
        if (left == 1 && at > 0) {
            left = dims[--at];
            step = steps[at];
        }
        if (left % to[a])
            return false;
        out[a] = step;
        step *= to[a];
        left /= to[a];
    }
    return left == 1 && at <= 0;
}

static bool try_view(specialisation *s, const program *p, value_id v)
{
    const rondo_graph *g = p->graph;
    const node *n = graph_node_of(g, v);
    value_id x = n->inputs[0];
    const placement *from = &s->placements[x];
    placement *to = &s->placements[v];
    int rank = g->values[v].shape.rank, x_rank = g->values[x].shape.rank, order[MAX_RANK];
    *to = *from;
    switch (n->op) {
    case OP_transpose:
        order_unpack(n->attributes[transpose_order].integer, order);
        for (int a = 0; a < rank; a++)
            to->strides[a] = from->strides[order[a]];
        return true;
    case OP_broadcast:
        for (int a = 0; a < rank; a++) {
            int b = a - (rank - x_rank);
            to->strides[a] = b < 0 || (s->dims[x][b] == 1 && s->dims[v][a] != 1) ? 0 : from->strides[b];
        }
        return true;
    case OP_slice: {
        int axis = normal_axis(n->attributes[slice_axis].integer, rank);
        to->offset += n->attributes[slice_start].integer * from->strides[axis];
        return true;
    }
    case OP_reshape:
        return view_reshape(s->dims[x], x_rank, from->strides, s->dims[v], rank, to->strides);
    default:
        return false;
    }
}

/* A constant is one element, read with strides of 0. */
static bool constant_view(specialisation *s, const program *p, value_id v)
{
    if (graph_op_of(p->graph, v) != OP_constant || p->kept[v] || p->dense[v])
        return false;
    s->placements[v] = (placement){.root = v};
    return true;
}

/* In row-major order without gaps. */
static bool stands_dense(const specialisation *s, const rondo_graph *g, value_id v)
{
    int rank = g->values[v].shape.rank, order[MAX_RANK];
    int64_t strides[MAX_RANK];
    identity(order, rank);
    dense(s->dims[v], order, rank, strides);
    for (int a = 0; a < rank; a++)
        if (s->dims[v][a] > 1 && s->placements[v].strides[a] != strides[a])
            return false;
    return true;
}

bool lower_placements(specialisation *s, const program *p, rondo_error *error)
{
    const rondo_graph *g = p->graph;
    if (!bind_dims(s, p, error))
        return false;
    int64_t *wishes = wishes_new(s, p);
    if (!wishes)
        return fail_memory(error, sizeof *wishes * (size_t)g->value_count, "layouts");
    for (value_id v = 0; v < g->value_count; v++) {
        const node *n = graph_node_of(g, v);
        bool view = (op_table[n->op].flags & OP_VIEW) && !p->kept[v];
        if (!(view && try_view(s, p, v) && (!p->dense[v] || stands_dense(s, g, v))) &&
            !constant_view(s, p, v))
            own_storage(s, p, v, wishes[v]);
    }
    return true;
}
