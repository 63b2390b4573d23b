/* The time of one program on random numbers, unless its plan is larger than the machine's memory. */
#include "tools/bench/bench.h"
#include "tools/data/lines.h"
#include <stdio.h>
#include <string.h>

double measure_available_bytes(void)
{
    char words[64];
    double kilobytes = 1e15; /* if it is not known */
    if (lines_find_field("/proc/meminfo", "MemAvailable", words, sizeof words))
        sscanf(words, "%lf", &kilobytes);
    return kilobytes * 1024;
}

static bool time_runs(bench *b, instance *i, const int64_t *bound, measurement *m)
{
    double *seconds = ARENA_NEW(&b->arena, double, b->o->runs);
    if (!seconds)
        return fail_memory(b->error, sizeof *seconds * (size_t)b->o->runs, "measurements");
    for (int64_t run = -1; run < b->o->runs; run++) {
        double start = bench_seconds();
        if (!instance_run(i, b->team, bound, b->error))
            return false;
        if (run >= 0)
            seconds[run] = bench_seconds() - start;
        if (!signals_check(b->error))
            return false;
    }
    m->seconds = bench_median(seconds, b->o->runs);
    return true;
}

bool bench_program(bench *b, program *p, const extent *extents, int extent_count, measurement *m)
{
    arena a;
    instance i = {0};
    int64_t bound[MAX_SYMBOLS];
    *m = (measurement){0};
    if (!p)
        return false;
    extents_bind(p->graph, extents, extent_count, bound);
    const specialisation *s = program_specialise(p, bound, b->error);
    if (!s)
        return false;
    m->planned_bytes = (double)s->arena_bytes;
    m->flops = s->flops;
    m->too_large = m->planned_bytes > measure_available_bytes() * 0.9;
    if (m->too_large)
        return true;
    arena_begin(&a, &b->c->context->allocator);
    leaves l = {.arena = &a, .seed = 1};
    bool good = leaves_for(&l, p->graph, bound, b->error) && instance_begin(&i, p, b->error);
    leaf *rows = good ? leaves_find(&l, "rows") : NULL; /* every sequence has its full length */
    for (int64_t r = 0; rows && r < rows->count; r++)
        rows->exact[r] = (double)extents[1].number;
    if (rows)
        leaf_store(rows);
    if (good) {
        leaves_bind(&l, &i);
        good = time_runs(b, &i, bound, m);
    }
    instance_end(&i);
    arena_end(&a);
    return good;
}
