/* The causal convolution forward, and what ops/kernels/recurrent/convolve_shape.h declares. */
#include "ops/kernels/recurrent/convolve_shape.h"
#include <string.h>

bool convolve_takes(const kernel_call *call)
{
    const tensor *x = operand_of(call, CONVOLVE_X), *weight = operand_of(call, CONVOLVE_WEIGHT);
    return x->rank == 3 && weight->rank == 2 && weight->dims[0] >= 1;
}

convolve_shape convolve_shape_of(const kernel_call *call)
{
    const tensor *x = operand_of(call, CONVOLVE_X), *weight = operand_of(call, CONVOLVE_WEIGHT);
    return (convolve_shape){.batch = x->dims[0],
                            .time = x->dims[1],
                            .channels = x->dims[2],
                            .taps = weight->dims[0],
                            .before = weight->dims[0] - 1,
                            .blocks = divide_up(x->dims[2], CONVOLVE_CHANNELS)};
}

convolve_block convolve_block_of(const kernel_call *call, const convolve_shape *s, int64_t task)
{
    const tensor *length = operand_of(call, CONVOLVE_LENGTH);
    convolve_block block = {.b = task / s->blocks, .first = task % s->blocks * CONVOLVE_CHANNELS};
    int64_t left = s->channels - block.first;
    int64_t rows = length->data ? ((const int32_t *)length->data)[block.b * length->strides[0]] : s->time;
    block.channels = left < CONVOLVE_CHANNELS ? left : CONVOLVE_CHANNELS;
    block.pitch = tile_pitch(block.channels);
    block.rows = rows < 0 ? 0 : rows > s->time ? s->time : rows;
    return block;
}

head_view convolve_view(const tensor *t, const convolve_block *block)
{
    if (!t->data)
        return (head_view){0};
    int64_t row = t->strides[t->rank - 2], column = t->strides[t->rank - 1];
    float *data = (float *)t->data + block->first * column + (t->rank == 3 ? block->b * t->strides[0] : 0);
    return (head_view){data, row, column};
}

/* Rows of one source; absent: zeros. */
static void load_rows(const head_view *x, const convolve_block *block, int64_t from, int64_t rows,
                      float *tile)
{
    if (rows > 0 && x && x->data)
        vectors()->tile_copy(rows, block->channels, row_of(x, from), x->row, x->column, tile, block->pitch);
    else if (rows > 0)
        memset(tile, 0, sizeof *tile * (size_t)(rows * block->pitch));
}

void convolve_load(const head_view *x, const head_view *state, const convolve_shape *s,
                   const convolve_block *block, int64_t from, int64_t rows, int64_t limit, float *tile)
{
    int64_t early = from < 0 ? (rows < -from ? rows : -from) : 0; /* rows of the state */
    int64_t counted = limit - from < rows ? (limit - from > early ? limit - from : early) : rows;
    load_rows(state, block, s->before + from, early, tile);
    load_rows(x, block, from + early, counted - early, tile + early * block->pitch);
    load_rows(NULL, block, 0, rows - counted, tile + counted * block->pitch);
}

/* ---- forward ---- */

static bool plan(kernel_call *call)
{
    if (!convolve_takes(call))
        return false;
    const convolve_shape s = convolve_shape_of(call);
    call->phases = 1;
    call->tasks[0] = s.batch * s.blocks;
    call->scratch_bytes = sizeof(float) * CONVOLVE_CHANNELS * (size_t)(2 * CONVOLVE_ROWS + s.before + s.taps);
    return true;
}

/* The last K − 1 valid rows, which may overwrite the state that some of them come from. */
static void store_state(const convolve_shape *s, const convolve_block *block, const head_view *x,
                        const head_view *state, const head_view *to, float *tile)
{
    if (!to->data)
        return;
    int64_t rows = block->rows;
    for (int64_t i = 0; i < s->before; i += CONVOLVE_ROWS) {
        int64_t some = s->before - i < CONVOLVE_ROWS ? s->before - i : CONVOLVE_ROWS;
        convolve_load(x, state, s, block, rows - s->before + i, some, rows, tile);
        convolve_store(to, block, i, some, tile);
    }
}

static void run(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    (void)phase;
    const convolve_shape s = convolve_shape_of(call);
    convolve_block block = convolve_block_of(call, &s, task);
    head_view x = convolve_view(operand_of(call, CONVOLVE_X), &block),
              state = convolve_view(operand_of(call, CONVOLVE_STATE), &block),
              y = convolve_view(&call->outputs[0], &block), to = convolve_view(&call->outputs[1], &block);
    head_view taps = convolve_view(operand_of(call, CONVOLVE_WEIGHT), &block);
    float *weight = scratch, *result = weight + s.taps * block.pitch,
          *tile = result + CONVOLVE_ROWS * block.pitch;
    load_rows(&taps, &block, 0, s.taps, weight);
    for (int64_t t = 0; y.data && t < block.rows; t += CONVOLVE_ROWS) {
        int64_t rows = block.rows - t < CONVOLVE_ROWS ? block.rows - t : CONVOLVE_ROWS;
        convolve_load(&x, &state, &s, &block, t - s.before, rows + s.before, block.rows, tile);
        vectors()->convolve_tile(rows, block.channels, s.taps, tile, block.pitch, weight, block.pitch, result,
                                 block.pitch);
        convolve_store(&y, &block, t, rows, result);
    }
    clear_rows(&y, block.rows, s.time, block.channels);
    store_state(&s, &block, &x, &state, &to, tile);
}

const kernel kernel_convolve = {"convolve", plan, run};
