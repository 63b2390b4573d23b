/* parameters: what a graph that was read from a file finds there, whatever floating-point dtype it is
 * stored in. */
#include "models/parameters.h"
#include "core/convert.h"
#include "core/options.h"
#include "ops/op.h"

bool parameters_open(safetensors *file, const rondo_allocator *allocator, const char *path,
                     const rondo_load_options *options, rondo_error *error)
{
    rondo_load_options own;
    const char *wrong = options_read(&own, sizeof own, options);
    if (wrong)
        return fail(error, RONDO_ARGUMENT, "rondo_load_options: %s", wrong);
    if (!own.read) /* all of a mapping would have to be read for its checksums */
        return safetensors_open(file, allocator, path, error);
    return safetensors_read(file, allocator, path, error) && safetensors_check_all(file, error);
}

const char *stored_words(arena *a, const stored_tensor *t)
{
    text words = {.arena = a};
    text_add(&words, "%s [", t->type_text);
    for (int axis = 0; axis < t->rank; axis++)
        text_add(&words, "%s%lld", axis ? "," : "", (long long)t->dims[axis]);
    text_add(&words, "]");
    return text_done(&words);
}

static bool has_dims(const stored_tensor *t, const shape *s)
{
    bool same = t->rank == s->rank;
    for (int a = 0; same && a < s->rank; a++)
        same = dim_is_number(s->dims[a], t->dims[a]);
    return same;
}

static bool fail_parameter(const rondo_graph *g, value_id v, const char *name, const stored_tensor *t,
                           rondo_error *error)
{
    arena a;
    arena_begin(&a, &g->context->allocator);
    text words = {.arena = &a};
    shape_text(&words, g, graph_shape_of(g, v));
    const char *wanted = text_done(&words), *found = stored_words(&a, t);
    if (!wanted || !found)
        fail_memory(error, words.capacity, "a message");
    else
        fail(error, RONDO_FILE, "parameter %.100s: the graph reads %s%.120s, the file holds %.120s", name,
             type_name(g->values[v].type), wanted, found);
    arena_end(&a);
    return false;
}

bool parameters_fit(safetensors *file, const rondo_graph *g, rondo_error *error)
{
    for (node_id id = 0; id < g->node_count; id++) {
        const node *n = &g->nodes[id];
        if (n->op != OP_parameter)
            continue;
        value_id v = n->first_output;
        const char *name = g->names[n->attributes[parameter_name].integer];
        const stored_tensor *t = safetensors_find(file, name);
        if (!t)
            return fail(error, RONDO_FILE, "its graph reads parameter %.100s, which the file does not hold",
                        name);
        if (!safetensors_check_readable(file, t, error))
            return false;
        if (!has_dims(t, graph_shape_of(g, v)) || g->values[v].type != RONDO_F32 || !convert_is_known(t))
            return fail_parameter(g, v, name, t, error);
        if (!convert_tensor(file, t, error))
            return false;
    }
    return true;
}
