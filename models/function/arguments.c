/* Checks the tensors of a call against the inputs of a graph. The values of the symbols are found from all
 * tensors together, so their order does not matter: a dim such as 64·N gives N as soon as it has no other
 * unknown. */
#include "core/text/words.h"
#include "models/decode/binding.h"
#include "models/function/function.h"
#include <string.h>

typedef struct arguments {
    const rondo_graph *g;
    const rondo_tensor *tensors;
    size_t count;
    value_id *leaves;              /* by tensor */
    int64_t bound[MAX_SYMBOLS];    /* −1: not known */
    const char *from[MAX_SYMBOLS]; /* the tensor that gave the value */
    arena *scratch;
    rondo_error *error;
} arguments;

/* ---- names and types ---- */

static bool fail_unknown(const arguments *a, const char *name)
{
    suggestion near = {.word = name};
    for (node_id id = 0; id < a->g->node_count; id++)
        if (a->g->nodes[id].op == OP_input)
            suggestion_offer(&near, a->g->names[a->g->nodes[id].attributes[input_name].integer]);
    return fail(a->error, RONDO_ARGUMENT, "there is no input %.80s%s%.80s%s", name,
                near.closest ? "; did you mean " : "", near.closest ? near.closest : "",
                near.closest ? "?" : "");
}

static bool check_type(const arguments *a, const rondo_tensor *t, const value *v)
{
    if (v->type != t->type)
        return fail(a->error, RONDO_SHAPE, "tensor %s is %s, the input is %s", t->name,
                    t->type >= RONDO_F32 && t->type <= RONDO_I32 ? type_name(t->type) : "of no known type",
                    type_name(v->type));
    if (v->shape.rank != t->rank)
        return fail(a->error, RONDO_SHAPE, "tensor %s has %d axes, the input has %d", t->name, t->rank,
                    v->shape.rank);
    for (int axis = 0; axis < t->rank; axis++)
        if (t->dims[axis] < 0)
            return fail(a->error, RONDO_SHAPE, "tensor %s: axis %d has a negative extent", t->name, axis);
    return true;
}

static bool find_leaf(arguments *a, size_t k)
{
    const rondo_tensor *t = &a->tensors[k];
    if (!t->name || !t->data)
        return fail(a->error, RONDO_ARGUMENT, "tensor %zu has no %s", k + 1, t->name ? "data" : "name");
    a->leaves[k] = graph_find_leaf(a->g, OP_input, t->name);
    if (a->leaves[k] == NONE)
        return fail_unknown(a, t->name);
    for (size_t before = 0; before < k; before++)
        if (a->leaves[before] == a->leaves[k])
            return fail(a->error, RONDO_ARGUMENT, "input %s is given twice", t->name);
    return check_type(a, t, &a->g->values[a->leaves[k]]);
}

/* ---- symbols ---- */

/* The only symbol of d that has no value yet; −1: there is none, or several. */
static int unknown_symbol(const arguments *a, dim d)
{
    int found = -1, count = 0;
    for (int s = 0; s < a->g->symbol_count; s++)
        if (d.power[s] && a->bound[s] < 0) {
            found = s;
            count++;
        }
    return count == 1 ? found : -1;
}

/* d where this symbol is `number` and the others have their values. */
static int64_t value_at(const arguments *a, dim d, int symbol, int64_t number)
{
    int64_t bound[MAX_SYMBOLS];
    memcpy(bound, a->bound, sizeof bound);
    bound[symbol] = number;
    return dim_value(d, bound);
}

/* The value of the symbol for which d is `extent`; −1: there is none. Bisection: d grows with it. */
static int64_t solve(const arguments *a, dim d, int symbol, int64_t extent)
{
    int64_t low = 0, high = extent;
    while (low < high) {
        int64_t middle = low + (high - low) / 2, value = value_at(a, d, symbol, middle);
        if (value >= 0 && value < extent)
            low = middle + 1;
        else
            high = middle;
    }
    return value_at(a, d, symbol, low) == extent && value_at(a, d, symbol, 1) != 0 ? low : -1;
}

