/* Files are whole or not at all. */
#include "core/file.h"
#include <criterion/criterion.h>
#include <dirent.h>
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

Test(file, a_lock_belongs_to_one_process)
{
    rondo_error error = {0};
    int lock = file_lock(folder, &error);
    cr_assert_geq(lock, 0, "%s", error.message);
    cr_expect_lt(file_lock(folder, &error), 0);
    char pid[30];
    snprintf(pid, sizeof pid, "process %ld", (long)getpid());
    cr_expect_eq(error.code, RONDO_MISMATCH);
    cr_expect(strstr(error.message, pid), "%s", error.message);
    file_unlock(lock);
    error = (rondo_error){0};
    lock = file_lock(folder, &error);
    cr_expect_geq(lock, 0, "%s", error.message);
    file_unlock(lock);
    file_unlock(-1);
}

Test(file, a_killed_process_gives_its_lock_back)
{
    int ready[2];
    cr_assert_eq(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        char good = file_lock(folder, NULL) >= 0;
        if (write(ready[1], &good, 1) == 1)
            pause();
        _exit(0);
    }
    char good = 0;
    cr_assert_eq(read(ready[0], &good, 1), 1);
    cr_expect(good);
    cr_expect_lt(file_lock(folder, NULL), 0);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    int lock = file_lock(folder, NULL);
    cr_expect_geq(lock, 0);
    file_unlock(lock);
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
