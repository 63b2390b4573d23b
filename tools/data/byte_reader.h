/* The bytes of a file or of standard input, plain or gzip, as soon as they arrive. */
#pragma once
#include "core/memory.h"
#include <zlib.h>

typedef struct byte_reader {
    const rondo_allocator *allocator;
    const char *path; /* for messages: the caller's, or "standard input" */
    int descriptor;
    bool compressed, member_open; /* gzip; inside one of its members */
    bool ended;                   /* nothing more can be read from the descriptor */
    unsigned char *buffer;        /* as read; bytes [at, end) are not consumed yet */
    size_t at, end;
    z_stream inflater;
} byte_reader;

/* "-" is standard input, which stays open. RONDO_FILE: it cannot be opened. Errors as byte_reader_read,
 * because the first bytes are read, to recognise gzip. */
bool byte_reader_open(byte_reader *r, const rondo_allocator *allocator, const char *path, rondo_error *error);
/* Reads at least one byte, and at most `room`; *got = 0: the end. Failures are not the end: RONDO_IO: the
 * system could not read; RONDO_FILE: damaged or truncated gzip; RONDO_MEMORY; RONDO_CANCELLED: a signal
 * asks to stop. */
bool byte_reader_read(byte_reader *r, void *into, size_t room, size_t *got, rondo_error *error);
void byte_reader_close(byte_reader *r);
