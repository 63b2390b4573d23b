/* Causal linear attention, forward: numerator_t = Σ_{s≤t} (q_t · k_s) v_s + Sᵀ q_t in chunks. Inside a chunk
 * the triangle of q kᵀ meets v; what came before is in the state S = Σ k vᵀ. A task is some heads, or some
 * columns of v of one head. Rows at or beyond a sentence's length are not loaded. A decay is one number a step
 * and head (ops/scan_decay.h); of one a key dimension ops/kernels_scan_gate.c takes care. */
#include "core/mutant.h"
#include "ops/scan_decay.h"
#include <string.h>

/* ---- cutting ---- */

/* Columns of v of one task; whether time is 1 and the state can be met in place; rows of a chunk. What run
 * needs of results that may be unread is kept here, so that both see the same. */
enum { CHOICE_COLUMNS, CHOICE_STEP, CHOICE_CHUNK };

static bool rows_are_plain(const tensor *t)
{
    return !t->data || t->strides[3] == 1 || t->dims[3] == 1;
}

static bool plan(kernel_call *call)
{
    scan_shape s;
    if (!scan_shape_of(call, &s) || s.decay == DECAY_OF_KEYS)
        return false;
    int64_t pairs = s.batch * s.heads, columns = s.width > 0 ? s.width : 1;
    bool step =
        s.time == 1 && rows_are_plain(operand_of(call, SCAN_STATE)) && rows_are_plain(&call->outputs[2]);
    while (!step && pairs * divide_up(s.width, columns) < 4 &&
           columns >= 64) /* every part does the triangle again */
        columns = tile_pitch(divide_up(columns, 2));
    call->choice[CHOICE_COLUMNS] = columns;
    call->choice[CHOICE_STEP] = step;
    call->choice[CHOICE_CHUNK] = s.chunk;
    call->phases = 1;
    call->tasks[0] = divide_up(pairs, s.group) * divide_up(s.width, columns);
    int64_t wide = tile_pitch(columns), chunk = s.chunk;
    call->scratch_bytes =
        sizeof(float) * (size_t)(step ? 2 * wide
                                      : (s.key + chunk + HEAD_DECAY_ROWS) * tile_pitch(chunk) +
                                            2 * chunk * wide + s.key * wide);
    call->flops = 2.0 * (double)(pairs * s.time) * (double)(chunk * (s.key + s.width) + 2 * s.key * s.width);
    return true;
}

/* ---- one head ---- */

typedef struct scan_head {
    const scan_shape *s;
    head_view q, k, v, decay, state, numerator, denominator, state_out;
    int64_t rows;           /* of this sentence */
    int64_t first, columns; /* of v with its column of ones */
    int64_t real;           /* how many of the columns are v's; the next is the ones */
} scan_head;

/* Rows t … t + rows of v and of its ones, as a tile. */
static void load_values(const scan_head *h, int64_t t, int64_t rows, float *tile, int64_t pitch)
{
    vectors()->tile_copy(rows, h->real, row_of(&h->v, t) + h->first * h->v.column, h->v.row, h->v.column,
                         tile, pitch);
    if (h->real == h->columns)
        return;
    for (int64_t i = 0; i < rows; i++) {
        float *row = tile + i * pitch;
        if (h->real % TILE_LANES == 0)
            memset(row + h->real, 0, TILE_LANES * sizeof *row);
        row[h->real] = 1;
    }
}

static void store_results(const scan_head *h, int64_t t, int64_t rows, const float *tile, int64_t pitch)
{
    if (h->numerator.data)
        vectors()->tile_store(rows, h->real, tile, pitch,
                              row_of(&h->numerator, t) + h->first * h->numerator.column, h->numerator.row,
                              h->numerator.column);
    if (h->denominator.data && h->real < h->columns)
        for (int64_t i = 0; i < rows; i++)
            *row_of(&h->denominator, t + i) = tile[i * pitch + h->real];
}

