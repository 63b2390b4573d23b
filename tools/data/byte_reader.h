/* The bytes of a file or of standard input, plain or gzip, in the order and at the time they come. */
#pragma once
#include "core/memory.h"
#include <zlib.h>

typedef struct byte_reader {
    const rondo_allocator *allocator;
    const char *path; /* for messages: the caller's, or "standard input" */
    int descriptor;
    bool compressed, member_open; /* gzip, and inside one of its members */
    bool ended;                   /* nothing more can be read from the descriptor */
    unsigned char *buffer;        /* as read; bytes [at, end) are not handed out yet */
    size_t at, end;
    z_stream inflater;
} byte_reader;

/* "-" is standard input, which stays open. RONDO_FILE: it cannot be opened. Opening may read, to see whether it is gzip. */
bool byte_reader_open(byte_reader *r, const rondo_allocator *allocator, const char *path, rondo_error *error);
/* Gives at least a byte, and no more than `room`; *got = 0 is the end. The end is one thing, failing another: RONDO_IO is
 * what the system refuses, RONDO_FILE damaged or cut-off gzip, RONDO_MEMORY, RONDO_CANCELLED a signal that asks to stop. */
bool byte_reader_read(byte_reader *r, void *into, size_t room, size_t *got, rondo_error *error);
void byte_reader_close(byte_reader *r);
