/* The kernels of the causal convolution against the plain sum: through its state, and with padding. */
#include "ops/kernels/recurrent/convolve_shape.h"
#include "tests/ops/kernels/kernel_bench.h"
#include <criterion/criterion.h>

typedef struct convolve_case {
    int64_t batch, time, channels, taps;
    bool state, views;
} convolve_case;

enum { OPERANDS = 6, RESULTS = 3 };
typedef struct convolve_bench {
    convolve_case c;
    tensor in[OPERANDS], out[RESULTS];
    int32_t *length;
} convolve_bench;

static tensor rows_tensor(const convolve_case *c, int64_t rows)
{
    static const int order[] = {1, 0, 2};
    return bench_tensor(3, (int64_t[]){c->batch, rows, c->channels}, c->views ? order : NULL,
                        c->views ? 3 : 0, -1, 1);
}

static double at(const tensor *t, int64_t b, int64_t row, int64_t d)
{
    return ((float *)t->data)[b * t->strides[0] + row * t->strides[1] + d * t->strides[2]];
}

/* Lengths of all kinds, 0 and all rows included; rows beyond them are NaN. */
static convolve_bench convolve_begin(convolve_case c)
{
    convolve_bench x = {.c = c};
    x.length = calloc((size_t)c.batch, sizeof *x.length);
    for (int64_t b = 0; b < c.batch; b++)
        x.length[b] = (int32_t)(b == 0 ? c.time : b == 1 ? 0 : bench_below(c.time + 1));
    for (int i = 0; i < OPERANDS; i++) {
        bool rows = i == CONVOLVE_X || i == CONVOLVE_DY;
        if (rows || i == CONVOLVE_DSTATE || (i == CONVOLVE_STATE && c.state))
            x.in[i] = rows_tensor(&c, rows ? c.time : c.taps - 1);
        for (int64_t b = 0; rows && b < c.batch; b++)
            for (int64_t t = x.length[b]; t < c.time; t++)
                for (int64_t d = 0; d < c.channels; d++)
                    ((float *)x.in[i]
                         .data)[b * x.in[i].strides[0] + t * x.in[i].strides[1] + d * x.in[i].strides[2]] =
                        NAN;
    }
    x.in[CONVOLVE_WEIGHT] = bench_dense(2, (int64_t[]){c.taps, c.channels});
    x.in[CONVOLVE_LENGTH] = (tensor){x.length, RONDO_I32, 1, {c.batch}, {1}};
    return x;
}

static void convolve_end(convolve_bench *x)
{
    for (int i = 0; i < OPERANDS; i++)
        if (x->in[i].data && i != CONVOLVE_LENGTH)
            bench_free(&x->in[i]);
    for (int i = 0; i < RESULTS; i++)
        if (x->out[i].data)
            bench_free(&x->out[i]);
    free(x->length);
}

static void convolve_run(convolve_bench *x, bool grad, bool backward)
{
    attribute none[MAX_ATTRIBUTES] = {0};
    kernel_call call = {.op = grad ? OP_convolve_grad : OP_convolve,
                        .attributes = none,
                        .input_count = grad ? 6 : 4,
                        .output_count = grad ? 3 : 2,
                        .inputs = x->in,
                        .outputs = x->out};
    cr_assert(bench_run(grad ? &kernel_convolve_grad : &kernel_convolve, &call, backward));
}

/* Row t of sentence b as the convolution reads it: rows before the first come from the state, or are
 * zeros. */
static double seen(const convolve_bench *x, int64_t b, int64_t t, int64_t d)
{
    if (t >= 0)
        return at(&x->in[CONVOLVE_X], b, t, d);
    return x->c.state ? at(&x->in[CONVOLVE_STATE], b, x->c.taps - 1 + t, d) : 0;
}
static double weight_at(const convolve_bench *x, int64_t tap, int64_t d)
{
    return ((float *)x->in[CONVOLVE_WEIGHT].data)[tap * x->c.channels + d];
}

