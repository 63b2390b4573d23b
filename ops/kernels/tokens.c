/* Kernels of tokens and places: embed and its gradient, positions, sinusoid, one_hot; append, last_row.
 * Numbers that come as data (ids, positions, counts) are checked here: one out of range reads zeros and
 * writes nothing. */
#include "ops/kernels/box.h"
#include "ops/build.h"
#include "ops/kernels/row_tasks.h"
#include "ops/rules.h"
#include <math.h>
#include <string.h>

/* ---- embed ---- */

static bool plan_embed(kernel_call *call)
{
    return plan_rows(call, &call->outputs[0]);
}

static void run_embed(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    const tensor *table = &call->inputs[0], *ids = &call->inputs[1], *y = &call->outputs[0];
    row_range rows = rows_of_task(y, task);
    row_walk row = row_walk_at(y->dims, y->rank - 1, rows.begin);
    (void)phase, (void)scratch;
    for (int64_t r = rows.begin; r < rows.end; r++, row_walk_next(&row)) {
        int32_t id = integer_at(ids, row_offset(&row, ids->strides));
        bool known = id >= 0 && id < table->dims[0];
        move_row(known ? (const uint32_t *)table->data + id * table->strides[0] : NULL, table->strides[1],
                 (uint32_t *)y->data + row_offset(&row, y->strides), last_stride(y), last_extent(y));
    }
}

const kernel kernel_embed = {"embed", plan_embed, run_embed};

/* ---- embed_grad: phase 0 sorts the places by id, phase 1 gives each row of the table to one task ---- */

typedef struct id_index {
    int64_t *start;  /* [V + 1]: where the places of an id begin */
    int64_t *places; /* offsets of rows of dy, in order within an id */
} id_index;

static id_index id_index_of(const kernel_call *call)
{
    int64_t *start = call->shared;
    return (id_index){start, start + call->outputs[0].dims[0] + 2};
}

static bool plan_embed_grad(kernel_call *call)
{
    const tensor *ids = &call->inputs[0], *y = &call->outputs[0];
    call->phases = 2;
    call->tasks[0] = 1;
    call->tasks[1] = divide_up(y->dims[0], rows_per_task(y->dims[1]));
    call->shared_bytes = sizeof(int64_t) * (size_t)(y->dims[0] + 2 + extents_product(ids->dims, ids->rank));
    call->scratch_bytes = sizeof(double) * (size_t)y->dims[1];
    return true;
}

/* A counting sort: start[id + 2] counts, then start[id + 1] is where the next place of id goes. */
static void index_ids(const kernel_call *call)
{
    const tensor *ids = &call->inputs[0], *dy = &call->inputs[1];
    int64_t count = extents_product(ids->dims, ids->rank), vocabulary = call->outputs[0].dims[0];
    id_index index = id_index_of(call);
    memset(index.start, 0, sizeof *index.start * (size_t)(vocabulary + 2));
    row_walk place = row_walk_at(ids->dims, ids->rank, 0);
    for (int64_t i = 0; i < count; i++, row_walk_next(&place)) {
        int32_t id = integer_at(ids, row_offset(&place, ids->strides));
        if (id >= 0 && id < vocabulary)
            index.start[id + 2]++;
    }
    for (int64_t id = 0; id < vocabulary; id++)
        index.start[id + 2] += index.start[id + 1];
    place = row_walk_at(ids->dims, ids->rank, 0);
    for (int64_t i = 0; i < count; i++, row_walk_next(&place)) {
        int32_t id = integer_at(ids, row_offset(&place, ids->strides));
        if (id >= 0 && id < vocabulary)
            index.places[index.start[id + 1]++] = row_offset(&place, dy->strides);
    }
}

/* The rows of dy at these places, added in double in their order. */
static void add_places(const tensor *dy, const int64_t *places, int64_t count, double *sum, int64_t width)
{
    int64_t stride = last_stride(dy);
    memset(sum, 0, sizeof *sum * (size_t)width);
    for (int64_t p = 0; p < count; p++) {
        const float *row = (const float *)dy->data + places[p];
        if (stride == 1)
            for (int64_t i = 0; i < width; i++)
                sum[i] += row[i];
        else
            for (int64_t i = 0; i < width; i++)
                sum[i] += row[i * stride];
    }
}

