/* Kernels of random numbers: rows along the last axis. What an element is depends on its place alone
 * (ops/kernels/random_numbers.h). */
#include "ops/build.h"
#include "ops/kernels/random_numbers.h"
#include "ops/kernels/row_tasks.h"
#include "ops/rules.h"

enum { SEED, SENTENCES, OFFSET };

static bool plan_random(kernel_call *call)
{
    return plan_rows(call, &call->outputs[0]);
}

/* The key of the row of index[]. */
static dropout_key row_key(const kernel_call *call, const int64_t *index, int axis)
{
    const tensor *seed = &call->inputs[SEED], *sentences = &call->inputs[SENTENCES],
                 *offset = call->input_count > OFFSET ? &call->inputs[OFFSET] : NULL;
    uint64_t key = dropout_sentence(call->attributes[random_uniform_site].integer, integer_at(seed, 0),
                                    integer_at(seed, seed->strides[0]),
                                    integer_at(sentences, index[0] * sentences->strides[0]));
    int64_t first = offset && offset->data ? integer_at(offset, index[0] * offset->strides[0]) : 0;
    return dropout_row(key, first + index[axis]);
}

static inline __attribute__((always_inline)) void draw_rows(const kernel_call *call, int64_t task,
                                                            random_rule *draw)
{
    const tensor *y = &call->outputs[0];
    int axis = normal_axis(call->attributes[random_uniform_axis].integer, y->rank), last = y->rank - 1;
    row_range rows = rows_of_task(y, task);
    row_walk row = row_walk_at(y->dims, last, rows.begin);
    uint32_t step = 1; /* of the channel along the last axis */
    for (int i = 1; i < last; i++)
        step *= i == axis ? 1 : (uint32_t)y->dims[i];
    row.index[last] = 0;
    for (int64_t r = rows.begin; r < rows.end; r++, row_walk_next(&row)) {
        float *to = (float *)y->data + row_offset(&row, y->strides);
        uint32_t channel = dropout_channel(y->rank, y->dims, row.index, axis);
        dropout_key key = row_key(call, row.index, axis);
        for (int64_t i = 0; i < y->dims[last]; i++) {
            if (axis == last) {
                row.index[last] = i;
                key = row_key(call, row.index, axis);
            }
            to[i * y->strides[last]] = (float)draw(key, channel + (axis == last ? 0 : (uint32_t)i * step));
        }
        row.index[last] = 0;
    }
}

static void run_random(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    (void)phase, (void)scratch;
    if (call->op == OP_random_uniform)
        draw_rows(call, task, random_uniform);
    else if (call->op == OP_random_normal)
        draw_rows(call, task, random_normal);
    else
        draw_rows(call, task, random_gumbel);
}

const kernel kernel_random = {"random", plan_random, run_random};
