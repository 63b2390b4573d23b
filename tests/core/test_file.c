/* Files are written whole or not at all, and only regular files are replaced. */
#include "core/file.h"
#include "core/folder.h"
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/rondo-file-XXXXXX";
static char path[100];
static void enter(void)
{
    cr_assert(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/file", folder);
}
static int entries(void)
{
    DIR *d = opendir(folder);
    int count = 0;
    for (struct dirent *e = readdir(d); e; e = readdir(d))
        count += e->d_name[0] != '.';
    closedir(d);
    return count;
}
static void leave(void)
{
    char command[200];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    cr_expect_eq(system(command), 0);
}
TestSuite(file, .init = enter, .fini = leave);

static void put(const char *words)
{
    rondo_error error = {0};
    file_writer *w = file_create(&memory_malloc, path, &error);
    cr_assert(w && file_write(w, words, strlen(words), &error) && file_commit(w, &error), "%s",
              error.message);
}
static void expect_content(const char *words)
{
    rondo_error error = {0};
    file_map m;
    cr_assert(file_map_open(&m, path, &error), "%s", error.message);
    cr_expect(m.bytes == strlen(words) && !memcmp(m.data, words, m.bytes));
    file_map_close(&m);
}

Test(file, a_commit_replaces_the_whole)
{
    put("first, and longer");
    put("second");
    expect_content("second");
    cr_expect_eq(entries(), 1);
    put("");
    expect_content("");
}

Test(file, until_the_commit_nothing_changes)
{
    rondo_error error = {0};
    put("old");
    file_writer *w = file_create(&memory_malloc, path, &error);
    cr_assert(w && file_write(w, "new", 3, &error));
    expect_content("old");
    file_abandon(w);
    expect_content("old");
    cr_expect_eq(entries(), 1);
    file_abandon(NULL);
}

Test(file, a_write_that_fails_leaves_the_old_file)
{
    rondo_error error = {0}, later = {0};
    put("old");
    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &(struct rlimit){5, RLIM_INFINITY}),
                 0); /* as if the disk were full */
    file_writer *w = file_create(&memory_malloc, path, &error);
    cr_assert(w);
    cr_expect_not(file_write(w, "more than five", 14, &error));
    cr_expect(error.code == RONDO_IO && strstr(error.message, path), "%s", error.message);
    cr_expect_not(file_write(w, "x", 1, &later));
    cr_expect_not(file_commit(w, &error));
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY});
    expect_content("old");
    cr_expect_eq(entries(), 1);
}

Test(file, failures_say_which_file_and_why)
{
    rondo_error error = {0};
    file_map m;
    cr_expect_not(file_map_open(&m, "/nowhere/at all", &error));
    cr_expect_eq(error.code, RONDO_IO);
    cr_expect(strstr(error.message, "/nowhere/at all") && strstr(error.message, "No such file"));
    file_map_close(&m);
    error = (rondo_error){0};
    cr_expect_not(file_map_open(&m, folder, &error));
    cr_expect_eq(error.code, RONDO_IO);
    error = (rondo_error){0};
    cr_expect_null(file_create(&memory_malloc, "/nowhere/file", &error));
    cr_expect_eq(error.code, RONDO_IO);
}

/* ---- what may be replaced ---- */

static const char *in_folder(const char *name)
{
    static char names[4][512];
    static int next;
    char *out = names[next++ % 4];
    snprintf(out, sizeof names[0], "%s/%s", folder, name);
    return out;
}

static void refused(const char *name, const char *saying)
{
    rondo_error error = {0};
    cr_expect_null(file_create(&memory_malloc, name, &error), "%s", name);
    cr_expect(error.code != RONDO_OK && strstr(error.message, saying), "%s", error.message);
}

