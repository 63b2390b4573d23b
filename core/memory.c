/* The context's allocator, arenas on it, growing texts, and numbers as text in the C locale. */
#include "core/memory.h"
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 64, FIRST_BLOCK_BYTES = 4096, LAST_BLOCK_BYTES = 1 << 20 };

/* ---- the allocator ---- */

static void *malloc_allocate(void *user, size_t bytes, size_t alignment)
{
    (void)user;
    return aligned_alloc(alignment, bytes); /* memory_new hands in multiples of the alignment */
}

static void malloc_release(void *user, void *memory, size_t bytes)
{
    (void)user;
    (void)bytes;
    free(memory);
}

const rondo_allocator memory_malloc = {NULL, malloc_allocate, malloc_release};

/* The size to ask the allocator for; 0: larger than any object can be. */
static size_t rounded_bytes(size_t bytes)
{
    if (bytes > PTRDIFF_MAX - ALIGNMENT)
        return 0;
    return bytes ? (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT : ALIGNMENT;
}

void *memory_new(const rondo_allocator *allocator, size_t bytes)
{
    const rondo_allocator *a = allocator ? allocator : &memory_malloc;
    size_t rounded = rounded_bytes(bytes);
    void *memory = rounded ? a->allocate(a->user, rounded, ALIGNMENT) : NULL;
    if (memory)
        memset(memory, 0, rounded);
    return memory;
}

void memory_free(const rondo_allocator *allocator, void *memory, size_t bytes)
{
    const rondo_allocator *a = allocator ? allocator : &memory_malloc;
    if (memory)
        a->release(a->user, memory, rounded_bytes(bytes));
}

/* ---- arenas ---- */

struct arena_block {
    struct arena_block *next; /* older */
    size_t bytes;             /* of the whole block, this header included */
};
enum { HEADER_BYTES = ALIGNMENT }; /* keeps what follows the header aligned */

void arena_begin(arena *a, const rondo_allocator *allocator)
{
    *a = (arena){.allocator = allocator ? allocator : &memory_malloc};
}

void arena_end(arena *a)
{
    while (a->block) {
        struct arena_block *block = a->block;
        a->block = block->next;
        memory_free(a->allocator, block, block->bytes);
    }
    a->used_bytes = 0;
}

/* A large request gets a block of its own, and the rest of the current block stays in use. */
static void *arena_new_large(arena *a, size_t bytes)
{
    struct arena_block *block = memory_new(a->allocator, HEADER_BYTES + bytes);
    if (!block)
        return NULL;
    block->bytes = HEADER_BYTES + bytes;
    if (a->block) {
        block->next = a->block->next;
        a->block->next = block;
    } else {
        a->block = block;
        a->used_bytes = block->bytes;
    }
    return (char *)block + HEADER_BYTES;
}

static bool arena_new_block(arena *a)
{
    size_t bytes = a->block ? a->block->bytes * 2 : FIRST_BLOCK_BYTES;
    if (bytes > LAST_BLOCK_BYTES)
        bytes = LAST_BLOCK_BYTES;
    struct arena_block *block = memory_new(a->allocator, bytes);
    if (!block)
        return false;
    block->bytes = bytes;
    block->next = a->block;
    a->block = block;
    a->used_bytes = HEADER_BYTES;
    return true;
}

void *arena_new(arena *a, size_t bytes)
{
    size_t alignment = bytes >= 256 ? 64 : 16;
    void *memory = NULL;
    if (bytes > PTRDIFF_MAX - 2 * ALIGNMENT) {
        memory = NULL;
    } else if (bytes > FIRST_BLOCK_BYTES / 2) {
        memory = arena_new_large(a, bytes);
    } else {
        size_t at = (a->used_bytes + alignment - 1) / alignment * alignment;
        bool fits = a->block && at <= a->block->bytes && bytes <= a->block->bytes - at;
        if (fits || arena_new_block(a)) {
            at = fits ? at : HEADER_BYTES;
            memory = (char *)a->block + at;
            a->used_bytes = at + (bytes ? bytes : 1);
        }
    }
    if (!memory)
        a->failed = true;
    return memory;
}

void *arena_array(arena *a, size_t element_bytes, size_t count)
{
    size_t bytes;
    if (__builtin_mul_overflow(element_bytes, count, &bytes)) {
        a->failed = true;
        return NULL;
    }
    return arena_new(a, bytes);
}

bool arena_grow(arena *a, void **items, size_t element_bytes, int count, int *capacity)
{
    if (*capacity > INT32_MAX / 2) {
        a->failed = true;
        return false;
    }
    int larger = *capacity ? *capacity * 2 : 8;
    void *grown = arena_array(a, element_bytes, (size_t)larger);
    if (!grown)
        return false;
    if (count)
        memcpy(grown, *items, element_bytes * (size_t)count);
    *items = grown;
    *capacity = larger;
    return true;
}

char *arena_text(arena *a, const char *format, ...)
{
    va_list list, again;
    va_start(list, format);
    va_copy(again, list);
    int length = vsnprintf(NULL, 0, format, list);
    char *formatted = length < 0 ? NULL : arena_new(a, (size_t)length + 1);
    if (formatted)
        vsnprintf(formatted, (size_t)length + 1, format, again);
    else
        a->failed = true;
    va_end(again);
    va_end(list);
    return formatted;
}

char *arena_copy_text(arena *a, const char *from, size_t length)
{
    char *copy = length < SIZE_MAX ? arena_new(a, length + 1) : NULL;
    if (copy && length)
        memcpy(copy, from, length);
    if (!copy)
        a->failed = true;
    return copy; /* arenas are zeroed: the NUL stands there */
}

/* ---- texts ---- */

static bool text_room(text *t, size_t more)
{
    size_t needed;
    if (__builtin_add_overflow(t->length, more, &needed) || needed > PTRDIFF_MAX / 4) {
        t->arena->failed = true;
        return false;
    }
    if (needed < t->capacity)
        return true;
    size_t capacity = needed * 2 > 128 ? needed * 2 : 128;
    char *data = arena_new(t->arena, capacity);
    if (!data)
        return false;
    if (t->length)
        memcpy(data, t->data, t->length);
    t->data = data;
    t->capacity = capacity;
    return true;
}

bool text_add(text *t, const char *format, ...)
{
    va_list list, again;
    va_start(list, format);
    va_copy(again, list);
    int length = vsnprintf(NULL, 0, format, list);
    bool good = length >= 0 && text_room(t, (size_t)length + 1);
    if (good) {
        vsnprintf(t->data + t->length, (size_t)length + 1, format, again);
        t->length += (size_t)length;
    } else {
        t->arena->failed = true;
    }
    va_end(again);
    va_end(list);
    return good;
}

/* ---- numbers; the host may have set any locale, in any thread ---- */

bool text_number(text *t, double number)
{
    if (isnan(number))
        return text_add(t, "nan");
    if (isinf(number))
        return text_add(t, number < 0 ? "-inf" : "inf");
    locale_t plain =
        newlocale(LC_ALL_MASK, "C", (locale_t)0); /* a static object in glibc and musl: costs nothing */
    if (!plain) {
        t->arena->failed = true;
        return false;
    }
    locale_t before = uselocale(plain);
    char shortest[40];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(shortest, sizeof shortest, "%.*g", digits, number);
        if (strtod(shortest, NULL) == number)
            break;
    }
    uselocale(before);
    freelocale(plain);
    return text_add(t, "%s", shortest);
}

/* strtod also takes leading blanks, hexadecimal, "infinity" and "nan(…)"; here a number is what text_number
 * writes. */
bool parse_number(const char *from, const char **end, double *number)
{
    const char *digits = from + (*from == '-' || *from == '+');
    double sign = *from == '-' ? -1.0 : 1.0;
    if (!strncmp(digits, "inf", 3) || !strncmp(digits, "nan", 3)) {
        *number = *digits == 'i' ? sign * INFINITY : (double)NAN;
        *end = digits + 3;
        return true;
    }
    bool begins =
        (*digits >= '0' && *digits <= '9') || (*digits == '.' && digits[1] >= '0' && digits[1] <= '9');
    if (!begins)
        return false;
    if (*digits == '0' && (digits[1] == 'x' || digits[1] == 'X')) {
        *number = sign * 0.0;
        *end = digits + 1;
        return true;
    }
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!plain)
        return false;
    char *stop = NULL;
    double read = strtod_l(from, &stop, plain);
    freelocale(plain);
    if (isinf(read))
        return false;
    *number = read;
    *end = stop;
    return true;
}
