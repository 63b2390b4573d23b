/* Layer norm, RMS norm and softmax over the last axis, and their gradients. Each row is computed by itself,
 * so its bits do not depend on other rows; gradients of gain and bias are summed over blocks of BLOCK rows,
 * and the blocks in order. */
#include "ops/kernels/norm_rows.h"
#include "ops/op.h"
#include "ops/rules.h"

enum { BLOCK = 64, COLUMNS = 256 };

/* ---- forward ---- */

/* The statistics of one row: `count` numbers, `stride` apart in the result. */
static void write_statistics(const kernel_call *call, const strided_walk *w, int64_t row,
                             const float *numbers, int count)
{
    const tensor *s = &call->outputs[1];
    if (s->data)
        scatter_row((float *)s->data + walk_at(w, 2, row), tensor_last_stride(s), numbers, count);
}

static bool norm_plan(kernel_call *call)
{
    return plan_rows(call, 4);
}

static void norm_run(const kernel_call *call, int64_t task, void *scratch, bool centred)
{
    norm_rows r;
    norm_rows_begin(&r, 3, (const tensor *[]){&call->inputs[0], &call->outputs[0], &call->outputs[1]});
    int64_t n = r.width, each = units_per_task(n, NORM_TASK), last = last_row(task, each, r.rows);
    const float *gain = vector_in(&call->inputs[1], n, 1, copy_at(scratch, 0, n));
    const float *bias = centred ? vector_in(&call->inputs[2], n, 0, copy_at(scratch, 1, n)) : NULL;
    float *x_copy = copy_at(scratch, 2, n), *y_copy = copy_at(scratch, 3, n);
    for (int64_t row = task * each; row < last; row++) {
        const float *x = row_in(&r, 0, row, x_copy);
        float *y = row_out(&r, 1, row, y_copy), statistics[2];
        if (centred)
            vectors()->layer_norm_row(y, statistics, x, gain, bias, n,
                                      call->attributes[layer_norm_epsilon].real);
        else
            vectors()->rms_norm_row(y, statistics, x, gain, n, call->attributes[rms_norm_epsilon].real);
        row_done(&r, 1, row, y_copy);
        write_statistics(call, &r.walk, row, statistics, centred ? 2 : 1);
    }
}

static void layer_norm_run(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    (void)phase;
    norm_run(call, task, scratch, true);
}
static void rms_norm_run(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    (void)phase;
    norm_run(call, task, scratch, false);
}
const kernel kernel_layer_norm = {"layer_norm", norm_plan, layer_norm_run};
const kernel kernel_rms_norm = {"rms_norm", norm_plan, rms_norm_run};

/* ---- gradients: shared holds [blocks][2][width], dgain and dbias of each block of rows ---- */

static bool norm_grad_plan(kernel_call *call)
{
    norm_rows r;
    norm_rows_begin(&r, 1, (const tensor *[]){&call->inputs[0]});
    int64_t blocks = parts_of(r.rows, BLOCK);
    call->phases = 2;
    call->tasks[0] = r.width ? blocks : 0;
    call->tasks[1] = parts_of(r.width, COLUMNS);
    call->scratch_bytes = copies_bytes(4, r.width > COLUMNS ? r.width : COLUMNS);
    call->shared_bytes = sizeof(float) * 2 * (size_t)(blocks * r.width);
    return true;
}

