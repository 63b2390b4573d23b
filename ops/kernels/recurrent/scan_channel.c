/* The scan of heads with one key and one value: an elementwise recurrence over channels. */
#include "ops/kernels/recurrent/scan_channel.h"
#include <string.h>

/* Heads side by side, or one for all. */
static bool channels_fit(const tensor *t)
{
    return !t->data || t->dims[1] == 1 || t->strides[1] == 1 || t->strides[1] == 0;
}
static bool results_fit(const tensor *t)
{
    return !t->data || t->dims[1] == 1 || t->strides[1] == 1;
}

bool channel_takes(const kernel_call *call, scan_shape *s)
{
    bool fits = scan_shape_of(call, s) && s->key == 1 && s->value == 1 && !s->denominator;
    for (int i = 0; fits && i < call->input_count; i++)
        fits = i == SCAN_LENGTH || channels_fit(&call->inputs[i]);
    for (int i = 0; fits && i < call->output_count; i++)
        fits = results_fit(&call->outputs[i]);
    return fits;
}

channel_rows channel_rows_of(const tensor *t, int64_t b, int64_t first)
{
    if (!t->data)
        return (channel_rows){0};
    int64_t step = t->dims[1] == 1 ? 0 : t->strides[1];
    return (channel_rows){(const float *)t->data + (t->dims[0] == 1 ? 0 : b * t->strides[0]) + first * step,
                          t->dims[2] == 1 ? 0 : t->strides[2], step};
}
channel_results channel_results_of(const tensor *t, int64_t b, int64_t first)
{
    if (!t->data)
        return (channel_results){0};
    return (channel_results){(float *)t->data + b * t->strides[0] + (t->dims[1] == 1 ? 0 : first),
                             t->dims[2] == 1 ? 0 : t->strides[2]};
}

channel_scan channel_scan_of(const kernel_call *call, const scan_shape *s, int64_t b, int64_t first)
{
    return (channel_scan){.channels = s->heads - first < STRIP ? s->heads - first : STRIP,
                          .rows = scan_length(call, s, b),
                          .exclusive = s->exclusive,
                          .q = channel_rows_of(operand_of(call, SCAN_Q), b, first),
                          .k = channel_rows_of(operand_of(call, SCAN_K), b, first),
                          .v = channel_rows_of(operand_of(call, SCAN_V), b, first),
                          .decay = channel_rows_of(operand_of(call, SCAN_DECAY), b, first),
                          .pitch = STRIP,
                          .ahead = AHEAD};
}

void channel_load_state(const tensor *from, int64_t b, int64_t first, int64_t channels, double *state)
{
    channel_rows x = channel_rows_of(from, b, first);
    for (int64_t c = 0; c < STRIP; c++)
        state[c] = x.data && c < channels ? x.data[c * x.step] : 0;
}
void channel_store_state(const tensor *to, int64_t b, int64_t first, int64_t channels, const double *state)
{
    channel_results x = channel_results_of(to, b, first);
    for (int64_t c = 0; x.data && c < channels; c++)
        x.data[c] = (float)state[c];
}

void channel_clear_behind(const tensor *t, int64_t b, int64_t first, int64_t channels, int64_t from)
{
    channel_results x = channel_results_of(t, b, first);
    for (int64_t i = from; x.data && i < t->dims[2]; i++)
        memset(x.data + i * x.row, 0, sizeof(float) * (size_t)channels);
}

void channel_cut(kernel_call *call, const scan_shape *s)
{
    call->tasks[0] = s->batch * divide_up(s->heads, STRIP);
    call->flops = 4.0 * (double)(s->batch * s->heads * s->time);
}

/* ---- the kernel ---- */

static bool plan(kernel_call *call)
{
    scan_shape s;
    if (!channel_takes(call, &s))
        return false;
    call->phases = 1;
    channel_cut(call, &s);
    call->scratch_bytes = sizeof(double) * STRIP;
    return true;
}

static void run(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    (void)phase;
    scan_shape s;
    channel_takes(call, &s);
    int64_t strips = divide_up(s.heads, STRIP), b = task / strips, first = task % strips * STRIP;
    channel_scan x = channel_scan_of(call, &s, b, first);
    x.state = scratch;
    x.out = channel_results_of(&call->outputs[0], b, first);
    channel_load_state(operand_of(call, SCAN_STATE), b, first, x.channels, x.state);
    vectors()->channel_forward(&x);
    channel_clear_behind(&call->outputs[0], b, first, x.channels, x.rows);
    channel_clear_behind(&call->outputs[1], b, first, x.channels, 0); /* there is no denominator: it is 0 */
    channel_store_state(&call->outputs[2], b, first, x.channels, x.state);
}

const kernel kernel_scan_channel = {"scan, channels", plan, run};
