/* Reading safetensors. The header is not trusted: sizes are computed with overflow checks, and the tensors
 * must cover the bytes after the header exactly, without gaps or overlaps, as the format demands. Writing:
 * safetensors_save.c. */
#include "core/safetensors.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "safetensors holds little-endian numbers, which this code maps as they are"
#endif

enum { LENGTH_BYTES = 8, MOST_HEADER_BYTES = 100 << 20, MOST_VALUES = 1000000, MOST_AXES = 8 };

typedef struct dtype {
    const char *name;
    rondo_type type; /* 0: Rondo does not compute with it */
    size_t bytes;
} dtype;
static const dtype dtypes[] = {
    {"F32", RONDO_F32, 4}, {"F64", RONDO_F64, 8}, {"I32", RONDO_I32, 4}, {"F16", 0, 2},     {"BF16", 0, 2},
    {"I64", 0, 8},         {"I16", 0, 2},         {"I8", 0, 1},          {"U64", 0, 8},     {"U32", 0, 4},
    {"U16", 0, 2},         {"U8", 0, 1},          {"BOOL", 0, 1},        {"F8_E5M2", 0, 1}, {"F8_E4M3", 0, 1},
    {"F8_E8M0", 0, 1},     {"C64", 0, 8}};

/* The file and the tensor that are being read, for messages. */
typedef struct reader {
    safetensors *s;
    rondo_error *error;
    char name[64]; /* of the tensor, printable */
} reader;

/* Copies text of the file without control characters; if it is too long, it is cut between two characters. */
static void copy_printable(char *to, size_t room, const char *from)
{
    size_t i = 0;
    for (; from[i] && i < room - 1; i++)
        to[i] = (unsigned char)from[i] < 0x20 || from[i] == 0x7f ? '?' : from[i];
    while (i > 0 && ((unsigned char)from[i] & 0xc0) == 0x80)
        i--;
    to[i] = 0;
}

static bool fail_tensor(const reader *r, const char *what)
{
    return fail(r->error, RONDO_FILE, "%s: tensor \"%s\" %s; the file is damaged", r->s->path, r->name, what);
}
static bool fail_header(const reader *r, const char *what)
{
    return fail(r->error, RONDO_FILE, "%s: %s; this is not a safetensors file, or it is damaged", r->s->path,
                what);
}

/* ---- one tensor ---- */

/* *element_bytes stays 0 for a dtype that is not in the table: the format may have new ones. */
static bool read_type(reader *r, const json_t *entry, stored_tensor *t, size_t *element_bytes)
{
    const char *word = json_string_value(json_object_get(entry, "dtype"));
    if (!word || !*word)
        return fail_tensor(r, "has no dtype");
    copy_printable(t->type_text, sizeof t->type_text, word);
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (!strcmp(word, dtypes[i].name)) {
            t->type = dtypes[i].type;
            *element_bytes = dtypes[i].bytes;
        }
    return true;
}

/* *bytes: the size of an element on entry, that of the tensor on return. */
static bool read_shape(reader *r, const json_t *entry, stored_tensor *t, size_t *bytes)
{
    const json_t *shape = json_object_get(entry, "shape");
    if (!json_is_array(shape))
        return fail_tensor(r, "has no shape");
    bool empty = false, overflow = false;
    for (size_t i = 0; i < json_array_size(shape); i++) {
        const json_t *extent = json_array_get(shape, i);
        if (!json_is_integer(extent) || json_integer_value(extent) < 0)
            return fail_tensor(r, "has a shape that is not a list of natural numbers");
        if (i < MOST_AXES)
            t->dims[i] = json_integer_value(extent);
        empty = empty || json_integer_value(extent) == 0;
        overflow = __builtin_mul_overflow(*bytes, (size_t)json_integer_value(extent), bytes) || overflow;
    }
    if (overflow && !empty)
        return fail_tensor(r, "is larger than the address space");
    if (empty)
        *bytes = 0;
    t->rank = json_array_size(shape) > MOST_AXES ? 0 : (int)json_array_size(shape);
    return true;
}

