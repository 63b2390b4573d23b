/* The optimiser: one sweep over parameters, gradient and both moments. */
#include "ops/op.h"
#include "ops/rules.h"
#include "ops/kernels/strided.h"
#include "ops/vector/table.h"
#include <math.h>

enum { TASK = 16384, PIECE = 1024, P = 0, G, M, V, P_OUT, M_OUT, V_OUT, STREAMS };

static void adam_walk(const kernel_call *call, strided_walk *w)
{
    walk_begin(w, call->inputs[0].rank, call->inputs[0].dims);
    for (int i = P; i <= V; i++)
        walk_add(w, &call->inputs[i]);
    for (int k = 0; k < 3; k++)
        walk_add(w, &call->outputs[k]);
    walk_merge(w);
}

static bool adam_plan(kernel_call *call)
{
    strided_walk w;
    adam_walk(call, &w);
    call->phases = 1;
    call->tasks[0] = parts_of(walk_elements(&w), TASK);
    call->scratch_bytes = sizeof(float) * STREAMS * PIECE;
    return true;
}

static adam_numbers adam_constants(const kernel_call *call)
{
    const tensor *t = &call->inputs[4];
    const float *n = t->data;
    int64_t step = tensor_last_stride(t);
    double beta1 = call->attributes[adam_beta1].real, beta2 = call->attributes[adam_beta2].real,
           rate = n[step];
    return (adam_numbers){(float)beta1,
                          (float)beta2,
                          (float)(1 - beta1),
                          (float)(1 - beta2),
                          n[0],
                          (float)(rate / n[2 * step]),
                          (float)(1 - rate * call->attributes[adam_weight_decay].real),
                          (float)(1 / sqrt(n[3 * step])),
                          (float)call->attributes[adam_epsilon].real};
}

/* `count` neighbours from element `flat` on; what is not dense goes through pieces in scratch. */
static void adam_piece(const strided_walk *w, float *const *data, int64_t flat, int64_t count,
                       const adam_numbers *numbers, float *scratch)
{
    float *at[STREAMS];
    for (int i = 0; i < STREAMS; i++) {
        int64_t stride = walk_stride(w, i);
        bool there = data[i] && stride == 1;
        at[i] = there ? data[i] + walk_at(w, i, flat) : scratch + i * PIECE;
        if (i < P_OUT && !there)
            gather_row(at[i], data[i] + walk_at(w, i, flat), stride, count);
    }
    vectors()->adam(at[P_OUT], at[M_OUT], at[V_OUT], at[P], at[G], at[M], at[V], count, numbers);
    for (int i = P_OUT; i < STREAMS; i++)
        if (data[i] && walk_stride(w, i) != 1)
            scatter_row(data[i] + walk_at(w, i, flat), walk_stride(w, i), at[i], count);
}

static void adam_run(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    (void)phase;
    strided_walk w;
    adam_walk(call, &w);
    adam_numbers numbers = adam_constants(call);
    float *data[STREAMS];
    for (int i = P; i <= V; i++)
        data[i] = call->inputs[i].data;
    for (int k = 0; k < 3; k++)
        data[P_OUT + k] = call->outputs[k].data;
    int64_t total = walk_elements(&w), last = (task + 1) * TASK < total ? (task + 1) * TASK : total;
    for (int64_t flat = task * TASK; flat < last;) {
        int64_t left = w.inner - flat % w.inner, count = left < last - flat ? left : last - flat;
        count = count < PIECE ? count : PIECE;
        adam_piece(&w, data, flat, count, &numbers, scratch);
        flat += count;
    }
}
const kernel kernel_adam = {"adam", adam_plan, adam_run};
