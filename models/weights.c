/* The layout of weights, and loading and saving them. */
#include "models/weights.h"
#include "core/convert.h"
#include "models/parameters.h"
#include <string.h>

static rondo_weights *weights_begin(rondo *context, rondo_error *error)
{
    rondo_weights *w = memory_new(&context->allocator, sizeof *w);
    if (!w) {
        fail_memory(error, sizeof *w, "weights");
        return NULL;
    }
    w->context = context;
    arena_begin(&w->arena, &context->allocator);
    return w;
}

static parameter_initial initial_of(const rondo_graph *g, value_id v)
{
    for (int i = g->initial_count - 1; i >= 0; i--)
        if (g->initials[i].value == v)
            return g->initials[i].initial;
    return (parameter_initial){0};
}

static bool add_weight(rondo_weights *w, const rondo_graph *g, const node *n, int *capacity,
                       rondo_error *error)
{
    const value *v = &g->values[n->first_output];
    const char *name = g->names[n->attributes[parameter_name].integer];
    if (!ARENA_PUSH(&w->arena, w->items, w->item_count, *capacity))
        return fail_memory(error, sizeof(weight), "weights");
    weight *item = &w->items[w->item_count++];
    *item = (weight){.name = arena_copy_text(&w->arena, name, strlen(name)),
                     .rank = v->shape.rank,
                     .offset = w->size,
                     .count = 1,
                     .initial = initial_of(g, n->first_output)};
    if (!item->name)
        return fail_memory(error, strlen(name), "weights");
    if (v->type != RONDO_F32)
        return fail(error, RONDO_SHAPE, "parameter %s: only f32 parameters can be trained", name);
    for (int a = 0; a < v->shape.rank; a++) {
        if (!dim_is_literal(v->shape.dims[a]))
            return fail(error, RONDO_SHAPE, "parameter %s: its extents must be literal numbers, not symbols",
                        name);
        item->dims[a] = v->shape.dims[a].factor;
        if (item->dims[a] && item->count > INT64_MAX / 64 / item->dims[a])
            return fail(error, RONDO_SHAPE, "parameter %s is too large", name);
        item->count *= item->dims[a];
    }
    w->size += (item->count + 15) / 16 * 16;
    return true;
}

/* Adds either the frozen parameters or the others. */
static bool add_weights(rondo_weights *w, const rondo_graph *g, bool frozen, int *capacity,
                        rondo_error *error)
{
    for (node_id id = 0; id < g->node_count; id++) {
        const node *n = &g->nodes[id];
        if (n->op == OP_parameter && (n->attributes[parameter_frozen].integer != 0) == frozen &&
            !add_weight(w, g, n, capacity, error))
            return false;
    }
    w->size = (w->size + WEIGHTS_BLOCK - 1) / WEIGHTS_BLOCK * WEIGHTS_BLOCK;
    return true;
}

rondo_weights *weights_layout(const rondo_graph *g, rondo_error *error)
{
    rondo_weights *w = g ? weights_begin(g->context, error) : NULL;
    int capacity = 0;
    bool good = w && add_weights(w, g, false, &capacity, error);
    if (good) {
        w->trained_count = w->item_count;
        w->trained_size = w->size;
    }
    if (good && add_weights(w, g, true, &capacity, error))
        return w;
    rondo_weights_free(w);
    return NULL;
}

bool weights_allocate(rondo_weights *w, rondo_error *error)
{
    w->block = memory_new(&w->context->allocator, sizeof(float) * (size_t)w->size);
    return w->block || fail_memory(error, sizeof(float) * (size_t)w->size, "weights");
}

void rondo_weights_free(rondo_weights *w)
{
    if (!w)
        return;
    const rondo_allocator allocator = w->context->allocator;
    if (w->block)
        memory_free(&allocator, w->block, sizeof(float) * (size_t)w->size);
    arena_end(&w->arena);
    memory_free(&allocator, w, sizeof *w);
}

rondo_weights *rondo_weights_new(const rondo_graph *g, uint64_t seed, rondo_error *error)
{
    error_begin(error);
    if (!g || !graph_check(g, error))
        return NULL;
    rondo_weights *w = weights_layout(g, error);
    if (!w || !weights_allocate(w, error)) {
        rondo_weights_free(w);
        return NULL;
    }
    weights_fill(w, seed);
    return w;
}

static bool fail_shape(const weight *item, const char *stored_name, const safetensors *file,
                       const stored_tensor *t, rondo_error *error)
{
    arena a;
    arena_begin(&a, file->arena.allocator);
    stored_tensor wanted = {.type_text = "F32", .rank = item->rank};
    memcpy(wanted.dims, item->dims, sizeof wanted.dims);
    const char *found = stored_words(&a, t), *needed = stored_words(&a, &wanted);
    if (!found || !needed)
        fail_memory(error, a.bytes, "a message");
    else
        fail(error, RONDO_MISMATCH,
             "%s: tensor %.100s is %.100s, the model has %.100s; was it trained with other sizes?",
             file->path, stored_name, found, needed);
    arena_end(&a);
    return false;
}

