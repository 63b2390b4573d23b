/* Arenas: blocks that double in size, each zeroed when it is new. */
#include "core/arena.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#ifndef ARENA_FIRST_BLOCK_BYTES /* tests/models/small_arena.c has smaller blocks */
#define ARENA_FIRST_BLOCK_BYTES 4096
#define ARENA_LAST_BLOCK_BYTES  (1 << 20)
#endif
enum { FIRST_BLOCK_BYTES = ARENA_FIRST_BLOCK_BYTES, LAST_BLOCK_BYTES = ARENA_LAST_BLOCK_BYTES };

struct arena_block {
    struct arena_block *next; /* older */
    size_t bytes;             /* of the whole block, this header included */
};
enum { HEADER_BYTES = 64 }; /* keeps what follows the header aligned */

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
    a->used_bytes = a->bytes = 0;
}

/* A large request gets a block of its own, and the rest of the current block stays in use. */
static void *arena_new_large(arena *a, size_t bytes)
{
    struct arena_block *block = memory_new(a->allocator, HEADER_BYTES + bytes);
    if (!block)
        return NULL;
    block->bytes = HEADER_BYTES + bytes;
    a->bytes += block->bytes;
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
    a->bytes += bytes;
    block->next = a->block;
    a->block = block;
    a->used_bytes = HEADER_BYTES;
    return true;
}

void *arena_new(arena *a, size_t bytes)
{
    size_t alignment = bytes >= 256 ? 64 : 16;
    void *memory = NULL;
    if (bytes > PTRDIFF_MAX - 2 * HEADER_BYTES) {
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
