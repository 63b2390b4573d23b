/* tests/compiler/symbolic_sample.h: every choice of axes is tried; graphs that do not infer are no
 * samples. */
#include "tests/compiler/symbolic_sample.h"
#include "tests/ops/harness.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Where the symbols go in one leaf, or in a DIMS attribute. */
typedef struct placing {
    bool batch;           /* on axis 0; for dims: on the axis `at` */
    int at, time, second; /* axes; −1: none. second: T again */
    bool swapped;         /* of a pair: t is the second of the two axes */
    int mask;             /* of a pair: 0 as it is, 1 masked with 0, 2 with −∞ */
} placing;

/* How a result over (t, s) becomes one over t: summed over s with weights behind a mask, or reduced as it is,
 * which a step form accepts only if it knows the values where s > t. */
typedef enum closing { CLOSE_MASKED, CLOSE_SUM, CLOSE_MAX, CLOSE_LOGSUMEXP, CLOSINGS } closing;

typedef struct search {
    const op_sample *from;
    op_id op;
    int64_t batch_extent, time_extent;
    placing leaves[MAX_INPUTS], dims;
    closing closing;
    bool closing_swapped, closed; /* swapped: t is the second of the two axes */
    symbolic_visit *visit;
    void *data;
} search;

static const shape *leaf_shape(const search *s, int leaf)
{
    return graph_shape_of(s->from->graph, s->from->leaves[leaf]);
}

/* ---- one form ---- */

static value_id add_leaf(const search *s, symbolic_sample *out, int leaf, const char *part, const shape *dims,
                         int time_axis)
{
    char name[24];
    const value *was = &s->from->graph->values[s->from->leaves[leaf]];
    snprintf(name, sizeof name, "x%d%s", leaf, part);
    value_id v = build_leaf(out->graph, OP_input, name, was->type, dims);
    out->leaves[out->leaf_count++] =
        (symbolic_leaf){v,
                        s->from->sampler.inputs[leaf].low,
                        s->from->sampler.inputs[leaf].high,
                        s->from->sampler.inputs[leaf].integer,
                        time_axis,
                        s->from->sampler.inputs[leaf].integer && dims->rank == 1 && s->leaves[leaf].batch};
    return v;
}

static value_id masked(rondo_graph *g, value_id x, double fill, bool transposed)
{
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[causal_mask_fill].real = fill;
    attributes[causal_mask_transposed].integer = transposed;
    return build_node(g, OP_causal_mask, 1, &x, attributes);
}

/* x[…, t, …, s, …] = u · w: u has t, and w, between 0.5 and 1, has s. */
static value_id add_pair(const search *s, symbolic_sample *out, int leaf, const placing *p, shape dims)
{
    const int axes[] = {p->time, p->second};
    shape rows = dims, columns = dims;
    rows.dims[axes[1]] = columns.dims[axes[0]] = dim_number(1);
    value_id u = add_leaf(s, out, leaf, "", &rows, axes[0]),
             w = add_leaf(s, out, leaf, "s", &columns, axes[1]);
    out->leaves[out->leaf_count - 1].low = 0.5;
    out->leaves[out->leaf_count - 1].high = 1;
    value_id x = build_mul(out->graph, u, w);
    if (p->swapped)
        x = build_swap(out->graph, x, axes[0], axes[1]);
    return p->mask ? masked(out->graph, x, p->mask == 1 ? 0 : -INFINITY, p->swapped) : x;
}

static value_id place_leaf(const search *s, symbolic_sample *out, int leaf)
{
    const placing *p = &s->leaves[leaf];
    shape dims = *leaf_shape(s, leaf);
    if (p->batch)
        dims.dims[0] = dim_symbol(out->batch);
    if (p->time >= 0)
        dims.dims[p->time] = dim_symbol(out->time);
    if (p->second < 0)
        return add_leaf(s, out, leaf, "", &dims, p->time);
    dims.dims[p->second] = dim_symbol(out->time);
    return add_pair(s, out, leaf, p, dims);
}

static void place_dims(const search *s, const symbolic_sample *out, attribute *dims)
{
    shape to = s->from->graph->shapes[dims->integer];
    const struct {
        int axis, symbol;
        int64_t extent;
    } places[] = {{s->dims.at, out->batch, s->batch_extent},
                  {s->dims.time, out->time, s->time_extent},
                  {s->dims.second, out->time, s->time_extent}};
    for (int i = 0; i < 3; i++)
        if (places[i].axis >= 0 && places[i].axis < to.rank && places[i].extent > 0) {
            dim *d = &to.dims[places[i].axis];
            d->factor /= places[i].extent;
            dim_multiply(*d, dim_symbol(places[i].symbol), d);
        }
    dims->integer = graph_shape(out->graph, &to);
}