/* A tensor that the format allows but Rondo cannot read does not make the file damaged; it is an error only
 * for a caller that asks for this tensor. */
static bool note_unreadable(reader *r, const json_t *entry, size_t element_bytes, stored_tensor *t)
{
    size_t axes = json_array_size(json_object_get(entry, "shape"));
    if (element_bytes && axes <= MOST_AXES)
        return true;
    t->unreadable = axes > MOST_AXES
                        ? arena_text(&r->s->arena, "has %zu axes, and Rondo reads at most 8", axes)
                        : arena_text(&r->s->arena, "has dtype %s, which Rondo does not read", t->type_text);
    t->type = 0;
    t->rank = 0;
    return t->unreadable || fail_memory(r->error, 64, "the list of tensors");
}

static bool read_offsets(reader *r, const json_t *entry, stored_tensor *t, size_t data_start)
{
    const json_t *offsets = json_object_get(entry, "data_offsets");
    const json_t *first = json_array_get(offsets, 0), *last = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(first) || !json_is_integer(last))
        return fail_tensor(r, "has no data_offsets");
    json_int_t begin = json_integer_value(first), end = json_integer_value(last);
    if (begin < 0 || end < begin || (uint64_t)end > r->s->map.bytes - data_start)
        return fail_tensor(r, "lies outside the file");
    t->offset_bytes = data_start + (size_t)begin;
    t->size_bytes = (size_t)(end - begin);
    return true;
}

static bool read_tensor(reader *r, const char *name, const json_t *entry, size_t data_start, stored_tensor *t)
{
    size_t element_bytes = 0, bytes;
    copy_printable(r->name, sizeof r->name, name);
    *t = (stored_tensor){.name = arena_copy_text(&r->s->arena, name, strlen(name))};
    if (!t->name)
        return fail_memory(r->error, strlen(name), "the name of a tensor");
    if (!json_is_object(entry) || json_object_size(entry) != 3)
        return fail_tensor(r, "is not described by dtype, shape and data_offsets");
    if (!read_type(r, entry, t, &element_bytes))
        return false;
    bytes = element_bytes;
    if (!read_shape(r, entry, t, &bytes) || !read_offsets(r, entry, t, data_start))
        return false;
    if (element_bytes && bytes != t->size_bytes)
        return fail_tensor(r, "does not have the size that its shape and dtype give");
    return note_unreadable(r, entry, element_bytes, t);
}

/* ---- the header ---- */

static bool read_metadata(reader *r, json_t *metadata)
{
    safetensors *s = r->s;
    const char *key;
    json_t *value;
    if (!json_is_object(metadata))
        return fail_header(r, "__metadata__ is not an object");
    s->metadata = ARENA_NEW(&s->arena, const char *, 2 * json_object_size(metadata) + 1);
    if (!s->metadata)
        return fail_memory(r->error, 16 * json_object_size(metadata), "metadata");
    json_object_foreach(metadata, key, value)
    {
        if (!json_is_string(value))
            return fail_header(r, "__metadata__ has a value that is not text");
        const char **pair = &s->metadata[2 * s->metadata_count++];
        pair[0] = arena_copy_text(&s->arena, key, strlen(key));
        pair[1] = arena_copy_text(&s->arena, json_string_value(value), json_string_length(value));
        if (!pair[0] || !pair[1])
            return fail_memory(r->error, json_string_length(value), "metadata");
    }
    return true;
}

static int by_place(const void *a, const void *b)
{
    const stored_tensor *x = a, *y = b;
    if (x->offset_bytes != y->offset_bytes)
        return x->offset_bytes < y->offset_bytes ? -1 : 1;
    return (x->size_bytes > y->size_bytes) - (x->size_bytes < y->size_bytes);
}
static int by_name(const void *a, const void *b)
{
    return strcmp(((const stored_tensor *)a)->name, ((const stored_tensor *)b)->name);
}

