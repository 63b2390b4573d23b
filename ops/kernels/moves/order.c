/* Kernels of argmax, sort, top_k and nonzero: line by line along the axis. Sorting compares keys of 64 bits,
 * the number above its place, so no two are equal and the first of equal numbers comes first however they are
 * sorted. */
#include "ops/build.h"
#include "ops/kernels/row_tasks.h"
#include "ops/rules.h"
#include "ops/vector/table.h"
#include <math.h>

/* The lines of x along an axis: a walk over its other axes, and the strides of a result there, which may lack
 * the axis. */
typedef struct lines {
    int rank, axis;
    int64_t dims[MAX_RANK], y_strides[MAX_RANK], count, per_task; /* dims[axis] = 1 */
} lines;

static lines lines_of(const kernel_call *call, const tensor *y)
{
    const tensor *x = &call->inputs[0];
    lines l = {.rank = x->rank, .axis = normal_axis(call->attributes[sort_axis].integer, x->rank)};
    for (int i = 0, at = 0; i < x->rank; i++) {
        l.dims[i] = i == l.axis ? 1 : x->dims[i];
        bool gone = i == l.axis && y->rank < x->rank;
        l.y_strides[i] = gone ? 0 : y->strides[at++];
    }
    l.count = extents_product(l.dims, l.rank);
    l.per_task = rows_per_task(x->dims[l.axis]);
    return l;
}

static bool plan_lines(kernel_call *call)
{
    lines l = lines_of(call, &call->outputs[0]);
    call->phases = 1;
    call->tasks[0] = divide_up(l.count, l.per_task);
    return true;
}

/* ---- argmax ---- */

/* In a dense line by vectors, unless it has a NaN, and then where that number is. */
static int32_t largest_of(const float *x, int64_t stride, int64_t count)
{
    int64_t best = -1;
    float largest = stride == 1 ? vectors()->row_max(x, count) : NAN;
    for (int64_t i = 0; largest == largest && i < count; i++)
        if (x[i] == largest)
            return (int32_t)i;
    largest = -INFINITY;
    for (int64_t i = 0; i < count; i++)
        if (x[i * stride] > largest || (best < 0 && x[i * stride] == largest)) {
            largest = x[i * stride];
            best = i;
        }
    return best < 0 ? 0 : (int32_t)best;
}

enum { COLUMNS = 64 };

/* Neighbouring lines together, row by row, as they lie in memory. */
static void largest_of_columns(const float *x, int64_t row, int64_t extent, int64_t step, int64_t columns,
                               int32_t *to, int64_t to_step)
{
    float largest[COLUMNS];
    int32_t best[COLUMNS];
    for (int64_t c = 0; c < columns; c++) {
        largest[c] = -INFINITY;
        best[c] = -1;
    }
    for (int64_t i = 0; i < extent; i++)
        for (int64_t c = 0; c < columns; c++) {
            float number = x[i * row + c * step];
            bool more = number > largest[c] || (best[c] < 0 && number == largest[c]);
            largest[c] = more ? number : largest[c];
            best[c] = more ? (int32_t)i : best[c];
        }
    for (int64_t c = 0; c < columns; c++)
        to[c * to_step] = best[c] < 0 ? 0 : best[c];
}

static void run_argmax(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    const tensor *x = &call->inputs[0], *y = &call->outputs[0];
    lines l = lines_of(call, y);
    int last = l.rank - 1;
    int64_t line = task * l.per_task, end = line + l.per_task < l.count ? line + l.per_task : l.count;
    (void)phase, (void)scratch;
    while (line < end) {
        row_walk at = row_walk_at(l.dims, l.rank, line);
        const float *from = (const float *)x->data + row_offset(&at, x->strides);
        int32_t *to = (int32_t *)y->data + row_offset(&at, l.y_strides);
        int64_t beside = l.dims[last] - at.index[last], count = beside < end - line ? beside : end - line;
        count = count < COLUMNS ? count : COLUMNS;
        if (l.axis == last)
            *to = largest_of(from, x->strides[last], x->dims[last]);
        else
            largest_of_columns(from, x->strides[l.axis], x->dims[l.axis], x->strides[last], count, to,
                               l.y_strides[last]);
        line += count;
    }
}

