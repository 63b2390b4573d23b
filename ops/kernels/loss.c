/* Cross entropy of given logits and its gradient, some rows a task. */
#include "ops/kernels/loss_shape.h"
#include <string.h>

enum { CHOICE_ROWS }; /* of one task */

static int64_t plan_rows(kernel_call *call)
{
    const tensor *logits = &call->inputs[0];
    int64_t rows = extents_product(logits->dims, logits->rank - 1),
            vocabulary = logits->dims[logits->rank - 1];
    call->choice[CHOICE_ROWS] = rows_per_task(vocabulary);
    call->phases = 1;
    call->tasks[0] = divide_up(rows, call->choice[CHOICE_ROWS]);
    call->scratch_bytes = sizeof(float) * (size_t)vocabulary;
    return rows;
}

/* A row's logits, contiguous: in place, or copied. */
static float *load_row(const tensor *logits, int64_t row, float *scratch)
{
    float *x = (float *)logits->data + loss_row_offset(logits, row);
    if (tensor_last_stride(logits) == 1)
        return x;
    gather_row(scratch, x, tensor_last_stride(logits), tensor_last_dim(logits));
    return scratch;
}

/* ---- the loss: sums a task, then their sum in order ---- */

static bool plan_loss(kernel_call *call)
{
    plan_rows(call);
    call->phases = 2;
    call->tasks[1] = 1;
    call->shared_bytes = sizeof(loss_sums) * (size_t)call->tasks[0];
    return true;
}

static loss_sums sum_rows(const kernel_call *call, int64_t from, int64_t to, float *scratch)
{
    const tensor *logits = &call->inputs[0];
    loss_sums sums = {0};
    for (int64_t row = from; row < to; row++) {
        int64_t target = target_at(&call->inputs[1], row);
        int64_t ignored = call->attributes[cross_entropy_ignore].integer;
        double both[2] = {0};
        switch (target_kind_of(target, ignored, tensor_last_dim(logits))) {
        case TARGET_IGNORED:
            break;
        case TARGET_WRONG:
            sums = loss_sums_add(sums, (loss_sums){NAN, NAN, 0});
            break;
        case TARGET_COUNTS:
            vectors()->loss_row(&(loss_row_work){.x = load_row(logits, row, scratch),
                                                 .count = tensor_last_dim(logits),
                                                 .target = target,
                                                 .smoothing = call->attributes[cross_entropy_smoothing].real},
                                both);
            sums = loss_sums_add(sums, (loss_sums){both[0], both[1], 1});
        }
    }
    return sums;
}

static void run_loss(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    loss_sums *parts = call->shared, total = {0};
    if (phase == 0) {
        const tensor *logits = &call->inputs[0];
        int64_t rows = extents_product(logits->dims, logits->rank - 1), part = call->choice[CHOICE_ROWS];
        parts[task] =
            sum_rows(call, task * part, task * part + part < rows ? task * part + part : rows, scratch);
        return;
    }
    for (int64_t i = 0; i < call->tasks[0]; i++)
        total = loss_sums_add(total, parts[i]);
    loss_sums_store(call, total);
}

const kernel kernel_cross_entropy = {"cross_entropy", plan_loss, run_loss};

/* ---- the gradient ---- */

static bool plan_gradient(kernel_call *call)
{
    plan_rows(call);
    call->scratch_bytes *= 2;
    return true;
}

static void gradient_row(const kernel_call *call, int64_t row, float *scratch)
{
    const tensor *logits = &call->inputs[0], *out = &call->outputs[0];
    int64_t vocabulary = tensor_last_dim(logits), target = target_at(&call->inputs[1], row),
            stride = tensor_last_stride(out);
    float *to = (float *)out->data + loss_row_offset(out, row),
          *dense = stride == 1 ? to : scratch + vocabulary;
    double sums[2] = {0};
    if (target_kind_of(target, call->attributes[cross_entropy_grad_ignore].integer, vocabulary) !=
        TARGET_COUNTS)
        memset(dense, 0, sizeof *dense * (size_t)vocabulary);
    else
        vectors()->loss_row(&(loss_row_work){.x = load_row(logits, row, scratch),
                                             .gradient = dense,
                                             .count = vocabulary,
                                             .target = target,
                                             .smoothing = call->attributes[cross_entropy_grad_smoothing].real,
                                             .scale = *(const float *)call->inputs[2].data},
                            sums);
    if (stride != 1)
        scatter_row(to, stride, dense, vocabulary);
}

static void run_gradient(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    (void)phase;
    const tensor *logits = &call->inputs[0];
    int64_t rows = extents_product(logits->dims, logits->rank - 1), part = call->choice[CHOICE_ROWS];
    for (int64_t row = task * part; row < (task + 1) * part && row < rows; row++)
        gradient_row(call, row, scratch);
}

const kernel kernel_cross_entropy_grad = {"cross_entropy_grad", plan_gradient, run_gradient};
