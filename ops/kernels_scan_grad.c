/* The gradient of the causal scan, exact and in chunks, in two sweeps that need nothing of each other, so a
 * head is two tasks:
 *
 *   forward in time    dq_t = S_t G_t                 S_t = S_0 + Σ_{s≤t} k_s v_sᵀ
 *   backward in time   dk_s = R_s v_s, dv_s = R_sᵀ k_s   R_s = dS_end + Σ_{t≥s} q_t G_tᵀ, and dS_0 = R_0
 *
 * G = [dnumerator, ddenominator] and v with its column of ones have `width` columns. Nothing of the forward
 * pass is kept but its operands, and no state but the current one. Inside a chunk the triangles P = tril(G
 * vᵀ) and A = tril(q kᵀ) do the same. */
#include "core/mutant.h"
#include "ops/scan_shape.h"
#include <string.h>

enum { CHOICE_CHUNK }; /* rows of a chunk, as planned */

static bool plan(kernel_call *call)
{
    scan_shape s;
    if (!scan_shape_of(call, &s))
        return false;
    int64_t pairs = s.batch * s.heads, pitch = tile_pitch(s.chunk), wide = tile_pitch(s.width),
            high = tile_pitch(s.key);
    call->choice[CHOICE_CHUNK] = s.chunk;
    call->phases = 1;
    call->tasks[0] = pairs > 0 ? 2 * divide_up(pairs, s.group) : 1;
    call->scratch_bytes =
        sizeof(float) * (size_t)((s.key + s.width) * pitch + s.chunk * (2 * high + 2 * wide + pitch) +
                                 s.key * wide + s.width * high);
    call->flops =
        4.0 * (double)(pairs * s.time) * (double)(s.chunk * (s.key + s.width) + 2 * s.key * s.width);
    return true;
}

typedef struct grad_head {
    const scan_shape *s;
    head_view q, k, v, state, dnumerator, ddenominator, dstate;
    head_view dq, dk, dv, dstate_in;
    int64_t rows;
    int64_t pitch, wide, high; /* of tiles with chunk, width and key columns */
} grad_head;

/* [dnumerator, ddenominator] of some rows as a tile; what is absent is zero. */
static void load_gradient(const grad_head *h, int64_t t, int64_t rows, float *tile)
{
    const scan_shape *s = h->s;
    if (h->dnumerator.data)
        vectors()->tile_copy(rows, s->value, row_of(&h->dnumerator, t), h->dnumerator.row,
                             h->dnumerator.column, tile, h->wide);
    bool cleared = h->dnumerator.data && s->value % TILE_LANES != 0;
    for (int64_t i = 0; i < rows && (s->denominator || !h->dnumerator.data); i++) {
        float *row = tile + i * h->wide;
        int64_t from = h->dnumerator.data ? s->value : 0;
        if (!cleared)
            memset(row + from, 0, sizeof *row * (size_t)(h->wide - from));
        if (s->denominator)
            row[s->value] = MUTANT(scan_grad_drops_the_denominator, false, h->ddenominator.data)
                                ? *row_of(&h->ddenominator, t + i)
                                : 0;
    }
}

/* vᵀ with its row of ones. */
static void load_values(const grad_head *h, int64_t t, int64_t rows, float *tile)
{
    vectors()->tile_transpose(rows, h->s->value, row_of(&h->v, t), h->v.row, h->v.column, tile, h->pitch);
    for (int64_t i = 0; h->s->denominator && i < h->pitch; i++)
        tile[h->s->value * h->pitch + i] = i < rows;
}

/* out[t, s] = tril(left · right): left [rows, depth] in rows, right [depth, rows]. */
static void triangle(const grad_head *h, int64_t rows, int64_t depth, const float *left, int64_t left_row,
                     int64_t left_column, const float *right, float *out)
{
    const vector_table *v = vectors();
    for (int64_t i = 0; i < rows; i += TILE_LANES) {
        int64_t high = rows - i < TILE_LANES ? rows - i : TILE_LANES;
        v->tile_product(high, i + high, depth, left + i * left_row, left_row, left_column, right, h->pitch,
                        out + i * h->pitch, h->pitch, false);
        v->tile_keep_lower(i, high, out + i * h->pitch, h->pitch, h->s->exclusive);
    }
}

