/* What a value is, in the public header's words. */
#include "ops/build.h"

static const shape *shape_of(rondo_value v)
{
    return v.graph && v.id >= 0 && v.id < v.graph->value_count ? graph_shape_of(v.graph, v.id) : NULL;
}

int rondo_rank(rondo_value v)
{
    return shape_of(v) ? shape_of(v)->rank : -1;
}

int64_t rondo_extent(rondo_value v, int axis)
{
    const shape *s = shape_of(v);
    int a = s ? normal_axis(axis, s->rank) : -1;
    return a >= 0 && dim_is_literal(s->dims[a]) ? s->dims[a].factor : -1;
}

const char *rondo_dim(rondo_value v, int axis)
{
    const shape *s = shape_of(v);
    int a = s ? normal_axis(axis, s->rank) : -1;
    if (a < 0)
        return NULL;
    shape one = {.rank = 1, .dims = {s->dims[a]}};
    text t = {.arena = &v.graph->arena};
    if (!shape_text(&t, v.graph, &one) || t.length < 3)
        return NULL;
    t.data[t.length - 1] = 0; /* "[T]" → "T" */
    return t.data + 1;
}
