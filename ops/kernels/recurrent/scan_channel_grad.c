/* The gradient of the scan over channels: once forward, to recompute the states, then back. */
#include "ops/kernels/recurrent/scan_channel.h"
#include <string.h>

static bool plan(kernel_call *call)
{
    scan_shape s;
    if (!channel_takes(call, &s))
        return false;
    decay_gradient d = decay_gradient_of(call, &s, 1);
    if (d.kind == DECAY_BY_STEP) /* the sum over heads would be one over lanes */
        return false;
    call->phases = 2;
    channel_cut(call, &s);
    call->flops *= 3;
    call->tasks[1] = decay_gradient_tasks(call, &d);
    call->scratch_bytes = 2 * sizeof(double) * STRIP + sizeof(float) * (size_t)(s.time * STRIP);
    call->shared_bytes = decay_gradient_bytes(&d, &s);
    return true;
}

static void run_strip(const kernel_call *call, const scan_shape *s, const decay_gradient *d, int64_t b,
                      int64_t first, double *scratch)
{
    const tensor *out = call->outputs;
    channel_scan x = channel_scan_of(call, s, b, first);
    x.state = scratch, x.ddecay_sum = scratch + STRIP, x.before = (float *)(scratch + 2 * STRIP);
    x.gradient = channel_rows_of(operand_of(call, SCAN_DNUMERATOR), b, first);
    x.dq = channel_results_of(&out[0], b, first), x.dk = channel_results_of(&out[1], b, first);
    x.dv = channel_results_of(&out[2], b, first);
    if (d->kind == DECAY_DIRECT)
        x.ddecay = channel_results_of(&out[3], b, first);
    channel_load_state(operand_of(call, SCAN_STATE), b, first, x.channels, x.state);
    vectors()->channel_forward(&x);
    channel_load_state(operand_of(call, SCAN_DSTATE), b, first, x.channels, x.state);
    memset(x.ddecay_sum, 0, sizeof(double) * STRIP);
    x.ahead = -AHEAD;
    vectors()->channel_backward(&x);
    channel_store_state(&out[4], b, first, x.channels, x.state);
    for (int i = 0; i < (x.ddecay.data ? 4 : 3); i++)
        channel_clear_behind(&out[i], b, first, x.channels, x.rows);
    if (d->kind == DECAY_BY_CHUNK)
        memcpy(d->chunks + b * s->heads + first, x.ddecay_sum, sizeof(double) * (size_t)x.channels);
}

static void run(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    scan_shape s;
    channel_takes(call, &s);
    int64_t strips = divide_up(s.heads, STRIP);
    decay_gradient d = decay_gradient_of(call, &s, 1);
    d.chunks = call->shared;
    if (phase == 0)
        run_strip(call, &s, &d, task / strips, task % strips * STRIP, scratch);
    else
        decay_gradient_sum(call, &s, &d, task);
}

const kernel kernel_scan_grad_channel = {"scan_grad, channels", plan, run};