/* out[s] += Σ_{t≥s} triangle[t, s] · right[t]. */
static void add_upper(const grad_head *h, int64_t rows, const float *lower, const float *right,
                      int64_t columns, int64_t wide, float *out, bool add)
{
    for (int64_t i = 0; i < rows; i += TILE_LANES) {
        int64_t high = rows - i < TILE_LANES ? rows - i : TILE_LANES;
        vectors()->tile_product(high, columns, rows - i, lower + i * h->pitch + i, 1, h->pitch,
                                right + i * wide, wide, out + i * wide, wide, add);
    }
}

/* ---- forward in time: dq ---- */

static void sweep_forward(const grad_head *h, float *scratch)
{
    const vector_table *v = vectors();
    const scan_shape *s = h->s;
    clear_rows(&h->dq, h->rows, s->time, s->key);
    if (!h->dq.data)
        return;
    float *gradient = tile_take(&scratch, s->chunk, h->wide),
          *values = tile_take(&scratch, s->width, h->pitch);
    float *keys = tile_take(&scratch, s->chunk, h->high), *lower = tile_take(&scratch, s->chunk, h->pitch);
    float *dq = tile_take(&scratch, s->chunk, h->high),
          *state = tile_take(&scratch, s->width, h->high); /* Sᵀ */
    bool carried = h->state.data;
    if (carried)
        v->tile_transpose(s->key, s->width, h->state.data, h->state.row, h->state.column, state, h->high);
    for (int64_t t = 0; t < h->rows; t += s->chunk) {
        int64_t rows = h->rows - t < s->chunk ? h->rows - t : s->chunk;
        load_gradient(h, t, rows, gradient);
        load_values(h, t, rows, values);
        v->tile_copy(rows, s->key, row_of(&h->k, t), h->k.row, h->k.column, keys, h->high);
        triangle(h, rows, s->width, gradient, h->wide, 1, values, lower);
        if (carried)
            v->tile_product(rows, s->key, s->width, gradient, h->wide, 1, state, h->high, dq, h->high, false);
        for (int64_t i = 0; i < rows; i += TILE_LANES) {
            int64_t high = rows - i < TILE_LANES ? rows - i : TILE_LANES;
            v->tile_product(high, s->key, i + high, lower + i * h->pitch, h->pitch, 1, keys, h->high,
                            dq + i * h->high, h->high, carried);
        }
        v->tile_store(rows, s->key, dq, h->high, row_of(&h->dq, t), h->dq.row, h->dq.column);
        if (t + rows < h->rows)
            v->tile_product(s->width, s->key, rows, values, h->pitch, 1, keys, h->high, state, h->high,
                            carried);
        carried = true;
    }
}

/* ---- backward in time: dk, dv and the gradient of the state before ---- */

typedef struct backward_tiles {
    float *gradient, *values, *keys, *queries, *lower, *result, *state, *state_transposed;
} backward_tiles;

/* One chunk; `carried`: R is not zero. */
static void chunk_backward(const grad_head *h, const backward_tiles *b, int64_t t, int64_t rows, bool carried)
{
    const vector_table *v = vectors();
    const scan_shape *s = h->s;
    load_gradient(h, t, rows, b->gradient);
    load_values(h, t, rows, b->values);
    v->tile_transpose(rows, s->key, row_of(&h->k, t), h->k.row, h->k.column, b->keys, h->pitch);
    v->tile_copy(rows, s->key, row_of(&h->q, t), h->q.row, h->q.column, b->queries, h->high);
    if (h->dk.data) {
        triangle(h, rows, s->width, b->gradient, h->wide, 1, b->values, b->lower);
        if (carried)
            v->tile_product(rows, s->key, s->width, b->values, 1, h->pitch, b->state_transposed, h->high,
                            b->result, h->high, false);
        add_upper(h, rows, b->lower, b->queries, s->key, h->high, b->result, carried);
        v->tile_store(rows, s->key, b->result, h->high, row_of(&h->dk, t), h->dk.row, h->dk.column);
    }
    if (h->dv.data) {
        triangle(h, rows, s->key, b->queries, h->high, 1, b->keys, b->lower);
        if (carried)
            v->tile_product(rows, s->value, s->key, b->keys, 1, h->pitch, b->state, h->wide, b->result,
                            h->wide, false);
        add_upper(h, rows, b->lower, b->gradient, s->value, h->wide, b->result, carried);
        v->tile_store(rows, s->value, b->result, h->wide, row_of(&h->dv, t), h->dv.row, h->dv.column);
    }
    if (t == 0 && !h->dstate_in.data)
        return;
    v->tile_product(s->key, s->width, rows, b->queries, 1, h->high, b->gradient, h->wide, b->state, h->wide,
                    MUTANT(scan_grad_forgets_later_chunks, false, carried));
    if (t > 0)
        v->tile_transpose(s->key, s->width, b->state, h->wide, 1, b->state_transposed, h->high);
}

