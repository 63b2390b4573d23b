/* Kernels of reverse and roll: a line along the axis is two stretches, each of elements of the operand in
 * their order or backwards, or zeros. */
#include "ops/build.h"
#include "ops/kernels/row_tasks.h"
#include "ops/rules.h"

typedef struct stretch {
    int64_t to, from, count;
    int step; /* of from: 1 or −1; 0: zeros */
} stretch;

static int64_t rows_to_reverse(const kernel_call *call, int64_t sentence, int64_t extent)
{
    const tensor *length = call->input_count > 1 ? &call->inputs[1] : NULL;
    int64_t rows = length && length->data ? integer_at(length, sentence * length->strides[0]) : extent;
    return rows < 0 ? 0 : rows < extent ? rows : extent;
}

static void stretches_of(const kernel_call *call, int64_t sentence, int64_t extent, stretch s[2])
{
    if (call->op == OP_reverse) {
        int64_t rows = rows_to_reverse(call, sentence, extent);
        s[0] = (stretch){0, rows - 1, rows, -1};
        s[1] = (stretch){rows, 0, extent - rows, 0};
    } else {
        int64_t shift = call->attributes[roll_shift].integer % extent;
        shift += shift < 0 ? extent : 0;
        s[0] = (stretch){0, extent - shift, shift, 1};
        s[1] = (stretch){shift, 0, extent - shift, 1};
    }
}

/* A stretch of the last axis; `from` and `to` are where it begins. */
static void move_stretch(const stretch *s, const uint32_t *from, int64_t from_stride, uint32_t *to,
                         int64_t to_stride)
{
    if (s->step < 0 && from_stride == 1 && to_stride == 1)
        for (int64_t i = 0; i < s->count; i++)
            to[i] = from[-i];
    else
        move_row(s->step ? from : NULL, s->step * from_stride, to, to_stride, s->count);
}

static bool plan_turn(kernel_call *call)
{
    return plan_rows(call, &call->outputs[0]);
}

static void run_turn(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    const tensor *x = &call->inputs[0], *y = &call->outputs[0];
    int axis = normal_axis(call->attributes[reverse_axis].integer, x->rank), last = y->rank - 1;
    row_range rows = rows_of_task(y, task);
    row_walk row = row_walk_at(y->dims, last, rows.begin);
    (void)phase, (void)scratch;
    for (int64_t r = rows.begin; r < rows.end && y->dims[axis]; r++, row_walk_next(&row)) {
        const uint32_t *from = (const uint32_t *)x->data + row_offset(&row, x->strides);
        uint32_t *to = (uint32_t *)y->data + row_offset(&row, y->strides);
        stretch s[2];
        stretches_of(call, row.index[0], y->dims[axis], s);
        if (axis == last) {
            for (int k = 0; k < 2; k++)
                move_stretch(&s[k], from + s[k].from * x->strides[last], x->strides[last],
                             to + s[k].to * y->strides[last], y->strides[last]);
        } else {
            int64_t at = row.index[axis];
            const stretch *in = &s[at >= s[1].to];
            int64_t place = in->from + in->step * (at - in->to);
            move_row(in->step ? from + (place - at) * x->strides[axis] : NULL, x->strides[last], to,
                     y->strides[last], y->dims[last]);
        }
    }
}

const kernel kernel_turn = {"turn", plan_turn, run_turn};
