/* The scan of heads with one key and one value, as an elementwise recurrence over channels: a head is a lane. Where heads lie side by side
 * in memory, [B, T, H], a task is a strip of them in one sentence, or one strip of the single token of a step. */
#include "ops/kernels/recurrent/scan_decay.h"
#include <string.h>

/* Channels of a task, a row of each operand is 1 KB; and rows that are fetched ahead. */
enum { STRIP = 256, AHEAD = 3 };

/* Heads side by side, or one for all. */
static bool channels_fit(const tensor *t)
{
    return !t->data || t->dims[1] == 1 || t->strides[1] == 1 || t->strides[1] == 0;
}
static bool results_fit(const tensor *t)
{
    return !t->data || t->dims[1] == 1 || t->strides[1] == 1;
}

static bool takes(const kernel_call *call, scan_shape *s)
{
    bool fits = scan_shape_of(call, s) && s->key == 1 && s->value == 1 && !s->denominator;
    for (int i = 0; fits && i < call->input_count; i++)
        fits = i == SCAN_LENGTH || channels_fit(&call->inputs[i]);
    for (int i = 0; fits && i < call->output_count; i++)
        fits = results_fit(&call->outputs[i]);
    return fits;
}

static channel_rows rows_of(const tensor *t, int64_t b, int64_t first)
{
    if (!t->data)
        return (channel_rows){0};
    int64_t step = t->dims[1] == 1 ? 0 : t->strides[1];
    return (channel_rows){(const float *)t->data + (t->dims[0] == 1 ? 0 : b * t->strides[0]) + first * step,
                          t->dims[2] == 1 ? 0 : t->strides[2], step};
}
static channel_results results_of(const tensor *t, int64_t b, int64_t first)
{
    if (!t->data)
        return (channel_results){0};
    return (channel_results){(float *)t->data + b * t->strides[0] + (t->dims[1] == 1 ? 0 : first),
                             t->dims[2] == 1 ? 0 : t->strides[2]};
}

static channel_scan scan_of(const kernel_call *call, const scan_shape *s, int64_t b, int64_t first)
{
    return (channel_scan){.channels = s->heads - first < STRIP ? s->heads - first : STRIP,
                          .rows = scan_length(call, s, b),
                          .exclusive = s->exclusive,
                          .q = rows_of(operand_of(call, SCAN_Q), b, first),
                          .k = rows_of(operand_of(call, SCAN_K), b, first),
                          .v = rows_of(operand_of(call, SCAN_V), b, first),
                          .decay = rows_of(operand_of(call, SCAN_DECAY), b, first),
                          .pitch = STRIP,
                          .ahead = AHEAD};
}

/* A state or its gradient, as doubles and back. */
static void load_state(const tensor *from, int64_t b, int64_t first, int64_t channels, double *state)
{
    channel_rows x = rows_of(from, b, first);
    for (int64_t c = 0; c < STRIP; c++)
        state[c] = x.data && c < channels ? x.data[c * x.step] : 0;
}
static void store_state(const tensor *to, int64_t b, int64_t first, int64_t channels, const double *state)
{
    channel_results x = results_of(to, b, first);
    for (int64_t c = 0; x.data && c < channels; c++)
        x.data[c] = (float)state[c];
}

static void clear_behind(const tensor *t, int64_t b, int64_t first, int64_t channels, int64_t from)
{
    channel_results x = results_of(t, b, first);
    for (int64_t i = from; x.data && i < t->dims[2]; i++)
        memset(x.data + i * x.row, 0, sizeof(float) * (size_t)channels);
}

/* ---- forward ---- */

static void cut(kernel_call *call, const scan_shape *s)
{
    call->tasks[0] = s->batch * divide_up(s->heads, STRIP);
    call->flops = 4.0 * (double)(s->batch * s->heads * s->time);
}

static bool plan_forward(kernel_call *call)
{
    scan_shape s;
    if (!takes(call, &s))
        return false;
    call->phases = 1;
    cut(call, &s);
    call->scratch_bytes = sizeof(double) * STRIP;
    return true;
}

static void run_forward(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    (void)phase;
    scan_shape s;
    takes(call, &s);
    int64_t strips = divide_up(s.heads, STRIP), b = task / strips, first = task % strips * STRIP;
    channel_scan x = scan_of(call, &s, b, first);
    x.state = scratch;
    x.out = results_of(&call->outputs[0], b, first);
    load_state(operand_of(call, SCAN_STATE), b, first, x.channels, x.state);
    vectors()->channel_forward(&x);
    clear_behind(&call->outputs[0], b, first, x.channels, x.rows);
    clear_behind(&call->outputs[1], b, first, x.channels, 0); /* there is no denominator: it is 0 */
    store_state(&call->outputs[2], b, first, x.channels, x.state);
}

const kernel kernel_scan_channel = {"scan, channels", plan_forward, run_forward};

/* ---- backward ---- */

static bool plan_backward(kernel_call *call)
{
    scan_shape s;
    if (!takes(call, &s))
        return false;
    decay_gradient d = decay_gradient_of(call, &s, 1);
    if (d.kind == DECAY_BY_STEP) /* a step's sum over heads would be one over lanes */
        return false;
    call->phases = 2;
    cut(call, &s);
    call->flops *= 3;
    call->tasks[1] = decay_gradient_tasks(call, &d);
    call->scratch_bytes = 2 * sizeof(double) * STRIP + sizeof(float) * (size_t)(s.time * STRIP);
    call->shared_bytes = decay_gradient_bytes(&d, &s);
    return true;
}

/* Forward once more, to know what each step found; then back. */
static void run_strip(const kernel_call *call, const scan_shape *s, const decay_gradient *d, int64_t b,
                      int64_t first, double *scratch)
{
    const tensor *out = call->outputs;
    channel_scan x = scan_of(call, s, b, first);
    x.state = scratch, x.ddecay_sum = scratch + STRIP, x.before = (float *)(scratch + 2 * STRIP);
    x.gradient = rows_of(operand_of(call, SCAN_DNUMERATOR), b, first);
    x.dq = results_of(&out[0], b, first), x.dk = results_of(&out[1], b, first);
    x.dv = results_of(&out[2], b, first);
    if (d->kind == DECAY_DIRECT)
        x.ddecay = results_of(&out[3], b, first);
    load_state(operand_of(call, SCAN_STATE), b, first, x.channels, x.state);
    vectors()->channel_forward(&x);
    load_state(operand_of(call, SCAN_DSTATE), b, first, x.channels, x.state);
    memset(x.ddecay_sum, 0, sizeof(double) * STRIP);
    x.ahead = -AHEAD;
    vectors()->channel_backward(&x);
    store_state(&out[4], b, first, x.channels, x.state);
    for (int i = 0; i < (x.ddecay.data ? 4 : 3); i++)
        clear_behind(&out[i], b, first, x.channels, x.rows);
    if (d->kind == DECAY_BY_CHUNK)
        memcpy(d->chunks + b * s->heads + first, x.ddecay_sum, sizeof(double) * (size_t)x.channels);
}

static void run_backward(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    scan_shape s;
    takes(call, &s);
    int64_t strips = divide_up(s.heads, STRIP);
    decay_gradient d = decay_gradient_of(call, &s, 1);
    d.chunks = call->shared;
    if (phase == 0)
        run_strip(call, &s, &d, task / strips, task % strips * STRIP, scratch);
    else
        decay_gradient_sum(call, &s, &d, task);
}

const kernel kernel_scan_grad_channel = {"scan_grad, channels", plan_backward, run_backward};