static void clear_results(const scan_head *h, int64_t from)
{
    for (int64_t t = from; t < h->s->time; t++) {
        if (h->numerator.data)
            for (int64_t j = 0; j < h->real; j++)
                row_of(&h->numerator, t)[(h->first + j) * h->numerator.column] = 0;
        if (h->denominator.data && h->real < h->columns)
            *row_of(&h->denominator, t) = 0;
    }
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
    bool carried = h->state.data;
    if (carried)
        v->tile_copy(key, h->columns, h->state.data + h->first * h->state.column, h->state.row,
                     h->state.column, state, wide);
    for (int64_t t = 0; t < h->rows; t += s->chunk) {
        int64_t rows = h->rows - t < s->chunk ? h->rows - t : s->chunk;
        const float *q = row_of(&h->q, t);
        v->tile_transpose(rows, key, row_of(&h->k, t), h->k.row, h->k.column, keys, pitch);
        load_values(h, t, rows, values, wide);
        head_decay_read(&decay, &h->decay, t, rows);
        if (carried) {
            v->tile_product(rows, h->columns, key, q, h->q.row, h->q.column, state, wide, result, wide,
                            false);
            fade_until_rows(&decay, rows, h->columns, result, wide);
        }
        for (int64_t i = 0; i < rows;
             i += TILE_LANES) { /* the triangle's rows end where their block of the diagonal does */
            int64_t high = rows - i < TILE_LANES ? rows - i : TILE_LANES;
            float *row = triangle + i * pitch;
            v->tile_product(high, i + high, key, q + i * h->q.row, h->q.row, h->q.column, keys, pitch, row,
                            pitch, false);
            keep_lower(&decay, i, high, row, pitch,
                               MUTANT(scan_confuses_exclusive, !s->exclusive, s->exclusive));
            v->tile_product(high, h->columns, i + high, row, pitch, 1, values, wide, result + i * wide, wide,
                            carried);
        }
        store_results(h, t, rows, result, wide);
        if (t + rows < h->rows || h->state_out.data) {
            fade_after_rows(&decay, rows, h->columns, values, wide);
            if (carried)
                fade_state(&decay, key, h->columns, state, state, wide);
            v->tile_product(key, h->columns, rows - MUTANT(scan_loses_a_chunks_last_row, 1, 0), keys, pitch,
                            1, values, wide, state, wide, carried);
            carried = true;
        }
    }
    if (h->state_out.data && !carried)
        memset(state, 0, sizeof *state * (size_t)(key * wide));
    if (h->state_out.data)
        v->tile_store(key, h->columns, state, wide, h->state_out.data + h->first * h->state_out.column,
                      h->state_out.row, h->state_out.column);
}

/* One token: the state goes through once, where it lies. */
static void run_step(const scan_head *h, float *scratch)
{
    const scan_shape *s = h->s;
    int64_t wide = tile_pitch(h->columns);
    float *values = scratch, *result = scratch + wide, whole[TILE_LANES], part[TILE_LANES];
    double decay[TILE_LANES] = {0};
    load_values(h, 0, 1, values, wide);
    if (h->decay.data) {
        decay[0] = log_decay_bounded(*h->decay.data);
        vectors()->scan_factors(whole, part, decay, TILE_LANES);
    }
    vectors()->scan_step_state(
        &(scan_step){.key = s->key,
                     .width = h->columns,
                     .q = h->q.data,
                     .k = h->k.data,
                     .q_step = h->q.column,
                     .k_step = h->k.column,
                     .v = values,
                     .whole = h->decay.data ? whole : NULL,
                     .part = part,
                     .state = h->state.data,
                     .state_row = h->state.row,
                     .state_out_row = h->state_out.row,
                     .state_out = h->state_out.data,
                     .out = result,
                     .exclusive = MUTANT(scan_step_confuses_exclusive, !s->exclusive, s->exclusive)});
    store_results(h, 0, 1, result, wide);
}

/* A sentence without rows, met in place: its state is what it was. */
static void keep_state(const scan_head *h)
{
    if (!h->state_out.data || h->state_out.data == h->state.data)
        return;
    for (int64_t f = 0; f < h->s->key; f++)
        for (int64_t j = 0; j < h->columns; j++)
            row_of(&h->state_out, f)[j * h->state_out.column] =
                h->state.data ? row_of(&h->state, f)[j * h->state.column] : 0;
}

static void run(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    (void)phase;
    scan_shape s;
    scan_shape_of(call, &s);
    s.chunk = call->choice[CHOICE_CHUNK];
    int64_t columns = call->choice[CHOICE_COLUMNS], parts = divide_up(s.width, columns),
            pairs = s.batch * s.heads;
    int64_t first = task % parts * columns, from = task / parts * s.group;
    scan_head h = {.s = &s, .first = first, .columns = s.width - first < columns ? s.width - first : columns};
    h.real = s.value - first < h.columns ? s.value - first : h.columns;
    for (int64_t pair = from; pair < from + s.group && pair < pairs; pair++) {
        int64_t b = pair / s.heads, head = pair % s.heads;
        h.q = head_of(operand_of(call, SCAN_Q), b, head);
        h.k = head_of(operand_of(call, SCAN_K), b, head);
        h.v = head_of(operand_of(call, SCAN_V), b, head);
        h.decay = scan_decay_of(call, b, head);
        h.state = head_of(operand_of(call, SCAN_STATE), b, head);
        h.numerator = head_of(&call->outputs[0], b, head);
        h.denominator = head_of(&call->outputs[1], b, head);
        h.state_out = head_of(&call->outputs[2], b, head);
        h.rows = MUTANT(scan_counts_padding, s.time, scan_length(call, &s, b));
        clear_results(&h, h.rows);
        if (!call->choice[CHOICE_STEP])
            run_chunks(&h, scratch);
        else if (h.rows > 0)
            run_step(&h, scratch);
        else
            keep_state(&h);
        if (!s.denominator && h.denominator.data && h.first == 0) /* without one it is 0 */
            for (int64_t t = 0; t < s.time; t++)
                *row_of(&h.denominator, t) = 0;
    }
}

const kernel kernel_scan = {"scan, chunked", plan, run};
