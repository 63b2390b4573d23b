/* bench memory: the planned memory of the programs of a preset, compared with the lower bound for their
 * order of calls, with separate buffers, and with the best of 100 random orders. */
#include "models/decode/decoder.h"
#include "tools/bench/bench.h"

enum { RANDOM_ORDERS = 100, CACHE = 64 };

static bool planned(const rondo_graph *g, const extent *extents, int count, int seed, memory_report *memory,
                    rondo_error *error)
{
    int64_t bound[MAX_SYMBOLS];
    const program_options order = {.schedule_seed = seed};
    program *p = program_new(graph_clean(g, NULL, error), &order, error);
    const specialisation *s = NULL;
    if (p) {
        extents_bind(p->graph, extents, count, bound);
        s = program_specialise(p, bound, error);
    }
    if (s)
        *memory = s->memory;
    program_free(p);
    return s != NULL;
}

static bool report_program(bench *b, const char *what, const rondo_graph *g, const extent *extents, int count)
{
    memory_report ours, random;
    int64_t best = INT64_MAX, worst = 0;
    if (!g)
        return true;
    if (!planned(g, extents, count, 0, &ours, b->error))
        return false;
    for (int seed = 1; seed <= RANDOM_ORDERS; seed++) {
        if (!planned(g, extents, count, seed, &random, b->error))
            return false;
        best = random.peak_bytes < best ? random.peak_bytes : best;
        worst = random.peak_bytes > worst ? random.peak_bytes : worst;
    }
    report *r = &b->report;
    double peak = (double)ours.peak_bytes;
    report_begin(r, "memory %s", what);
    report_number(r, "planned_bytes", peak, UNIT_BYTES);
    report_number(r, "lower_bytes", (double)ours.lower_bytes, UNIT_BYTES);
    report_number(r, "naive_bytes", (double)ours.naive_bytes, UNIT_BYTES);
    report_number(r, "best_random_bytes", (double)best, UNIT_BYTES);
    report_number(r, "worst_random_bytes", (double)worst, UNIT_BYTES);
    report_number(r, "over_lower", ours.lower_bytes ? peak / (double)ours.lower_bytes : 1, UNIT_NUMBER);
    report_number(r, "over_naive", ours.naive_bytes ? peak / (double)ours.naive_bytes : 1, UNIT_NUMBER);
    report_number(r, "over_best_random", best ? peak / (double)best : 1, UNIT_NUMBER);
    report_number(r, "random_orders", RANDOM_ORDERS, UNIT_COUNT);
    report_number(r, "nodes", g->node_count, UNIT_COUNT);
    return report_end(r, b->error);
}

bool bench_memory(bench *b)
{
    workload w;
    if (!workload_begin(b, &w))
        return false;
    const char *name = workload_name(b, &w);
    const extent decode[] = {{"B", w.batch}, {"S", w.source}, {STEP_SYMBOL, 1}, {CAPACITY_SYMBOL, CACHE}};
    rondo_graph *train = pipeline_train(w.graph.loss, NULL, b->error);
    bool good = train && report_program(b, arena_text(&b->arena, "train %s", name), train, w.extents, 3);
    graph_free(train);
    rondo_program *p = good ? rondo_program_new(w.graph.logits, TRANSFORMER_TIME, b->error) : NULL;
    good = p &&
           report_program(b, arena_text(&b->arena, "decode %s, source", name),
                          p->source ? p->source->graph : NULL, decode, 4) &&
           report_program(b, arena_text(&b->arena, "decode %s, step", name), p->step->graph, decode, 4);
    rondo_program_free(p);
    workload_end(&w);
    return good;
}
