/* bench attention: one causal layer alone, forward and backward, as written (quadratic) or as rewritten
 * (scan). Without --length: a range of lengths, and the exponent of T that fits them. */
#include "tools/bench/bench.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SHORTEST = 256, LONGEST = 16384, MOST_LENGTHS = 8 };

typedef struct attention_bench {
    bench *b;
    const char *mixer;
    bool quadratic;
    const char *form; /* the form that the training program has of it */
    int64_t batch;
    layer layer;
    double peak;
    double lengths[MOST_LENGTHS], seconds[MOST_LENGTHS];
    int count;
} attention_bench;

static const char *form_of(const rondo_graph *g)
{
    for (node_id id = 0; id < g->node_count; id++)
        if (g->nodes[id].op == OP_scan)
            return "scan";
        else if (g->nodes[id].op == OP_delta)
            return "delta rule";
    return "quadratic";
}

static bool measure(attention_bench *x, int64_t length, measurement *m)
{
    const extent extents[] = {{"B", x->batch}, {"T", length}};
    const pipeline_options form = {.no_linearize = x->quadratic};
    *m = (measurement){0};
    program *p = program_new(pipeline_train(x->layer.loss, &form, x->b->error), NULL, x->b->error);
    x->form = p ? form_of(p->graph) : "";
    bool good =
        p && bench_program(x->b, p, extents, 2, m) &&
        (m->too_large || forward_flops(x->layer.loss, extents, 2, x->quadratic, &m->flops, x->b->error));
    program_free(p);
    return good;
}

static bool report_length(attention_bench *x, int64_t length, const measurement *m)
{
    bench *b = x->b;
    report *r = &b->report;
    report_begin(r, "attention %s, %s, T %lld", x->mixer, x->form, (long long)length);
    report_number(r, "length", (double)length, UNIT_COUNT);
    report_number(r, "planned_bytes", m->planned_bytes, UNIT_BYTES);
    if (m->too_large)
        report_text(r, "skipped", "needs more memory than there is");
    else {
        report_number(r, "median_seconds", m->seconds, UNIT_SECONDS);
        report_number(r, "runs", (double)b->o->runs, UNIT_COUNT);
        report_number(r, "tokens_per_second", (double)(x->batch * length) / m->seconds, UNIT_COUNT);
        report_rate(b, 3 * m->flops, m->seconds, x->peak);
    }
    return report_end(r, b->error);
}

static bool one_length(attention_bench *x, int64_t length, bool alone)
{
    measurement m;
    if (!measure(x, length, &m))
        return false;
    if (m.too_large && alone)
        return fail(x->b->error, RONDO_MEMORY,
                    "T %lld needs %.1f GB and there are %.1f GB; take a smaller --length or --batch",
                    (long long)length, m.planned_bytes * 1e-9, measure_available_bytes() * 1e-9);
    if (!m.too_large) {
        x->lengths[x->count] = (double)length;
        x->seconds[x->count++] = m.seconds;
    }
    return report_length(x, length, &m);
}

/* Least squares on logarithms, over the upper half of the lengths: for short ones overhead dominates. */
static double exponent(const attention_bench *x)
{
    int first = x->count > 3 ? x->count / 2 - 1 : 0, n = x->count - first;
    double sum_t = 0, sum_s = 0, sum_tt = 0, sum_ts = 0;
    for (int i = first; i < x->count; i++) {
        double t = log(x->lengths[i]), s = log(x->seconds[i]);
        sum_t += t;
        sum_s += s;
        sum_tt += t * t;
        sum_ts += t * s;
    }
    return (n * sum_ts - sum_t * sum_s) / (n * sum_tt - sum_t * sum_t);
}

static bool range(attention_bench *x)
{
    x->b->report.compact = true;
    for (int64_t length = SHORTEST; length <= LONGEST; length *= 2)
        if (!one_length(x, length, false))
            return false;
    if (x->count < 2)
        return true;
    report_begin(&x->b->report, "attention %s, %s, exponent of T", x->mixer, x->form);
    report_number(&x->b->report, "exponent", exponent(x), UNIT_NUMBER);
    report_number(&x->b->report, "to_length", x->lengths[x->count - 1], UNIT_COUNT);
    return report_end(&x->b->report, x->b->error);
}

bool bench_attention(bench *b)
{
    mixer m;
    options with;
    if (!bench_options(b, &with))
        return false;
    const options *o = b->o = &with;
    attention_bench x = {.b = b,
                         .mixer = o->mixer ? o->mixer : o->decoder_self,
                         .quadratic = !strcmp(o->form, "quadratic"),
                         .batch = is_given(b, OPTION_batch) ? o->batch : 1};
    if (!mixer_find(b->c->context, x.mixer, &m, b->error))
        return false;
    if (o->dim % o->heads)
        return fail(b->error, RONDO_ARGUMENT, "%lld heads do not divide a width of %lld", (long long)o->heads,
                    (long long)o->dim);
    signals_begin();
    bool good = layer_build(b->c->context, &m, PLACE_DECODER, o->dim, o->heads, true, &x.layer, b->error) &&
                peak_measure(b, &x.peak) &&
                (is_given(b, OPTION_length) ? one_length(&x, o->length, true) : range(&x));
    rondo_graph_free(x.layer.graph);
    return good;
}
