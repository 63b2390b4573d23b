/* Ops on tokens and positions: embedding and its gradient, positions, sinusoids, one-hot rows; and those that
 * the state of a decoder needs: append, last_row. An index out of range reads zeros and writes nothing. */
#include "ops/infer.h"
#include "ops/reference.h"
#include "ops/rules.h"
#include <math.h>
#include <string.h>

/* ---- infer ---- */

bool infer_embed(rondo_graph *g, node *n, value *outputs)
{
    const value *table = infer_operand(g, n, 0, RONDO_F32),
                *ids = table ? infer_operand(g, n, 1, RONDO_I32) : NULL;
    if (!ids)
        return false;
    if (table->shape.rank != 2 || ids->shape.rank == MAX_RANK)
        return infer_fail(g, "embed: the table is %s and the ids are %s; a table is [V,d]",
                          shape_words(g, &table->shape), shape_words(g, &ids->shape));
    shape s = ids->shape;
    s.dims[s.rank++] = table->shape.dims[1];
    return infer_result(outputs, RONDO_F32, &s);
}

bool infer_embed_grad(rondo_graph *g, node *n, value *outputs)
{
    const value *ids = infer_operand(g, n, 0, RONDO_I32),
                *dy = ids ? infer_operand(g, n, 1, RONDO_F32) : NULL;
    if (!dy)
        return false;
    const shape *table = &g->shapes[n->attributes[embed_grad_dims].integer];
    shape expected = ids->shape;
    if (table->rank == 2 && expected.rank < MAX_RANK)
        expected.dims[expected.rank++] = table->dims[1];
    if (table->rank != 2 || !shape_equal(&expected, &dy->shape))
        return infer_fail(g, "embed_grad: ids %s, gradient %s and table %s do not fit",
                          shape_words(g, &ids->shape), shape_words(g, &dy->shape), shape_words(g, table));
    return infer_result(outputs, RONDO_F32, table);
}

bool infer_positions(rondo_graph *g, node *n, value *outputs)
{
    const value *ids = infer_operand(g, n, 0, RONDO_I32), *offset;
    if (!ids || !infer_optional(g, n, 1, RONDO_I32, &offset))
        return false;
    if (ids->shape.rank != 2)
        return infer_fail(g, "positions: the ids are %s, they must be [B,T]", shape_words(g, &ids->shape));
    return (!offset || infer_per_sentence(g, n, 1, ids)) && infer_result(outputs, RONDO_I32, &ids->shape);
}

bool infer_sinusoid(rondo_graph *g, node *n, value *outputs)
{
    const value *positions = infer_operand(g, n, 0, RONDO_I32);
    int64_t width = n->attributes[sinusoid_width].integer;
    if (!positions)
        return false;
    if (width < 2 || width % 2 || positions->shape.rank == MAX_RANK)
        return infer_fail(
            g, "sinusoid: %lld channels for positions %s; an even number is needed, half of it are sines",
            (long long)width, shape_words(g, &positions->shape));
    shape s = positions->shape;
    s.dims[s.rank++] = dim_number(width);
    return infer_result(outputs, RONDO_F32, &s);
}

bool infer_one_hot(rondo_graph *g, node *n, value *outputs)
{
    const value *ids = infer_operand(g, n, 0, RONDO_I32);
    int64_t extent = n->attributes[one_hot_extent].integer;
    if (!ids)
        return false;
    if (extent < 1 || ids->shape.rank == MAX_RANK)
        return infer_fail(g, "one_hot: an extent of %lld for ids %s", (long long)extent,
                          shape_words(g, &ids->shape));
    shape s = ids->shape;
    s.dims[s.rank++] = dim_number(extent);
    return infer_result(outputs, RONDO_F32, &s);
}

/* An axis attribute that must not be the batch's; −1: the graph failed. */
static int infer_inner_axis(rondo_graph *g, const node *n, int64_t axis, const value *x)
{
    int normal = infer_axis(g, n, axis, x->shape.rank);
    if (normal == 0)
        graph_fail(g, RONDO_SHAPE, "%s: axis 0 of %s is that of the sequences", op_words(n),
                   shape_words(g, &x->shape));
    return normal > 0 ? normal : -1;
}

bool infer_append(rondo_graph *g, node *n, value *outputs)
{
    const value *cache = infer_operand(g, n, 0, 0),
                *rows = cache ? infer_operand(g, n, 1, cache->type) : NULL;
    if (!rows)
        return false;
    int axis = infer_inner_axis(g, n, n->attributes[append_axis].integer, cache);
    if (axis < 0 || !infer_per_sentence(g, n, 2, cache))
        return false;
    shape expected = cache->shape;
    if (rows->shape.rank == expected.rank)
        expected.dims[axis] = rows->shape.dims[axis];
    if (!shape_equal(&expected, &rows->shape))
        return infer_fail(g, "append: rows %s differ from the cache %s in more than axis %d",
                          shape_words(g, &rows->shape), shape_words(g, &cache->shape), axis);
    return infer_result(outputs, cache->type, &cache->shape);
}