static void run_embed_grad(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    if (phase == 0) {
        index_ids(call);
        return;
    }
    const tensor *dy = &call->inputs[1], *y = &call->outputs[0];
    row_range rows = rows_of_task(y, task);
    id_index index = id_index_of(call);
    double *sum = scratch;
    for (int64_t id = rows.begin; id < rows.end; id++) {
        int64_t begin = index.start[id], count = index.start[id + 1] - begin;
        float *to = (float *)y->data + id * y->strides[0];
        if (count > 1) {
            add_places(dy, index.places + begin, count, sum, y->dims[1]);
            for (int64_t i = 0; i < y->dims[1]; i++)
                to[i * y->strides[1]] = (float)sum[i];
        } else {
            move_row(count ? (const uint32_t *)dy->data + index.places[begin] : NULL, last_stride(dy),
                     (uint32_t *)to, y->strides[1], y->dims[1]);
        }
    }
}

const kernel kernel_embed_grad = {"embed_grad", plan_embed_grad, run_embed_grad};

/* ---- positions ---- */

static bool plan_positions(kernel_call *call)
{
    return plan_rows(call, &call->outputs[0]);
}

static void run_positions(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    const tensor *y = &call->outputs[0], *offset = call->input_count > 1 ? &call->inputs[1] : NULL;
    row_range rows = rows_of_task(y, task);
    (void)phase, (void)scratch;
    for (int64_t b = rows.begin; b < rows.end; b++) {
        int32_t first = offset && offset->data ? integer_at(offset, b * offset->strides[0]) : 0;
        int32_t *to = (int32_t *)y->data + b * y->strides[0];
        for (int64_t t = 0; t < y->dims[1]; t++)
            to[t * y->strides[1]] = first + (int32_t)t;
    }
}

const kernel kernel_positions = {"positions", plan_positions, run_positions};

/* ---- sinusoid: phase 0 makes the frequencies; a task of phase 1 takes some columns t of all sentences,
 * because most sentences have the same position there ---- */

static int64_t columns_per_task(const tensor *y)
{
    return divide_up(rows_per_task(y->dims[0] * y->dims[2]), 4); /* a sine costs more than a copy */
}

static bool plan_sinusoid(kernel_call *call)
{
    const tensor *y = &call->outputs[0];
    call->phases = 2;
    call->tasks[0] = 1;
    call->tasks[1] = divide_up(y->dims[1], columns_per_task(y));
    call->shared_bytes = sizeof(double) * (size_t)(y->dims[2] / 2 + 1);
    return true;
}

static void make_frequencies(const kernel_call *call)
{
    int64_t width = call->attributes[sinusoid_width].integer;
    double *frequency = call->shared;
    for (int64_t i = 0; i < width / 2; i++)
        frequency[i] = pow(10000, -2.0 * (double)i / (double)width);
}

static void sinusoid_row(float *y, int64_t stride, int64_t width, const double *frequency, int32_t position)
{
    for (int64_t i = 0; i < width / 2; i++) {
        y[i * stride] = (float)sin(position * frequency[i]);
        y[(i + width / 2) * stride] = (float)cos(position * frequency[i]);
    }
}

static void run_sinusoid(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    (void)scratch;
    if (phase == 0) {
        make_frequencies(call);
        return;
    }
    const tensor *x = &call->inputs[0], *y = &call->outputs[0];
    int64_t step = columns_per_task(y), end = (task + 1) * step < y->dims[1] ? (task + 1) * step : y->dims[1];
    for (int64_t t = task * step; t < end; t++)
        for (int64_t b = 0; b < y->dims[0]; b++) {
            int32_t position = integer_at(x, b * x->strides[0] + t * x->strides[1]);
            int32_t first = integer_at(x, t * x->strides[1]);
            float *row = (float *)y->data + t * y->strides[1], *to = row + b * y->strides[0];
            if (b && position == first)
                move_row((const uint32_t *)row, y->strides[2], (uint32_t *)to, y->strides[2], y->dims[2]);
            else
                sinusoid_row(to, y->strides[2], y->dims[2], call->shared, position);
        }
}

const kernel kernel_sinusoid = {"sinusoid", plan_sinusoid, run_sinusoid};