static bool check_cover(reader *r, size_t data_start)
{
    safetensors *s = r->s;
    size_t end = data_start;
    if (s->count > 1)
        qsort(s->tensors, (size_t)s->count, sizeof *s->tensors, by_place);
    for (int i = 0; i < s->count; end += s->tensors[i++].size_bytes) {
        copy_printable(r->name, sizeof r->name, s->tensors[i].name);
        if (s->tensors[i].offset_bytes < end)
            return fail_tensor(r, "overlaps another");
        if (s->tensors[i].offset_bytes > end)
            return fail_tensor(r, "does not start where the one before it ends");
    }
    return end == s->map.bytes || fail_header(r, "there are bytes after the last tensor");
}

/* Called while the tensors are in the order of the file. */
static bool read_checksums(reader *r, size_t data_start)
{
    safetensors *s = r->s;
    const char *header = safetensors_metadata(s, CHECKSUM_OF_HEADER);
    const char *data = safetensors_metadata(s, CHECKSUM_OF_DATA);
    char found[CHECKSUM_DIGITS + 1];
    if (!header && !data)
        return true;
    if (!header || !data)
        return fail_header(r, "one of its checksums is missing");
    if (!checksum_of_header(s->map.data, data_start, found) || strcmp(header, found))
        return fail_header(r, "its header does not match its checksum");
    for (int i = 0; i < s->count; i++, data += CHECKSUM_DIGITS) {
        data += i && *data == ' ';
        if (!checksum_parse(data, &s->tensors[i].checksum))
            return fail_header(r, "the checksums of its tensors are malformed");
    }
    s->has_checksums = true;
    return !*data || fail_header(r, "it has more checksums than tensors");
}

static bool read_entries(reader *r, json_t *header, size_t data_start)
{
    safetensors *s = r->s;
    const char *name;
    json_t *entry;
    if (!json_is_object(header) || json_object_size(header) > INT32_MAX / 2)
        return fail_header(r, "the header is not an object");
    s->tensors = ARENA_NEW(&s->arena, stored_tensor, json_object_size(header) + 1);
    if (!s->tensors)
        return fail_memory(r->error, sizeof *s->tensors * json_object_size(header), "the list of tensors");
    json_object_foreach(header, name, entry)
    {
        bool good = strcmp(name, "__metadata__")
                        ? read_tensor(r, name, entry, data_start, &s->tensors[s->count++])
                        : read_metadata(r, entry);
        if (!good)
            return false;
    }
    if (!check_cover(r, data_start) || !read_checksums(r, data_start))
        return false;
    if (s->count > 1)
        qsort(s->tensors, (size_t)s->count, sizeof *s->tensors, by_name);
    return true;
}

/* jansson needs more than a hundred bytes for a value of two bytes of text, so values are counted before it
 * parses them. */
const char *safetensors_over_limit(const char *header, size_t bytes)
{
    size_t values = 0;
    bool in_text = false;
    if (bytes > MOST_HEADER_BYTES)
        return "its header is longer than 100 MB";
    for (size_t i = 0; i < bytes; i++)
        if (in_text && header[i] == '\\')
            i++;
        else if (header[i] == '"')
            in_text = !in_text;
        else if (!in_text)
            values += header[i] == ',' || header[i] == ':' || header[i] == '[' || header[i] == '{';
    return values > MOST_VALUES ? "its header has more than 1,000,000 values" : NULL;
}

static bool read_header(reader *r)
{
    const safetensors *s = r->s;
    const char *data = s->map.data;
    uint64_t length;
    if (s->map.bytes < LENGTH_BYTES)
        return fail_header(r, "it has fewer than 8 bytes");
    memcpy(&length, data, LENGTH_BYTES);
    if (length > s->map.bytes - LENGTH_BYTES)
        return fail_header(r, "its header is longer than the file");
    if (length == 0 || data[LENGTH_BYTES] != '{')
        return fail_header(r, "its header does not begin with {");
    const char *limit = safetensors_over_limit(data + LENGTH_BYTES, (size_t)length);
    if (limit)
        return fail_header(r, limit);
    json_error_t wrong;
    json_t *header = json_loadb(data + LENGTH_BYTES, (size_t)length, JSON_REJECT_DUPLICATES, &wrong);
    if (!header && json_error_code(&wrong) == json_error_out_of_memory)
        return fail_memory(r->error, (size_t)length, "a safetensors header");
    if (!header)
        return fail(r->error, RONDO_FILE, "%s: its header is not JSON at byte %d: %s", s->path,
                    wrong.position + LENGTH_BYTES, wrong.text);
    bool good = read_entries(r, header, LENGTH_BYTES + (size_t)length);
    json_decref(header);
    return good;
}

