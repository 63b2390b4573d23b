/* Reads with read(2), so that what a pipe has is available at once; gzip is recognised by its first two
 * bytes. */
#include "tools/data/byte_reader.h"
#include "core/file.h"
#include "tools/signals.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { BUFFER_BYTES = 1 << 17, MAGIC_BYTES = 2, GZIP_WINDOW = 15 + 16 };

/* ---- memory for zlib, which does not pass the size to its free ---- */

typedef struct inflater_block {
    size_t bytes;
    max_align_t memory[];
} inflater_block;

static void *inflater_new(void *user, unsigned count, unsigned size)
{
    const byte_reader *r = user;
    size_t bytes = sizeof(inflater_block) + (size_t)count * size;
    inflater_block *block = memory_new(r->allocator, bytes);
    if (!block)
        return NULL;
    block->bytes = bytes;
    return block->memory;
}

static void inflater_free(void *user, void *memory)
{
    const byte_reader *r = user;
    inflater_block *block = (inflater_block *)((char *)memory - offsetof(inflater_block, memory));
    memory_free(r->allocator, block, block->bytes);
}

/* ---- the descriptor ---- */

/* Appends to the buffer. */
static bool fill(byte_reader *r, rondo_error *error)
{
    if (r->at == r->end)
        r->at = r->end = 0;
    for (;;) {
        if (!signals_check(error))
            return false;
        ssize_t got = read(r->descriptor, r->buffer + r->end, BUFFER_BYTES - r->end);
        if (got >= 0) {
            r->end += (size_t)got;
            r->ended = got == 0;
            return true;
        }
        if (errno != EINTR)
            return fail(error, errno == EISDIR ? RONDO_FILE : RONDO_IO, "cannot read %s: %s", r->path,
                        strerror(errno));
    }
}

static bool begins_member(const byte_reader *r)
{
    return r->end - r->at >= MAGIC_BYTES && r->buffer[r->at] == 0x1F && r->buffer[r->at + 1] == 0x8B;
}

/* Reads enough to see whether a gzip member begins here, unless the input ends before. */
static bool fill_magic(byte_reader *r, rondo_error *error)
{
    while (!r->ended && r->end - r->at < MAGIC_BYTES) {
        memmove(r->buffer, r->buffer + r->at, r->end - r->at);
        r->end -= r->at;
        r->at = 0;
        if (!fill(r, error))
            return false;
    }
    return true;
}

static bool begin(byte_reader *r, rondo_error *error)
{
    r->buffer = memory_new(r->allocator, BUFFER_BYTES);
    if (!r->buffer)
        return fail_memory(error, BUFFER_BYTES, r->path);
    if (!fill_magic(r, error))
        return false;
    if (!begins_member(r))
        return true;
    r->inflater = (z_stream){.zalloc = inflater_new, .zfree = inflater_free, .opaque = r};
    r->compressed = r->member_open = inflateInit2(&r->inflater, GZIP_WINDOW) == Z_OK;
    return r->compressed || fail_memory(error, BUFFER_BYTES, r->path);
}

bool byte_reader_open(byte_reader *r, const rondo_allocator *allocator, const char *path, rondo_error *error)
{
    bool standard = strcmp(path, "-") == 0;
    *r = (byte_reader){.allocator = allocator, .path = standard ? "standard input" : path};
    r->descriptor = standard ? STDIN_FILENO : file_open(path, O_RDONLY);
    while (r->descriptor < 0 && errno == EINTR &&
           signals_check(error)) /* opening a named pipe waits for a writer */
        r->descriptor = file_open(path, O_RDONLY);
    if (r->descriptor < 0)
        return fail(error, RONDO_FILE, "cannot open %s: %s", path, strerror(errno));
    if (begin(r, error))
        return true;
    byte_reader_close(r);
    return false;
}

/* ---- reading ---- */

static size_t copy(byte_reader *r, void *into, size_t room)
{
    size_t left = r->end - r->at, count = left < room ? left : room;
    memcpy(into, r->buffer + r->at, count);
    r->at += count;
    return count;
}

/* A member may be followed by another one; anything else is ignored, as gzip does. */
static bool next_member(byte_reader *r, rondo_error *error)
{
    if (!fill_magic(r, error))
        return false;
    r->member_open = begins_member(r);
    if (r->member_open)
        inflateReset(&r->inflater);
    else
        r->ended = true;
    return true;
}

/* Decompresses what is in the buffer, which may give nothing. */
static bool inflate_some(byte_reader *r, void *into, size_t room, size_t *got, rondo_error *error)
{
    z_stream *z = &r->inflater;
    z->next_in = r->buffer + r->at;
    z->avail_in = (unsigned)(r->end - r->at);
    z->next_out = into;
    z->avail_out = room < UINT32_MAX ? (unsigned)room : UINT32_MAX;
    unsigned before = z->avail_out;
    int code = inflate(z, Z_NO_FLUSH);
    r->at = r->end - z->avail_in;
    *got = before - z->avail_out;
    if (code == Z_STREAM_END)
        return next_member(r, error);
    if (code == Z_OK || code == Z_BUF_ERROR)
        return true;
    if (code == Z_MEM_ERROR)
        return fail_memory(error, BUFFER_BYTES, r->path);
    return fail(error, RONDO_FILE, "%s is damaged (%s); fetch it again", r->path,
                z->msg ? z->msg : "no gzip data");
}

bool byte_reader_read(byte_reader *r, void *into, size_t room, size_t *got, rondo_error *error)
{
    for (;;) {
        *got = r->compressed ? 0 : copy(r, into, room);
        if (r->member_open && !inflate_some(r, into, room, got, error))
            return false;
        if (*got)
            return true;
        if (r->ended)
            return !r->member_open ||
                   fail(error, RONDO_FILE, "%s ends in the middle of its compressed data; fetch it again",
                        r->path);
        if ((!r->compressed || r->at == r->end) && !fill(r, error))
            return false;
    }
}

void byte_reader_close(byte_reader *r)
{
    if (r->compressed)
        inflateEnd(&r->inflater);
    memory_free(r->allocator, r->buffer, r->buffer ? BUFFER_BYTES : 0);
    if (r->descriptor > STDERR_FILENO)
        close(r->descriptor);
    *r = (byte_reader){.descriptor = -1};
}
