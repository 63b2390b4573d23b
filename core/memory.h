/* Memory from the context's allocator. Nothing else in the library calls malloc. */
#pragma once
#include "core/status.h"

/* Zeroed memory, 64-byte aligned; NULL when the allocator refuses or bytes overflows. release needs the same
 * size. */
void *memory_new(const rondo_allocator *allocator, size_t bytes);
void memory_free(const rondo_allocator *allocator, void *memory, size_t bytes);
extern const rondo_allocator memory_malloc; /* the default, for a NULL allocator */
