/* An allocator that counts what is allocated and can refuse one request. */
#pragma once
#include "rondo.h"
#include <stdlib.h>

typedef struct counting {
    long live_bytes, requests, refuse_at; /* refuse_at: the request that gets NULL, counted from 1; 0: none */
} counting;

static inline void *counting_allocate(void *user, size_t bytes, size_t alignment)
{
    counting *c = user;
    if (++c->requests == c->refuse_at)
        return NULL;
    c->live_bytes += (long)bytes;
    return aligned_alloc(alignment, bytes);
}

static inline void counting_release(void *user, void *memory, size_t bytes)
{
    counting *c = user;
    c->live_bytes -= (long)bytes;
    free(memory);
}

static inline rondo_allocator counting_allocator(counting *c)
{
    return (rondo_allocator){c, counting_allocate, counting_release};
}
