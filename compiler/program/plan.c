/* plan: from lifetimes to offsets in one arena. Greedy by size, best fit into the gaps that the buffers alive at the same
 * time leave (Pisarchyk & Lee 2020, "greedy by size"); a pure function. */
#include "compiler/program/plan.h"
#include <stdlib.h>

static bool overlap(const lifetime *a, const lifetime *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* The smallest gap among the placed records alive together with r that holds it; else the end of the highest. `placed` is
 * kept sorted by offset, so one walk sees all gaps. */
static int64_t best_offset(const lifetime *records, const int *placed, int placed_count, const lifetime *r)
{
    int64_t best = -1, best_gap = INT64_MAX, end = 0;
    for (int i = 0; i < placed_count; i++) {
        const lifetime *p = &records[placed[i]];
        if (!overlap(p, r))
            continue;
        int64_t gap = p->offset - end;
        if (gap >= r->bytes && gap < best_gap) {
            best = end;
            best_gap = gap;
        }
        if (p->offset + p->bytes > end)
            end = p->offset + p->bytes;
    }
    return best >= 0 ? best : end;
}

static int64_t most_alive(const lifetime *records, int count)
{
    int64_t most = 0;
    for (int i = 0; i < count; i++) { /* the maximum is reached where some record begins */
        int64_t alive = 0;
        for (int j = 0; j < count; j++)
            if (records[j].first <= records[i].first && records[i].first <= records[j].last)
                alive += records[j].bytes;
        if (alive > most)
            most = alive;
    }
    return most;
}

static int larger_first(const void *a, const void *b, void *records)
{
    const lifetime *x = (const lifetime *)records + *(const int *)a,
                   *y = (const lifetime *)records + *(const int *)b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return x->first != y->first ? x->first - y->first : *(const int *)a - *(const int *)b;
}

/* order_scratch: 2 · count integers. */
memory_report plan(lifetime *records, int count, int64_t alignment, int *order_scratch)
{
    int *order = order_scratch, *placed = order_scratch + count, placed_count = 0;
    memory_report report = {0};
    for (int i = 0; i < count; i++) {
        order[i] = i;
        records[i].bytes = (records[i].bytes + alignment - 1) / alignment * alignment;
        report.naive_bytes += records[i].bytes;
    }
    report.lower_bytes = most_alive(records, count);
    qsort_r(order, (size_t)count, sizeof *order, larger_first, records);
    for (int i = 0; i < count; i++) {
        lifetime *r = &records[order[i]];
        r->offset = r->bytes ? best_offset(records, placed, placed_count, r) : 0;
        if (!r->bytes)
            continue;
        int at = placed_count++;
        for (; at > 0 && records[placed[at - 1]].offset > r->offset; at--)
            placed[at] = placed[at - 1];
        placed[at] = order[i];
        if (r->offset + r->bytes > report.peak_bytes)
            report.peak_bytes = r->offset + r->bytes;
    }
    return report;
}

bool plan_verify(const lifetime *records, int count, int64_t arena_bytes)
{
    for (int i = 0; i < count; i++) {
        const lifetime *a = &records[i];
        if (a->bytes < 0 || a->used < 0 || a->used > a->bytes || a->offset < 0 ||
            a->bytes > arena_bytes - a->offset)
            return false;
        for (int j = 0; j < i; j++) {
            const lifetime *b = &records[j];
            if (a->bytes && b->bytes && overlap(a, b) && a->offset < b->offset + b->bytes &&
                b->offset < a->offset + a->bytes)
                return false;
        }
    }
    return true;
}
