/* Layer norm, RMS norm and softmax over the last axis, and their gradients. A row is worked on by itself, so
 * its bits do not depend on the rows around it; gradients of gain and bias are summed over blocks of BLOCK
 * rows, and the blocks in order. */
#include "core/mutant.h"
#include "ops/onednn_primitives.h"
#include "ops/op.h"
#include "ops/rules.h"
#include "ops/strided.h"
#include "ops/vector/table.h"

enum { TASK = 16384, BLOCK = 64, COLUMNS = 256, MOST_OPERANDS = 4 };

/* Rows of up to four tensors, without their last axis. */
typedef struct norm_rows {
    strided_walk walk;
    const tensor *tensors[MOST_OPERANDS];
    int64_t rows, width;
} norm_rows;

static void norm_rows_begin(norm_rows *r, int count, const tensor *const *tensors)
{
    for (int i = 0; i < count; i++) {
        tensor less = tensor_without(tensors[i], tensors[i]->rank - 1);
        r->tensors[i] = tensors[i];
        if (i == 0)
            walk_begin(&r->walk, less.rank, less.dims);
        walk_add(&r->walk, &less);
    }
    walk_merge(&r->walk);
    r->rows = walk_elements(&r->walk);
    r->width = tensor_last_dim(tensors[0]);
}

static float *row_data(const norm_rows *r, int operand, int64_t row)
{
    return (float *)r->tensors[operand]->data + walk_at(&r->walk, operand, row);
}
static bool row_plain(const norm_rows *r, int operand)
{
    return tensor_last_stride(r->tensors[operand]) == 1;
}

/* The row to read: its own memory, or a copy in `copy`. */
static const float *row_in(const norm_rows *r, int operand, int64_t row, float *copy)
{
    const float *x = row_data(r, operand, row);
    if (row_plain(r, operand))
        return x;
    gather_row(copy, x, tensor_last_stride(r->tensors[operand]), r->width);
    return copy;
}
/* The row to write: its own memory, or `copy`, which row_done then brings there. */
static float *row_out(const norm_rows *r, int operand, int64_t row, float *copy)
{
    return row_plain(r, operand) && r->tensors[operand]->data ? row_data(r, operand, row) : copy;
}
static void row_done(const norm_rows *r, int operand, int64_t row, const float *copy)
{
    if (!row_plain(r, operand) && r->tensors[operand]->data)
        scatter_row(row_data(r, operand, row), tensor_last_stride(r->tensors[operand]), copy, r->width);
}

/* A vector operand such as gain, one after another in `copy`; all `absent` when it is not there. */
static const float *vector_in(const tensor *t, int64_t width, float absent, float *copy)
{
    if (!t->data)
        vectors()->row_fill(copy, absent, width);
    else if (tensor_last_stride(t) == 1)
        return t->data;
    else
        gather_row(copy, t->data, tensor_last_stride(t), width);
    return copy;
}

static size_t copies_bytes(int count, int64_t width)
{
    return sizeof(float) * (size_t)count * (size_t)(width + 16);
}
static float *copy_at(void *scratch, int i, int64_t width)
{
    return (float *)scratch + i * (width + 16);
}

static int64_t last_row(int64_t task, int64_t each, int64_t rows)
{
    return (task + 1) * each < rows ? (task + 1) * each : rows;
}

static bool plan_rows(kernel_call *call, int copies)
{
    norm_rows r;
    norm_rows_begin(&r, 1, (const tensor *[]){&call->outputs[0]});
    call->phases = 1;
    call->tasks[0] = r.width ? parts_of(r.rows, units_per_task(r.width, TASK)) : 0;
    call->scratch_bytes = copies_bytes(copies, r.width);
    return true;
}

/* ---- forward ---- */

/* The statistics of one row, `count` numbers of which the result has `stride` between. */
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
    int64_t n = r.width, each = units_per_task(n, TASK), last = last_row(task, each, r.rows);
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
            vectors()->layer_norm_grad_row(dx, dgain, dbias, x, gain,
                                           MUTANT(layer_norm_grad_without_mean, 0, statistics[0]),
                                           statistics[step], dy, n);
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
    int64_t n = r.width, each = units_per_task(n, TASK), last = last_row(task, each, r.rows);
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
    int64_t n = r.width, each = units_per_task(n, TASK), last = last_row(task, each, r.rows);
    float *dx_copy = copy_at(scratch, 0, n), *y_copy = copy_at(scratch, 1, n),
          *dy_copy = copy_at(scratch, 2, n);
    for (int64_t row = task * each; row < last; row++) {
        const float *y = row_in(&r, 1, row, y_copy), *dy = row_in(&r, 2, row, dy_copy);
        vectors()->softmax_grad_row(row_out(&r, 0, row, dx_copy), y, dy, n);
        row_done(&r, 0, row, dx_copy);
    }
}
const kernel kernel_softmax_grad = {"softmax_grad", softmax_plan, softmax_grad_run};

/* ---- oneDNN's, for tensors whose rows lie one after another ---- */

static bool dense(const tensor *t)
{
    int64_t step = 1;
    for (int i = t->rank - 1; i >= 0; step *= t->dims[i--])
        if (t->dims[i] != 1 && t->strides[i] != step)
            return false;
    return true;
}

static primitive_tensor dense_rows(int64_t rows, int64_t n)
{
    primitive_tensor t = {0};
    primitive_axis(&t, rows, n);
    primitive_axis(&t, n, 1);
    primitive_close(&t);
    return t;
}
static primitive_tensor dense_vector(int64_t n)
{
    primitive_tensor t = {0};
    primitive_axis(&t, n, 1);
    return t;
}

