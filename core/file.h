/* Files as the library needs them: whole or not at all. A writer goes to a temporary file beside the target, is fsynced and
 * renamed; a mapping is read-only; a lock belongs to one process. */
#pragma once
#include "core/memory.h"

typedef struct file_writer file_writer;
file_writer *file_create(const rondo_allocator *a, const char *path, rondo_error *error);
bool file_write(file_writer *w, const void *data, size_t bytes, rondo_error *error);
bool file_commit(file_writer *w, rondo_error *error); /* fsync, rename, fsync of the folder; frees w. False: target untouched */
void file_abandon(file_writer *w);                    /* removes the temporary; NULL is fine */
/* All of it: the file holds these bytes, or what it held before. */
bool file_store(const rondo_allocator *a, const char *path, const void *data, size_t bytes, rondo_error *error);

typedef struct file_map {
    const void *data;
    size_t bytes;
} file_map;
bool file_map_open(file_map *m, const char *path, rondo_error *error);
void file_map_close(file_map *m);

/* An exclusive lock on FOLDER/lock (flock), holding the pid; RONDO_MISMATCH names the pid that has it. Returns a
 * descriptor, −1: failed. */
int file_lock(const char *folder, rondo_error *error);
void file_unlock(int descriptor);
bool folder_make(const char *path, rondo_error *error); /* like mkdir -p */
