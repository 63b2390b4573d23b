/* Writing safetensors. The format allows no gaps between tensors, so alignment comes from order: the header
 * is padded to 64 bytes, then come tensors whose size is a multiple of 64 bytes, then of 32, 16, 8 and 4.
 * Each is aligned to 64 bytes or to the largest power of two that divides its own size. The checksum of the
 * header is part of the header and is computed with zeros in its place. */
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

typedef struct saving {
    const rondo_allocator *allocator;
    placed *order;
    int count;
    const char *const *metadata;
    int pairs;
    rondo_error *error;
} saving;

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
            return fail(error, RONDO_SHAPE, "tensor \"%s\" to be saved has an impossible shape", t->name);
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

/* The checksums of the data of tensors, and space for that of the header. */
static bool add_checksums(const saving *s, json_t *metadata)
{
    const size_t each = CHECKSUM_DIGITS + 1, bytes = each * ((size_t)s->count + 1);
    char *list = memory_new(s->allocator, bytes);
    for (int i = 0; list && i < s->count; i++) {
        checksum_print(checksum_of(s->order[i].tensor->data, s->order[i].bytes), list + each * (size_t)i);
        if (i + 1 < s->count)
            list[each * (size_t)i + CHECKSUM_DIGITS] = ' ';
    }
    bool good = list && !json_object_set_new(metadata, CHECKSUM_OF_HEADER, json_string("00000000")) &&
                !json_object_set_new(metadata, CHECKSUM_OF_DATA, json_string(list));
    memory_free(s->allocator, list, bytes);
    return good || fail_memory(s->error, bytes, "the checksums of a file");
}

static bool fill_metadata(const saving *s, json_t *metadata)
{
    for (int i = 0; i < s->pairs; i++)
        if (json_object_set_new(metadata, s->metadata[2 * i], json_string(s->metadata[2 * i + 1])))
            return fail(s->error, RONDO_ARGUMENT, "metadata \"%.100s\" to be saved is not UTF-8",
                        s->metadata[2 * i]);
    return add_checksums(s, metadata);
}

/* The JSON text, to be freed. NULL: failed. */
static char *header_text(const saving *s)
{
    json_t *header = json_object(), *metadata = json_object();
    char *json = NULL;
    size_t offset = 0;
    bool good = (header && metadata && !json_object_set(header, "__metadata__", metadata)) ||
                fail_memory(s->error, 64, "a safetensors header");
    good = good && fill_metadata(s, metadata);
    for (int i = 0; good && i < s->count; offset += s->order[i++].bytes)
        good = add_entry(header, s->order[i].tensor->name, describe(&s->order[i], offset), s->error);
    if (good && !(json = json_dumps(header, JSON_COMPACT)))
        fail_memory(s->error, 64, "a safetensors header");
    json_decref(metadata);
    json_decref(header);
    return json;
}

/* ---- the file ---- */

/* Length, JSON and padding, with the right checksum: the bytes before the tensors. */
static char *complete_header(const saving *s, const char *json, size_t *bytes)
{
    const size_t length = strlen(json), unpadded = LENGTH_BYTES + length;
    *bytes = (unpadded + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    uint64_t stored = *bytes - LENGTH_BYTES;
    char checksum[CHECKSUM_DIGITS + 1], *header = memory_new(s->allocator, *bytes);
    if (!header) {
        fail_memory(s->error, *bytes, "a safetensors header");
        return NULL;
    }
    memcpy(header, &stored, LENGTH_BYTES);
    memcpy(header + LENGTH_BYTES, json, length);
    memset(header + unpadded, ' ', *bytes - unpadded);
    const char *digits = checksum_of_header(header, *bytes, checksum);
    memcpy(header + (digits - header), checksum, CHECKSUM_DIGITS);
    return header;
}

static bool write_all(const saving *s, const char *json, file_writer *w)
{
    size_t bytes;
    char *header = complete_header(s, json, &bytes);
    bool good = header && file_write(w, header, bytes, s->error);
    for (int i = 0; good && i < s->count; i++)
        good = file_write(w, s->order[i].tensor->data, s->order[i].bytes, s->error);
    memory_free(s->allocator, header, bytes);
    return good;
}

bool safetensors_save(const rondo_allocator *a, const char *path, const rondo_tensor *tensors, int count,
                      const char *const *metadata, int pairs, rondo_error *error)
{
    size_t bytes = sizeof(placed) * ((size_t)count + 1);
    const saving s = {a, memory_new(a, bytes), count, metadata, pairs, error};
    if (!s.order)
        return fail_memory(error, bytes, "the order of tensors in a file");
    bool good = true;
    for (int i = 0; good && i < count; i++)
        good = place(&tensors[i], i, &s.order[i], error);
    if (good && count > 1)
        qsort(s.order, (size_t)count, sizeof *s.order, by_alignment);
    char *json = good ? header_text(&s) : NULL;
    const char *limit = json ? safetensors_over_limit(json, strlen(json)) : NULL;
    if (limit)
        fail(error, RONDO_ARGUMENT, "%s cannot be saved: %s, so it could not be read again", path, limit);
    file_writer *w = json && !limit ? file_create(a, path, error) : NULL;
    good = w && write_all(&s, json, w);
    if (w && !good)
        file_abandon(w);
    else if (w)
        good = file_commit(w, error);
    free(json);
    memory_free(a, s.order, bytes);
    return good;
}
