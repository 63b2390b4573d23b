/* Files on POSIX: a writer beside the target, a read-only mapping. No descriptor is ever 0, 1 or 2, whatever
 * the process has closed: what it prints would end up in the file. */
#include "core/file.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* In English, whatever the locale is. */
static const char *reason(int number)
{
#if defined __GLIBC__ && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 32)
    const char *words = strerrordesc_np(number);
    return words ? words : "unknown error";
#else
    return strerror(number);
#endif
}

bool fail_system(rondo_error *error, const char *path, const char *what)
{
    return fail(error, RONDO_IO, "%s: cannot %s: %s", path, what, reason(errno));
}

static int open_mode(const char *path, int flags, mode_t mode)
{
    int descriptor = open(path, flags | O_CLOEXEC, mode);
    if (descriptor < 0 || descriptor > STDERR_FILENO)
        return descriptor;
    int higher = fcntl(descriptor, F_DUPFD_CLOEXEC, STDERR_FILENO + 1), number = errno;
    close(descriptor);
    errno = number;
    return higher;
}

int file_open(const char *path, int flags)
{
    return open_mode(path, flags, 0666);
}

/* ---- names ---- */

static char token[FILE_TOKEN_DIGITS + 1];

static void make_token(void)
{
    uint64_t bits;
    struct timespec now;
    if (getrandom(&bits, sizeof bits, GRND_NONBLOCK) != sizeof bits) {
        clock_gettime(CLOCK_REALTIME, &now);
        bits = ((uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec) * 0x9e3779b97f4a7c15u ^
               (uint64_t)getpid();
    }
    snprintf(token, sizeof token, "%016llx", (unsigned long long)bits);
}

const char *file_token(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_token);
    return token;
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
    for (int attempt = 0; attempt < 100; attempt++) { /* a forked process has the token of its parent */
        snprintf(name, room, "%s" FILE_PART "%s-%u", path, file_token(), atomic_fetch_add(&counter, 1));
        int descriptor = open_mode(name, O_WRONLY | O_CREAT | O_EXCL, 0666);
        if (descriptor >= 0 || errno != EEXIST)
            return descriptor;
    }
    return -1;
}

/* Where symbolic links lead, also to a file that is not there yet. */
static bool follow(const char *path, char out[PATH_MAX], rondo_error *error)
{
    char link[PATH_MAX];
    const char *name = path;
    size_t length = strlen(path);
    for (int links = 0; length < PATH_MAX && links < 40; links++) {
        memmove(out, path, length + 1);
        ssize_t bytes = readlink(out, link, sizeof link - 1);
        if (bytes < 0)
            return true; /* it is no link */
        link[bytes] = 0;
        const char *slash = strrchr(out, '/');
        size_t folder = *link == '/' || !slash ? 0 : (size_t)(slash - out) + 1;
        length = folder + (size_t)bytes;
        if (length >= PATH_MAX)
            break;
        memmove(link + folder, link, (size_t)bytes + 1);
        memcpy(link, out, folder);
        path = link;
    }
    errno = length < PATH_MAX ? ELOOP : ENAMETOOLONG;
    return fail_system(error, name, "create");
}

/* The file that is to be replaced: a regular one, or none yet. */
static bool find_target(const char *path, char out[PATH_MAX], rondo_error *error)
{
    struct stat there;
    if (stat(path, &there) == 0 && !S_ISREG(there.st_mode))
        return fail(error, RONDO_ARGUMENT, "%s is %s; only a regular file is replaced: name another one",
                    path, S_ISDIR(there.st_mode) ? "a folder" : "a device, a pipe or a socket");
    return follow(path, out, error);
}

file_writer *file_create(const rondo_allocator *a, const char *name, rondo_error *error)
{
    char path[PATH_MAX];
    if (!name) {
        fail(error, RONDO_ARGUMENT, "the path of the file to write is NULL");
        return NULL;
    }
    if (!find_target(name, path, error))
        return NULL;
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
    if (stat(path, &old) == 0 && S_ISREG(old.st_mode)) { /* who may read it stays as it was */
        (void)!fchown(w->descriptor, old.st_uid, old.st_gid);
        (void)!fchmod(w->descriptor, old.st_mode & 07777);
    }
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
    int descriptor = file_open(folder, O_RDONLY | O_DIRECTORY);
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

bool file_check_target(const rondo_allocator *a, const char *path, rondo_error *error)
{
    file_writer *w = file_create(a, path, error);
    bool good = w != NULL;
    file_abandon(w);
    return good;
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

/* A descriptor of a regular file, and its size; −1: the error says why not. */
static int open_regular(const char *path, size_t *bytes, rondo_error *error)
{
    int descriptor = file_open(path, O_RDONLY | O_NONBLOCK); /* a pipe must not hold us up */
    struct stat status;
    if (descriptor < 0 || fstat(descriptor, &status))
        fail_system(error, path, "open");
    else if (!S_ISREG(status.st_mode))
        fail(error, RONDO_IO, "%s: is no regular file", path);
    else {
        *bytes = (size_t)status.st_size;
        return descriptor;
    }
    if (descriptor >= 0)
        close(descriptor);
    return -1;
}

bool file_map_open(file_map *m, const char *path, rondo_error *error)
{
    size_t bytes;
    *m = (file_map){.data = ""};
    int descriptor = open_regular(path, &bytes, error);
    if (descriptor < 0)
        return false;
    void *data = bytes ? mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, descriptor, 0) : NULL;
    if (data == MAP_FAILED)
        fail_system(error, path, "map");
    else if (bytes)
        *m = (file_map){.data = data, .bytes = bytes};
    close(descriptor);
    return data != MAP_FAILED;
}

static bool read_all(int descriptor, char *data, size_t bytes, const char *path, rondo_error *error)
{
    for (size_t at = 0; at < bytes;) {
        ssize_t got = read(descriptor, data + at, bytes - at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail_system(error, path, "read");
        if (got == 0)
            return fail(error, RONDO_IO, "%s: became shorter while it was read", path);
        at += (size_t)got;
    }
    return true;
}

bool file_map_read(file_map *m, const rondo_allocator *a, const char *path, rondo_error *error)
{
    size_t bytes;
    *m = (file_map){.data = ""};
    int descriptor = open_regular(path, &bytes, error);
    if (descriptor < 0)
        return false;
    char *data = memory_new(a, bytes);
    bool good = data ? read_all(descriptor, data, bytes, path, error)
                     : fail_memory(error, bytes, "the content of a file");
    close(descriptor);
    if (good)
        *m = (file_map){data, bytes, a};
    else
        memory_free(a, data, bytes);
    return good;
}

void file_map_close(file_map *m)
{
    if (m->allocator)
        memory_free(m->allocator, (void *)m->data, m->bytes);
    else if (m->bytes)
        munmap((void *)m->data, m->bytes);
    *m = (file_map){.data = ""};
}