static int times_in(const symbolic_sample *s, value_id v, int *axes)
{
    const shape *dims = graph_shape_of(s->graph, v);
    int count = 0;
    for (int a = 0; a < dims->rank; a++)
        if (dim_has(dims->dims[a], s->time) && count++ < 2)
            axes[count - 1] = a;
    return count;
}

/* y with weights along `key`; their batch is that of y. */
static value_id weighted(symbolic_sample *out, value_id y, int key)
{
    const shape *dims = graph_shape_of(out->graph, y);
    shape weights = {.rank = dims->rank};
    for (int a = 0; a < dims->rank; a++) {
        bool batch = a == 0 && dim_only_symbol(dims->dims[0]) == out->batch;
        weights.dims[a] = a == key ? dim_symbol(out->time) : batch ? dim_symbol(out->batch) : dim_number(1);
    }
    value_id z = build_leaf(out->graph, OP_input, "weights", RONDO_F32, &weights);
    out->leaves[out->leaf_count++] = (symbolic_leaf){z, -1, 1, false, key, false};
    return build_mul(out->graph, y, z);
}

static value_id close_pair(search *s, symbolic_sample *out, value_id y, const int *axes)
{
    static const op_id reduces[] = {OP_sum, OP_sum, OP_max, OP_logsumexp};
    int t = axes[s->closing_swapped], key = axes[!s->closing_swapped];
    int order[MAX_RANK], rank = graph_shape_of(out->graph, y)->rank, used = 0;
    for (int a = 0; a < rank; a++)
        if (a != t && a != key)
            order[used++] = a;
    order[used++] = t;
    order[used++] = key;
    s->closed = true;
    value_id x = s->closing > CLOSE_SUM ? y : weighted(out, y, key);
    x = build_transpose(out->graph, x, order);
    x = s->closing == CLOSE_MASKED ? masked(out->graph, x, 0, false) : x;
    return build_reduce(out->graph, reduces[s->closing], x, rank - 1, false);
}

static void add_outputs(search *s, symbolic_sample *out, value_id first)
{
    for (int o = 0; first != NONE && o < graph_node_of(out->graph, first)->output_count; o++) {
        int axes[2];
        char name[16];
        value_id y = build_output(out->graph, first, o);
        int times = times_in(out, y, axes);
        if (times == 2 && !o)
            y = close_pair(s, out, y, axes);
        else if (times > 1)
            continue;
        snprintf(name, sizeof name, "y%d", o);
        graph_add_output(out->graph, name, y);
    }
}

/* The leaf "anchor" determines which symbol is the batch, whatever else carries time. */
static void add_anchor(symbolic_sample *out)
{
    const shape dims = {.rank = 2, .dims = {dim_symbol(out->batch), dim_symbol(out->time)}};
    value_id anchor = build_leaf(out->graph, OP_input, "anchor", RONDO_F32, &dims);
    out->leaves[out->leaf_count++] = (symbolic_leaf){anchor, -1, 1, false, 1};
    graph_add_output(out->graph, "anchor", anchor);
}

static bool copy_nodes(search *s, symbolic_sample *out)
{
    const rondo_graph *from = s->from->graph;
    value_id *map = graph_map_new(out->graph, from);
    for (int leaf = 0; map && leaf < s->from->leaf_count; leaf++)
        map[s->from->leaves[leaf]] = place_leaf(s, out, leaf);
    for (node_id id = 0; map && id < from->node_count && !out->graph->error.code; id++) {
        const node *n = &from->nodes[id];
        const attribute_field *fields = op_table[n->op].signature.fields;
        value_id inputs[MAX_INPUTS];
        attribute attributes[MAX_ATTRIBUTES];
        if (op_table[n->op].flags & OP_LEAF)
            continue;
        for (int i = 0; i < n->input_count; i++)
            inputs[i] = n->inputs[i] == NONE ? NONE : map[n->inputs[i]];
        memcpy(attributes, n->attributes, sizeof attributes);
        for (int f = 0; fields && fields[f].kind != ATTRIBUTE_END; f++)
            if (fields[f].kind == ATTRIBUTE_DIMS)
                place_dims(s, out, &attributes[f]);
        value_id first = graph_add(out->graph, n->op, inputs, n->input_count, attributes);
        for (int o = 0; o < n->output_count; o++)
            map[n->first_output + o] = build_output(out->graph, first, o);
    }
    if (map)
        add_outputs(s, out, out->result = map[s->from->result]);
    return map && !out->graph->error.code;
}

static void try_form(search *s)
{
    rondo_error error = {0};
    symbolic_sample out = {.graph = graph_new_like(s->from->graph, &error), .time_extent = s->time_extent};
    if (!out.graph)
        return;
    out.batch = graph_symbol(out.graph, "B");
    out.time = graph_symbol(out.graph, "T");
    add_anchor(&out);
    if (copy_nodes(s, &out))
        s->visit(&out, s->data);
    graph_free(out.graph);
}

/* ---- all forms ---- */

