/* Dropout of rows along the last axis; ops/kernels/dropout_hash.h alone decides which elements stay. */
#include "ops/kernels/dropout_hash.h"
#include "ops/op.h"
#include "ops/rules.h"
#include "ops/kernels/strided.h"
#include "ops/vector/table.h"

enum { TASK = 32768, PIECE = 2048 };

/* Rows in the tensor's own order of axes: index[0] is the sentence. */
typedef struct dropout_walk {
    int rank, time; /* time: the axis of t */
    int64_t rows, inner;
} dropout_walk;

static dropout_walk dropout_begin(const kernel_call *call)
{
    const tensor *x = &call->inputs[0];
    int64_t axis = call->attributes[dropout_axis].integer;
    dropout_walk w = {x->rank, (int)(axis < 0 ? axis + x->rank : axis), 1, tensor_last_dim(x)};
    for (int i = 0; i < x->rank - 1; i++)
        w.rows *= x->dims[i];
    return w;
}

static bool dropout_plan(kernel_call *call)
{
    dropout_walk w = dropout_begin(call);
    call->phases = 1;
    call->tasks[0] = w.inner ? parts_of(w.rows, units_per_task(w.inner, TASK)) : 0;
    call->scratch_bytes = sizeof(float) * PIECE;
    return true;
}

static int32_t integer_at(const tensor *t, int64_t index)
{
    return ((const int32_t *)t->data)[t->rank ? index * t->strides[t->rank - 1] : 0];
}

typedef struct dropout_numbers {
    const kernel_call *call;
    dropout_walk walk;
    uint32_t threshold;
    float scale;
    float *scratch;
} dropout_numbers;

static uint64_t sentence_key(const kernel_call *call, int64_t sentence)
{
    return dropout_sentence(call->attributes[dropout_site].integer, integer_at(&call->inputs[1], 0),
                            integer_at(&call->inputs[1], 1), integer_at(&call->inputs[2], sentence));
}

/* One row whose t is fixed: channels lie `step` apart along it. */
static void drop_row(const dropout_numbers *d, const int64_t *index, float *y, const float *x, uint32_t step)
{
    const kernel_call *call = d->call;
    int64_t x_stride = tensor_last_stride(&call->inputs[0]), y_stride = tensor_last_stride(&call->outputs[0]);
    dropout_key key = dropout_row(sentence_key(call, index[0]), index[d->walk.time]);
    uint32_t channel = dropout_channel(d->walk.rank, call->inputs[0].dims, index, d->walk.time);
    for (int64_t at = 0; at < d->walk.inner; at += PIECE) {
        int64_t count = d->walk.inner - at < PIECE ? d->walk.inner - at : PIECE;
        const float *from = x + at * x_stride;
        float *to = y_stride == 1 ? y + at : d->scratch;
        if (x_stride != 1) {
            gather_row(d->scratch, from, x_stride, count);
            from = d->scratch;
        }
        vectors()->dropout_row(to, from, count, key.first, key.second, channel + (uint32_t)at * step, step,
                               d->threshold, d->scale);
        if (y_stride != 1)
            scatter_row(y + at * y_stride, y_stride, to, count);
    }
}

/* One row along which the sentence or t changes: the last axis is the batch or time. */
static void drop_along(const dropout_numbers *d, int64_t *index, float *y, const float *x)
{
    const kernel_call *call = d->call;
    int last = d->walk.rank - 1;
    int64_t x_stride = tensor_last_stride(&call->inputs[0]), y_stride = tensor_last_stride(&call->outputs[0]);
    for (int64_t i = 0; i < d->walk.inner; i++) {
        index[last] = i;
        dropout_key key = dropout_row(sentence_key(call, index[0]), index[d->walk.time]);
        uint32_t channel = dropout_channel(d->walk.rank, call->inputs[0].dims, index, d->walk.time);
        y[i * y_stride] = dropout_keeps(key, channel, d->threshold) ? x[i * x_stride] * d->scale : 0;
    }
}

static void dropout_run(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    (void)phase;
    const tensor *x = &call->inputs[0], *y = &call->outputs[0];
    double rate = call->attributes[dropout_rate].real;
    dropout_numbers d = {call, dropout_begin(call), dropout_threshold(rate), (float)dropout_scale(rate),
                         scratch};
    int64_t each = units_per_task(d.walk.inner, TASK),
            last = (task + 1) * each < d.walk.rows ? (task + 1) * each : d.walk.rows;
    bool along = d.walk.rank < 2 || d.walk.time == d.walk.rank - 1;
    uint32_t step = 1;
    for (int i = 1; i < d.walk.rank - 1; i++)
        step *= i == d.walk.time ? 1 : (uint32_t)x->dims[i];
    for (int64_t row = task * each; row < last; row++) {
        int64_t index[MAX_RANK] = {0}, from = 0, to = 0, rest = row;
        for (int i = d.walk.rank - 2; i >= 0; rest /= x->dims[i--]) {
            index[i] = rest % x->dims[i];
            from += index[i] * x->strides[i];
            to += index[i] * y->strides[i];
        }
        if (along)
            drop_along(&d, index, (float *)y->data + to, (const float *)x->data + from);
        else
            drop_row(&d, index, (float *)y->data + to, (const float *)x->data + from, step);
    }
}
const kernel kernel_dropout = {"dropout", dropout_plan, dropout_run};