const kernel kernel_argmax = {"argmax", plan_lines, run_argmax};

/* ---- nonzero ---- */

static int32_t list_nonzero(const float *x, int64_t stride, int64_t count, int32_t *ids, int64_t ids_stride)
{
    int64_t found = 0;
    for (int64_t i = 0; i < count; i++)
        if (x[i * stride] != 0) {
            if (ids)
                ids[found * ids_stride] = (int32_t)i;
            found++;
        }
    for (int64_t i = found; ids && i < count; i++)
        ids[i * ids_stride] = -1;
    return (int32_t)found;
}

static void run_nonzero(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    const tensor *x = &call->inputs[0], *ids = &call->outputs[0], *counts = &call->outputs[1];
    lines l = lines_of(call, ids), of_counts = lines_of(call, counts);
    row_walk at = row_walk_at(l.dims, l.rank, task * l.per_task);
    int64_t end = (task + 1) * l.per_task < l.count ? (task + 1) * l.per_task : l.count;
    (void)phase, (void)scratch;
    for (int64_t line = task * l.per_task; line < end; line++, row_walk_next(&at)) {
        int32_t count = list_nonzero(
            (const float *)x->data + row_offset(&at, x->strides), x->strides[l.axis], x->dims[l.axis],
            ids->data ? (int32_t *)ids->data + row_offset(&at, l.y_strides) : NULL, ids->strides[l.axis]);
        if (counts->data)
            ((int32_t *)counts->data)[row_offset(&at, of_counts.y_strides)] = count;
    }
}

const kernel kernel_nonzero = {"nonzero", plan_lines, run_nonzero};

/* ---- keys ---- */

/* Rises with the number, or falls with it; −0 is 0, and a NaN is above all numbers. */
static uint32_t number_key(float number, bool descending)
{
    uint32_t bits;
    if (isnan(number))
        return UINT32_MAX;
    number += 0.0f;
    memcpy(&bits, &number, sizeof bits);
    bits = bits >> 31 ? ~bits : bits | UINT32_C(1) << 31;
    return descending ? ~bits : bits;
}

static uint64_t key_of(const float *x, int64_t stride, int64_t i, bool descending)
{
    return (uint64_t)number_key(x[i * stride], descending) << 32 | (uint64_t)i;
}

/* Writes the elements that the keys name; the last `missing` are −∞ and −1. */
static void write_line(const kernel_call *call, const lines *l, const row_walk *at, const float *x,
                       const uint64_t *keys, int64_t count, int64_t missing)
{
    const tensor *values = &call->outputs[0], *ids = &call->outputs[1];
    int64_t x_stride = call->inputs[0].strides[l->axis];
    float *value = values->data ? (float *)values->data + row_offset(at, values->strides) : NULL;
    int32_t *id = ids->data ? (int32_t *)ids->data + row_offset(at, ids->strides) : NULL;
    for (int64_t i = 0; i < count + missing; i++) {
        int64_t place = i < count ? (int64_t)(uint32_t)keys[i] : -1;
        if (value)
            value[i * values->strides[l->axis]] = place < 0 ? -INFINITY : x[place * x_stride];
        if (id)
            id[i * ids->strides[l->axis]] = (int32_t)place;
    }
}

typedef const uint64_t *order_rule(const kernel_call *call, const float *x, int64_t stride, int64_t count,
                                   int64_t wanted, uint64_t *scratch);

/* The first of each line in the order that the rule gives; `wanted` of them. */
static void run_order(const kernel_call *call, int64_t task, order_rule *rule, uint64_t *scratch)
{
    const tensor *x = &call->inputs[0];
    lines l = lines_of(call, &call->outputs[0]);
    int64_t extent = x->dims[l.axis], stride = x->strides[l.axis], wanted = call->outputs[0].dims[l.axis],
            found = wanted < extent ? wanted : extent;
    row_walk at = row_walk_at(l.dims, l.rank, task * l.per_task);
    int64_t end = (task + 1) * l.per_task < l.count ? (task + 1) * l.per_task : l.count;
    for (int64_t line = task * l.per_task; line < end; line++, row_walk_next(&at)) {
        const float *from = (const float *)x->data + row_offset(&at, x->strides);
        const uint64_t *keys = rule(call, from, stride, extent, found, scratch);
        write_line(call, &l, &at, from, keys, found, wanted - found);
    }
}

