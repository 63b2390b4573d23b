/* The command `rondo`: main, where alone the environment is read and the standard streams are put in order. */
#include "rondo.h"
#include "tools/run/progress.h"
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* A standard stream that is closed would give its descriptor to the next file that is opened. What takes its place can
 * neither be read nor written: standard input is open for writing, the others for reading, so that a command that needs
 * the stream fails, and others do not notice. */
static bool fill_standard_streams(void)
{
    for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; stream++)
        if (fcntl(stream, F_GETFD) < 0 &&
            open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY) != stream)
            return false;
    return true;
}

/* RONDO_THREADS, else as many threads as this process may use; 0: it is not a number of threads. */
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
    rondo *context = rondo_new(threads);
    int code = rondo_main(context, argc, argv);
    rondo_free(context);
    return code;
}
