/* Writing safetensors. The format allows no hole between tensors, so alignment comes from order: the header
 * is padded to 64 bytes, then come tensors of a multiple of 64 bytes, then of 32, 16, 8 and 4: each lies
 * aligned to 64 bytes or to the largest power of two that divides its own size. */
#include "core/safetensors.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 64, LENGTH_BYTES = 8 };

typedef struct placed {
    const rondo_tensor *tensor;
    size_t bytes, alignment;
    int number;
} placed;

static int by_alignment(const void *a, const void *b)
{
    const placed *x = a, *y = b;
    if (x->alignment != y->alignment)
        return x->alignment > y->alignment ? -1 : 1;
    return (x->number > y->number) - (x->number < y->number);
}

static const char *type_text(rondo_type type)
{
    return type == RONDO_F32 ? "F32" : type == RONDO_F64 ? "F64" : type == RONDO_I32 ? "I32" : NULL;
}

static bool place(const rondo_tensor *t, int number, placed *to, rondo_error *error)
{
    if (!t->name || !strcmp(t->name, "__metadata__"))
        return fail(error, RONDO_ARGUMENT, "tensor %d to be saved has no name, or the name __metadata__",
                    number);
    if (!type_text(t->type) || t->rank < 0 || t->rank > 8)
        return fail(error, RONDO_ARGUMENT, "tensor \"%s\" to be saved has no dtype, or more than 8 axes",
                    t->name);
    size_t bytes = t->type == RONDO_F64 ? 8 : 4;
    for (int i = 0; i < t->rank; i++)
        if (t->dims[i] < 0 || __builtin_mul_overflow(bytes, (size_t)t->dims[i], &bytes) || bytes > INT64_MAX)
            return fail(error, RONDO_SHAPE, "tensor \"%s\" to be saved has a shape that cannot be", t->name);
    if (bytes && !t->data)
        return fail(error, RONDO_ARGUMENT, "tensor \"%s\" to be saved has no data", t->name);
    size_t alignment = bytes & (~bytes + 1);
    *to = (placed){t, bytes, bytes == 0 || alignment > ALIGNMENT ? ALIGNMENT : alignment, number};
    return true;
}

/* ---- the header ---- */

static json_t *describe(const placed *p, size_t offset)
{
    json_t *shape = json_array();
    for (int i = 0; i < p->tensor->rank; i++)
        if (json_array_append_new(shape, json_integer(p->tensor->dims[i])))
            break;
    if (json_array_size(shape) != (size_t)p->tensor->rank) {
        json_decref(shape);
        return NULL;
    }
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", type_text(p->tensor->type), "shape", shape,
                     "data_offsets", (json_int_t)offset, (json_int_t)(offset + p->bytes));
}

static bool add_entry(json_t *header, const char *name, json_t *entry, rondo_error *error)
{
    if (json_object_get(header, name)) {
        json_decref(entry);
        return fail(error, RONDO_ARGUMENT, "two tensors to be saved are called \"%.100s\"", name);
    }
    if (!entry)
        return fail_memory(error, 64, "a safetensors header");
    return json_object_set_new(header, name, entry) == 0 ||
           fail(error, RONDO_ARGUMENT, "the name of a tensor to be saved is not UTF-8");
}

static bool add_metadata(json_t *header, const char *const *metadata, int pairs, rondo_error *error)
{
    json_t *object = json_object();
    if (!object)
        return fail_memory(error, 64, "a safetensors header");
    for (int i = 0; i < pairs; i++)
        if (json_object_set_new(object, metadata[2 * i], json_string(metadata[2 * i + 1]))) {
            json_decref(object);
            return fail(error, RONDO_ARGUMENT, "metadata \"%.100s\" to be saved is not UTF-8",
                        metadata[2 * i]);
        }
    return json_object_set_new(header, "__metadata__", object) == 0 ||
           fail_memory(error, 64, "a safetensors header");
}

/* The JSON text, to be freed. NULL: failed. */
static char *header_text(const placed *order, int count, const char *const *metadata, int pairs,
                         rondo_error *error)
{
    json_t *header = json_object();
    char *json = NULL;
    size_t offset = 0;
    bool good = header || fail_memory(error, 64, "a safetensors header");
    if (good && pairs > 0)
        good = add_metadata(header, metadata, pairs, error);
    for (int i = 0; good && i < count; offset += order[i++].bytes)
        good = add_entry(header, order[i].tensor->name, describe(&order[i], offset), error);
    if (good && !(json = json_dumps(header, JSON_COMPACT)))
        fail_memory(error, 64, "a safetensors header");
    json_decref(header);
    return json;
}

/* ---- the file ---- */

static bool write_all(file_writer *w, const char *header, const placed *order, int count, rondo_error *error)
{
    static const char spaces[ALIGNMENT + 1] =
        "                                                                ";
    size_t length = strlen(header), padding = (ALIGNMENT - (LENGTH_BYTES + length) % ALIGNMENT) % ALIGNMENT;
    uint64_t stored = length + padding;
    bool good = file_write(w, &stored, LENGTH_BYTES, error) && file_write(w, header, length, error) &&
                file_write(w, spaces, padding, error);
    for (int i = 0; good && i < count; i++)
        good = file_write(w, order[i].tensor->data, order[i].bytes, error);
    return good;
}

bool safetensors_save(const rondo_allocator *a, const char *path, const rondo_tensor *tensors, int count,
                      const char *const *metadata, int pairs, rondo_error *error)
{
    size_t bytes = sizeof(placed) * ((size_t)count + 1);
    placed *order = memory_new(a, bytes);
    if (!order)
        return fail_memory(error, bytes, "the order of tensors in a file");
    bool good = true;
    for (int i = 0; good && i < count; i++)
        good = place(&tensors[i], i, &order[i], error);
    if (good && count > 1)
        qsort(order, (size_t)count, sizeof *order, by_alignment);
    char *header = good ? header_text(order, count, metadata, pairs, error) : NULL;
    file_writer *w = header ? file_create(a, path, error) : NULL;
    good = w && write_all(w, header, order, count, error);
    if (w && !good)
        file_abandon(w);
    else if (w)
        good = file_commit(w, error);
    free(header);
    memory_free(a, order, bytes);
    return good;
}
