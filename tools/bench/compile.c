/* bench compile: the time from a model to a program that can run; for one more shape of an existing
 * program; and with --exported from the start of a process to the first token of a translation. */
#include "tools/bench/bench.h"
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

typedef struct compiling {
    bench *b;
    workload w;
    double *seconds;
} compiling;

static bool report_median(compiling *x, const char *what)
{
    report *r = &x->b->report;
    report_begin(r, "compile %s, %s", workload_name(x->b, &x->w), what);
    report_number(r, "median_seconds", bench_median(x->seconds, x->b->o->runs), UNIT_SECONDS);
    report_number(r, "runs", (double)x->b->o->runs, UNIT_COUNT);
    return report_end(r, x->b->error);
}

static program *compiled(compiling *x, int64_t bound[MAX_SYMBOLS])
{
    program *p = program_new(pipeline_train(x->w.graph.loss, NULL, x->b->error), NULL, x->b->error);
    if (!p)
        return NULL;
    extents_bind(p->graph, x->w.extents, 3, bound);
    if (program_specialise(p, bound, x->b->error))
        return p;
    program_free(p);
    return NULL;
}

static bool training(compiling *x)
{
    int64_t bound[MAX_SYMBOLS];
    for (int64_t run = 0; run < x->b->o->runs; run++) {
        double start = bench_seconds();
        program *p = compiled(x, bound);
        if (!p)
            return false;
        x->seconds[run] = bench_seconds() - start;
        program_free(p);
    }
    return report_median(x, "training program");
}

/* Each run has a length that the program has not seen. */
static bool one_more_shape(compiling *x)
{
    int64_t bound[MAX_SYMBOLS];
    program *p = compiled(x, bound);
    bool good = p != NULL;
    for (int64_t run = 0; good && run < x->b->o->runs; run++) {
        extent extents[] = {
            x->w.extents[0], {TRANSFORMER_TIME, x->w.target + run + 1}, {"S", x->w.source + run + 1}};
        extents_bind(p->graph, extents, 3, bound);
        double start = bench_seconds();
        good = program_specialise(p, bound, x->b->error) != NULL;
        x->seconds[run] = bench_seconds() - start;
    }
    program_free(p);
    return good && report_median(x, "one more shape");
}

static bool decoder(compiling *x)
{
    for (int64_t run = 0; run < x->b->o->runs; run++) {
        double start = bench_seconds();
        rondo_program *p = rondo_program_new(x->w.graph.logits, TRANSFORMER_TIME, x->b->error);
        if (!p)
            return false;
        x->seconds[run] = bench_seconds() - start;
        rondo_program_free(p);
    }
    return report_median(x, "decoder");
}

/* ---- a new process ---- */

/* Starts this executable on the file, writes a line to it, and waits for the line that comes back: one
 * token. */
static bool run_translator(compiling *x, double *seconds)
{
    rondo_error *error = x->b->error;
    const char *path = x->b->o->exported;
    char *const words[] = {(char *)"rondo",        (char *)"translate", (char *)path,
                           (char *)"--max-length", (char *)"1",         NULL};
    int in[2], out[2], status = 0;
    pid_t child;
    posix_spawn_file_actions_t actions;
    if (pipe2(in, O_CLOEXEC))
        return fail(error, RONDO_IO, "cannot make a pipe");
    if (pipe2(out, O_CLOEXEC)) {
        close(in[0]), close(in[1]);
        return fail(error, RONDO_IO, "cannot make a pipe");
    }
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    double start = bench_seconds();
    bool good = !posix_spawn(&child, "/proc/self/exe", &actions, NULL, words, environ);
    close(in[0]), close(out[1]);
    char answer[256];
    bool answered = false;
    if (good) {
        good = write(in[1], "a\n", 2) == 2;
        close(in[1]);
        answered = read(out[0], answer, sizeof answer) > 0;
        *seconds = bench_seconds() - start;
        waitpid(child, &status, 0);
    } else
        close(in[1]);
    close(out[0]);
    posix_spawn_file_actions_destroy(&actions);
    return (good && answered && WIFEXITED(status) && WEXITSTATUS(status) == 0) ||
           fail(error, RONDO_MISMATCH, "`rondo translate %s` gave no translation", path);
}

static bool first_token(compiling *x)
{
    double once;
    if (!run_translator(x, &once)) /* so that the file is in memory */
        return false;
    for (int64_t run = 0; run < x->b->o->runs; run++)
        if (!run_translator(x, &x->seconds[run]))
            return false;
    return report_median(x, "process start to first token");
}

bool bench_compile(bench *b)
{
    compiling x = {.b = b, .seconds = ARENA_NEW(&b->arena, double, b->o->runs)};
    if (!x.seconds)
        return fail_memory(b->error, sizeof(double) * (size_t)b->o->runs, "measurements");
    bool good = workload_begin(b, &x.w) && training(&x) && one_more_shape(&x) && decoder(&x) &&
                (!b->o->exported || first_token(&x));
    workload_end(&x.w);
    return good;
}
