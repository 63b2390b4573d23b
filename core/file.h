/* Files as the library needs them: whole or not at all. A writer goes to a temporary file beside the target,
 * is fsynced and renamed; a mapping is read-only. */
#pragma once
#include "core/memory.h"

typedef struct file_writer file_writer;
/* The target is a regular file or not there yet; RONDO_ARGUMENT otherwise. A symbolic link stays, and the
 * file that it leads to is replaced. */
file_writer *file_create(const rondo_allocator *a, const char *path, rondo_error *error);
bool file_write(file_writer *w, const void *data, size_t bytes, rondo_error *error);
/* fsync, rename, fsync of the folder; frees w. False: target untouched */
bool file_commit(file_writer *w, rondo_error *error);
void file_abandon(file_writer *w);                    /* removes the temporary; NULL is fine */
/* Whether file_create works for this path: for work that takes long before it writes. Nothing stays of it. */
bool file_check_target(const rondo_allocator *a, const char *path, rondo_error *error);
/* All of it: the file holds these bytes, or what it held before. */
bool file_store(const rondo_allocator *a, const char *path, const void *data, size_t bytes,
                rondo_error *error);

typedef struct file_map {
    const void *data;
    size_t bytes;
    const rondo_allocator *allocator; /* of a copy in memory; NULL: mapped */
} file_map;
/* A mapping shows the file as it is: if it is cut short meanwhile, reading what is gone ends the process
 * with SIGBUS. */
bool file_map_open(file_map *m, const char *path, rondo_error *error);
bool file_map_read(file_map *m, const rondo_allocator *a, const char *path, rondo_error *error); /* a copy */
void file_map_close(file_map *m);

/* As open(2), with O_CLOEXEC, and 0666 for a new file; never the descriptor of a standard stream. −1: errno.
 */
int file_open(const char *path, int flags);
/* "PATH: cannot WHAT: " and what errno says. */
bool fail_system(rondo_error *error, const char *path, const char *what);

/* A temporary file is called TARGET.part-TOKEN-N; the token is a random number of this process, in
 * hexadecimal. */
#define FILE_PART ".part-"
enum { FILE_TOKEN_DIGITS = 16 };
const char *file_token(void);