Test(file, only_a_regular_file_is_replaced)
{
    struct stat status;
    cr_assert_eq(mkfifo(path, 0600), 0);
    refused(path, "a device, a pipe or a socket");
    cr_expect(!stat(path, &status) && S_ISFIFO(status.st_mode));
    cr_assert_eq(symlink(path, in_folder("to the pipe")), 0);
    refused(in_folder("to the pipe"), "a device, a pipe or a socket");
    refused(folder, "is a folder");
    if (!mknod(in_folder("device"), S_IFCHR | 0600, 1 << 8 | 3)) { /* only root can make one */
        refused(in_folder("device"), "a device, a pipe or a socket");
        cr_expect(!stat(in_folder("device"), &status) && S_ISCHR(status.st_mode));
    }
}

Test(file, a_link_stays_and_the_file_that_it_leads_to_is_replaced)
{
    struct stat status;
    char absolute[160];
    rondo_error error = {0};
    snprintf(absolute, sizeof absolute, "%s/below/../to relative", folder);
    cr_assert(mkdir(in_folder("below"), 0700) == 0 && symlink("../file", in_folder("below/relative")) == 0 &&
              symlink("below/relative", in_folder("to relative")) == 0 &&
              symlink(absolute, in_folder("last")) == 0);
    for (int round = 0; round < 2; round++) { /* first the file is not there */
        const char *words = round ? "second" : "first";
        cr_assert(file_store(&memory_malloc, in_folder("last"), words, strlen(words), &error), "%s",
                  error.message);
        expect_content(words);
        cr_expect(!lstat(in_folder("last"), &status) && S_ISLNK(status.st_mode));
        cr_expect(!lstat(in_folder("below/relative"), &status) && S_ISLNK(status.st_mode));
    }
    cr_expect_eq(entries(), 4);
    cr_assert(symlink("round", in_folder("and")) == 0 && symlink("and", in_folder("round")) == 0);
    refused(in_folder("round"), "symbolic links");
}

/* With the standard streams closed, the next descriptors would be 0, 1 and 2. */
Test(file, what_is_printed_never_lands_in_a_file)
{
    pid_t child = fork();
    if (child == 0) {
        close(0), close(1), close(2);
        int lock = folder_lock(folder, NULL);
        file_writer *w = file_create(&memory_malloc, path, NULL);
        int found = file_open("/dev/null", O_RDONLY);
        bool good = lock > 2 && found > 2 && w && file_write(w, "good", 4, NULL);
        for (int stream = 0; stream < 3; stream++)
            good = write(stream, "noise", 5) < 0 && good;
        _exit(good && file_commit(w, NULL) ? 0 : 1);
    }
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    expect_content("good");
}

/* ---- locks, and what a killed process leaves ---- */

Test(file, a_lock_belongs_to_one_process)
{
    rondo_error error = {0};
    int lock = folder_lock(folder, &error);
    cr_assert_geq(lock, 0, "%s", error.message);
    cr_expect_lt(folder_lock(folder, &error), 0);
    char pid[30];
    snprintf(pid, sizeof pid, "process %ld", (long)getpid());
    cr_expect_eq(error.code, RONDO_MISMATCH);
    cr_expect(strstr(error.message, pid), "%s", error.message);
    folder_unlock(lock);
    error = (rondo_error){0};
    lock = folder_lock(folder, &error);
    cr_expect_geq(lock, 0, "%s", error.message);
    folder_unlock(lock);
    folder_unlock(-1);
}

Test(file, a_killed_process_gives_its_lock_back)
{
    int ready[2];
    cr_assert_eq(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        char good = folder_lock(folder, NULL) >= 0;
        if (write(ready[1], &good, 1) == 1)
            pause();
        _exit(0);
    }
    char good = 0;
    cr_assert_eq(read(ready[0], &good, 1), 1);
    cr_expect(good);
    cr_expect_lt(folder_lock(folder, NULL), 0);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    int lock = folder_lock(folder, NULL);
    cr_expect_geq(lock, 0);
    folder_unlock(lock);
}

