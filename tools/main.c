/* main of the command `rondo`. Only here is the environment read, and are the standard streams checked. */
#include "rondo.h"
#include "tools/report/message.h"
#include "tools/run/progress.h"
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* A file that is opened while a standard stream is closed would get that descriptor, and what is printed
 * would end up in it. /dev/null takes its place, opened so that it can neither be read as standard input
 * nor be written as the others: a command that needs the stream fails, the rest go on. */
static bool fill_standard_streams(void)
{
    for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; stream++)
        if (fcntl(stream, F_GETFD) < 0 &&
            open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY) != stream)
            return false;
    return true;
}

/* RONDO_THREADS, else the number of CPUs that this process may use; 0: RONDO_THREADS is not a number of
 * threads. */
static int thread_count(void)
{
    const char *said = getenv("RONDO_THREADS");
    char *end = NULL;
    long count = said ? strtol(said, &end, 10) : 0;
    if (said && (*end || count < 1 || count > 1024)) {
        fprintf(stderr, "rondo: RONDO_THREADS=%s is not a number of threads (1 to 1024)\n", said);
        return 0;
    }
    cpu_set_t set;
    if (!said)
        count = sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
    return (int)count;
}

static void print_log(void *user, int level, const char *line)
{
    (void)user, (void)level;
    message(NULL, "%s", line);
}

int main(int argc, char **argv)
{
    const char *no_color = getenv("NO_COLOR");
    if (!fill_standard_streams())
        return 1;
    int threads = thread_count();
    if (!threads)
        return 2;
    if (no_color && no_color[0])
        progress_use_lines();
    rondo *context = rondo_new(threads, .log = print_log);
    int code = rondo_main(context, argc, argv);
    rondo_free(context);
    return code;
}
