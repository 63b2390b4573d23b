/* Questions about a value: its rank, extents and type, for code that did not make it. */
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
    text t = {.arena = &v.graph->arena};
    dim_text(&t, v.graph, s->dims[a]);
    const char *words = text_done(&t);
    if (!words) /* a NULL that the caller passes on */
        graph_fail(v.graph, RONDO_MEMORY, "out of memory for the text of a dim");
    return words;
}
