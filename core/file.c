/* Files on POSIX: a writer beside the target, a read-only mapping, a lock. */
#include "core/file.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* In English whatever the locale is. */
static const char *reason(int number)
{
#if defined __GLIBC__ && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 32)
    const char *words = strerrordesc_np(number);
    return words ? words : "unknown error";
#else
    return strerror(number);
#endif
}

static bool fail_system(rondo_error *error, const char *path, const char *what)
{
    return fail(error, RONDO_IO, "%s: cannot %s: %s", path, what, reason(errno));
}

/* ---- writing ---- */

struct file_writer {
    const rondo_allocator *allocator;
    size_t bytes; /* of this block */
    int descriptor;
    bool failed;
    char *temporary; /* behind path */
    char path[];
};

static int open_new(char *name, size_t room, const char *path)
{
    static atomic_uint counter;
    for (int attempt = 0; attempt < 100; attempt++) {
        snprintf(name, room, "%s.part-%ld-%u", path, (long)getpid(), atomic_fetch_add(&counter, 1));
        int descriptor = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (descriptor >= 0 || errno != EEXIST)
            return descriptor;
    }
    return -1;
}

file_writer *file_create(const rondo_allocator *a, const char *path, rondo_error *error)
{
    if (!path) {
        fail(error, RONDO_ARGUMENT, "the path of the file to write is NULL");
        return NULL;
    }
    size_t length = strlen(path) + 1, room = length + 48, bytes = sizeof(file_writer) + length + room;
    file_writer *w = memory_new(a, bytes);
    if (!w) {
        fail_memory(error, bytes, "a file");
        return NULL;
    }
    w->allocator = a;
    w->bytes = bytes;
    memcpy(w->path, path, length);
    w->temporary = w->path + length;
    w->descriptor = open_new(w->temporary, room, path);
    if (w->descriptor < 0) {
        fail_system(error, path, "create");
        memory_free(a, w, bytes);
        return NULL;
    }
    struct stat old;
    if (stat(path, &old) == 0 && S_ISREG(old.st_mode))
        (void)!fchmod(w->descriptor, old.st_mode & 07777); /* who may read it stays as it was */
    return w;
}

bool file_write(file_writer *w, const void *data, size_t bytes, rondo_error *error)
{
    const char *at = data;
    while (bytes > 0 && !w->failed) {
        ssize_t written = write(w->descriptor, at, bytes < (1u << 30) ? bytes : 1u << 30);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0) {
            w->failed = true;
            return fail_system(error, w->path, "write");
        }
        at += written;
        bytes -= (size_t)written;
    }
    return !w->failed || fail(error, RONDO_IO, "%s: an earlier write failed", w->path);
}

/* So that the rename is on the disk too. Some file systems cannot: no harm. */
static void sync_folder(const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) + (slash == path) : 1;
    if (length >= sizeof folder)
        return;
    memcpy(folder, slash ? path : ".", length);
    folder[length] = 0;
    int descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor >= 0) {
        (void)!fsync(descriptor);
        close(descriptor);
    }
}

void file_abandon(file_writer *w)
{
    if (!w)
        return;
    if (w->descriptor >= 0)
        close(w->descriptor);
    unlink(w->temporary);
    memory_free(w->allocator, w, w->bytes);
}

bool file_commit(file_writer *w, rondo_error *error)
{
    bool good = !w->failed || fail(error, RONDO_IO, "%s: an earlier write failed", w->path);
    if (good && fsync(w->descriptor) && errno != EINVAL && errno != EROFS)
        good = fail_system(error, w->path, "write");
    if (close(w->descriptor) && good)
        good = fail_system(error, w->path, "write");
    w->descriptor = -1;
    if (good && rename(w->temporary, w->path))
        good = fail_system(error, w->path, "replace");
    if (!good) {
        file_abandon(w);
        return false;
    }
    sync_folder(w->path);
    memory_free(w->allocator, w, w->bytes);
    return true;
}

bool file_store(const rondo_allocator *a, const char *path, const void *data, size_t bytes,
                rondo_error *error)
{
    file_writer *w = file_create(a, path, error);
    if (w && file_write(w, data, bytes, error))
        return file_commit(w, error);
    file_abandon(w);
    return false;
}

/* ---- mapping ---- */

bool file_map_open(file_map *m, const char *path, rondo_error *error)
{
    *m = (file_map){"", 0};
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not hold us up */
    struct stat status;
    if (descriptor < 0)
        return fail_system(error, path, "open");
    if (fstat(descriptor, &status)) {
        fail_system(error, path, "open");
    } else if (!S_ISREG(status.st_mode)) {
        fail(error, RONDO_IO, "%s: is no regular file", path);
    } else if (status.st_size == 0) {
        close(descriptor);
        return true;
    } else {
        void *data = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0);
        if (data != MAP_FAILED) {
            close(descriptor);
            *m = (file_map){data, (size_t)status.st_size};
            return true;
        }
        fail_system(error, path, "map");
    }
    close(descriptor);
    return false;
}

void file_map_close(file_map *m)
{
    if (m->bytes)
        munmap((void *)m->data, m->bytes);
    *m = (file_map){"", 0};
}

/* ---- folders ---- */

int file_lock(const char *folder, rondo_error *error)
{
    char path[PATH_MAX], holder[32];
    if ((size_t)snprintf(path, sizeof path, "%s/lock", folder) >= sizeof path) {
        fail(error, RONDO_ARGUMENT, "%.200s…: too long a path", folder);
        return -1;
    }
    int descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (descriptor < 0) {
        fail_system(error, path, "open");
        return -1;
    }
    if (flock(descriptor, LOCK_EX | LOCK_NB)) {
        bool busy = errno == EWOULDBLOCK;
        ssize_t length = busy ? pread(descriptor, holder, sizeof holder - 1, 0) : -1;
        holder[length > 0 ? length : 0] = 0;
        long pid = strtol(holder, NULL, 10);
        if (busy)
            fail(error, RONDO_MISMATCH, "%s: process %ld works there; wait for it, or use another folder",
                 folder, pid);
        else
            fail_system(error, path, "lock");
        close(descriptor);
        return -1;
    }
    int length = snprintf(holder, sizeof holder, "%ld\n", (long)getpid());
    if (ftruncate(descriptor, 0) || pwrite(descriptor, holder, (size_t)length, 0) != length) {
        fail_system(error, path, "write");
        close(descriptor);
        return -1;
    }
    return descriptor;
}

void file_unlock(int descriptor)
{
    if (descriptor < 0)
        return;
    (void)!ftruncate(descriptor, 0);
    close(descriptor);
}

bool folder_make(const char *path, rondo_error *error)
{
    char part[PATH_MAX];
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof part)
        return fail(error, RONDO_ARGUMENT, "\"%.200s\" is no path of a folder", path);
    for (size_t end = 1; end <= length; end++) {
        if (path[end] != '/' && path[end] != 0)
            continue;
        memcpy(part, path, end);
        part[end] = 0;
        struct stat status;
        if (mkdir(part, 0777) == 0)
            continue;
        int number = errno;
        if (stat(part, &status) == 0 && S_ISDIR(status.st_mode))
            continue;
        errno = number == EEXIST ? ENOTDIR : number;
        return fail_system(error, part, "make a folder");
    }
    return true;
}
