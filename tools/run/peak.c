/* Measuring takes two seconds, and more on a busy machine, so it is done once for each run and machine.
 * The file names the machine: processor, threads, libraries. */
#include "tools/run/peak.h"
#include "core/file.h"
#include "ops/kernels/products/blas.h"
#include "tools/bench/bench.h"
#include "tools/data/lines.h"
#include <string.h>

static const char header[] = "# rondo peak 1";

static const char *machine_of(arena *a, const rondo *context)
{
    char processor[128];
    if (!lines_find_field("/proc/cpuinfo", "model name", processor, sizeof processor))
        strcpy(processor, "unknown processor");
    return arena_text(a, "%s, %d threads, oneDNN %s, OpenBLAS %s", processor, context->threads,
                      onednn_version(), openblas_version());
}

/* 0: there is no such file, or it is from another machine. */
static double kept_gflops(const char *path, const char *machine)
{
    lines l;
    const char *end;
    double gflops = 0;
    if (!run_folder_has(path) || !lines_read(&l, NULL, path, NULL))
        return 0;
    bool good = l.count == 3 && !strcmp(lines_get(&l, 0), header) && !strcmp(lines_get(&l, 1), machine) &&
                parse_number(lines_get(&l, 2), &end, &gflops) && !strcmp(end, " GF/s") && gflops > 0 &&
                gflops < 1e9;
    lines_free(&l);
    return good ? gflops : 0;
}

static double measured_gflops(command *c)
{
    double gflops = 0;
    rondo_error ignored = {0};
    options quick = *c->options;
    bench b = {.c = c, .o = &quick, .error = &ignored};
    quick.runs = 1;
    b.team = context_team(c->context, b.error);
    return b.team && peak_measure(&b, &gflops) ? gflops : 0;
}

double run_peak(command *c, const run_folder *f, bool measure)
{
    arena a;
    arena_begin(&a, &c->context->allocator);
    const char *machine = machine_of(&a, c->context);
    double gflops = machine ? kept_gflops(f->peak, machine) : 0;
    if (machine && gflops == 0 && measure && (gflops = measured_gflops(c)) > 0) {
        text t = {.arena = &a};
        text_add(&t, "%s\n%s\n", header, machine);
        text_number(&t, gflops);
        text_add(&t, " GF/s\n");
        const char *content = text_done(&t);
        if (content)
            file_store(&c->context->allocator, f->peak, content, t.length,
                       NULL); /* on failure it is measured again */
    }
    arena_end(&a);
    return 1e9 * gflops;
}
