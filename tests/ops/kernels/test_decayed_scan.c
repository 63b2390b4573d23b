/* A scan with a decay: by hand, with sentences that end early. Padding neither adds to the state nor decays
 * it, and is never read. */
#include "kernel_bench.h"
#include "ops/kernels/recurrent/scan_shape.h"
#include <criterion/criterion.h>

enum { BATCH = 3, TIME = 4 };

static tensor heads(float *data, int64_t rows)
{
    return (tensor){.data = data,
                    .type = RONDO_F32,
                    .rank = 4,
                    .dims = {BATCH, 1, rows, 1},
                    .strides = {rows, rows, 1, 1}};
}

/* One key and one value dimension: S_t = e^{d_t} S_{t−1} + k_t v_t, y_t = q_t S_t. */
Test(decayed_scan, padding_neither_adds_nor_fades)
{
    int32_t length[BATCH] = {TIME, 2, 0};
    float q[BATCH * TIME], k[BATCH * TIME], v[BATCH * TIME], decay[BATCH * TIME], before[BATCH] = {1, -2, 3};
    float y[BATCH * TIME], none[BATCH * TIME], after[BATCH];
    for (int i = 0; i < BATCH * TIME; i++) {
        bool live = i % TIME < length[i / TIME];
        q[i] = live ? 1 + (float)(i % 3) : NAN;
        k[i] = live ? 0.5f + (float)(i % 2) : NAN;
        v[i] = live ? (float)(i % 5) - 2 : NAN;
        decay[i] = live ? -0.1f * (float)(1 + i % 4) : NAN;
    }
    tensor in[] = {heads(q, TIME), heads(k, TIME), heads(v, TIME), heads(decay, TIME), {0}, heads(before, 1)};
    tensor out[] = {heads(y, TIME), heads(none, TIME), heads(after, 1)};
    in[SCAN_LENGTH] = (tensor){.data = length, .type = RONDO_I32, .rank = 1, .dims = {BATCH}, .strides = {1}};
    kernel_call call = {.op = OP_scan,
                        .attributes = (attribute[MAX_ATTRIBUTES]){{0}},
                        .input_count = 6,
                        .output_count = 3,
                        .inputs = in,
                        .outputs = out};
    cr_assert(bench_run(&kernel_scan_plain, &call, false));
    for (int b = 0; b < BATCH; b++) {
        double state = before[b];
        for (int t = 0; t < TIME; t++) {
            int i = b * TIME + t;
            if (t < length[b])
                state = state * exp(decay[i]) + (double)k[i] * v[i];
            double expected = t < length[b] ? q[i] * state : 0;
            cr_expect_float_eq(y[i], expected, 1e-6, "sentence %d, token %d: %g, not %g", b, t, y[i],
                               expected);
        }
        cr_expect_float_eq(after[b], state, 1e-6, "sentence %d ends with %g, not %g", b, after[b], state);
    }
}
