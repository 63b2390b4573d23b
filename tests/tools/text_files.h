/* Files with given content, lines in them, and allocators that count and refuse. */
#pragma once
#include "models/tokenizer/tokenizer.h"
#include "tools/data/lines.h"

/* The path of a new file with this content; the path is valid until the fourth call after this one. */
const char *file_with(const void *content, size_t bytes, bool compressed);
#define FILE_WITH(text) file_with(text, sizeof text - 1, false)
void remove_files(void); /* at the end of a test */

/* lines_read, which must not fail. */
lines read_lines(const char *path);
/* `count` lines of 1 to 30 words of a letter, which depend on `random`. */
lines made_lines(int64_t count, uint32_t random);
/* A tokenizer that knows their letters. */
tokenizer *letters(const lines *l);

/* Counts what is allocated, and refuses when `allocations_left` is 0. */
extern const rondo_allocator limited_allocator;
extern int allocations_left, blocks_alive;
extern size_t bytes_alive, most_bytes_alive;
