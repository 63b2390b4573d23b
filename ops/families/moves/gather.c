/* gather takes elements along an axis by computed ids, scatter adds them there: each is the other's gradient.
 * The ids are i32 of one of three shapes, for x [A, n, D] and axis 1:
 *
 *   [N]         the same for every line of A and D
 *   [A, N]      the axes before the axis: whole rows [D] are taken
 *   [A, N, D]   the axes of x: each element by itself, as sort numbers them
 *
 * An id outside of the axis reads zeros and writes nothing, so −1 fills a list that is shorter than its
 * room. */
#include "ops/infer.h"
#include "ops/reference.h"
#include "ops/rules.h"
#include <string.h>

_Static_assert((int)gather_axis == (int)scatter_axis, "step_gather reads the axis of both alike");

/* ---- infer ---- */

/* x's shape with as many elements along the axis as there are ids. */
static bool infer_taken(rondo_graph *g, const node *n, const shape *x, const value *ids, int axis,
                        shape *taken)
{
    int rank = ids->shape.rank;
    dim count = rank ? ids->shape.dims[rank == x->rank ? axis : rank - 1] : dim_number(0);
    bool fit = rank == 1 || rank == axis + 1 || rank == x->rank;
    for (int i = 0; fit && rank > 1 && i < rank; i++)
        fit = i == axis || dim_equal(ids->shape.dims[i], x->dims[i]);
    *taken = *x;
    taken->dims[axis] = count;
    return fit ||
           infer_fail(g,
                      "%s along axis %d of %s: the ids are %s; they have one axis, or the axes of %s up "
                      "to axis %d, or all of them",
                      op_words(n), axis, shape_words(g, x), shape_words(g, &ids->shape), shape_words(g, x),
                      axis);
}

bool infer_gather(rondo_graph *g, node *n, value *outputs)
{
    const value *x = infer_operand(g, n, 0, 0), *ids = x ? infer_operand(g, n, 1, RONDO_I32) : NULL;
    int axis = ids ? infer_axis(g, n, n->attributes[gather_axis].integer, x->shape.rank) : -1;
    shape s;
    return axis >= 0 && infer_taken(g, n, &x->shape, ids, axis, &s) && infer_result(outputs, x->type, &s);
}

bool infer_scatter(rondo_graph *g, node *n, value *outputs)
{
    const value *x = infer_operand(g, n, 0, RONDO_F32), *ids = x ? infer_operand(g, n, 1, RONDO_I32) : NULL;
    const shape *to = &g->shapes[n->attributes[scatter_dims].integer];
    int axis = ids ? infer_axis(g, n, n->attributes[scatter_axis].integer, to->rank) : -1;
    shape s;
    if (axis < 0 || !infer_taken(g, n, to, ids, axis, &s))
        return false;
    if (!shape_equal(&s, &x->shape))
        return infer_fail(g, "scatter along axis %d of %s: ids %s need %s, not %s", axis, shape_words(g, to),
                          shape_words(g, &ids->shape), shape_words(g, &s), shape_words(g, &x->shape));
    return infer_result(outputs, RONDO_F32, to);
}

/* ---- vjp ---- */

bool vjp_gather(rondo_graph *g, const node *n, const value_id *out_gradients, const bool *needs,
                value_id *in_gradients)
{
    if (needs[0] && out_gradients[0] != NONE)
        in_gradients[0] =
            build_scatter(g, out_gradients[0], n->inputs[1], (int)n->attributes[gather_axis].integer,
                          graph_shape_of(g, n->inputs[0]));
    return graph_good(g);
}

bool vjp_scatter(rondo_graph *g, const node *n, const value_id *out_gradients, const bool *needs,
                 value_id *in_gradients)
{
    if (needs[0] && out_gradients[0] != NONE)
        in_gradients[0] =
            build_gather(g, out_gradients[0], n->inputs[1], (int)n->attributes[scatter_axis].integer);
    return graph_good(g);
}

/* ---- reference ---- */

/* The element of the large tensor that belongs to index[] of the small one; −1: none. */
static int64_t place_of(const reference_tensor *large, const reference_tensor *ids, const int64_t *index,
                        int axis)
{
    int64_t at = 0, place[MAX_RANK];
    for (int i = 0; i < ids->rank; i++)
        at = at * ids->dims[i] + index[ids->rank == 1 ? axis : i];
    int64_t id = (int64_t)ids->data[at];
    if (id < 0 || id >= large->dims[axis])
        return -1;
    memcpy(place, index, sizeof place);
    place[axis] = id;
    return reference_offset(large, place, large->rank);
}