bool infer_last_row(rondo_graph *g, node *n, value *outputs)
{
    const value *x = infer_operand(g, n, 0, 0);
    int axis = x ? infer_inner_axis(g, n, n->attributes[last_row_axis].integer, x) : -1;
    if (axis < 0 || !infer_per_sentence(g, n, 1, x))
        return false;
    shape s = x->shape;
    s.dims[axis] = dim_number(1);
    return infer_result(outputs, x->type, &s);
}

/* ---- vjp ---- */

bool vjp_embed(rondo_graph *g, const node *n, const value_id *out_gradients, const bool *needs,
               value_id *in_gradients)
{
    if (!needs[0] || out_gradients[0] == NONE)
        return true;
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[embed_grad_dims].integer = graph_shape(g, graph_shape_of(g, n->inputs[0]));
    in_gradients[0] =
        build_node(g, OP_embed_grad, 2, (value_id[]){n->inputs[1], out_gradients[0]}, attributes);
    return graph_good(g);
}

/* ---- reference ---- */

bool reference_embed(const reference_call *call)
{
    const reference_tensor *table = &call->inputs[0], *ids = &call->inputs[1];
    int64_t rows = table->dims[0], width = table->dims[1];
    for (int64_t i = 0; i < ids->count; i++) {
        int64_t id = (int64_t)ids->data[i];
        for (int64_t c = 0; id >= 0 && id < rows && c < width; c++)
            call->outputs[0].data[i * width + c] = table->data[id * width + c];
    }
    return true;
}

bool reference_embed_grad(const reference_call *call)
{
    const reference_tensor *ids = &call->inputs[0], *table = &call->outputs[0];
    int64_t rows = table->dims[0], width = table->dims[1];
    for (int64_t i = 0; i < ids->count; i++) {
        int64_t id = (int64_t)ids->data[i];
        for (int64_t c = 0; id >= 0 && id < rows && c < width; c++)
            table->data[id * width + c] += call->inputs[1].data[i * width + c];
    }
    return true;
}

bool reference_positions(const reference_call *call)
{
    const reference_tensor *ids = &call->inputs[0];
    const double *offset = reference_data(call, 1);
    for (int64_t i = 0; i < ids->count; i++)
        call->outputs[0].data[i] = (double)(i % ids->dims[1]) + (offset ? offset[i / ids->dims[1]] : 0);
    return true;
}

bool reference_sinusoid(const reference_call *call)
{
    const reference_tensor *positions = &call->inputs[0];
    int64_t width = call->attributes[sinusoid_width].integer, half = width / 2;
    for (int64_t i = 0; i < positions->count; i++)
        for (int64_t c = 0; c < half; c++) {
            double angle = positions->data[i] / pow(10000, 2 * (double)c / (double)width);
            call->outputs[0].data[i * width + c] = sin(angle);
            call->outputs[0].data[i * width + half + c] = cos(angle);
        }
    return true;
}

bool reference_one_hot(const reference_call *call)
{
    int64_t extent = call->attributes[one_hot_extent].integer;
    for (int64_t i = 0; i < call->inputs[0].count; i++) {
        int64_t id = (int64_t)call->inputs[0].data[i];
        if (id >= 0 && id < extent)
            call->outputs[0].data[i * extent + id] = 1;
    }
    return true;
}

bool reference_append(const reference_call *call)
{
    const reference_tensor *cache = &call->inputs[0], *rows = &call->inputs[1];
    double *out = call->outputs[0].data;
    if (cache->count)
        memcpy(out, cache->data, sizeof *out * (size_t)cache->count);
    int axis = (int)(call->attributes[append_axis].integer +
                     (call->attributes[append_axis].integer < 0 ? cache->rank : 0));
    int64_t index[MAX_RANK] = {0};
    for (int64_t i = 0; i < rows->count; i++, reference_next(index, rows->dims, rows->rank)) {
        int64_t row = index[axis], to = row + (int64_t)call->inputs[2].data[index[0]];
        index[axis] = to;
        if (to >= 0 && to < cache->dims[axis])
            out[reference_offset(cache, index, cache->rank)] = rows->data[i];
        index[axis] = row;
    }
    return true;
}

bool reference_last_row(const reference_call *call)
{
    const reference_tensor *x = &call->inputs[0], *y = &call->outputs[0];
    reference_axis a = reference_around(x, call->attributes[last_row_axis].integer);
    int64_t in_sentence = x->dims[0] ? a.outer / x->dims[0] : 1;
    for (int64_t o = 0; o < a.outer; o++) {
        int64_t row = (int64_t)call->inputs[1].data[o / in_sentence] - 1;
        for (int64_t i = 0; row >= 0 && row < a.extent && i < a.inner; i++)
            y->data[o * a.inner + i] = x->data[(o * a.extent + row) * a.inner + i];
    }
    return true;
}

/* ---- samples ---- */

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

/* Table [V, d] and ids of [B, T]. */
static const int64_t embed_cases[][4] = {{1, 1, 1, 1},    {7, 5, 2, 3}, {3, 13, 3, 1},
                                         {11, 31, 1, 17}, {5, 2, 0, 3}, {131, 67, 5, 29}};