static void check_forward(convolve_case c, bool in_place)
{
    convolve_bench x = convolve_begin(c);
    int64_t before = c.taps - 1;
    x.out[0] = rows_tensor(&c, c.time);
    x.out[1] = rows_tensor(&c, before);
    double *state = calloc((size_t)(c.batch * before * c.channels + 1), sizeof *state);
    for (int64_t b = 0; b < c.batch; b++)
        for (int64_t i = 0; i < before; i++)
            for (int64_t d = 0; d < c.channels; d++)
                state[(b * before + i) * c.channels + d] = seen(&x, b, x.length[b] - before + i, d);
    double *y = calloc((size_t)(c.batch * c.time * c.channels + 1), sizeof *y);
    for (int64_t b = 0; b < c.batch; b++)
        for (int64_t t = 0; t < x.length[b]; t++)
            for (int64_t d = 0; d < c.channels; d++)
                for (int64_t j = 0; j < c.taps; j++)
                    y[(b * c.time + t) * c.channels + d] +=
                        weight_at(&x, before - j, d) * seen(&x, b, t - j, d);
    tensor own = x.out[1];
    if (in_place)
        x.out[1] = x.in[CONVOLVE_STATE];
    convolve_run(&x, false, in_place);
    for (int64_t i = 0; i < c.batch * before * c.channels; i++)
        cr_assert_eq(*bench_at(&x.out[1], i), state[i], "a state is a copy of rows");
    double *got = calloc((size_t)(c.batch * c.time * c.channels + 1), sizeof *got);
    for (int64_t i = 0; i < c.batch * c.time * c.channels; i++)
        got[i] = *bench_at(&x.out[0], i);
    double error = bench_error(got, y, c.batch * c.time * c.channels);
    cr_expect_leq(error, 1e-6, "T%d D%d K%d: off by %.2e", (int)c.time, (int)c.channels, (int)c.taps, error);
    free(got);
    x.out[1] = own;
    free(state);
    free(y);
    convolve_end(&x);
}

Test(convolve_kernel, is_the_sum_over_its_taps)
{
    static const int64_t times[] = {1, 2, 3, 63, 64, 65, 200}, channels[] = {1, 16, 63, 64, 65, 130},
                         taps[] = {1, 2, 4, 7, 70};
    for (size_t t = 0; t < sizeof times / sizeof *times; t++)
        for (size_t d = 0; d < sizeof channels / sizeof *channels; d++)
            for (size_t k = 0; k < sizeof taps / sizeof *taps; k++) {
                check_forward((convolve_case){3, times[t], channels[d], taps[k], .views = d % 2}, false);
                check_forward((convolve_case){3, times[t], channels[d], taps[k], .state = true}, k % 2);
            }
}

/* Every row is the same chain of taps: pieces give the bits of the whole. */
Test(convolve_kernel, cut_anywhere_is_the_whole_to_the_bit)
{
    convolve_case c = {1, 90, 20, 4, .state = true};
    for (int64_t cut = 1; cut < 90; cut++) {
        convolve_bench x = convolve_begin(c);
        x.in[CONVOLVE_LENGTH] = (tensor){0};
        x.out[0] = rows_tensor(&c, c.time), x.out[1] = rows_tensor(&c, c.taps - 1);
        tensor pieces = rows_tensor(&c, c.time), state = rows_tensor(&c, c.taps - 1);
        memcpy(state.data, x.in[CONVOLVE_STATE].data, sizeof(float) * 3 * 20);
        convolve_run(&x, false, false);
        for (int part = 0; part < 2; part++) {
            convolve_bench piece = x;
            int64_t from = part ? cut : 0, rows = part ? c.time - cut : cut;
            piece.in[CONVOLVE_X].dims[1] = rows;
            piece.in[CONVOLVE_X].data = (float *)x.in[CONVOLVE_X].data + from * c.channels;
            piece.in[CONVOLVE_STATE] = piece.out[1] = state;
            piece.out[0] = pieces;
            piece.out[0].dims[1] = rows;
            piece.out[0].data = (float *)pieces.data + from * c.channels;
            convolve_run(&piece, false, false);
        }
        for (int64_t i = 0; i < bench_count(&pieces); i++)
            cr_assert_eq(*bench_at(&pieces, i), *bench_at(&x.out[0], i), "cut at %d", (int)cut);
        for (int64_t i = 0; i < bench_count(&state); i++)
            cr_assert_eq(*bench_at(&state, i), *bench_at(&x.out[1], i), "cut at %d", (int)cut);
        bench_free(&pieces);
        bench_free(&state);
        convolve_end(&x);
    }
}

