/* The scan with a log decay for each key dimension and step, forward in chunks:
 * ops/kernels/recurrent/gate_blocks.h. One token is done by ops/kernels/recurrent/scan.c. */
#include "ops/kernels/recurrent/gate_blocks.h"
#include "ops/kernels/recurrent/scan_head.h"

enum { CHOICE_COLUMNS, CHOICE_CHUNK };

static bool plan(kernel_call *call)
{
    scan_shape s;
    if (!scan_shape_of(call, &s) || s.decay != DECAY_OF_KEYS)
        return false;
    int64_t columns = scan_cut(call, &s, false), wide = tile_pitch(columns), pitch = tile_pitch(s.chunk);
    call->choice[CHOICE_COLUMNS] = columns;
    call->choice[CHOICE_CHUNK] = s.chunk;
    call->scratch_bytes = sizeof(float) * (size_t)(TILE_LANES * pitch + 2 * s.chunk * wide + s.key * wide +
                                                   2 * tile_pitch(s.key) + gate_floats(&s));
    return true;
}

typedef struct gate_work {
    gate_tiles x;
    int64_t wide;
    float *triangle, *values, *result, *state, *whole, *part;
    bool carried; /* the state is not zero */
} gate_work;

/* Rows from i on of the chunk's result: first from the state, then from its own triangle. */
static void block_result(const scan_head *h, gate_work *w, int64_t i, int64_t rows)
{
    const vector_table *v = vectors();
    gate_tiles *x = &w->x;
    gate_scores_of(x, i, rows, w->triangle, h->s->exclusive);
    if (w->carried) {
        v->tile_scale_columns(rows, x->key, x->faded, x->high, gate_factor(x, 0, i));
        v->tile_product(rows, h->columns, x->key, x->faded, x->high, 1, w->state, w->wide,
                        w->result + i * w->wide, w->wide, false);
    }
    v->tile_product(rows, h->columns, i + rows, w->triangle, x->pitch, 1, w->values, w->wide,
                    w->result + i * w->wide, w->wide, w->carried);
}

static void run_chunks(const scan_head *h, float *scratch)
{
    const vector_table *v = vectors();
    const scan_shape *s = h->s;
    gate_work w = {.x = gate_take(&scratch, s), .wide = tile_pitch(h->columns)};
    w.triangle = tile_take(&scratch, TILE_LANES, w.x.pitch);
    w.values = tile_take(&scratch, s->chunk, w.wide), w.result = tile_take(&scratch, s->chunk, w.wide);
    w.state = tile_take(&scratch, s->key, w.wide);
    w.whole = tile_take(&scratch, 1, w.x.high), w.part = tile_take(&scratch, 1, w.x.high);
    w.carried = scan_load_state(h, w.state, w.wide);
    for (int64_t t = 0; t < h->rows; t += s->chunk) {
        int64_t rows = h->rows - t < s->chunk ? h->rows - t : s->chunk;
        scan_load_values(h, t, rows, w.values, w.wide);
        gate_read(&w.x, &h->q, &h->k, &h->decay, t, rows);
        for (int64_t i = 0; i < rows; i += TILE_LANES)
            block_result(h, &w, i, rows - i < TILE_LANES ? rows - i : TILE_LANES);
        scan_store_results(h, t, rows, w.result, w.wide);
        if (t + rows == h->rows && !h->state_out.data)
            break;
        v->scan_factors(w.whole, w.part, w.x.starts + divide_up(rows, TILE_LANES) * w.x.high, w.x.high);
        if (w.carried)
            v->tile_fade(s->key, h->columns, w.state, w.wide, w.state, w.wide, w.whole, w.part, 1);
        v->tile_product(s->key, h->columns, rows, w.x.keys, w.x.pitch, 1, w.values, w.wide, w.state, w.wide,
                        w.carried);
        w.carried = true;
    }
    scan_store_state(h, w.state, w.wide, w.carried);
}

static void run(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    (void)phase;
    scan_shape s;
    scan_shape_of(call, &s);
    s.chunk = call->choice[CHOICE_CHUNK];
    scan_run_heads(call, &s, call->choice[CHOICE_COLUMNS], task, run_chunks, scratch);
}

const kernel kernel_scan_gate = {"scan, gates of keys", plan, run};
