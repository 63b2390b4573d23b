/* Memory: the context's allocator, and arenas on it that are freed as a whole. Nothing else in the library
 * calls malloc. */
#pragma once
#include "core/status.h"

/* Zeroed memory, 64-byte aligned; NULL when the allocator refuses or bytes overflows. release needs the same
 * size. */
void *memory_new(const rondo_allocator *allocator, size_t bytes);
void memory_free(const rondo_allocator *allocator, void *memory, size_t bytes);
extern const rondo_allocator memory_malloc; /* the default, for a NULL allocator */

/* A growing region; everything in it dies together. After a refused allocation `failed` stays set, so a long
 * build can check once. */
typedef struct arena {
    const rondo_allocator *allocator;
    struct arena_block *block;
    size_t used_bytes; /* of the current block */
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

/* A text that grows; ends in NUL always. */
typedef struct text {
    arena *arena;
    char *data;
    size_t length, capacity;
} text;
/* numbers in the C locale always: use text_number */
bool text_add(text *t, const char *format, ...) RONDO_FORMAT(2, 3);
bool text_number(text *t, double number); /* shortest form that reads back the same */
/* Reads a number in the C locale whatever the host's; *end past it. False: no number there. */
bool parse_number(const char *text, const char **end, double *number);