/* ---- one_hot ---- */

static bool plan_one_hot(kernel_call *call)
{
    return plan_rows(call, &call->outputs[0]);
}

static void run_one_hot(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    const tensor *ids = &call->inputs[0], *y = &call->outputs[0];
    row_range rows = rows_of_task(y, task);
    row_walk row = row_walk_at(y->dims, y->rank - 1, rows.begin);
    (void)phase, (void)scratch;
    for (int64_t r = rows.begin; r < rows.end; r++, row_walk_next(&row)) {
        int32_t id = integer_at(ids, row_offset(&row, ids->strides));
        float *to = (float *)y->data + row_offset(&row, y->strides);
        move_row(NULL, 0, (uint32_t *)to, last_stride(y), last_extent(y));
        if (id >= 0 && id < last_extent(y))
            to[id * last_stride(y)] = 1;
    }
}

const kernel kernel_one_hot = {"one_hot", plan_one_hot, run_one_hot};

/* ---- append: phase 0 copies the cache unless it is the result's own memory, phase 1 writes the new rows
 * ---- */

static box cache_box(const kernel_call *call)
{
    const tensor *x = &call->inputs[0], *y = &call->outputs[0];
    box b = {0};
    for (int i = 0; i < y->rank; i++)
        box_axis(&b, y->dims[i], x->strides[i], y->strides[i]);
    box_order(&b);
    return b;
}

static bool plan_append(kernel_call *call)
{
    box cache = cache_box(call);
    plan_rows(call, &call->inputs[1]);
    call->phases = 2;
    call->tasks[1] = call->tasks[0];
    call->tasks[0] = box_tasks(&cache);
    return true;
}

/* Rows past the capacity are padding that nobody reads: they are left out. */
static void append_rows(const kernel_call *call, int64_t task)
{
    const tensor *rows = &call->inputs[1], *position = &call->inputs[2], *y = &call->outputs[0];
    int axis = normal_axis(call->attributes[append_axis].integer, y->rank), last = y->rank - 1;
    row_range some = rows_of_task(rows, task);
    row_walk row = row_walk_at(rows->dims, last, some.begin);
    for (int64_t r = some.begin; r < some.end; r++, row_walk_next(&row)) {
        int64_t first = integer_at(position, row.index[0] * position->strides[0]),
                room = y->dims[axis] - first;
        int64_t count = axis < last || rows->dims[last] < room ? rows->dims[last] : room;
        if (first < 0 || (axis < last && row.index[axis] >= room) || count <= 0)
            continue;
        move_row((const uint32_t *)rows->data + row_offset(&row, rows->strides), rows->strides[last],
                 (uint32_t *)y->data + row_offset(&row, y->strides) + first * y->strides[axis],
                 y->strides[last], count);
    }
}

static void run_append(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    (void)scratch;
    if (phase == 1) {
        append_rows(call, task);
    } else if (call->inputs[0].data != call->outputs[0].data) {
        box cache = cache_box(call);
        box_run(&cache, call->inputs[0].data, call->outputs[0].data, task);
    }
}

const kernel kernel_append = {"append", plan_append, run_append};

/* ---- last_row ---- */

static bool plan_last_row(kernel_call *call)
{
    return plan_rows(call, &call->outputs[0]);
}

static void run_last_row(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    const tensor *x = &call->inputs[0], *counts = &call->inputs[1], *y = &call->outputs[0];
    int axis = normal_axis(call->attributes[last_row_axis].integer, x->rank);
    row_range rows = rows_of_task(y, task);
    row_walk row = row_walk_at(y->dims, y->rank - 1, rows.begin);
    (void)phase, (void)scratch;
    for (int64_t r = rows.begin; r < rows.end; r++, row_walk_next(&row)) {
        int64_t from = (int64_t)integer_at(counts, row.index[0] * counts->strides[0]) - 1;
        bool there = from >= 0 && from < x->dims[axis];
        int64_t at = row_offset(&row, x->strides) + from * x->strides[axis];
        move_row(there ? (const uint32_t *)x->data + at : NULL, last_stride(x),
                 (uint32_t *)y->data + row_offset(&row, y->strides), last_stride(y), last_extent(y));
    }
}

const kernel kernel_last_row = {"last_row", plan_last_row, run_last_row};
