/* The matmul peak of the machine: both libraries, single-threaded in tasks of the team, on a large square
 * and on shapes of training steps; the rows are cut into one part per thread, or into panels. */
#include "ops/kernels/products/blas.h"
#include "ops/kernels/products/gemm.h"
#include "tools/bench/bench.h"

typedef struct product {
    const char *name;
    int64_t m, n, k;
} product;
static const product products[] = {{"square", 1536, 1536, 1536},
                                   {"feed-forward in", 2304, 1024, 256},
                                   {"feed-forward out", 2304, 256, 1024},
                                   {"vocabulary", 1152, 8000, 256}};
static const struct {
    const char *name;
    blas_product *run;
} libraries[] = {{"oneDNN", onednn_sgemm}, {"OpenBLAS", openblas_sgemm}};
enum {
    PRODUCTS = sizeof products / sizeof *products,
    LIBRARIES = sizeof libraries / sizeof *libraries,
    WARM = 2
};

typedef struct cut_product {
    const product *p;
    blas_product *run;
    int64_t rows; /* of a task */
    const float *a, *b;
    float *c;
} cut_product;

static void do_rows(void *argument, int64_t task, int worker)
{
    const cut_product *x = argument;
    const product *p = x->p;
    int64_t first = task * x->rows, rows = p->m - first < x->rows ? p->m - first : x->rows;
    (void)worker;
    x->run(false, false, rows, p->n, p->k, 1, x->a + first * p->k, p->k, x->b, p->n, 0, x->c + first * p->n,
           p->n);
}

static double measure(bench *b, const cut_product *x, double *seconds)
{
    const product *p = x->p;
    int64_t tasks = (p->m + x->rows - 1) / x->rows;
    for (int64_t run = -WARM; run < b->o->runs; run++) {
        double start = bench_seconds();
        team_run(b->team, tasks, do_rows, (void *)x);
        if (run >= 0)
            seconds[run] = bench_seconds() - start;
    }
    return 2e-9 * (double)p->m * (double)p->n * (double)p->k / bench_median(seconds, b->o->runs);
}

/* The better of both ways to cut the rows. */
static double rate(bench *b, cut_product *x, double *seconds)
{
    int64_t threads = team_size(b->team);
    x->rows = (x->p->m + threads - 1) / threads;
    double parts = measure(b, x, seconds);
    x->rows = GEMM_PANEL;
    double panels = measure(b, x, seconds);
    return parts > panels ? parts : panels;
}

static bool operands(bench *b, arena *a, cut_product *x, double **seconds)
{
    int64_t most[3] = {0};
    for (int i = 0; i < PRODUCTS; i++) {
        const product *p = &products[i];
        const int64_t sizes[3] = {p->m * p->k, p->k * p->n, p->m * p->n};
        for (int k = 0; k < 3; k++)
            most[k] = sizes[k] > most[k] ? sizes[k] : most[k];
    }
    float *all[3];
    for (int k = 0; k < 3; k++) {
        all[k] = ARENA_NEW(a, float, most[k]);
        for (int64_t i = 0; all[k] && i < most[k]; i++)
            all[k][i] = (float)(i % 13) * 0.1f - 0.6f;
    }
    *seconds = ARENA_NEW(a, double, b->o->runs);
    if (!all[0] || !all[1] || !all[2] || !*seconds)
        return fail_memory(b->error, sizeof(float) * (size_t)most[2], "the peak");
    x->a = all[0];
    x->b = all[1];
    x->c = all[2];
    return true;
}

/* rates: by shape and library; NULL: not wanted. */
static bool measure_all(bench *b, double rates[PRODUCTS][LIBRARIES], double *best)
{
    arena a;
    cut_product x;
    double *seconds;
    arena_begin(&a, &b->c->context->allocator);
    bool good = operands(b, &a, &x, &seconds);
    *best = 0;
    if (good) {
        blas_begin();
        team_begin(b->team);
        for (int i = 0; i < PRODUCTS * LIBRARIES && (good = signals_check(b->error)); i++) {
            x.p = &products[i / LIBRARIES];
            x.run = libraries[i % LIBRARIES].run;
            double now = rate(b, &x, seconds);
            *best = now > *best ? now : *best;
            if (rates)
                rates[i / LIBRARIES][i % LIBRARIES] = now;
        }
        team_end(b->team);
        blas_end();
    }
    arena_end(&a);
    return good;
}

bool peak_measure(bench *b, double *gflops)
{
    return measure_all(b, NULL, gflops);
}

void report_rate(bench *b, double flops, double seconds, double peak)
{
    report_number(&b->report, "gflops", flops / seconds * 1e-9, UNIT_NUMBER);
    if (peak > 0) {
        report_number(&b->report, "share_of_peak", flops / seconds * 1e-9 / peak, UNIT_SHARE);
        report_number(&b->report, "peak_gflops", peak, UNIT_NUMBER);
    }
}

bool bench_peak(bench *b)
{
    double rates[PRODUCTS][LIBRARIES], best;
    report *r = &b->report;
    if (!measure_all(b, rates, &best))
        return false;
    report_begin(r, "peak");
    report_number(r, "gflops", best, UNIT_NUMBER);
    report_number(r, "runs", (double)b->o->runs, UNIT_COUNT);
    report_number(r, "threads", team_size(b->team), UNIT_COUNT);
    report_text(r, "onednn", onednn_version());
    report_text(r, "openblas", openblas_version());
    bool good = report_end(r, b->error);
    r->compact = true;
    for (int i = 0; good && i < PRODUCTS; i++)
        for (int l = 0; good && l < LIBRARIES; l++) {
            const product *p = &products[i];
            report_begin(r, "%s, %lld x %lld x %lld, %s", p->name, (long long)p->m, (long long)p->n,
                         (long long)p->k, libraries[l].name);
            report_number(r, "gflops", rates[i][l], UNIT_NUMBER);
            report_number(r, "median_seconds",
                          2e-9 * (double)p->m * (double)p->n * (double)p->k / rates[i][l], UNIT_SECONDS);
            report_number(r, "runs", (double)b->o->runs, UNIT_COUNT);
            good = report_end(r, b->error);
        }
    return good;
}
