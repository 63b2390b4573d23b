/* cast between f32 and i32, and constants. */
#include "ops/op.h"
#include "ops/rules.h"
#include "ops/kernels/strided.h"
#include "ops/vector/table.h"

enum { TASK = 65536 };

/* ---- cast ---- */

static void cast_walk(const kernel_call *call, strided_walk *w)
{
    walk_begin(w, call->outputs[0].rank, call->outputs[0].dims);
    walk_add(w, &call->outputs[0]);
    walk_add(w, &call->inputs[0]);
    walk_merge(w);
}

static bool cast_plan(kernel_call *call)
{
    strided_walk w;
    cast_walk(call, &w);
    call->phases = 1;
    call->tasks[0] = parts_of(walk_elements(&w), TASK);
    return true;
}

static int32_t to_integer(float x)
{
    int32_t i;
    vectors()->row_to_i32(&i, &x, 1);
    return i;
}

/* `count` elements of one row; strides of the result and the operand. */
static void cast_row(const tensor *y, int64_t to, int64_t y_stride, const tensor *x, int64_t from,
                     int64_t x_stride, int64_t count)
{
    bool plain = y_stride == 1 && x_stride == 1;
    if (plain && x->type == RONDO_I32 && y->type == RONDO_F32)
        vectors()->row_from_i32((float *)y->data + to, (const int32_t *)x->data + from, count);
    else if (plain && x->type == RONDO_F32 && y->type == RONDO_I32)
        vectors()->row_to_i32((int32_t *)y->data + to, (const float *)x->data + from, count);
    else
        for (int64_t i = 0; i < count; i++) {
            double number = tensor_number(x, from + i * x_stride);
            if (y->type == RONDO_I32 && x->type != RONDO_I32)
                ((int32_t *)y->data)[to + i * y_stride] = to_integer((float)number);
            else
                tensor_set_number(y, to + i * y_stride, number);
        }
}

static void cast_run(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    (void)phase, (void)scratch;
    strided_walk w;
    cast_walk(call, &w);
    int64_t total = walk_elements(&w), last = (task + 1) * TASK < total ? (task + 1) * TASK : total;
    for (int64_t flat = task * TASK; flat < last;) {
        int64_t left = w.inner - flat % w.inner, count = left < last - flat ? left : last - flat;
        cast_row(&call->outputs[0], walk_at(&w, 0, flat), walk_stride(&w, 0), &call->inputs[0],
                 walk_at(&w, 1, flat), walk_stride(&w, 1), count);
        flat += count;
    }
}
const kernel kernel_cast = {"cast", cast_plan, cast_run};

/* ---- constant: often one element that is read with strides of 0 ---- */

static void constant_walk(const kernel_call *call, strided_walk *w)
{
    tensor y = call->outputs[0];
    for (int i = 0; i < y.rank; i++)
        if (y.strides[i] == 0 && y.dims[i] > 1)
            y.dims[i] = 1;
    walk_begin(w, y.rank, y.dims);
    walk_add(w, &y);
    walk_merge(w);
}

static bool constant_plan(kernel_call *call)
{
    strided_walk w;
    constant_walk(call, &w);
    call->phases = 1;
    call->tasks[0] = parts_of(walk_elements(&w), TASK);
    return true;
}

static void constant_run(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    (void)phase, (void)scratch;
    strided_walk w;
    constant_walk(call, &w);
    const tensor *y = &call->outputs[0];
    double number = call->attributes[constant_number].real;
    int64_t total = walk_elements(&w), last = (task + 1) * TASK < total ? (task + 1) * TASK : total;
    if (y->type == RONDO_F32 && walk_dense(&w, 0))
        vectors()->row_fill((float *)y->data + task * TASK, (float)number, last - task * TASK);
    else
        for (int64_t flat = task * TASK; flat < last; flat++)
            tensor_set_number(y, walk_at(&w, 0, flat), number);
}
const kernel kernel_constant = {"constant", constant_plan, constant_run};
