/* Cases: a layer of the mixer, numbers for its leaves, and lengths. */
#include "tools/check/case.h"

bool case_begin(contract *k, case_shape size, bool trained, contract_case *x)
{
    *x = (contract_case){.shape = size, .extents = {{"B", size.batch}, {"T", size.time}, {"S", size.source}}};
    arena_begin(&x->arena, &k->context->allocator);
    x->leaves = (leaves){.arena = &x->arena, .seed = k->seed};
    if (!layer_build(k->context, k->mixer, k->place, size.width, size.heads, trained, &x->layer, k->error)) {
        arena_end(&x->arena);
        return false;
    }
    int64_t bound[MAX_SYMBOLS];
    extents_bind(x->layer.graph, x->extents, 3, bound);
    if (leaves_for(&x->leaves, x->layer.graph, bound, k->error)) {
        case_lengths(x, false);
        return true;
    }
    case_end(x);
    return false;
}

void case_end(contract_case *x)
{
    rondo_graph_free(x->layer.graph);
    x->layer.graph = NULL;
    arena_end(&x->arena);
}

static void set_lengths(contract_case *x, const char *name, int64_t most, bool ragged)
{
    leaf *l = leaves_find(&x->leaves, name);
    if (!l)
        return;
    for (int64_t b = 0; b < l->count; b++)
        l->exact[b] = (double)(ragged ? most - (most * (b + 1)) / (l->count + 1) : most);
    leaf_store(l);
}

void case_lengths(contract_case *x, bool ragged)
{
    bool cross = leaves_find(&x->leaves, "memory") != NULL;
    set_lengths(x, "length", cross ? x->shape.source : x->shape.time, ragged);
    set_lengths(x, "rows", x->shape.time, ragged && !cross);
}

int64_t case_length(const contract_case *x, int64_t sentence)
{
    return (int64_t)leaves_find(&x->leaves, "rows")->exact[sentence];
}