static void sweep_backward(const grad_head *h, float *scratch)
{
    const vector_table *v = vectors();
    const scan_shape *s = h->s;
    clear_rows(&h->dk, h->rows, s->time, s->key);
    clear_rows(&h->dv, h->rows, s->time, s->value);
    if (!h->dk.data && !h->dv.data && !h->dstate_in.data)
        return;
    backward_tiles b = {.gradient = tile_take(&scratch, s->chunk, h->wide),
                        .values = tile_take(&scratch, s->width, h->pitch)};
    b.keys = tile_take(&scratch, s->key, h->pitch), b.queries = tile_take(&scratch, s->chunk, h->high);
    b.lower = tile_take(&scratch, s->chunk, h->pitch);
    b.result = tile_take(&scratch, s->chunk, h->high > h->wide ? h->high : h->wide);
    b.state = tile_take(&scratch, s->key, h->wide),
    b.state_transposed = tile_take(&scratch, s->width, h->high);
    bool carried = h->dstate.data;
    if (carried) {
        v->tile_copy(s->key, s->width, h->dstate.data, h->dstate.row, h->dstate.column, b.state, h->wide);
        v->tile_transpose(s->key, s->width, b.state, h->wide, 1, b.state_transposed, h->high);
    }
    for (int64_t t = (h->rows - 1) / s->chunk * s->chunk; h->rows > 0 && t >= 0;
         t -= s->chunk, carried = true)
        chunk_backward(h, &b, t, h->rows - t < s->chunk ? h->rows - t : s->chunk, carried);
    if (carried && h->dstate_in.data)
        v->tile_store(s->key, s->width, b.state, h->wide, h->dstate_in.data, h->dstate_in.row,
                      h->dstate_in.column);
    else
        clear_rows(&h->dstate_in, 0, s->key, s->width);
}

static void run(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    (void)phase;
    scan_shape s;
    scan_shape_of(call, &s);
    s.chunk = call->choice[CHOICE_CHUNK];
    grad_head h = {
        .s = &s, .pitch = tile_pitch(s.chunk), .wide = tile_pitch(s.width), .high = tile_pitch(s.key)};
    int64_t pairs = s.batch * s.heads, from = task / 2 * s.group;
    if (task == 0 && call->outputs[3].data) /* there is no decay: its gradient is one number */
        *(float *)call->outputs[3].data = 0;
    for (int64_t pair = from; pair < from + s.group && pair < pairs; pair++) {
        int64_t b = pair / s.heads, head = pair % s.heads;
        const tensor *in = call->inputs, *out = call->outputs;
        h.q = head_of(&in[SCAN_Q], b, head), h.k = head_of(&in[SCAN_K], b, head),
        h.v = head_of(&in[SCAN_V], b, head);
        h.state = head_of(&in[SCAN_STATE], b, head), h.dstate = head_of(&in[SCAN_DSTATE], b, head);
        h.dnumerator = head_of(&in[SCAN_DNUMERATOR], b, head);
        h.ddenominator = head_of(&in[SCAN_DDENOMINATOR], b, head);
        h.dq = head_of(&out[0], b, head), h.dk = head_of(&out[1], b, head), h.dv = head_of(&out[2], b, head);
        h.dstate_in = head_of(&out[4], b, head);
        h.rows = scan_length(call, &s, b);
        if (task % 2 == 0)
            sweep_forward(&h, scratch);
        else
            sweep_backward(&h, scratch);
    }
}

const kernel kernel_scan_grad = {"scan_grad, chunked", plan, run};