static void norm_grad_block(const kernel_call *call, int64_t block, void *scratch, bool centred)
{
    norm_rows r;
    norm_rows_begin(
        &r, 4, (const tensor *[]){&call->inputs[0], &call->inputs[3], &call->outputs[0], &call->inputs[2]});
    int64_t n = r.width, last = last_row(block, BLOCK, r.rows), step = tensor_last_stride(&call->inputs[2]);
    const float *gain = vector_in(&call->inputs[1], n, 1, copy_at(scratch, 0, n));
    float *x_copy = copy_at(scratch, 1, n), *dy_copy = copy_at(scratch, 2, n),
          *dx_copy = copy_at(scratch, 3, n);
    float *dgain = (float *)call->shared + block * 2 * n, *dbias = dgain + n;
    vectors()->row_fill(dgain, 0, 2 * n);
    for (int64_t row = block * BLOCK; row < last; row++) {
        const float *x = row_in(&r, 0, row, x_copy), *dy = row_in(&r, 1, row, dy_copy),
                    *statistics = row_data(&r, 3, row);
        float *dx = row_out(&r, 2, row, dx_copy);
        if (centred)
            vectors()->layer_norm_grad_row(dx, dgain, dbias, x, gain, statistics[0], statistics[step], dy, n);
        else
            vectors()->rms_norm_grad_row(dx, dgain, x, gain, statistics[0], dy, n);
        row_done(&r, 2, row, dx_copy);
    }
}

static void norm_grad_finish(const kernel_call *call, int64_t task, float *sum)
{
    const tensor *x = &call->inputs[0];
    int64_t n = tensor_last_dim(x), rows = n ? tensor_elements(x) / n : 0, blocks = parts_of(rows, BLOCK);
    int64_t first = task * COLUMNS, columns = n - first < COLUMNS ? n - first : COLUMNS;
    for (int k = 1; k < call->output_count; k++) {
        const tensor *y = &call->outputs[k];
        int64_t stride = tensor_last_stride(y);
        if (!y->data)
            continue;
        vectors()->columns_combine(sum, (const float *)call->shared + (k - 1) * n + first, 2 * n, blocks,
                                   columns, 1);
        scatter_row((float *)y->data + first * stride, stride, sum, columns);
    }
}

static void layer_norm_grad_run(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    if (phase == 0)
        norm_grad_block(call, task, scratch, true);
    else
        norm_grad_finish(call, task, scratch);
}
static void rms_norm_grad_run(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    if (phase == 0)
        norm_grad_block(call, task, scratch, false);
    else
        norm_grad_finish(call, task, scratch);
}
const kernel kernel_layer_norm_grad = {"layer_norm_grad", norm_grad_plan, layer_norm_grad_run};
const kernel kernel_rms_norm_grad = {"rms_norm_grad", norm_grad_plan, rms_norm_grad_run};

/* ---- softmax ---- */

static bool softmax_plan(kernel_call *call)
{
    return plan_rows(call, 3);
}

static void softmax_run(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    (void)phase;
    norm_rows r;
    norm_rows_begin(&r, 2, (const tensor *[]){&call->outputs[0], &call->inputs[0]});
    int64_t n = r.width, each = units_per_task(n, NORM_TASK), last = last_row(task, each, r.rows);
    float *y_copy = copy_at(scratch, 0, n), *x_copy = copy_at(scratch, 1, n);
    for (int64_t row = task * each; row < last; row++) {
        vectors()->softmax_row(row_out(&r, 0, row, y_copy), row_in(&r, 1, row, x_copy), n);
        row_done(&r, 0, row, y_copy);
    }
}
const kernel kernel_softmax = {"softmax", softmax_plan, softmax_run};

static void softmax_grad_run(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    (void)phase;
    norm_rows r;
    norm_rows_begin(&r, 3, (const tensor *[]){&call->outputs[0], &call->inputs[0], &call->inputs[1]});
    int64_t n = r.width, each = units_per_task(n, NORM_TASK), last = last_row(task, each, r.rows);
    float *dx_copy = copy_at(scratch, 0, n), *y_copy = copy_at(scratch, 1, n),
          *dy_copy = copy_at(scratch, 2, n);
    for (int64_t row = task * each; row < last; row++) {
        const float *y = row_in(&r, 1, row, y_copy), *dy = row_in(&r, 2, row, dy_copy);
        vectors()->softmax_grad_row(row_out(&r, 0, row, dx_copy), y, dy, n);
        row_done(&r, 0, row, dx_copy);
    }
}
const kernel kernel_softmax_grad = {"softmax_grad", softmax_plan, softmax_grad_run};