/* The rows of a task. */
typedef struct task_rows {
    int64_t n, each, first, count;
} task_rows;
static task_rows rows_of_task(const tensor *x, int64_t task)
{
    task_rows t = {.n = tensor_last_dim(x)};
    int64_t rows = t.n ? tensor_elements(x) / t.n : 0;
    t.each = units_per_task(t.n, TASK);
    t.first = task * t.each;
    t.count = last_row(task, t.each, rows) - t.first;
    return t;
}

/* The first task's primitive and the last's are made. Their scratch lies behind own_bytes of ours. */
typedef primitive wanted_rule(const kernel_call *call, const task_rows *t);
static bool plan_primitives(kernel_call *call, wanted_rule *rule, size_t own_bytes)
{
    size_t bytes = 0;
    for (int64_t task = 0, tasks = call->tasks[0]; task<tasks; task += tasks> 1 ? tasks - 1 : 1) {
        task_rows t = rows_of_task(&call->inputs[0], task);
        primitive wanted = rule(call, &t);
        if (!primitive_plan(&wanted, &bytes))
            return false;
    }
    bytes += own_bytes;
    call->scratch_bytes = call->scratch_bytes > bytes ? call->scratch_bytes : bytes;
    return true;
}

static primitive softmax_wanted(const kernel_call *call, const task_rows *t)
{
    (void)call;
    return (primitive){.kind = PRIMITIVE_SOFTMAX,
                       .tensors = {dense_rows(t->count, t->n), dense_rows(t->count, t->n)}};
}

static bool softmax_onednn_plan(kernel_call *call)
{
    return dense(&call->inputs[0]) && dense(&call->outputs[0]) && plan_rows(call, 0) &&
           plan_primitives(call, softmax_wanted, TASK);
}

/* Rows that oneDNN has no softmax for: −inf alone, which gives zeros here, is noted, because the operand may
 * be gone where the result took its place. False: a row holds a NaN or +inf, of which oneDNN would make
 * zeros. */
static bool note_empty_rows(const float *x, const task_rows *t, char *empty)
{
    bool finite = true;
    for (int64_t i = 0; i < t->count; i++) {
        float largest = vectors()->row_max(x + i * t->n, t->n);
        empty[i] = largest == -__builtin_inff();
        finite = finite && largest < __builtin_inff();
    }
    return finite;
}

static void softmax_onednn_run(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    (void)phase;
    task_rows t = rows_of_task(&call->inputs[0], task);
    primitive wanted = softmax_wanted(call, &t);
    float *x = (float *)call->inputs[0].data + t.first * t.n,
          *y = (float *)call->outputs[0].data + t.first * t.n;
    char *empty = scratch; /* one a row, at most TASK; the primitive's own scratch lies behind */
    bool done = note_empty_rows(x, &t, empty) &&
                primitive_run(&wanted, (float *[PRIMITIVE_TENSORS]){x, y}, empty + TASK);
    for (int64_t i = 0; i < t.count; i++)
        if (!done)
            vectors()->softmax_row(y + i * t.n, x + i * t.n, t.n);
        else if (empty[i])
            vectors()->row_fill(y + i * t.n, 0, t.n);
}
const kernel kernel_softmax_onednn = {"softmax_onednn", softmax_onednn_plan, softmax_onednn_run};

static primitive layer_norm_wanted(const kernel_call *call, const task_rows *t)
{
    primitive_tensor rows = dense_rows(t->count, t->n), one = dense_vector(t->n),
                     statistics = dense_vector(t->count);
    return (primitive){.kind = PRIMITIVE_LAYER_NORM,
                       .epsilon = call->attributes[layer_norm_epsilon].real,
                       .tensors = {rows, one, one, rows, statistics, statistics}};
}

static bool layer_norm_onednn_plan(kernel_call *call)
{
    for (int i = 0; i < 3; i++)
        if (!dense(&call->inputs[i]))
            return false;
    return call->outputs[0].data && dense(&call->outputs[0]) && norm_plan(call) &&
           plan_primitives(call, layer_norm_wanted, sizeof(float) * 2 * TASK);
}

/* oneDNN keeps mean and variance in two vectors; the op's statistics are [mean, 1/√(variance + ε)] side by
 * side. */
static void layer_norm_onednn_run(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    const tensor *tx = &call->inputs[0], *statistics = &call->outputs[1];
    task_rows t = rows_of_task(tx, task);
    primitive wanted = layer_norm_wanted(call, &t);
    float *mean = scratch, *variance = mean + TASK, *rest = variance + TASK;
    float *data[] = {(float *)tx->data + t.first * t.n,
                     call->inputs[1].data,
                     call->inputs[2].data,
                     (float *)call->outputs[0].data + t.first * t.n,
                     mean,
                     variance};
    if (!primitive_run(&wanted, data, rest)) {
        layer_norm_run(call, phase, task, scratch);
        return;
    }
    norm_rows r;
    norm_rows_begin(&r, 2, (const tensor *[]){tx, statistics});
    for (int64_t i = 0; i < t.count && statistics->data; i++) {
        float *to = row_data(&r, 1, t.first + i);
        to[0] = mean[i];
        to[tensor_last_stride(statistics)] =
            (float)(1 / __builtin_sqrt((double)variance[i] + wanted.epsilon));
    }
}
const kernel kernel_layer_norm_onednn = {"layer_norm_onednn", layer_norm_onednn_plan, layer_norm_onednn_run};
