/* The sum of what a mask keeps: pieces of rows in double, put together in order. */
#include "ops/kernels/strided.h"
#include "ops/rules.h"
#include "ops/vector/table.h"

enum { PIECE = 16384 };

typedef struct pieces {
    strided_walk walk; /* operand 0: x, 1: the mask */
    int64_t per_row;
} pieces;

/* Of one piece, in the call's shared memory. */
typedef struct part {
    double sum, count;
} part;

static bool has_mask(const kernel_call *call)
{
    return call->input_count > 1 && call->inputs[1].data;
}

static pieces pieces_of(const kernel_call *call)
{
    pieces p;
    walk_begin(&p.walk, call->inputs[0].rank, call->inputs[0].dims);
    walk_add(&p.walk, &call->inputs[0]);
    if (has_mask(call))
        walk_add(&p.walk, &call->inputs[1]);
    walk_merge(&p.walk);
    p.per_row = parts_of(p.walk.inner, PIECE);
    return p;
}

static bool plan_total(kernel_call *call)
{
    pieces p = pieces_of(call);
    call->phases = 2;
    call->tasks[0] = p.walk.rows * p.per_row;
    call->tasks[1] = 1;
    call->scratch_bytes = sizeof(float) * PIECE;
    call->shared_bytes = sizeof(part) * (size_t)call->tasks[0];
    return true;
}

/* x where the mask is not 0, into `to`; the number of these. */
static int64_t keep(float *to, const float *x, int64_t step, const float *mask, int64_t mask_step,
                    int64_t count)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < count; i++) {
        bool counts = mask[i * mask_step] != 0;
        to[i] = counts ? x[i * step] : 0;
        kept += counts;
    }
    return kept;
}

static part sum_piece(const kernel_call *call, int64_t number, float *scratch)
{
    pieces p = pieces_of(call);
    int64_t row = number / p.per_row, first = number % p.per_row * PIECE, step = walk_stride(&p.walk, 0);
    int64_t count = p.walk.inner - first < PIECE ? p.walk.inner - first : PIECE, kept = count;
    const float *x = (const float *)call->inputs[0].data + walk_row(&p.walk, 0, row) + first * step;
    if (has_mask(call)) {
        int64_t mask_step = walk_stride(&p.walk, 1);
        const float *mask =
            (const float *)call->inputs[1].data + walk_row(&p.walk, 1, row) + first * mask_step;
        kept = keep(scratch, x, step, mask, mask_step, count);
        x = scratch;
    } else if (step != 1) {
        gather_row(scratch, x, step, count);
        x = scratch;
    }
    return (part){vectors()->row_sum(x, count), (double)kept};
}

static void store(const tensor *t, double number)
{
    if (t->data)
        *(float *)t->data = (float)number;
}

static void run_total(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    part *parts = call->shared, total = {0, 0};
    if (phase == 0) {
        parts[task] = sum_piece(call, task, scratch);
        return;
    }
    for (int64_t i = 0; i < call->tasks[0]; i++)
        total = (part){total.sum + parts[i].sum, total.count + parts[i].count};
    store(&call->outputs[0], total.sum);
    store(&call->outputs[1], total.count);
}

const kernel kernel_total = {"total, in pieces", plan_total, run_total};
