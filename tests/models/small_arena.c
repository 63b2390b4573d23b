/* The library's arenas with very small blocks, linked in place of its own: nearly every allocation in an
 * arena then reaches the allocator, where a test can refuse it. */
#define ARENA_FIRST_BLOCK_BYTES 128
#define ARENA_LAST_BLOCK_BYTES  128
#include "core/arena.c"
