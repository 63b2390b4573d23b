/* Files for tests, in /tmp, and an allocator that counts. */
#include "tests/tools/text_files.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

enum { KEPT = 4 };
static char paths[KEPT][64];
static int path_count;

const char *file_with(const void *content, size_t bytes, bool compressed)
{
    char *path = paths[path_count++ % KEPT];
    if (*path)
        unlink(path);
    snprintf(path, sizeof paths[0], "/tmp/rondo-text-%d-%d%s", (int)getpid(), path_count,
             compressed ? ".gz" : "");
    if (compressed) {
        gzFile file = gzopen(path, "wb");
        gzwrite(file, content, (unsigned)bytes);
        gzclose(file);
    } else {
        FILE *file = fopen(path, "wb");
        fwrite(content, 1, bytes, file);
        fclose(file);
    }
    return path;
}

void remove_files(void)
{
    for (int i = 0; i < KEPT; i++)
        if (paths[i][0])
            unlink(paths[i]);
}

lines read_lines(const char *path)
{
    lines l;
    rondo_error error = {0};
    cr_assert(lines_read(&l, NULL, path, &error), "%s", error.message);
    return l;
}

lines made_lines(int64_t count, uint32_t random)
{
    size_t size = (size_t)count * 100, at = 0;
    char *data = malloc(size);
    for (int64_t i = 0; i < count; i++) {
        random = random * 1664525u + 1013904223u;
        int words = 1 + (int)((random >> 20) % 30);
        for (int w = 0; w < words; w++) {
            random = random * 1664525u + 1013904223u;
            at += (size_t)sprintf(data + at, "%s%c", w ? " " : "", 'a' + (random >> 24) % 5);
        }
        data[at++] = '\n';
    }
    lines l = read_lines(file_with(data, at, false));
    free(data);
    return l;
}

tokenizer *letters(const lines *l)
{
    rondo_error error = {0};
    tokenizer_lines part = {l->text, l->start, l->count};
    tokenizer *t = tokenizer_train(&part, 1, 16, TOKENIZER_BPE, &error);
    cr_assert(t, "%s", error.message);
    return t;
}

/* ---- memory ---- */

int allocations_left, blocks_alive;
size_t bytes_alive, most_bytes_alive;

static void *limited(void *user, size_t bytes, size_t alignment)
{
    (void)user;
    if (allocations_left-- == 0)
        return NULL;
    blocks_alive++;
    bytes_alive += bytes;
    most_bytes_alive = bytes_alive > most_bytes_alive ? bytes_alive : most_bytes_alive;
    return aligned_alloc(alignment, bytes);
}

static void release(void *user, void *memory, size_t bytes)
{
    (void)user;
    blocks_alive -= memory != NULL;
    bytes_alive -= memory ? bytes : 0;
    free(memory);
}

const rondo_allocator limited_allocator = {NULL, limited, release};
