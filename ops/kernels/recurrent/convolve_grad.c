/* The gradient of the causal convolution. With state and x as one sequence z of K − 1 + length rows, and dy
 * zero from the length on,
 *
 *   dz_r = Σ_i weight[K−1−i] ∘ dy_{r+i}, and for the last K − 1 rows the state's gradient on top
 *   dweight[i] = Σ_t dy_t ∘ z_{t−(K−1)+i}
 *
 * The second is a sum over all sentences: each task writes its part to `shared`, and a second phase adds them
 * in order, in double. */
#include "ops/kernels/recurrent/convolve_shape.h"
#include <string.h>

enum { DX, DWEIGHT, DBEFORE }; /* results */

static bool plan(kernel_call *call)
{
    if (!convolve_takes(call))
        return false;
    const convolve_shape s = convolve_shape_of(call);
    call->phases = 2; /* gradients of x and state by sentence; then dweight over all of them */
    call->tasks[0] = s.batch * s.blocks;
    call->tasks[1] = call->outputs[DWEIGHT].data ? s.blocks : 0;
    call->scratch_bytes =
        sizeof(float) * CONVOLVE_CHANNELS * (size_t)(3 * CONVOLVE_ROWS + 2 * s.before + s.taps);
    call->shared_bytes = sizeof(float) * CONVOLVE_CHANNELS * (size_t)(s.batch * s.blocks * s.taps);
    return true;
}

typedef struct convolve_back {
    convolve_shape s;
    convolve_block block;
    head_view x, state, weight, dy, dstate, dx, dbefore;
    float *taps, *z, *gradient, *result; /* tiles */
} convolve_back;

static convolve_back back_of(const kernel_call *call, int64_t task, float *scratch)
{
    convolve_back c = {.s = convolve_shape_of(call)};
    c.block = convolve_block_of(call, &c.s, task);
    c.x = convolve_view(operand_of(call, CONVOLVE_X), &c.block);
    c.state = convolve_view(operand_of(call, CONVOLVE_STATE), &c.block);
    c.weight = convolve_view(operand_of(call, CONVOLVE_WEIGHT), &c.block);
    c.dy = convolve_view(operand_of(call, CONVOLVE_DY), &c.block);
    c.dstate = convolve_view(operand_of(call, CONVOLVE_DSTATE), &c.block);
    c.dx = convolve_view(&call->outputs[DX], &c.block);
    c.dbefore = convolve_view(&call->outputs[DBEFORE], &c.block);
    c.taps = tile_take(&scratch, c.s.taps, c.block.pitch);
    c.z = tile_take(&scratch, CONVOLVE_ROWS + c.s.before, c.block.pitch);
    c.gradient = tile_take(&scratch, CONVOLVE_ROWS + c.s.before, c.block.pitch);
    c.result = tile_take(&scratch, CONVOLVE_ROWS, c.block.pitch);
    return c;
}

/* dz of rows from … from + rows − 1, into `result`. */
static void rows_back(const convolve_back *c, int64_t from, int64_t rows)
{
    int64_t pitch = c->block.pitch, last = c->block.rows - c->s.before; /* the first row of the state out */
    convolve_load(&c->dy, NULL, &c->s, &c->block, from, rows + c->s.before, c->block.rows, c->gradient);
    vectors()->convolve_tile(rows, c->block.channels, c->s.taps, c->gradient, pitch,
                             c->taps + c->s.before * pitch, -pitch, c->result, pitch);
    for (int64_t t = from > last ? from : last; c->dstate.data && t < from + rows; t++)
        for (int64_t d = 0; d < c->block.channels; d++)
            c->result[(t - from) * pitch + d] += row_of(&c->dstate, t - last)[d * c->dstate.column];
}

/* dx, or the state's gradient; its row 0 is row `shift` of z. */
static void sweep(const convolve_back *c, const head_view *to, int64_t shift, int64_t end)
{
    for (int64_t t = 0; to->data && t < end; t += CONVOLVE_ROWS) {
        int64_t rows = end - t < CONVOLVE_ROWS ? end - t : CONVOLVE_ROWS;
        rows_back(c, shift + t, rows);
        convolve_store(to, &c->block, t, rows, c->result);
    }
}

static void weights_back(const convolve_back *c, float *sum)
{
    int64_t pitch = c->block.pitch;
    memset(sum, 0, sizeof *sum * (size_t)(c->s.taps * pitch));
    for (int64_t t = 0; c->dy.data && t < c->block.rows; t += CONVOLVE_ROWS) {
        int64_t rows = c->block.rows - t < CONVOLVE_ROWS ? c->block.rows - t : CONVOLVE_ROWS;
        convolve_load(&c->x, &c->state, &c->s, &c->block, t - c->s.before, rows + c->s.before, c->block.rows,
                      c->z);
        convolve_load(&c->dy, NULL, &c->s, &c->block, t, rows, c->block.rows, c->gradient);
        vectors()->convolve_tile_weights(rows, c->block.channels, c->s.taps, c->z, pitch, c->gradient, pitch,
                                         sum, pitch);
    }
}

/* Task (b, block) of the first phase leaves its part of dweight [K, CONVOLVE_CHANNELS] here. */
static float *part_of(const kernel_call *call, const convolve_shape *s, int64_t task)
{
    return (float *)call->shared + task * s->taps * CONVOLVE_CHANNELS;
}

static void combine(const kernel_call *call, int64_t task, float *scratch)
{
    const convolve_shape s = convolve_shape_of(call);
    convolve_block block = convolve_block_of(call, &s, task);
    head_view to = convolve_view(&call->outputs[DWEIGHT], &block);
    for (int64_t i = 0; i < s.taps; i++) {
        vectors()->columns_combine(scratch, part_of(call, &s, task) + i * block.pitch,
                                   s.blocks * s.taps * CONVOLVE_CHANNELS, s.batch, block.channels, 1);
        convolve_store(&to, &block, i, 1, scratch);
    }
}

static void run(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    if (phase == 1) {
        combine(call, task, scratch);
        return;
    }
    convolve_back c = back_of(call, task, scratch);
    vectors()->tile_copy(c.s.taps, c.block.channels, c.weight.data, c.weight.row, c.weight.column, c.taps,
                         c.block.pitch);
    sweep(&c, &c.dx, 0, c.block.rows);
    clear_rows(&c.dx, c.block.rows, c.s.time, c.block.channels);
    sweep(&c, &c.dbefore, -c.s.before, c.s.before);
    if (call->outputs[DWEIGHT].data)
        weights_back(&c, part_of(call, &c.s, task));
}

const kernel kernel_convolve_grad = {"convolve_grad", plan, run};
