/* plan: from the lifetimes of buffers to offsets in one arena. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A buffer of the arena. */
typedef struct lifetime {
    int64_t bytes;   /* a multiple of the alignment after plan */
    int first, last; /* first call that writes it, last that reads it */
    int64_t offset;  /* result */
    int64_t used;    /* bytes of the tensors in it */
} lifetime;

typedef struct memory_report {
    int64_t peak_bytes;  /* of the arena as planned */
    int64_t lower_bytes; /* most bytes alive at once: no plan for this order can use less */
    int64_t naive_bytes; /* if no two buffers shared memory */
} memory_report;

/* Up to this many buffers the arena is hardly larger than the lower bound; beyond, planning time matters
 * more. */
enum { PLAN_BY_SIZE_MOST = 8192 };
/* scratch: 5 · count integers. Afterwards the first 2 · count are the records' indices by first call, then by
 * last call. */
memory_report plan(lifetime *records, int count, int64_t alignment, int *scratch);
/* Whether each buffer lies inside an arena of this size, and none overlaps another that is alive at the same
 * time. scratch: as for plan, of which it takes 3 · count integers. */
bool plan_verify(const lifetime *records, int count, int64_t arena_bytes, int *scratch);