static bool is_dims_op(const search *s)
{
    const attribute_field *fields = op_table[s->op].signature.fields;
    for (int f = 0; fields && fields[f].kind != ATTRIBUTE_END; f++)
        if (fields[f].kind == ATTRIBUTE_DIMS)
            return true;
    return false;
}

static void try_closings(search *s)
{
    s->closing = CLOSE_MASKED;
    s->closing_swapped = s->closed = false;
    try_form(s);
    for (int other = 1; s->closed && other < 2 * CLOSINGS; other++) {
        s->closing = (closing)(other / 2);
        s->closing_swapped = other & 1;
        try_form(s);
    }
}

static void try_dims(search *s)
{
    s->dims = (placing){.at = -1, .time = -1, .second = -1};
    if (!is_dims_op(s)) {
        try_closings(s);
        return;
    }
    for (s->dims.at = -1; s->dims.at < 4; s->dims.at++)
        for (s->dims.time = -1; s->dims.time < 4; s->dims.time++)
            for (s->dims.second = -1; s->dims.second < 4; s->dims.second++)
                if (s->dims.second < 0 || (s->dims.time >= 0 && s->dims.second > s->dims.time))
                    try_closings(s);
}

/* The batch of leaves without time: all leaves whose first extent is that of the batch have it, or none. */
static void try_batches(search *s)
{
    bool found = false;
    for (int leaf = 0; leaf < s->from->leaf_count; leaf++) {
        placing *p = &s->leaves[leaf];
        p->batch = leaf_shape(s, leaf)->rank > 0 && leaf_shape(s, leaf)->dims[0].factor == s->batch_extent;
        found = found || (p->batch && p->time < 0);
        if (p->time >= 0 && !p->batch)
            return; /* every sequence is at another position */
    }
    try_dims(s);
    for (int leaf = 0; leaf < s->from->leaf_count; leaf++)
        s->leaves[leaf].batch = s->leaves[leaf].time >= 0;
    if (found)
        try_dims(s);
}

/* Ids are never products, and three operands with all their pairs are enough. */
static bool may_be_pair(const search *s, int leaf)
{
    return !s->from->sampler.inputs[leaf].integer && s->from->leaf_count <= 3;
}

static void try_leaves(search *s, int leaf, bool any)
{
    if (leaf == s->from->leaf_count) {
        if (any || !leaf || is_dims_op(s))
            try_batches(s);
        return;
    }
    placing *p = &s->leaves[leaf];
    const shape *dims = leaf_shape(s, leaf);
    *p = (placing){.at = -1, .time = -1, .second = -1};
    try_leaves(s, leaf + 1, any);
    for (int a = 1; a < dims->rank; a++) {
        if (dims->dims[a].factor != s->time_extent)
            continue;
        *p = (placing){.at = -1, .time = a, .second = -1};
        try_leaves(s, leaf + 1, true);
        for (int b = a + 1; b < dims->rank && may_be_pair(s, leaf); b++)
            for (int kind = 0; kind < 6; kind++) {
                *p = (placing){.at = -1, .time = a, .second = b, .swapped = kind & 1, .mask = kind / 2};
                try_leaves(s, leaf + 1, true);
            }
    }
}

static bool is_small(const search *s)
{
    for (int leaf = 0; leaf < s->from->leaf_count; leaf++) {
        int64_t count = 1;
        for (int a = 0; a < leaf_shape(s, leaf)->rank; a++)
            count *= leaf_shape(s, leaf)->dims[a].factor;
        if (count > SYMBOLIC_LARGEST)
            return false;
    }
    return true;
}

/* The extents that some axis of a leaf, or of given dims, has; `first`: on axis 0. */
static int extents(const search *s, bool first, int64_t *out, int most)
{
    int count = 0;
    const rondo_graph *g = s->from->graph;
    for (value_id v = 0; v < g->value_count; v++)
        for (int a = !first; a < (first && g->values[v].shape.rank ? 1 : g->values[v].shape.rank); a++) {
            int64_t extent = g->values[v].shape.dims[a].factor;
            int at = 0;
            while (at < count && out[at] != extent)
                at++;
            if (at == count && count < most)
                out[count++] = extent;
        }
    return count;
}

bool symbolic_samples(op_id op, int index, symbolic_visit *visit, void *data)
{
    op_sample from;
    enum { MOST = 8 };
    int64_t batches[MOST], times[MOST];
    if (sample_open(&from, op, index) != SAMPLE_OPEN)
        return false;
    search s = {.from = &from, .op = op, .visit = visit, .data = data};
    int batch_count = extents(&s, true, batches, MOST), time_count = extents(&s, false, times, MOST);
    for (int b = 0; b < batch_count && is_small(&s); b++)
        for (int t = 0; t < time_count; t++) {
            s.batch_extent = batches[b];
            s.time_extent = times[t];
            try_leaves(&s, 0, false);
        }
    sample_close(&from);
    return true;
}
