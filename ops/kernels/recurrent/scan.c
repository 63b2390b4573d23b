/* Causal linear attention, forward: numerator_t = Σ_{s≤t} (q_t · k_s) v_s + Sᵀ q_t in chunks. Inside a chunk
 * the triangle of q kᵀ is multiplied by v; earlier tokens are in the state S = Σ k vᵀ. Rows from a sentence's
 * length on are not read. The decay is one number a step and head (ops/kernels/recurrent/scan_decay.h), or
 * for a single token also one a key dimension; the rest of those is in ops/kernels/recurrent/scan_gate.c. */
#include "ops/kernels/recurrent/scan_head.h"
#include <string.h>

/* Columns of v of one task; whether time is 1 and the state can be read in place; rows of a chunk. They
 * depend on which results are wanted, so run takes them from here. */
enum { CHOICE_COLUMNS, CHOICE_STEP, CHOICE_CHUNK };

static bool rows_are_plain(const tensor *t)
{
    return !t->data || t->strides[3] == 1 || t->dims[3] == 1;
}

static bool plan(kernel_call *call)
{
    scan_shape s;
    if (!scan_shape_of(call, &s))
        return false;
    bool step =
        s.time == 1 && rows_are_plain(operand_of(call, SCAN_STATE)) && rows_are_plain(&call->outputs[2]);
    if (s.decay == DECAY_OF_KEYS && !step)
        return false;
    int64_t columns = scan_cut(call, &s, step), wide = tile_pitch(columns), pitch = tile_pitch(s.chunk);
    call->choice[CHOICE_COLUMNS] = columns;
    call->choice[CHOICE_STEP] = step;
    call->choice[CHOICE_CHUNK] = s.chunk;
    call->scratch_bytes = sizeof(float) * (size_t)(step ? 2 * wide + 4 * tile_pitch(s.key)
                                                        : (s.key + s.chunk + HEAD_DECAY_ROWS) * pitch +
                                                              2 * s.chunk * wide + s.key * wide);
    return true;
}

static void run_chunks(const scan_head *h, float *scratch)
{
    const vector_table *v = vectors();
    const scan_shape *s = h->s;
    int64_t pitch = tile_pitch(s->chunk), wide = tile_pitch(h->columns), key = s->key;
    float *keys = tile_take(&scratch, key, pitch), *triangle = tile_take(&scratch, s->chunk, pitch);
    float *values = tile_take(&scratch, s->chunk, wide), *result = tile_take(&scratch, s->chunk, wide);
    float *state = tile_take(&scratch, key, wide);
    head_decay decay = head_decay_take(&scratch, s);
    bool carried = scan_load_state(h, state, wide);
    for (int64_t t = 0; t < h->rows; t += s->chunk) {
        int64_t rows = h->rows - t < s->chunk ? h->rows - t : s->chunk;
        const float *q = row_of(&h->q, t);
        v->tile_transpose(rows, key, row_of(&h->k, t), h->k.row, h->k.column, keys, pitch);
        scan_load_values(h, t, rows, values, wide);
        head_decay_read(&decay, &h->decay, t, rows);
        if (carried) {
            v->tile_product(rows, h->columns, key, q, h->q.row, h->q.column, state, wide, result, wide,
                            false);
            fade_until_rows(&decay, rows, h->columns, result, wide);
        }
        for (int64_t i = 0; i < rows;
             i += TILE_LANES) { /* the triangle's rows end where their diagonal block ends */
            int64_t high = rows - i < TILE_LANES ? rows - i : TILE_LANES;
            float *row = triangle + i * pitch;
            v->tile_product(high, i + high, key, q + i * h->q.row, h->q.row, h->q.column, keys, pitch, row,
                            pitch, false);
            keep_lower(&decay, i, high, row, pitch, s->exclusive);
            v->tile_product(high, h->columns, i + high, row, pitch, 1, values, wide, result + i * wide, wide,
                            carried);
        }
        scan_store_results(h, t, rows, result, wide);
        if (t + rows < h->rows || h->state_out.data) {
            fade_after_rows(&decay, rows, h->columns, values, wide);
            if (carried)
                fade_state(&decay, key, h->columns, state, state, wide);
            v->tile_product(key, h->columns, rows, keys, pitch, 1, values, wide, state, wide, carried);
            carried = true;
        }
    }
    scan_store_state(h, state, wide, carried);
}

/* A sentence without rows keeps its state. */
static void keep_state(const scan_head *h)
{
    if (!h->state_out.data || h->state_out.data == h->state.data)
        return;
    for (int64_t f = 0; f < h->s->key; f++)
        for (int64_t j = 0; j < h->columns; j++)
            row_of(&h->state_out, f)[j * h->state_out.column] =
                h->state.data ? row_of(&h->state, f)[j * h->state.column] : 0;
}

/* The decays of one token: one number, or one for each key. */
static void read_factors(const scan_head *h, int64_t count, double *decay, float *whole, float *part)
{
    for (int64_t f = 0; f < tile_pitch(count); f++)
        decay[f] = f < count ? log_decay_bounded(h->decay.data[f * h->decay.column]) : 0;
    vectors()->scan_factors(whole, part, decay, tile_pitch(count));
}

/* One token: the state is read and written once, in place. */
static void run_step(const scan_head *h, float *scratch)
{
    const scan_shape *s = h->s;
    if (h->rows == 0) {
        keep_state(h);
        return;
    }
    int64_t wide = tile_pitch(h->columns), high = tile_pitch(s->key);
    float *values = tile_take(&scratch, 1, wide), *result = tile_take(&scratch, 1, wide);
    float *whole = tile_take(&scratch, 1, high), *part = tile_take(&scratch, 1, high);
    scan_load_values(h, 0, 1, values, wide);
    if (s->decay != DECAY_NONE)
        read_factors(h, s->decay == DECAY_OF_KEYS ? s->key : 1, (double *)scratch, whole, part);
    vectors()->scan_step_state(&(scan_step){.key = s->key,
                                            .width = h->columns,
                                            .q = h->q.data,
                                            .k = h->k.data,
                                            .q_step = h->q.column,
                                            .k_step = h->k.column,
                                            .v = values,
                                            .whole = s->decay == DECAY_NONE ? NULL : whole,
                                            .part = part,
                                            .factor_step = s->decay == DECAY_OF_KEYS,
                                            .state = h->state.data,
                                            .state_row = h->state.row,
                                            .state_out_row = h->state_out.row,
                                            .state_out = h->state_out.data,
                                            .out = result,
                                            .exclusive = s->exclusive});
    scan_store_results(h, 0, 1, result, wide);
}

static void run(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    (void)phase;
    scan_shape s;
    scan_shape_of(call, &s);
    s.chunk = call->choice[CHOICE_CHUNK];
    scan_run_heads(call, &s, call->choice[CHOICE_COLUMNS], task,
                   call->choice[CHOICE_STEP] ? run_step : run_chunks, scratch);
}

const kernel kernel_scan = {"scan, chunked", plan, run};
