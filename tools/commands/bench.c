/* rondo bench: measures this machine, and Rondo on it. Each verb is one file in tools/bench/. */
#include "tools/bench/bench.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct {
    const char *name;
    bench_verb *run;
} verbs[] = {{"peak", bench_peak},     {"train", bench_train},   {"attention", bench_attention},
             {"decode", bench_decode}, {"memory", bench_memory}, {"compile", bench_compile},
             {"scan", bench_scan}};

double bench_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

double bench_median(double *seconds, int64_t count)
{
    qsort(seconds, (size_t)count, sizeof *seconds, compare);
    return count % 2 ? seconds[count / 2] : (seconds[count / 2 - 1] + seconds[count / 2]) / 2;
}

static bench_verb *find_verb(const char *name)
{
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (!strcmp(verbs[i].name, name))
            return verbs[i].run;
    return NULL;
}

int command_bench(command *c)
{
    const options *o = c->options;
    rondo *context = c->context;
    const char *verb = o->operands.items[0];
    bench_verb *run = find_verb(verb);
    if (!run)
        return message_fail(c->name, EXIT_USE, "there is no benchmark '%s'; there are %s", verb,
                            command_rows[COMMAND_BENCH].operands);
    if (!context_team(context, &c->error))
        return command_failed(c, EXIT_MACHINE);
    bench b = {.c = c, .o = o, .team = context->team, .error = &c->error};
    arena_begin(&b.arena, &context->allocator);
    b.report = (report){.arena = &b.arena, .json = o->json};
    int code = run(&b) ? report_exit_code(&b.report, c) : command_failed(c, EXIT_MODEL);
    arena_end(&b.arena);
    return code;
}
