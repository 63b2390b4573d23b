/* Kernels of gather and scatter. gather's tasks are rows of the result. Those of scatter are blocks of
 * columns that hold the axis whole, so that each sum has one owner and is added in order, in double. */
#include "ops/build.h"
#include "ops/kernels/row_tasks.h"
#include "ops/rules.h"

/* The strides of the ids along the axes of the gathered tensor: 0 along those that they lack. */
static void id_strides(const tensor *ids, int axis, int rank, int64_t *strides)
{
    for (int i = 0; i < rank; i++)
        strides[i] = ids->rank == 1 ? 0 : i < ids->rank ? ids->strides[i] : 0;
    if (ids->rank == 1)
        strides[axis] = ids->strides[0];
}

/* ---- gather ---- */

static bool plan_gather(kernel_call *call)
{
    return plan_rows(call, &call->outputs[0]);
}

/* A row whose elements have ids of their own, `step` apart; `along`: from one element to the next where it is
 * not the axis that ids count. */
static void gather_elements(const tensor *x, int axis, int64_t at, int64_t along, const int32_t *id,
                            int64_t step, uint32_t *to, int64_t to_stride, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        int32_t from = id[i * step];
        bool there = from >= 0 && from < x->dims[axis];
        to[i * to_stride] = there ? ((const uint32_t *)x->data)[at + from * x->strides[axis] + i * along] : 0;
    }
}

static void run_gather(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    const tensor *x = &call->inputs[0], *ids = &call->inputs[1], *y = &call->outputs[0];
    int axis = normal_axis(call->attributes[gather_axis].integer, x->rank), last = y->rank - 1;
    int64_t steps[MAX_RANK];
    id_strides(ids, axis, x->rank, steps);
    row_range rows = rows_of_task(y, task);
    row_walk row = row_walk_at(y->dims, last, rows.begin);
    (void)phase, (void)scratch;
    for (int64_t r = rows.begin; r < rows.end; r++, row_walk_next(&row)) {
        const int32_t *id = (const int32_t *)ids->data + row_offset(&row, steps);
        uint32_t *to = (uint32_t *)y->data + row_offset(&row, y->strides);
        int64_t at = row_offset(&row, x->strides) - (axis < last ? row.index[axis] * x->strides[axis] : 0);
        if (axis == last || steps[last]) {
            gather_elements(x, axis, at, axis == last ? 0 : x->strides[last], id, steps[last], to,
                            y->strides[last], y->dims[last]);
        } else {
            bool there = *id >= 0 && *id < x->dims[axis];
            move_row(there ? (const uint32_t *)x->data + at + *id * x->strides[axis] : NULL, x->strides[last],
                     to, y->strides[last], y->dims[last]);
        }
    }
}

const kernel kernel_gather = {"gather", plan_gather, run_gather};

/* ---- scatter ---- */

enum { LEAST_COLUMNS = 16, BLOCK_ELEMENTS = 32768 };

/* Blocks of columns, which run along the last axis; where that is the axis of the ids, a column is a line. */
typedef struct blocks {
    int axis, last;
    int64_t others[MAX_RANK]; /* extents without the axis and the columns */
    int64_t extent, rows;     /* of the axis: of the result, of the operand */
    int64_t columns, width;   /* of all; of a block, at most */
    int64_t per_row, count, per_task;
} blocks;

static blocks blocks_of(const kernel_call *call)
{
    const tensor *x = &call->inputs[0], *y = &call->outputs[0];
    blocks b = {.axis = normal_axis(call->attributes[scatter_axis].integer, y->rank), .last = y->rank - 1};
    for (int i = 0; i < y->rank; i++)
        b.others[i] = i == b.axis || i == b.last ? 1 : y->dims[i];
    b.extent = y->dims[b.axis];
    b.rows = x->dims[b.axis];
    b.columns = b.axis == b.last ? 1 : y->dims[b.last];
    b.width = BLOCK_ELEMENTS / (b.extent > 0 ? b.extent : 1);
    b.width = b.width < LEAST_COLUMNS ? LEAST_COLUMNS : b.width;
    b.width = b.width < b.columns ? b.width : b.columns;
    b.per_row = b.width ? divide_up(b.columns, b.width) : 0;
    b.count = extents_product(b.others, y->rank) * b.per_row;
    b.per_task = rows_per_task((b.extent + b.rows) * b.width);
    return b;
}

static bool plan_scatter(kernel_call *call)
{
    blocks b = blocks_of(call);
    call->phases = 1;
    call->tasks[0] = divide_up(b.count, b.per_task);
    call->scratch_bytes = sizeof(double) * (size_t)(b.extent * b.width);
    return true;
}

static void add_row(double *sum, const float *x, int64_t step, int64_t count)
{
    if (step == 1)
        for (int64_t i = 0; i < count; i++)
            sum[i] += x[i];
    else
        for (int64_t i = 0; i < count; i++)
            sum[i] += x[i * step];
}

static void store_row(float *to, int64_t step, const double *sum, int64_t count)
{
    if (step == 1)
        for (int64_t i = 0; i < count; i++)
            to[i] = (float)sum[i];
    else
        for (int64_t i = 0; i < count; i++)
            to[i * step] = (float)sum[i];
}

/* sum [extent, columns] of one block that begins at these places. */
static void add_rows(const blocks *b, const float *x, const int64_t *x_strides, const int32_t *ids,
                     const int64_t *steps, int64_t columns, double *sum)
{
    int64_t x_step = b->axis == b->last ? 0 : x_strides[b->last],
            id_step = b->axis == b->last ? 0 : steps[b->last];
    memset(sum, 0, sizeof *sum * (size_t)(b->extent * columns));
    for (int64_t r = 0; r < b->rows; r++, x += x_strides[b->axis], ids += steps[b->axis]) {
        if (!id_step && *ids >= 0 && *ids < b->extent)
            add_row(sum + *ids * columns, x, x_step, columns);
        for (int64_t c = 0; id_step && c < columns; c++) {
            int32_t id = ids[c * id_step];
            if (id >= 0 && id < b->extent)
                sum[id * columns + c] += x[c * x_step];
        }
    }
}

static void scatter_block(const kernel_call *call, const blocks *b, int64_t block, double *sum)
{
    const tensor *x = &call->inputs[0], *ids = &call->inputs[1], *y = &call->outputs[0];
    int64_t steps[MAX_RANK], first = block % b->per_row * b->width,
                             columns = b->columns - first < b->width ? b->columns - first : b->width;
    id_strides(ids, b->axis, y->rank, steps);
    row_walk at = row_walk_at(b->others, y->rank, block / b->per_row);
    if (b->axis != b->last)
        at.index[b->last] = first;
    add_rows(b, (const float *)x->data + row_offset(&at, x->strides), x->strides,
             (const int32_t *)ids->data + row_offset(&at, steps), steps, columns, sum);
    float *to = (float *)y->data + row_offset(&at, y->strides);
    int64_t step = b->axis == b->last ? 0 : y->strides[b->last];
    for (int64_t r = 0; r < b->extent; r++)
        store_row(to + r * y->strides[b->axis], step, sum + r * columns, columns);
}

static void run_scatter(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    blocks b = blocks_of(call);
    int64_t end = (task + 1) * b.per_task < b.count ? (task + 1) * b.per_task : b.count;
    (void)phase;
    for (int64_t block = task * b.per_task; block < end; block++)
        scatter_block(call, &b, block, scratch);
}

const kernel kernel_scatter = {"scatter", plan_scatter, run_scatter};