Test(convolve_kernel, is_causal_bit_for_bit)
{
    convolve_case c = {1, 90, 20, 4, .state = true};
    for (int64_t from = 1; from < 90; from += 7) {
        convolve_bench x = convolve_begin(c);
        x.out[0] = rows_tensor(&c, c.time);
        convolve_run(&x, false, false);
        tensor before = x.out[0];
        for (int64_t i = from * c.channels; i < c.time * c.channels; i++)
            ((float *)x.in[CONVOLVE_X].data)[i] = 1e30f;
        x.out[0] = rows_tensor(&c, c.time);
        convolve_run(&x, false, false);
        for (int64_t i = 0; i < from * c.channels; i++)
            cr_assert_eq(*bench_at(&before, i), *bench_at(&x.out[0], i));
        bench_free(&before);
        convolve_end(&x);
    }
}

/* ---- gradient ---- */

/* The gradient of element (b, row) of x, or of the state at negative rows. */
static double back_at(const convolve_bench *x, int64_t b, int64_t row, int64_t d)
{
    const convolve_case *c = &x->c;
    int64_t kept = row - (x->length[b] - (c->taps - 1));
    double sum = kept >= 0 && row < x->length[b] ? at(&x->in[CONVOLVE_DSTATE], b, kept, d) : 0;
    for (int64_t j = 0; j < c->taps; j++)
        if (row + j >= 0 && row + j < x->length[b] && row < x->length[b])
            sum += weight_at(x, c->taps - 1 - j, d) * at(&x->in[CONVOLVE_DY], b, row + j, d);
    return sum;
}

static void check_gradient_of(convolve_case c)
{
    convolve_bench x = convolve_begin(c);
    x.out[0] = rows_tensor(&c, c.time);
    x.out[1] = bench_dense(2, (int64_t[]){c.taps, c.channels});
    x.out[2] = rows_tensor(&c, c.taps - 1);
    convolve_run(&x, true, true);
    for (int64_t b = 0; b < c.batch; b++)
        for (int64_t d = 0; d < c.channels; d++) {
            for (int64_t t = 0; t < c.time; t++)
                cr_assert_float_eq(at(&x.out[0], b, t, d), back_at(&x, b, t, d), 1e-5);
            for (int64_t i = 0; i < c.taps - 1; i++)
                cr_assert_float_eq(at(&x.out[2], b, i, d), back_at(&x, b, i - (c.taps - 1), d), 1e-5);
        }
    double *sum = calloc((size_t)(c.taps * c.channels), sizeof *sum),
           *got = calloc((size_t)(c.taps * c.channels), sizeof *got);
    for (int64_t i = 0; i < c.taps * c.channels; i++) {
        got[i] = *bench_at(&x.out[1], i);
        for (int64_t b = 0; b < c.batch; b++)
            for (int64_t t = 0; t < x.length[b]; t++)
                sum[i] += at(&x.in[CONVOLVE_DY], b, t, i % c.channels) *
                          seen(&x, b, t - (c.taps - 1) + i / c.channels, i % c.channels);
    }
    cr_expect_leq(bench_error(got, sum, c.taps * c.channels), 5e-6);
    free(sum);
    free(got);
    convolve_end(&x);
}

Test(convolve_kernel, gives_every_row_and_tap_its_gradient)
{
    static const int64_t times[] = {1, 2, 65, 1000}, channels[] = {1, 64, 70}, taps[] = {1, 4, 6, 70};
    for (size_t t = 0; t < sizeof times / sizeof *times; t++)
        for (size_t d = 0; d < sizeof channels / sizeof *channels; d++)
            for (size_t k = 0; k < sizeof taps / sizeof *taps; k++)
                check_gradient_of(
                    (convolve_case){5, times[t], channels[d], taps[k], .state = (t + k) % 2, .views = d % 2});
}