/* ---- sort: by radix, from the lowest byte of the number's key on ---- */

enum { INSERTED = 48, RADIX = 256 }; /* shorter lines are sorted by insertion */

static void insert_keys(uint64_t *keys, int64_t count)
{
    for (int64_t i = 1; i < count; i++) {
        uint64_t key = keys[i];
        int64_t at = i;
        for (; at > 0 && keys[at - 1] > key; at--)
            keys[at] = keys[at - 1];
        keys[at] = key;
    }
}

static const uint64_t *radix_keys(uint64_t *keys, uint64_t *other, int64_t count)
{
    for (int shift = 32; shift < 64; shift += 8) {
        int64_t start[RADIX + 1] = {0};
        for (int64_t i = 0; i < count; i++)
            start[(keys[i] >> shift) % RADIX + 1]++;
        if (start[(keys[0] >> shift) % RADIX + 1] == count)
            continue; /* all have the same byte */
        for (int byte = 0; byte < RADIX; byte++)
            start[byte + 1] += start[byte];
        for (int64_t i = 0; i < count; i++)
            other[start[(keys[i] >> shift) % RADIX]++] = keys[i];
        uint64_t *sorted = other;
        other = keys;
        keys = sorted;
    }
    return keys;
}

static const uint64_t *sort_line(const kernel_call *call, const float *x, int64_t stride, int64_t count,
                                 int64_t wanted, uint64_t *scratch)
{
    (void)wanted;
    for (int64_t i = 0; i < count; i++)
        scratch[i] = key_of(x, stride, i, call->attributes[sort_descending].integer);
    if (count > INSERTED)
        return radix_keys(scratch, scratch + count, count);
    insert_keys(scratch, count);
    return scratch;
}

static bool plan_sort(kernel_call *call)
{
    const tensor *x = &call->inputs[0];
    call->scratch_bytes = 2 * sizeof(uint64_t) *
                          (size_t)(x->dims[normal_axis(call->attributes[sort_axis].integer, x->rank)] + 1);
    return plan_lines(call);
}

static void run_sort(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    (void)phase;
    run_order(call, task, sort_line, scratch);
}

const kernel kernel_sort = {"sort", plan_sort, run_sort};

/* ---- top_k: a heap of the k first so far, the last of them at its top ---- */

static void sink(uint64_t *heap, int64_t count, int64_t at)
{
    uint64_t key = heap[at];
    for (int64_t below = 2 * at + 1; below < count; below = 2 * at + 1) {
        below += below + 1 < count && heap[below + 1] > heap[below];
        if (heap[below] <= key)
            break;
        heap[at] = heap[below];
        at = below;
    }
    heap[at] = key;
}

static const uint64_t *top_line(const kernel_call *call, const float *x, int64_t stride, int64_t count,
                                int64_t wanted, uint64_t *heap)
{
    (void)call;
    for (int64_t i = 0; i < wanted; i++)
        heap[i] = key_of(x, stride, i, true);
    for (int64_t i = wanted / 2 - 1; i >= 0; i--)
        sink(heap, wanted, i);
    for (int64_t i = wanted; i < count && wanted; i++) {
        if (x[i * stride] <= x[(uint32_t)heap[0] * stride])
            continue; /* as most elements are; a NaN goes on */
        uint64_t key = key_of(x, stride, i, true);
        if (key < heap[0]) {
            heap[0] = key;
            sink(heap, wanted, 0);
        }
    }
    for (int64_t left = wanted - 1; left > 0; left--) {
        uint64_t last = heap[0];
        heap[0] = heap[left];
        heap[left] = last;
        sink(heap, left, 0);
    }
    return heap;
}

static bool plan_top_k(kernel_call *call)
{
    const tensor *x = &call->inputs[0];
    int64_t extent = x->dims[normal_axis(call->attributes[top_k_axis].integer, x->rank)],
            k = call->attributes[top_k_k].integer;
    call->scratch_bytes = sizeof(uint64_t) * (size_t)(k < extent ? k : extent);
    return plan_lines(call);
}

static void run_top_k(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    (void)phase;
    run_order(call, task, top_line, scratch);
}

const kernel kernel_top_k = {"top_k", plan_top_k, run_top_k};
