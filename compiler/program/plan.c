/* plan: from lifetimes to offsets in one arena, a pure function. Greedy by size, best fit into the gaps that
 * the buffers alive at the same time leave (Pisarchyk & Lee 2020, "greedy by size"), in quadratic time; for a
 * graph with more buffers than any model has, a buffer takes the place of a dead one of the same size. */
#include "compiler/program/plan.h"
#include <stdlib.h>
#include <string.h>

/* Sizes may come from a hostile file: a sum that is too large saturates instead of wrapping. */
static int64_t add_bytes(int64_t a, int64_t b)
{
    int64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

static bool overlap(const lifetime *a, const lifetime *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* The smallest gap among the placed records alive together with r that holds it; else the end of the
 * highest. `placed` is kept sorted by offset, so one walk sees all gaps. */
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
        if (add_bytes(p->offset, p->bytes) > end)
            end = add_bytes(p->offset, p->bytes);
    }
    return best >= 0 ? best : end;
}

static int larger_first(const void *a, const void *b, void *records)
{
    const lifetime *x = (const lifetime *)records + *(const int *)a,
                   *y = (const lifetime *)records + *(const int *)b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return x->first != y->first ? x->first - y->first : *(const int *)a - *(const int *)b;
}

static int earlier_begin(const void *a, const void *b, void *records)
{
    const lifetime *x = (const lifetime *)records + *(const int *)a,
                   *y = (const lifetime *)records + *(const int *)b;
    return x->first != y->first ? x->first - y->first : *(const int *)a - *(const int *)b;
}

static int earlier_end(const void *a, const void *b, void *records)
{
    const lifetime *x = (const lifetime *)records + *(const int *)a,
                   *y = (const lifetime *)records + *(const int *)b;
    return x->last != y->last ? x->last - y->last : *(const int *)a - *(const int *)b;
}

/* The records ordered by first call, and by last call. */
static void sort_by_time(const lifetime *records, int count, int *begins, int *ends)
{
    for (int i = 0; i < count; i++)
        begins[i] = ends[i] = i;
    qsort_r(begins, (size_t)count, sizeof *begins, earlier_begin, (void *)records);
    qsort_r(ends, (size_t)count, sizeof *ends, earlier_end, (void *)records);
}

static int64_t most_alive(const lifetime *records, int count, const int *begins, const int *ends)
{
    int64_t most = 0, alive = 0;
    for (int i = 0, ended = 0; i < count; i++) {
        for (; records[ends[ended]].last < records[begins[i]].first; ended++)
            alive -= records[ends[ended]].bytes;
        alive = add_bytes(alive, records[begins[i]].bytes);
        most = alive > most ? alive : most;
    }
    return most;
}

static void plan_by_size(lifetime *records, int count, int *order, int *placed)
{
    int placed_count = 0;
    for (int i = 0; i < count; i++)
        order[i] = i;
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
    }
}

/* In the order of time: a buffer takes the place of a dead one of the same size, or a new one at the end.
 * scratch: 3 · count. */
static void plan_by_equal_size(lifetime *records, int count, const int *begins, const int *ends, int *scratch)
{
    int *order = scratch, *class = scratch + count, *next = scratch + 2 * count, ended = 0;
    int64_t end = 0;
    for (int i = 0; i < count; i++)
        order[i] = i;
    qsort_r(order, (size_t)count, sizeof *order, larger_first, records);
    for (int i = 0; i < count; i++)
        class[order[i]] =
            i && records[order[i]].bytes == records[order[i - 1]].bytes ? class[order[i - 1]] : i;
    int *dead = order; /* by class: a dead buffer, from which `next` leads to the others; −1: none */
    for (int i = 0; i < count; i++)
        dead[i] = -1;
    for (int i = 0; i < count; i++) {
        lifetime *r = &records[begins[i]];
        for (; records[ends[ended]].last < r->first; ended++) {
            next[ends[ended]] = dead[class[ends[ended]]];
            dead[class[ends[ended]]] = ends[ended];
        }
        int taken = dead[class[begins[i]]];
        if (taken >= 0)
            dead[class[begins[i]]] = next[taken];
        r->offset = taken >= 0 ? records[taken].offset : end;
        end = taken >= 0 ? end : add_bytes(end, r->bytes);
    }
}

memory_report plan(lifetime *records, int count, int64_t alignment, int *scratch)
{
    int *begins = scratch, *ends = scratch + count;
    memory_report report = {0};
    for (int i = 0; i < count; i++) {
        records[i].bytes = add_bytes(records[i].bytes, alignment - 1) / alignment * alignment;
        report.naive_bytes = add_bytes(report.naive_bytes, records[i].bytes);
    }
    sort_by_time(records, count, begins, ends);
    report.lower_bytes = most_alive(records, count, begins, ends);
    if (count > PLAN_BY_SIZE_MOST)
        plan_by_equal_size(records, count, begins, ends, scratch + 2 * (size_t)count);
    else
        plan_by_size(records, count, scratch + 2 * (size_t)count, scratch + 3 * (size_t)count);
    for (int i = 0; i < count; i++)
        if (records[i].bytes && add_bytes(records[i].offset, records[i].bytes) > report.peak_bytes)
            report.peak_bytes = add_bytes(records[i].offset, records[i].bytes);
    return report;
}

/* How many of the buffers in `alive`, which are sorted by offset, lie before this offset. */
static int count_before(const lifetime *records, const int *alive, int count, int64_t offset)
{
    int low = 0, high = count;
    while (low < high) {
        int middle = (low + high) / 2;
        if (records[alive[middle]].offset < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool lies_inside(const lifetime *r, int64_t arena_bytes)
{
    return r->first <= r->last && r->bytes >= 0 && r->used >= 0 && r->used <= r->bytes && r->offset >= 0 &&
           r->bytes <= arena_bytes - r->offset;
}

bool plan_verify(const lifetime *records, int count, int64_t arena_bytes, int *scratch)
{
    int *begins = scratch, *ends = scratch + count, *alive = scratch + 2 * (size_t)count;
    int living = 0, ended = 0;
    for (int i = 0; i < count; i++)
        if (!lies_inside(&records[i], arena_bytes))
            return false;
    sort_by_time(records, count, begins, ends);
    for (int i = 0; i < count; i++) {
        const lifetime *r = &records[begins[i]];
        for (; records[ends[ended]].last < r->first; ended++) {
            if (!records[ends[ended]].bytes)
                continue;
            int at = count_before(records, alive, living, records[ends[ended]].offset);
            memmove(alive + at, alive + at + 1, sizeof *alive * (size_t)(--living - at));
        }
        if (!r->bytes)
            continue;
        int at = count_before(records, alive, living, r->offset);
        const lifetime *before = at > 0 ? &records[alive[at - 1]] : NULL,
                       *after = at < living ? &records[alive[at]] : NULL;
        if ((before && before->offset + before->bytes > r->offset) ||
            (after && r->offset + r->bytes > after->offset))
            return false;
        memmove(alive + at + 1, alive + at, sizeof *alive * (size_t)(living++ - at));
        alive[at] = begins[i];
    }
    return true;
}