static bool begin(safetensors *s, const rondo_allocator *a, const char *path, rondo_error *error)
{
    *s = (safetensors){.map = {.data = ""}, .path = ""};
    if (!path)
        return fail(error, RONDO_ARGUMENT, "the path of the file to read is NULL");
    arena_begin(&s->arena, a);
    const char *copy = arena_copy_text(&s->arena, path, strlen(path));
    s->path = copy ? copy : "";
    return copy || fail_memory(error, strlen(path), "the name of a file");
}

/* Closes s if anything failed, so that the caller has nothing to close. */
static bool finish(safetensors *s, bool good, rondo_error *error)
{
    reader r = {.s = s, .error = error};
    if (good && read_header(&r))
        return true;
    safetensors_close(s);
    return false;
}

bool safetensors_open(safetensors *s, const rondo_allocator *a, const char *path, rondo_error *error)
{
    bool good = begin(s, a, path, error);
    return finish(s, good && file_map_open(&s->map, path, error), error);
}

bool safetensors_read(safetensors *s, const rondo_allocator *a, const char *path, rondo_error *error)
{
    bool good = begin(s, a, path, error);
    return finish(s, good && file_map_read(&s->map, a, path, error), error);
}

void safetensors_close(safetensors *s)
{
    file_map_close(&s->map);
    arena_end(&s->arena);
    s->tensors = NULL;
    s->metadata = NULL;
    s->path = "";
    s->count = s->metadata_count = 0;
}

/* ---- access ---- */

static int name_against(const void *name, const void *tensor)
{
    return strcmp(name, ((const stored_tensor *)tensor)->name);
}

const stored_tensor *safetensors_find(const safetensors *s, const char *name)
{
    return s->count ? bsearch(name, s->tensors, (size_t)s->count, sizeof *s->tensors, name_against) : NULL;
}

bool safetensors_check_readable(const safetensors *s, const stored_tensor *t, rondo_error *error)
{
    return !t->unreadable ||
           fail(error, RONDO_MISMATCH, "%s: tensor \"%.100s\" %s", s->path, t->name, t->unreadable);
}

const void *safetensors_stored(const safetensors *s, const stored_tensor *t)
{
    return (const char *)s->map.data + t->offset_bytes;
}

const void *safetensors_data(const safetensors *s, const stored_tensor *t)
{
    return t->converted ? t->converted : safetensors_stored(s, t);
}

const char *safetensors_metadata(const safetensors *s, const char *key)
{
    for (int i = 0; i < s->metadata_count; i++)
        if (!strcmp(s->metadata[2 * i], key))
            return s->metadata[2 * i + 1];
    return NULL;
}

bool safetensors_number(const safetensors *s, const char *key, uint64_t most, uint64_t *number,
                        rondo_error *error)
{
    const char *text = safetensors_metadata(s, key), *c = text;
    uint64_t sum = 0;
    if (!text)
        return true;
    while (*c >= '0' && *c <= '9' && !__builtin_mul_overflow(sum, 10, &sum) &&
           !__builtin_add_overflow(sum, (uint64_t)(*c - '0'), &sum))
        c++;
    if (c == text || *c || sum > most)
        return fail(error, RONDO_FILE, "%s: %s is \"%.40s\", not a whole number from 0 to %llu", s->path, key,
                    text, (unsigned long long)most);
    *number = sum;
    return true;
}
