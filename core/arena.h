/* An arena: a region that grows, on an allocator, and is freed as a whole. */
#pragma once
#include "core/memory.h"

/* After a refused allocation `failed` stays set, so that a long build is checked once, at its end. */
typedef struct arena {
    const rondo_allocator *allocator;
    struct arena_block *block;
    size_t used_bytes; /* of the current block */
    size_t bytes;      /* of all blocks */
    bool failed;
} arena;
void arena_begin(arena *a, const rondo_allocator *allocator);
void arena_end(arena *a);
/* zeroed, 16-byte aligned (64 for 256 bytes and more); NULL: refused */
void *arena_new(arena *a, size_t bytes);
char *arena_text(arena *a, const char *format, ...) RONDO_FORMAT(2, 3);
char *arena_copy_text(arena *a, const char *text, size_t length);
#define ARENA_NEW(a, type, count) ((type *)arena_array(a, sizeof(type), (size_t)(count)))
void *arena_array(arena *a, size_t element_bytes, size_t count); /* NULL on overflow too */
/* Makes room for one more element: doubles `*items` inside the arena when count == *capacity. False: refused.
 */
#define ARENA_PUSH(a, items, count, capacity) \
    ((count) < (capacity) || arena_grow(a, (void **)&(items), sizeof *(items), count, &(capacity)))
bool arena_grow(arena *a, void **items, size_t element_bytes, int count, int *capacity);
