/* Signals that ask to stop: loops end, and work that cannot check for them ends the process. */
#include "tests/tools/text_files.h"
#include "tools/data/corpus.h"
#include "tools/signals.h"
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(signals, .fini = remove_files);

Test(signals, reading_and_tokenising_stop)
{
    lines l, good = made_lines(100, 1);
    corpus c;
    rondo_error error = {0};
    tokenizer *t = letters(&good);
    signals_begin();
    raise(SIGTERM);
    cr_expect(!lines_read(&l, NULL, good.path, &error) && error.code == RONDO_CANCELLED);
    error = (rondo_error){0};
    cr_expect(!corpus_make(&c, NULL, NULL, &good, t, (corpus_limits){0, 0}, &error) &&
              error.code == RONDO_CANCELLED);
    error = (rondo_error){0};
    cr_expect(!corpus_make_blocks(&c, NULL, &good, t, 8, &error) && error.code == RONDO_CANCELLED);
    tokenizer_free(t);
    lines_free(&good);
}

static int exit_code_of(void (*child)(void))
{
    int status;
    pid_t process = fork();
    if (process == 0) {
        child();
        _exit(0);
    }
    cr_assert_eq(waitpid(process, &status, 0), process);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static char left_file[80], left_folder[64];
static void stop_at_once(void)
{
    signals_begin();
    signals_end_at_once("", left_file, left_folder);
    raise(SIGTERM);
}
static void stop_too_early(void)
{
    signals_begin();
    raise(SIGINT);
    signals_end_at_once("", NULL, NULL);
}
static void stop_later(void)
{
    signals_begin();
    signals_end_at_once("", NULL, NULL);
    signals_be_noted();
    raise(SIGINT);
    _exit(signals_caught());
}

Test(signals, work_that_cannot_check_for_them_ends_at_once)
{
    strcpy(left_folder, "/tmp/rondo-signal-XXXXXX");
    cr_assert(mkdtemp(left_folder));
    snprintf(left_file, sizeof left_file, "%s/lock", left_folder);
    fclose(fopen(left_file, "w"));
    cr_expect_eq(exit_code_of(stop_at_once), 128 + SIGTERM);
    cr_expect(access(left_folder, F_OK) != 0);
    cr_expect_eq(exit_code_of(stop_too_early), 128 + SIGINT);
    cr_expect_eq(exit_code_of(stop_later), SIGINT);
}