bool reference_gather(const reference_call *call)
{
    const reference_tensor *x = &call->inputs[0], *y = &call->outputs[0];
    int axis = normal_axis(call->attributes[gather_axis].integer, x->rank);
    int64_t index[MAX_RANK] = {0};
    for (int64_t i = 0; i < y->count; i++, reference_next(index, y->dims, y->rank)) {
        int64_t from = place_of(x, &call->inputs[1], index, axis);
        y->data[i] = from < 0 ? 0 : x->data[from];
    }
    return true;
}

bool reference_scatter(const reference_call *call)
{
    const reference_tensor *x = &call->inputs[0], *y = &call->outputs[0];
    int axis = normal_axis(call->attributes[scatter_axis].integer, y->rank);
    int64_t index[MAX_RANK] = {0};
    for (int64_t i = 0; i < x->count; i++, reference_next(index, x->dims, x->rank)) {
        int64_t to = place_of(y, &call->inputs[1], index, axis);
        if (to >= 0)
            y->data[to] += x->data[i];
    }
    return true;
}

/* ---- samples ---- */

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

/* Dims of the large tensor, the axis, the dims of the ids. */
static const struct {
    int rank;
    int64_t dims[4];
    int axis, id_rank;
    int64_t ids[4];
    bool integer; /* gather alone */
} gather_cases[] = {
    {1, {1}, 0, 1, {3}, false},
    {2, {5, 7}, 0, 1, {5}, false},
    {4, {3, 2, 5, 13}, 0, 1, {7}, false},
    {3, {3, 7, 2}, 1, 1, {4}, false},
    {3, {3, 2, 7}, -1, 1, {1}, false},
    {2, {5, 3}, 0, 1, {2}, true},
    {3, {3, 7, 5}, 1, 2, {3, 4}, false},
    {3, {3, 5, 7}, -1, 3, {3, 5, 2}, false},
    {3, {3, 5, 2}, 1, 3, {3, 7, 2}, false},
    {2, {5, 3}, 1, 2, {5, 4}, true},
    {2, {5, 7}, 0, 1, {0}, false},
    {3, {6, 67, 66}, 0, 1, {6}, false},
    {3, {3, 130, 67}, 1, 2, {3, 301}, false},
    {3, {5, 67, 33}, -2, 3, {5, 67, 33}, false},
};

/* Some ids lie one past the end. */
static value_id gather_ids(rondo_graph *g, sampler *s, int index)
{
    int64_t extent =
        gather_cases[index].dims[normal_axis(gather_cases[index].axis, gather_cases[index].rank)];
    return sample_ids(g, s, extent, gather_cases[index].id_rank, gather_cases[index].ids);
}

value_id samples_gather(rondo_graph *g, sampler *s, int index)
{
    if (index >= COUNT(gather_cases))
        return NONE;
    int rank = gather_cases[index].rank;
    const int64_t *dims = gather_cases[index].dims;
    value_id x = gather_cases[index].integer ? sample_ids(g, s, 99, rank, dims)
                                             : sample_input(g, s, -2, 2, rank, dims);
    return build_gather(g, x, gather_ids(g, s, index), gather_cases[index].axis);
}

value_id samples_scatter(rondo_graph *g, sampler *s, int index)
{
    if (index >= COUNT(gather_cases))
        return NONE;
    int rank = gather_cases[index].rank, axis = normal_axis(gather_cases[index].axis, rank),
        id_rank = gather_cases[index].id_rank;
    int64_t taken[4];
    shape to = {.rank = rank};
    for (int i = 0; i < rank; i++) {
        to.dims[i] = dim_number(gather_cases[index].dims[i]);
        taken[i] = gather_cases[index].dims[i];
    }
    taken[axis] = gather_cases[index].ids[id_rank == rank ? axis : id_rank - 1];
    value_id rows = sample_input(g, s, -2, 2, rank, taken);
    return build_scatter(g, rows, gather_ids(g, s, index), gather_cases[index].axis, &to);
}
