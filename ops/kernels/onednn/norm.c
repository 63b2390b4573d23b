/* oneDNN's candidates for softmax and layer norm. A task has the same rows as one of our own kernel. */
#include "ops/kernels/norm_rows.h"
#include "ops/kernels/onednn/primitives.h"
#include "ops/op.h"
#include "ops/rules.h"

enum { TASK = NORM_TASK };

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
    for (int last = 0; last < 2; last++) {
        task_rows t = rows_of_task(&call->inputs[0], last ? call->tasks[0] - 1 : 0);
        primitive wanted = rule(call, &t);
        if (!primitive_plan(&wanted, &bytes))
            return false;
    }
    bytes += own_bytes;
    call->scratch_bytes = call->scratch_bytes > bytes ? call->scratch_bytes : bytes;
    return true;
}

/* ---- softmax ---- */

static primitive softmax_wanted(const kernel_call *call, const task_rows *t)
{
    (void)call;
    return (primitive){.kind = PRIMITIVE_SOFTMAX,
                       .tensors = {dense_rows(t->count, t->n), dense_rows(t->count, t->n)}};
}

static bool softmax_onednn_plan(kernel_call *call)
{
    return dense(&call->inputs[0]) && dense(&call->outputs[0]) && tensor_elements(&call->inputs[0]) &&
           plan_rows(call, 0) && plan_primitives(call, softmax_wanted, TASK);
}

/* Notes the rows of −inf alone, for which oneDNN has no softmax and we give zeros: afterwards the operand may
 * have been overwritten by the result. False: a row has a NaN or +inf, for which oneDNN would give zeros. */
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

/* ---- layer norm ---- */

static primitive layer_norm_wanted(const kernel_call *call, const task_rows *t)
{
    primitive_tensor rows = dense_rows(t->count, t->n), one = dense_vector(t->n),
                     statistics = dense_vector(t->count);
    return (primitive){.kind = PRIMITIVE_LAYER_NORM,
                       .epsilon = call->attributes[layer_norm_epsilon].real,
                       .tensors = {rows, one, one, rows, statistics, statistics}};
}

/* Scratch: mean and variance; gain, bias and rows where they must be copied; the primitive's own. */
typedef struct norm_scratch {
    float *mean, *variance, *gain, *bias, *rows, *rest;
} norm_scratch;
static int64_t padded(int64_t count)
{
    return (count + 15) / 16 * 16;
}
static int64_t norm_floats(int64_t n)
{
    int64_t rows = units_per_task(n, TASK);
    return 2 * padded(rows) + 2 * padded(n) + padded(rows * n);
}
static norm_scratch norm_scratch_of(float *scratch, int64_t n)
{
    int64_t room = padded(units_per_task(n, TASK));
    float *gain = scratch + 2 * room;
    return (norm_scratch){scratch,          scratch + room,       gain,
                          gain + padded(n), gain + 2 * padded(n), scratch + norm_floats(n)};
}

static bool layer_norm_onednn_plan(kernel_call *call)
{
    int64_t n = tensor_last_dim(&call->inputs[0]);
    if (!tensor_elements(&call->inputs[0]) || !kernel_layer_norm.plan(call))
        return false;
    return plan_primitives(call, layer_norm_wanted, sizeof(float) * (size_t)norm_floats(n));
}

/* All rows of the task to or from one dense block. */
static void move_rows(const norm_rows *r, const task_rows *t, int operand, float *block, bool back)
{
    int64_t stride = tensor_last_stride(r->tensors[operand]);
    for (int64_t i = 0; i < t->count; i++) {
        float *row = row_data(r, operand, t->first + i);
        if (back)
            scatter_row(row, stride, block + i * t->n, t->n);
        else
            gather_row(block + i * t->n, row, stride, t->n);
    }
}

/* oneDNN keeps mean and variance in two vectors; the op's statistics are [mean, 1/√(variance + ε)] side by
 * side. */
static void put_statistics(const norm_rows *r, const task_rows *t, const norm_scratch *s, double epsilon)
{
    for (int64_t i = 0; i < t->count; i++) {
        float *to = row_data(r, 2, t->first + i);
        to[0] = s->mean[i];
        to[tensor_last_stride(r->tensors[2])] = (float)(1 / __builtin_sqrt((double)s->variance[i] + epsilon));
    }
}

/* Rows of nearly equal numbers: oneDNN's mean has more than one rounding error, which 1/√(variance + ε)
 * amplifies. They are computed again. */
static void mend_even_rows(const norm_rows *r, const task_rows *t, const norm_scratch *s, float *const *data,
                           double epsilon)
{
    const float even =
        1e-10f; /* variance / mean²: far below what float can resolve, far above the square of its rounding
                 * error */
    for (int64_t i = 0; i < t->count; i++) {
        float *y = data[3] + i * t->n, statistics[2];
        if (!(s->variance[i] < even * s->mean[i] * s->mean[i]))
            continue;
        gather_row(y, row_data(r, 0, t->first + i), tensor_last_stride(r->tensors[0]), t->n);
        vectors()->layer_norm_row(y, statistics, y, data[1], data[2], t->n, epsilon);
        s->mean[i] = statistics[0];
        s->variance[i] = (float)(1 / ((double)statistics[1] * statistics[1]) - epsilon);
    }
}

static void layer_norm_onednn_run(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    const tensor *x = &call->inputs[0], *y = &call->outputs[0], *statistics = &call->outputs[1];
    task_rows t = rows_of_task(x, task);
    primitive wanted = layer_norm_wanted(call, &t);
    norm_scratch s = norm_scratch_of(scratch, t.n);
    norm_rows r;
    norm_rows_begin(&r, 3, (const tensor *[]){x, y, statistics});
    bool copies = !dense(x) || !dense(y) || !y->data;
    if (copies)
        move_rows(&r, &t, 0, s.rows, false);
    float *data[] = {copies ? s.rows : (float *)x->data + t.first * t.n,
                     (float *)vector_in(&call->inputs[1], t.n, 1, s.gain),
                     (float *)vector_in(&call->inputs[2], t.n, 0, s.bias),
                     copies ? s.rows : (float *)y->data + t.first * t.n,
                     s.mean,
                     s.variance};
    if (!primitive_run(&wanted, data, s.rest)) {
        kernel_layer_norm.run(call, phase, task, scratch);
        return;
    }
    mend_even_rows(&r, &t, &s, data, wanted.epsilon);
    if (copies && y->data)
        move_rows(&r, &t, 1, s.rows, true);
    if (statistics->data)
        put_statistics(&r, &t, &s, wanted.epsilon);
}
const kernel kernel_layer_norm_onednn = {"layer_norm_onednn", layer_norm_onednn_plan, layer_norm_onednn_run};

/* The rows where it wins (docs/PRIMITIVES.md). Strides do not matter, so a row's bits depend on its width
 * alone. */
static bool layer_norm_narrow_plan(kernel_call *call)
{
    enum { NARROW = 64 };
    return tensor_last_dim(&call->inputs[0]) <= NARROW && layer_norm_onednn_plan(call);
}
const kernel kernel_layer_norm_narrow = {"layer_norm_narrow", layer_norm_narrow_plan, layer_norm_onednn_run};