value_id samples_embed(rondo_graph *g, sampler *s, int index)
{
    if (index >= COUNT(embed_cases))
        return NONE;
    value_id table = sample_input(g, s, -2, 2, 2, embed_cases[index]);
    value_id ids = sample_ids(g, s, embed_cases[index][0] - 1, 2, embed_cases[index] + 2);
    return build_node(g, OP_embed, 2, (value_id[]){table, ids}, NULL);
}

value_id samples_embed_grad(rondo_graph *g, sampler *s, int index)
{
    if (index >= COUNT(embed_cases))
        return NONE;
    const int64_t *c = embed_cases[index], rows[] = {c[2], c[3], c[1]};
    shape table = {.rank = 2, .dims = {dim_number(c[0]), dim_number(c[1])}};
    value_id ids = sample_ids(g, s, c[0] - 1, 2, c + 2), dy = sample_input(g, s, -2, 2, 3, rows);
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[embed_grad_dims].integer = graph_shape(g, &table);
    return build_node(g, OP_embed_grad, 2, (value_id[]){ids, dy}, attributes);
}

static const int64_t place_cases[][2] = {{1, 1}, {3, 7}, {5, 1}, {2, 131}, {0, 3}};

value_id samples_positions(rondo_graph *g, sampler *s, int index)
{
    if (index >= 2 * COUNT(place_cases))
        return NONE;
    const int64_t *c = place_cases[index / 2];
    value_id inputs[2] = {sample_ids(g, s, 9, 2, c), NONE};
    if (index % 2)
        inputs[1] = sample_ids(g, s, 40, 1, c);
    return build_node(g, OP_positions, 2, inputs, NULL);
}

value_id samples_sinusoid(rondo_graph *g, sampler *s, int index)
{
    static const int64_t widths[COUNT(place_cases)] = {2, 6, 512, 34, 4};
    if (index >= COUNT(place_cases))
        return NONE;
    value_id positions = sample_ids(g, s, 2000, 2, place_cases[index]);
    return build_node(g, OP_sinusoid, 1, &positions, (attribute[MAX_ATTRIBUTES]){{.integer = widths[index]}});
}

value_id samples_one_hot(rondo_graph *g, sampler *s, int index)
{
    static const int64_t extents[COUNT(place_cases)] = {1, 6, 2, 67, 4};
    if (index >= COUNT(place_cases))
        return NONE;
    value_id ids = sample_ids(g, s, extents[index], 2, place_cases[index]); /* some lie outside */
    return build_node(g, OP_one_hot, 1, &ids, (attribute[MAX_ATTRIBUTES]){{.integer = extents[index]}});
}

value_id samples_append(rondo_graph *g, sampler *s, int index)
{
    static const struct {
        int rank;
        int64_t dims[4];
        int axis;
        int64_t rows;
        bool ids;
    } cases[] = {
        {2, {1, 1}, 1, 1, false},         {3, {3, 7, 5}, 1, 2, false}, {4, {2, 3, 11, 5}, 2, 1, false},
        {4, {2, 3, 5, 13}, -1, 3, false}, {2, {3, 7}, 1, 2, true},     {4, {3, 2, 64, 32}, 2, 1, false},
        {3, {2, 5, 3}, 1, 0, false},
    };
    if (index >= COUNT(cases))
        return NONE;
    int64_t rows[4];
    memcpy(rows, cases[index].dims, sizeof rows);
    int axis = normal_axis(cases[index].axis, cases[index].rank);
    rows[axis] = cases[index].rows;
    value_id inputs[3];
    for (int i = 0; i < 2; i++)
        inputs[i] = cases[index].ids
                        ? sample_ids(g, s, 99, cases[index].rank, i ? rows : cases[index].dims)
                        : sample_input(g, s, -2, 2, cases[index].rank, i ? rows : cases[index].dims);
    inputs[2] = sample_ids(g, s, cases[index].dims[axis] - cases[index].rows, 1, cases[index].dims);
    return build_node(g, OP_append, 3, inputs, (attribute[MAX_ATTRIBUTES]){{.integer = cases[index].axis}});
}

value_id samples_last_row(rondo_graph *g, sampler *s, int index)
{
    static const struct {
        int rank;
        int64_t dims[4];
        int axis;
    } cases[] = {
        {2, {1, 1}, 1},    {3, {5, 7, 3}, 1},   {4, {3, 2, 5, 13}, -2},
        {3, {7, 3, 2}, 2}, {3, {11, 1, 67}, 1}, {3, {2, 0, 3}, 1},
    };
    if (index >= COUNT(cases))
        return NONE;
    const int64_t *dims = cases[index].dims;
    value_id x = sample_input(g, s, -2, 2, cases[index].rank, dims);
    value_id count = sample_ids(g, s, dims[normal_axis(cases[index].axis, cases[index].rank)], 1, dims);
    return build_node(g, OP_last_row, 2, (value_id[]){x, count},
                      (attribute[MAX_ATTRIBUTES]){{.integer = cases[index].axis}});
}
