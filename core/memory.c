/* The context's allocator, or malloc. */
#include "core/memory.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 64 };

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
