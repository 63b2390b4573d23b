/* bench train: a whole step (forward, backward, clipping, Adam) as a share of the peak, which is measured
 * before and after it in the same run; the higher value counts. */
#include "models/train/trainer.h"
#include "tools/bench/bench.h"
#include <stdlib.h>
#include <string.h>

enum { WARM_STEPS = 2 };

typedef struct training {
    bench *b;
    workload w;
    rondo_trainer *trainer;
    double *seconds;
    double flops, peak;
} training;

static bool run_steps(training *t, int64_t count, double *seconds)
{
    rondo_step step;
    for (int64_t i = 0; i < count; i++) {
        double start = bench_seconds();
        if (!rondo_trainer_step(t->trainer, t->w.inputs, t->w.input_count, 1e-4f, &step, t->b->error))
            return false;
        if (seconds)
            seconds[i] = bench_seconds() - start;
        if (!signals_check(t->b->error))
            return false;
    }
    return true;
}

static bool report_step(training *t)
{
    bench *b = t->b;
    report *r = &b->report;
    const workload *w = &t->w;
    double median = bench_median(t->seconds, b->o->runs);
    const memory_report *memory = &trainer_program(t->trainer)->specialisations->memory;
    report_begin(r, "train %s", workload_name(b, w));
    report_number(r, "median_seconds", median, UNIT_SECONDS);
    report_number(r, "runs", (double)b->o->runs, UNIT_COUNT);
    report_number(r, "tokens_per_second", (double)(w->batch * (w->source + w->target)) / median, UNIT_COUNT);
    if (w->source)
        report_number(r, "source_tokens_per_second", (double)(w->batch * w->source) / median, UNIT_COUNT);
    report_number(r, "target_tokens_per_second", (double)(w->batch * w->target) / median, UNIT_COUNT);
    report_rate(b, 3 * t->flops, median, t->peak);
    report_number(r, "step_flops", 3 * t->flops, UNIT_COUNT);
    report_number(r, "parameters", (double)rondo_weights_count(w->weights), UNIT_COUNT);
    report_number(r, "planned_bytes", (double)memory->peak_bytes, UNIT_BYTES);
    report_number(r, "threads", team_size(b->team), UNIT_COUNT);
    return report_end(r, b->error);
}

/* ---- --profile ---- */

typedef struct op_seconds {
    int op, calls;
    double seconds;
} op_seconds;

static int slower_first(const void *a, const void *b)
{
    const op_seconds *x = a, *y = b;
    return x->seconds != y->seconds ? (x->seconds < y->seconds ? 1 : -1) : x->op - y->op;
}

/* What is not in the graph: the norm of the gradient, the update, and the time between. */
static bool report_rest(training *t, double rest, double all)
{
    report_begin(&t->b->report, "%s, norm and update", workload_name(t->b, &t->w));
    report_number(&t->b->report, "seconds_per_step", rest, UNIT_SECONDS);
    report_number(&t->b->report, "share_of_step", rest / all, UNIT_SHARE);
    return report_end(&t->b->report, t->b->error);
}

static bool report_profile(training *t, const double *by_node, double all)
{
    bench *b = t->b;
    op_seconds ops[OP_COUNT];
    const program *p = trainer_program(t->trainer);
    const specialisation *s = p->specialisations;
    double inside = 0, runs = (double)b->o->runs;
    for (int op = 0; op < OP_COUNT; op++)
        ops[op] = (op_seconds){.op = op};
    for (int c = 0; c < s->call_count; c++) {
        op_seconds *o = &ops[p->graph->nodes[s->nodes[c]].op];
        o->seconds += by_node[s->nodes[c]] / runs;
        o->calls++;
        inside += by_node[s->nodes[c]] / runs;
    }
    qsort(ops, OP_COUNT, sizeof *ops, slower_first);
    b->report.compact = true;
    for (int i = 0; i < OP_COUNT && ops[i].calls; i++) {
        report_begin(&b->report, "%s, op %s", workload_name(b, &t->w), op_table[ops[i].op].signature.name);
        report_number(&b->report, "seconds_per_step", ops[i].seconds, UNIT_SECONDS);
        report_number(&b->report, "share_of_step", ops[i].seconds / all, UNIT_SHARE);
        report_number(&b->report, "calls", ops[i].calls, UNIT_COUNT);
        if (!report_end(&b->report, b->error))
            return false;
    }
    return report_rest(t, all - inside, all);
}

/* Separate steps, because reading the clock around each call costs a little. */
static bool profile(training *t)
{
    const program *p = trainer_program(t->trainer);
    double *by_node = trainer_profile(t->trainer, t->b->error);
    if (!by_node)
        return false;
    memset(by_node, 0, sizeof *by_node * (size_t)p->graph->node_count);
    double start = bench_seconds();
    return run_steps(t, t->b->o->runs, NULL) &&
           report_profile(t, by_node, (bench_seconds() - start) / (double)t->b->o->runs);
}

/* ---- the verb ---- */

static bool measure(training *t)
{
    bench *b = t->b;
    double before, after;
    t->seconds = ARENA_NEW(&b->arena, double, b->o->runs);
    t->trainer = rondo_trainer_new(t->w.graph.loss, b->error, t->w.weights, .clip_norm = 1, .seed = 1);
    if (!t->seconds)
        return fail_memory(b->error, sizeof(double) * (size_t)b->o->runs, "measurements");
    if (!t->trainer || !forward_flops(t->w.graph.loss, t->w.extents, 3, false, &t->flops, b->error))
        return false;
    if (!run_steps(t, WARM_STEPS, NULL) || !peak_measure(b, &before) || !run_steps(t, 1, NULL) ||
        !run_steps(t, b->o->runs, t->seconds) || !peak_measure(b, &after))
        return false;
    t->peak = before > after ? before : after;
    return report_step(t) && (!b->o->profile || profile(t));
}

bool bench_train(bench *b)
{
    training t = {.b = b};
    signals_begin();
    bool good = workload_begin(b, &t.w) && measure(&t);
    rondo_trainer_free(t.trainer);
    workload_end(&t.w);
    return good;
}
