/* Folders on POSIX: making them, and the lock of one, by which it is also known what a killed process left
 * there. */
#include "core/folder.h"
#include "core/file.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Removes what the process of this token was writing into the folder when it was killed. */
static void remove_parts(const char *folder, const char *of)
{
    char path[PATH_MAX], ending[sizeof FILE_PART + FILE_TOKEN_DIGITS + 1];
    DIR *all = opendir(folder);
    size_t length = (size_t)snprintf(ending, sizeof ending, FILE_PART "%s-", of);
    for (const struct dirent *entry; all && (entry = readdir(all));) {
        const char *name = entry->d_name, *dash = strrchr(name, '-');
        size_t number = dash ? (size_t)(dash - name) + 1 : 0;
        if (number > length && !memcmp(name + number - length, ending, length) && name[number] &&
            !name[number + strspn(name + number, "0123456789")] &&
            (size_t)snprintf(path, sizeof path, "%s/%s", folder, name) < sizeof path)
            unlink(path);
    }
    if (all)
        closedir(all);
}

/* The record of a lock is "PID TOKEN\n" while a process holds it, and empty afterwards. */
typedef struct lock_record {
    long pid;
    char token[FILE_TOKEN_DIGITS + 1]; /* empty: nobody was killed */
} lock_record;

/* False: the file is somebody else's. */
static bool read_record(int descriptor, lock_record *record)
{
    char words[64];
    int end = 0;
    struct stat status;
    ssize_t length = pread(descriptor, words, sizeof words - 1, 0);
    *record = (lock_record){0};
    if (length == 0)
        return true;
    if (length < 0 || fstat(descriptor, &status) || status.st_size != length)
        return false;
    words[length] = 0;
    return sscanf(words, "%ld %16[0-9a-f]%n", &record->pid, record->token, &end) == 2 &&
           strlen(record->token) == FILE_TOKEN_DIGITS && words[end] == '\n' && end + 1 == length;
}

static bool write_record(int descriptor)
{
    char words[64];
    int length = snprintf(words, sizeof words, "%ld %s\n", (long)getpid(), file_token());
    return !ftruncate(descriptor, 0) && pwrite(descriptor, words, (size_t)length, 0) == length;
}

/* Between opening and locking, the process before may have removed the file. */
static bool is_still_there(int descriptor, const char *path)
{
    struct stat held, named;
    return !fstat(descriptor, &held) && !stat(path, &named) && held.st_ino == named.st_ino &&
           held.st_dev == named.st_dev;
}

/* The descriptor of the locked file; −1: failed. */
static int open_locked(const char *folder, const char *path, rondo_error *error)
{
    for (int attempt = 0; attempt < 100; attempt++) {
        int descriptor = file_open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK);
        if (descriptor < 0) {
            fail_system(error, path, "open");
            return -1;
        }
        bool locked = !flock(descriptor, LOCK_EX | LOCK_NB);
        if (locked && is_still_there(descriptor, path))
            return descriptor;
        lock_record holder = {0};
        if (!locked && errno == EWOULDBLOCK) {
            read_record(descriptor, &holder);
            fail(error, RONDO_MISMATCH, "%s: process %ld works there; wait for it, or use another folder",
                 folder, holder.pid);
        } else if (!locked)
            fail_system(error, path, "lock");
        close(descriptor);
        if (!locked)
            return -1;
    }
    fail(error, RONDO_IO, "%s: other processes keep removing it; try again", path);
    return -1;
}

static bool take_over(int descriptor, const char *folder, const char *path, rondo_error *error)
{
    lock_record before;
    if (!read_record(descriptor, &before))
        return fail(error, RONDO_MISMATCH, "%s was not written by Rondo; move it away, or use another folder",
                    path);
    if (before.token[0])
        remove_parts(folder, before.token);
    return write_record(descriptor) || fail_system(error, path, "write");
}

int folder_lock(const char *folder, rondo_error *error)
{
    char path[PATH_MAX];
    if ((size_t)snprintf(path, sizeof path, "%s/lock", folder) >= sizeof path) {
        fail(error, RONDO_ARGUMENT, "%.200s…: too long a path", folder);
        return -1;
    }
    int descriptor = open_locked(folder, path, error);
    if (descriptor < 0 || take_over(descriptor, folder, path, error))
        return descriptor;
    close(descriptor);
    return -1;
}

void folder_unlock(int descriptor)
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
