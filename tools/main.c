/* The command `rondo`. Only here is the environment read: RONDO_THREADS, else as many threads as this process may use. */
#include "rondo.h"
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

static int thread_count(void)
{
    const char *said = getenv("RONDO_THREADS");
    char *end = NULL;
    long count = said ? strtol(said, &end, 10) : 0;
    if (said && (*end || count < 1 || count > 1024)) {
        fprintf(stderr, "rondo: RONDO_THREADS=%s is no number of threads (1 to 1024)\n", said);
        return 0;
    }
    cpu_set_t set;
    if (!said)
        count = sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
    return (int)count;
}

int main(int argc, char **argv)
{
    int threads = thread_count();
    if (!threads)
        return 2;
    rondo *context = rondo_new(threads);
    int code = rondo_main(context, argc, argv);
    rondo_free(context);
    return code;
}