static bool fail_extent(const arguments *a, const rondo_tensor *t, int axis, dim d)
{
    int symbol = dim_only_symbol(d), unknown = unknown_symbol(a, d);
    long long extent = t->dims[axis];
    const shape single = {.rank = 1, .dims = {d}};
    text words = {.arena = a->scratch};
    shape_text(&words, a->g, &single);
    const char *wanted = text_done(&words);
    if (!wanted)
        return fail_memory(a->error, words.capacity, "a message");
    if (symbol >= 0)
        return fail(a->error, RONDO_SHAPE, "tensor %s: axis %d has %lld entries, but %s is %lld in tensor %s",
                    t->name, axis, extent, a->g->symbols[symbol], (long long)a->bound[symbol],
                    a->from[symbol]);
    if (unknown >= 0)
        return fail(a->error, RONDO_SHAPE, "tensor %s: axis %d has %lld entries; %s fits %lld, %lld, …",
                    t->name, axis, extent, wanted, (long long)value_at(a, d, unknown, 1),
                    (long long)value_at(a, d, unknown, 2));
    return fail(a->error, RONDO_SHAPE, "tensor %s: axis %d has %lld entries, it must have %s, which is %lld",
                t->name, axis, extent, wanted, (long long)dim_value(d, a->bound));
}

/* One axis; sets `progress` if it gave a symbol its value. */
static bool read_axis(arguments *a, size_t k, int axis, bool *progress)
{
    const rondo_tensor *t = &a->tensors[k];
    dim d = graph_shape_of(a->g, a->leaves[k])->dims[axis];
    int symbol = unknown_symbol(a, d);
    if (symbol < 0)
        return true;
    int64_t number = solve(a, d, symbol, t->dims[axis]);
    if (number < 0 && value_at(a, d, symbol, 1) != 0)
        return fail_extent(a, t, axis, d);
    if (number < 0)
        return true;
    a->bound[symbol] = number;
    a->from[symbol] = t->name;
    *progress = true;
    return true;
}

static bool check_axes(const arguments *a, size_t k)
{
    const shape *s = graph_shape_of(a->g, a->leaves[k]);
    for (int axis = 0; axis < s->rank; axis++)
        if (dim_value(s->dims[axis], a->bound) != a->tensors[k].dims[axis])
            return fail_extent(a, &a->tensors[k], axis, s->dims[axis]);
    return true;
}

static bool find_symbols(arguments *a)
{
    binding known;
    for (int s = 0; s < MAX_SYMBOLS; s++)
        a->bound[s] = -1;
    for (bool progress = true; progress;) {
        progress = false;
        for (size_t k = 0; k < a->count; k++)
            for (int axis = 0; axis < a->tensors[k].rank; axis++)
                if (!read_axis(a, k, axis, &progress))
                    return false;
    }
    memcpy(known.bound, a->bound, sizeof known.bound);
    if (!binding_whole(&known, a->g, a->error))
        return false;
    for (size_t k = 0; k < a->count; k++)
        if (!check_axes(a, k))
            return false;
    return true;
}

/* ---- all tensors ---- */

static bool check_given(const arguments *a, const bool *read)
{
    for (node_id id = 0; id < a->g->node_count; id++) {
        const node *n = &a->g->nodes[id];
        bool given = n->op != OP_input || !read[n->first_output];
        for (size_t k = 0; k < a->count; k++)
            given = given || a->leaves[k] == n->first_output;
        text words = {.arena = a->scratch};
        if (given)
            continue;
        shape_text(&words, a->g, graph_shape_of(a->g, n->first_output));
        const char *dims = text_done(&words);
        if (!dims)
            return fail_memory(a->error, words.capacity, "a message");
        return fail(a->error, RONDO_ARGUMENT, "input %s is not given; it is %s%s",
                    a->g->names[n->attributes[input_name].integer],
                    type_name(a->g->values[n->first_output].type), dims);
    }
    return true;
}

static bool check_ids(const arguments *a)
{
    for (size_t k = 0; k < a->count; k++)
        if (a->tensors[k].type == RONDO_I32 &&
            !binding_check_leaf(a->g, a->leaves[k], &a->tensors[k], a->error))
            return false;
    return true;
}

static bool check_all(arguments *a, const bool *read)
{
    a->leaves = ARENA_NEW(a->scratch, value_id, a->count + 1);
    if (!a->leaves)
        return fail_memory(a->error, sizeof *a->leaves * a->count, "the inputs of a function");
    for (size_t k = 0; k < a->count; k++)
        if (!find_leaf(a, k))
            return false;
    return check_given(a, read) && find_symbols(a) && check_ids(a);
}

bool arguments_bind(instance *i, const bool *read, const rondo_tensor *tensors, size_t count, int64_t *bound,
                    rondo_error *error)
{
    arena scratch;
    arena_begin(&scratch, i->allocator);
    arguments a = {
        .g = i->program->graph, .tensors = tensors, .count = count, .scratch = &scratch, .error = error};
    bool good = check_all(&a, read);
    for (size_t k = 0; good && k < count; k++)
        instance_bind(i, a.leaves[k], tensors[k].data);
    memcpy(bound, a.bound, sizeof a.bound);
    arena_end(&scratch);
    return good;
}
