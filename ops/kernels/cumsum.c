/* The running sum: doubles run along the axis, for up to COLUMNS neighbours at a time. */
#include "ops/op.h"
#include "ops/rules.h"
#include "ops/kernels/strided.h"
#include "ops/vector/table.h"
#include <string.h>

enum { COLUMNS = 128, TASK = 32768 };

typedef struct running {
    strided_walk others;            /* operand 0: y, 1: x */
    int64_t extent, y_step, x_step; /* along the axis */
    int64_t chunks, units, per_task;
} running;

static void make_running(const kernel_call *call, running *r)
{
    const tensor *x = &call->inputs[0], *y = &call->outputs[0];
    int64_t axis = call->attributes[cumsum_axis].integer;
    int at = (int)(axis < 0 ? axis + x->rank : axis);
    tensor y_less = tensor_without(y, at), x_less = tensor_without(x, at);
    walk_begin(&r->others, y_less.rank, y_less.dims);
    walk_add(&r->others, &y_less);
    walk_add(&r->others, &x_less);
    walk_merge(&r->others);
    r->extent = x->dims[at];
    r->y_step = y->strides[at];
    r->x_step = x->strides[at];
    r->chunks = parts_of(r->others.inner, COLUMNS);
    r->units = r->others.rows * r->chunks;
    r->per_task = units_per_task(r->extent * (r->others.inner < COLUMNS ? r->others.inner : COLUMNS), TASK);
}

static bool cumsum_plan(kernel_call *call)
{
    running r;
    make_running(call, &r);
    call->phases = 1;
    call->tasks[0] = parts_of(r.units, r.per_task);
    call->scratch_bytes = (sizeof(double) + 2 * sizeof(float)) * COLUMNS;
    return true;
}

static void cumsum_unit(const kernel_call *call, const running *r, int64_t unit, double *totals)
{
    int64_t row = unit / r->chunks, first = unit % r->chunks * COLUMNS, left = r->others.inner - first;
    int64_t columns = left < COLUMNS ? left : COLUMNS, y_stride = walk_stride(&r->others, 0),
            x_stride = walk_stride(&r->others, 1);
    float *y = (float *)call->outputs[0].data + walk_row(&r->others, 0, row) + first * y_stride;
    const float *x = (const float *)call->inputs[0].data + walk_row(&r->others, 1, row) + first * x_stride;
    float *x_row = (float *)(totals + COLUMNS), *y_row = x_row + COLUMNS;
    bool exclusive = call->attributes[cumsum_exclusive].integer,
         reverse = call->attributes[cumsum_reverse].integer;
    memset(totals, 0, sizeof *totals * COLUMNS);
    for (int64_t i = 0; i < r->extent; i++) {
        int64_t at = reverse ? r->extent - 1 - i : i;
        const float *from = x + at * r->x_step;
        float *to = y + at * r->y_step;
        if (x_stride != 1)
            gather_row(x_row, from, x_stride, columns);
        vectors()->columns_cumsum(y_stride == 1 ? to : y_row, x_stride == 1 ? from : x_row, totals, columns,
                                  exclusive);
        if (y_stride != 1)
            scatter_row(to, y_stride, y_row, columns);
    }
}

static void cumsum_run(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    (void)phase;
    running r;
    make_running(call, &r);
    int64_t last = (task + 1) * r.per_task < r.units ? (task + 1) * r.per_task : r.units;
    for (int64_t unit = task * r.per_task; unit < last; unit++)
        cumsum_unit(call, &r, unit, scratch);
}
const kernel kernel_cumsum = {"cumsum", cumsum_plan, cumsum_run};