/* A process that holds the lock and writes, and is killed. */
static void kill_a_writer(void)
{
    int ready[2];
    char good = 0;
    cr_assert_eq(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        good = folder_lock(folder, NULL) >= 0 && file_create(&memory_malloc, path, NULL) &&
               file_create(&memory_malloc, in_folder("thesis.part-2.tex"), NULL);
        if (write(ready[1], &good, 1) == 1)
            pause();
        _exit(0);
    }
    cr_assert(read(ready[0], &good, 1) == 1 && good);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

/* The name of the only temporary file with this beginning. */
static void find_part(const char *begin, char out[300])
{
    *out = 0;
    DIR *d = opendir(folder);
    for (struct dirent *e = readdir(d); e; e = readdir(d))
        if (!strncmp(e->d_name, begin, strlen(begin)))
            snprintf(out, 300, "%s", e->d_name);
    closedir(d);
}

static void touch(const char *name)
{
    rondo_error error = {0};
    cr_assert(file_store(&memory_malloc, in_folder(name), "mine", 4, &error), "%s", error.message);
}

Test(file, the_parts_of_a_killed_process_go_and_nothing_else_does)
{
    char part[300], other[300], name[400];
    kill_a_writer();
    cr_assert_eq(entries(), 3); /* two parts and the lock */
    find_part("file.part-", part);
    snprintf(other, sizeof other, "%s", part);
    char *digit = strchr(other, '-') + 1;
    *digit = *digit == '0' ? '1' : '0';
    touch(other); /* of another process */
    touch("thesis.part-2.tex");
    touch("file.part-1-0"); /* names that a user may give a file */
    for (int i = 0; i < 3; i++) {
        static const char *const behind[] = {".gz", "-x", "0x"};
        snprintf(name, sizeof name, "%s%s", part, behind[i]);
        touch(name);
    }
    int lock = folder_lock(folder, NULL);
    cr_assert_geq(lock, 0);
    find_part(part, name);
    cr_expect_eq(entries(), 7, "%d files", entries());
    cr_expect(access(in_folder(part), F_OK) != 0);
    cr_expect(access(in_folder(other), F_OK) == 0 && access(in_folder("thesis.part-2.tex"), F_OK) == 0 &&
              access(in_folder("file.part-1-0"), F_OK) == 0);
    folder_unlock(lock);
}

Test(file, a_lock_that_is_somebody_elses_stays)
{
    static const char *const contents[] = {"mine",
                                           "12345\n",
                                           "1 0123456789abcdef",
                                           "1 0123456789abcde\n",
                                           "1 0123456789abcdef\n2",
                                           "x 0123456789abcdef\n"};
    snprintf(path, sizeof path, "%s/lock", folder);
    for (size_t i = 0; i < sizeof contents / sizeof *contents; i++) {
        rondo_error error = {0};
        put(contents[i]);
        cr_expect_lt(folder_lock(folder, &error), 0, "%s", contents[i]);
        cr_expect(error.code == RONDO_MISMATCH && strstr(error.message, "was not written by Rondo"), "%s",
                  error.message);
        expect_content(contents[i]);
    }
    unlink(path);
    touch("elsewhere");
    cr_assert_eq(symlink("elsewhere", path), 0);
    cr_expect_lt(folder_lock(folder, NULL), 0);
    snprintf(path, sizeof path, "%s/elsewhere", folder);
    expect_content("mine");
}

Test(file, folders_are_made_with_those_above)
{
    rondo_error error = {0};
    char deep[200];
    struct stat status;
    snprintf(deep, sizeof deep, "%s/a//b/c/", folder);
    cr_expect(folder_make(deep, &error), "%s", error.message);
    cr_expect(folder_make(deep, &error));
    cr_expect(stat(deep, &status) == 0 && S_ISDIR(status.st_mode));
    put("a file");
    snprintf(deep, sizeof deep, "%s/below", path);
    cr_expect_not(folder_make(deep, &error));
    cr_expect_eq(error.code, RONDO_IO);
    cr_expect_not(folder_make("", NULL));
}

Test(file, the_mode_of_a_replaced_file_stays)
{
    put("old");
    chmod(path, 0640);
    put("new");
    struct stat status;
    cr_assert_eq(stat(path, &status), 0);
    cr_expect_eq(status.st_mode & 0777, 0640);
}