static bool check_one(const weight *item, const char *stored_name, const safetensors *file,
                      rondo_error *error)
{
    const stored_tensor *t = safetensors_find(file, stored_name);
    if (!t)
        return fail(error, RONDO_MISMATCH, "%s has no tensor %s; it belongs to another model", file->path,
                    stored_name);
    if (!safetensors_check_readable(file, t, error))
        return false;
    bool same = t->rank == item->rank && convert_is_known(t);
    for (int a = 0; same && a < item->rank; a++)
        same = t->dims[a] == item->dims[a];
    if (!same)
        return fail_shape(item, stored_name, file, t, error);
    return safetensors_check_data(file, t, error);
}

static const char *stored_name(arena *a, const char *prefix, const weight *item, rondo_error *error)
{
    const char *name = *prefix ? arena_text(a, "%s%s", prefix, item->name) : item->name;
    if (!name)
        fail_memory(error, strlen(item->name), "weights");
    return name;
}

bool weights_check(const rondo_weights *w, const safetensors *file, const char *prefix, rondo_error *error)
{
    arena a;
    bool good = true;
    arena_begin(&a, &w->context->allocator);
    for (int i = 0; good && i < w->item_count; i++) {
        const char *name = stored_name(&a, prefix, &w->items[i], error);
        good = name && check_one(&w->items[i], name, file, error);
    }
    arena_end(&a);
    return good;
}

bool weights_read(const rondo_weights *w, const safetensors *file, const char *prefix, float *block,
                  rondo_error *error)
{
    arena a;
    bool good = true;
    arena_begin(&a, &w->context->allocator);
    for (int i = 0; good && i < w->item_count; i++) {
        const weight *item = &w->items[i];
        const char *name = stored_name(&a, prefix, item, error);
        const stored_tensor *t = name ? safetensors_find(file, name) : NULL;
        good = t != NULL;
        if (good)
            convert_to_f32(file, t, block + item->offset);
    }
    arena_end(&a);
    return good;
}

rondo_weights *rondo_weights_load(const rondo_graph *g, const char *path, rondo_error *error)
{
    error_begin(error);
    if (!g || !graph_check(g, error))
        return NULL;
    safetensors file;
    rondo_weights *w = weights_layout(g, error);
    bool good = w && safetensors_open(&file, &g->context->allocator, path, error);
    if (good) {
        good = weights_check(w, &file, "", error) && weights_allocate(w, error) &&
               weights_read(w, &file, "", w->block, error);
        safetensors_close(&file);
    }
    if (good)
        return w;
    rondo_weights_free(w);
    return NULL;
}

rondo_tensor *weights_tensors(const rondo_weights *w, arena *a, const char *prefix, float *block)
{
    rondo_tensor *tensors = ARENA_NEW(a, rondo_tensor, w->item_count + 1);
    for (int i = 0; tensors && i < w->item_count; i++) {
        const weight *item = &w->items[i];
        tensors[i] = (rondo_tensor){.name = *prefix ? arena_text(a, "%s%s", prefix, item->name) : item->name,
                                    .type = RONDO_F32,
                                    .rank = item->rank,
                                    .data = block + item->offset};
        memcpy(tensors[i].dims, item->dims, sizeof tensors[i].dims);
        if (!tensors[i].name)
            return NULL;
    }
    return tensors;
}

bool weights_save(const rondo_weights *w, const char *path, const char *const *metadata, int pairs,
                  rondo_error *error)
{
    arena a;
    arena_begin(&a, &w->context->allocator);
    rondo_tensor *tensors = weights_tensors(w, &a, "", w->block);
    const char **all = ARENA_NEW(&a, const char *, 2 * (pairs + 1));
    if (all) {
        all[0] = "format";
        all[1] = "pt";
    }
    for (int i = 0; all && i < 2 * pairs; i++)
        all[i + 2] = metadata[i];
    bool good = tensors && all ? safetensors_save(&w->context->allocator, path, tensors, w->item_count, all,
                                                  pairs + 1, error)
                               : fail_memory(error, sizeof *tensors * (size_t)w->item_count, "weights");
    arena_end(&a);
    return good;
}

bool rondo_weights_save(const rondo_weights *w, const char *path, rondo_error *error)
{
    error_begin(error);
    return w && weights_save(w, path, NULL, 0, error);
}

bool rondo_weights_get(rondo_weights *w, const char *name, rondo_tensor *view)
{
    const weight *item = w && name ? weights_find(w, name) : NULL;
    if (!item)
        return false;
    *view = (rondo_tensor){
        .name = item->name, .type = RONDO_F32, .rank = item->rank, .data = w->block + item->offset};
    memcpy(view->dims, item->dims, sizeof view->dims);
    return true;
}

int64_t rondo_weights_count(const rondo_weights *w)
{
    int64_t count = 0;
    for (int i = 0; w && i < w->item_count; i++)
        count += w->items[i].count;
    return count;
}
