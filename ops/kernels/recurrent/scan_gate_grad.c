/* The gradient of the scan with a log decay for each key dimension and step; phases as in
 * ops/kernels/recurrent/grad_plan.h, blocks as in ops/kernels/recurrent/gate_blocks.h.
 *
 *   dq_i = e^b_i ∘ S G_i + Σ_j P_ij k_j ∘ e^(b_i − b_j)
 *   dk_j = e^(b_end − b_j) ∘ R v_j + Σ_i P_ij q_i ∘ e^(b_i − b_j)
 *   dv_j = Σ_i A_ij G_i + Rᵀ (e^(b_end − b_j) ∘ k_j)
 *
 * A log decay gets q ∘ dq − k ∘ dk of the chunk's own pairs (without the diagonal) and of what is read from
 * S, for the rows from its step on; k ∘ dk of what earlier rows add to the next state; and S ∘ R. */
#include "ops/kernels/recurrent/gate_blocks.h"
#include "ops/kernels/recurrent/grad_plan.h"
#include <string.h>

static int64_t chunk_floats(const grad_plan *p)
{
    int64_t result = p->high > p->wide ? p->high : p->wide;
    return gate_floats(&p->s) + p->pitch * (p->wide + 6 * p->high + result + 2 * p->pitch) +
           p->s.width * p->pitch + p->s.width * p->high + 4 * p->high;
}

static bool plan(kernel_call *call)
{
    scan_shape s;
    if (!scan_shape_of(call, &s) || s.decay != DECAY_OF_KEYS)
        return false;
    grad_plan p = grad_plan_of(call, &s);
    grad_plan_call(call, &p);
    int64_t floats = chunk_floats(&p),
            sweep = s.chunk * (p.wide + 3 * p.high) + s.width * p.pitch + s.key * p.wide + 4 * p.high;
    call->scratch_bytes = sizeof(float) * (size_t)(floats > sweep ? floats : sweep);
    return true;
}

/* ---- phase 0: states ---- */

typedef struct fade_tiles {
    float *rows, *gates, *fades; /* [chunk, high] */
    float *whole, *part;         /* [high] of the whole chunk */
    double *sums;
} fade_tiles;

static fade_tiles take_fades(const grad_head *h, float **scratch)
{
    int64_t high = h->p->high, chunk = h->s->chunk;
    fade_tiles f = {.rows = tile_take(scratch, chunk, high), .gates = tile_take(scratch, chunk, high)};
    f.fades = tile_take(scratch, chunk, high), f.whole = tile_take(scratch, 1, high);
    f.part = tile_take(scratch, 1, high), f.sums = (double *)tile_take(scratch, 2, high);
    return f;
}

typedef void sum_gates(int64_t rows, int64_t columns, const float *g, int64_t row, float *to, double *sums);

/* `from` (q or k) times its decays: from the chunk's start, or to its end. */
static void read_faded(const grad_head *h, const fade_tiles *f, const head_view *from, sum_gates *sum,
                       int64_t t, int64_t rows)
{
    const vector_table *v = vectors();
    int64_t high = h->p->high, key = h->s->key;
    v->tile_copy(rows, key, row_of(&h->decay, t), h->decay.row, h->decay.column, f->gates, high);
    v->tile_copy(rows, key, row_of(from, t), from->row, from->column, f->rows, high);
    sum(rows, key, f->gates, high, f->fades, f->sums);
    v->tile_multiply(rows, key, f->rows, f->fades, high, f->rows);
    v->scan_factors(f->whole, f->part, f->sums, high);
}

static void states_forward(const grad_head *h, float *scratch)
{
    const vector_table *v = vectors();
    const scan_shape *s = h->s;
    int64_t pitch = h->p->pitch, high = h->p->high;
    float *values = tile_take(&scratch, s->width, pitch);
    fade_tiles f = take_fades(h, &scratch);
    grad_first_state(h);
    for (int64_t c = 0; c < h->last; c++) {
        grad_load_values(h, c * s->chunk, s->chunk, values);
        read_faded(h, &f, &h->k, v->gate_to_end, c * s->chunk, s->chunk);
        if (grad_has_state(h, c))
            v->tile_fade_columns(s->width, s->key, grad_state(h, c), high, grad_state(h, c + 1), high,
                                 f.whole, f.part);
        v->tile_product(s->width, s->key, s->chunk, values, pitch, 1, f.rows, high, grad_state(h, c + 1),
                        high, grad_has_state(h, c));
    }
}

static void states_backward(const grad_head *h, float *scratch)
{
    const vector_table *v = vectors();
    const scan_shape *s = h->s;
    int64_t wide = h->p->wide, high = h->p->high;
    float *gradient = tile_take(&scratch, s->chunk, wide), *first = tile_take(&scratch, s->key, wide);
    fade_tiles f = take_fades(h, &scratch);
    bool carried = grad_last_gradient(h);
    for (int64_t c = h->last; h->rows > 0 && c >= (h->dstate_in.data ? 0 : 1); c--, carried = true) {
        int64_t t = c * s->chunk, rows = grad_rows(h, c);
        float *to = c > 0 ? grad_gradient(h, c - 1) : first;
        grad_load_gradient(h, t, rows, gradient);
        read_faded(h, &f, &h->q, v->gate_from_start, t, rows);
        if (carried)
            v->tile_fade(s->key, s->width, grad_gradient(h, c), wide, to, wide, f.whole, f.part, 1);
        v->tile_product(s->key, s->width, rows, f.rows, 1, high, gradient, wide, to, wide, carried);
    }
    grad_store_first(h, first, carried);
}

/* ---- phase 1: chunks ---- */

typedef struct chunk_tiles {
    int64_t chunk, t, rows;
    bool has_state, has_gradient;
    gate_tiles x;
    float *gradient, *values, *keys; /* [pitch, wide], [width, pitch], [pitch, high] */
    float *scores, *products;        /* A and P [pitch, pitch] */
    float *after, *run; /* [pitch, high]: e^(block's end − b_j); rows of other blocks, decayed to the current
                         * one */
    float *terms, *passed, *own, *result;
    float *other; /* Rᵀ [width, high] */
    double *whole;
} chunk_tiles;

static chunk_tiles take_tiles(const grad_head *h, int64_t chunk, float *scratch)
{
    const scan_shape *s = h->s;
    const grad_plan *p = h->p;
    int64_t pitch = p->pitch, wide = p->wide, high = p->high;
    chunk_tiles c = {.chunk = chunk, .t = chunk * s->chunk, .rows = grad_rows(h, chunk)};
    c.has_state = p->needs_states && grad_has_state(h, chunk);
    c.has_gradient = p->needs_gradients && grad_has_gradient(h, chunk);
    c.x = gate_take(&scratch, s);
    c.gradient = tile_take(&scratch, pitch, wide), c.values = tile_take(&scratch, s->width, pitch);
    c.keys = tile_take(&scratch, pitch, high), c.after = tile_take(&scratch, pitch, high);
    c.scores = tile_take(&scratch, pitch, pitch), c.products = tile_take(&scratch, pitch, pitch);
    c.run = tile_take(&scratch, pitch, high), c.terms = tile_take(&scratch, pitch, high);
    c.passed = tile_take(&scratch, pitch, high), c.own = tile_take(&scratch, pitch, high);
    c.result = tile_take(&scratch, pitch, high > wide ? high : wide);
    c.other = tile_take(&scratch, s->width, high), c.whole = (double *)tile_take(&scratch, 4, high);
    return c;
}

static void make_triangles(const grad_head *h, chunk_tiles *c)
{
    const vector_table *v = vectors();
    const scan_shape *s = h->s;
    int64_t high = h->p->high, pitch = h->p->pitch;
    grad_load_gradient(h, c->t, c->rows, c->gradient);
    grad_load_values(h, c->t, c->rows, c->values);
    v->tile_copy(c->rows, s->key, row_of(&h->k, c->t), h->k.row, h->k.column, c->keys, high);
    grad_triangle(h, c->rows, s->width, c->gradient, h->p->wide, c->values, c->products);
    v->tile_keep_lower(0, c->rows, c->products, pitch, s->exclusive);
    gate_read(&c->x, &h->q, &h->k, &h->decay, c->t, c->rows);
    for (int64_t i = 0; i < c->rows; i += TILE_LANES) {
        int64_t rows = c->rows - i < TILE_LANES ? c->rows - i : TILE_LANES;
        v->tile_copy(rows, s->key, row_of(&h->decay, c->t + i), h->decay.row, h->decay.column, c->x.gates,
                     high);
        v->gate_to_end(rows, s->key, c->x.gates, high, c->after + i * high, c->whole);
        gate_scores_of(&c->x, i, rows, c->scores + i * pitch, s->exclusive);
    }
}

/* c->result: dq without the diagonal, block by block in time; run: the earlier keys, decayed to the block's
 * start. */
static void dq_blocks(const grad_head *h, chunk_tiles *c)
{
    const vector_table *v = vectors();
    int64_t key = h->s->key, high = h->p->high, pitch = h->p->pitch;
    for (int64_t i = 0; i < c->rows; i += TILE_LANES) {
        int64_t rows = c->rows - i < TILE_LANES ? c->rows - i : TILE_LANES;
        float *to = c->result + i * high;
        if (c->has_state) {
            v->tile_product(rows, key, h->s->width, c->gradient + i * h->p->wide, h->p->wide, 1,
                            grad_state(h, c->chunk), high, to, high, false);
            v->tile_scale_columns(rows, key, to, high, gate_factor(&c->x, 0, i));
        }
        v->tile_product(rows, key, i, c->products + i * pitch, pitch, 1, c->run, high, to, high,
                        c->has_state);
        v->tile_multiply(rows, key, to, c->x.before + i * high, high, to);
        v->gate_queries_gradient(rows, key, c->products + i * (pitch + 1), pitch, c->keys + i * high,
                                 c->x.decay + i * high, to, high);
        v->tile_scale_columns(i, key, c->run, high, gate_block_factor(&c->x, i));
        v->tile_multiply(rows, key, c->keys + i * high, c->after + i * high, high, c->run + i * high);
    }
}

/* c->own: dk of the chunk's own pairs without the diagonal, c->result: dk from the later states; from the
 * last block to the first. run: the later queries, decayed to the block's end. */
static void dk_blocks(const grad_head *h, chunk_tiles *c)
{
    const vector_table *v = vectors();
    int64_t key = h->s->key, high = h->p->high, pitch = h->p->pitch, all = tile_pitch(c->rows);
    for (int64_t i = all - TILE_LANES; i >= 0; i -= TILE_LANES) {
        int64_t rows = c->rows - i < TILE_LANES ? c->rows - i : TILE_LANES, end = i + TILE_LANES;
        int64_t later = c->rows > end ? c->rows - end : 0;
        v->tile_product(rows, key, later, c->products + end * pitch + i, 1, pitch, c->run + end * high, high,
                        c->own + i * high, high, false);
        v->tile_multiply(rows, key, c->own + i * high, c->after + i * high, high, c->own + i * high);
        v->gate_keys_gradient(rows, key, c->products + i * (pitch + 1), pitch, c->x.queries + i * high,
                              c->x.decay + i * high, c->own + i * high, high);
        v->tile_scale_columns(later, key, c->run + end * high, high, gate_block_factor(&c->x, i));
        v->tile_multiply(rows, key, c->x.queries + i * high, c->x.before + i * high, high, c->run + i * high);
        if (!c->has_gradient)
            continue;
        v->tile_product(rows, key, h->s->width, c->values + i, 1, pitch, c->other, high, c->result + i * high,
                        high, false);
        v->tile_multiply(rows, key, c->result + i * high, c->after + i * high, high, c->result + i * high);
        v->tile_scale_columns(rows, key, c->result + i * high, high, gate_factor(&c->x, end, all));
    }
}

static void make_dv(const grad_head *h, chunk_tiles *c)
{
    const grad_plan *p = h->p;
    if (!h->dv.data)
        return;
    if (c->has_gradient)
        vectors()->tile_product(c->rows, h->s->value, h->s->key, c->x.keys, 1, p->pitch,
                                grad_gradient(h, c->chunk), p->wide, c->result, p->wide, false);
    grad_add_upper(h, c->rows, c->scores, c->gradient, h->s->value, p->wide, c->result, c->has_gradient);
    vectors()->tile_store(c->rows, h->s->value, c->result, p->wide, row_of(&h->dv, c->t), h->dv.row,
                          h->dv.column);
}

/* e^b_end Σ S ∘ R of each key dimension. */
static void state_meets_gradient(const grad_head *h, const chunk_tiles *c)
{
    int64_t high = h->p->high;
    const float *state = grad_state(h, c->chunk), *factor = gate_factor(&c->x, 0, tile_pitch(c->rows));
    for (int64_t i = 0; i < h->s->width; i++)
        for (int64_t f = 0; f < h->s->key; f++)
            c->whole[f] += (double)state[i * high + f] * c->other[i * high + f];
    for (int64_t f = 0; f < h->s->key; f++)
        c->whole[f] *= factor[f];
}

/* dq and dk from their parts, and their terms of the decay's gradient. */
static void finish(const grad_head *h, chunk_tiles *c)
{
    const vector_table *v = vectors();
    int64_t key = h->s->key, high = h->p->high, pitch = h->p->pitch;
    dq_blocks(h, c);
    v->tile_multiply(c->rows, key, c->x.queries, c->result, high, c->terms);
    v->tile_add_diagonal(c->rows, key, c->products, pitch, c->keys, c->result, high);
    if (h->dq.data)
        v->tile_store(c->rows, key, c->result, high, row_of(&h->dq, c->t), h->dq.row, h->dq.column);
    dk_blocks(h, c);
    v->tile_subtract_product(c->rows, key, c->keys, c->own, high, c->terms);
    memset(c->passed, 0, sizeof(float) * (size_t)(c->rows * high));
    if (c->has_gradient) {
        v->tile_multiply(c->rows, key, c->keys, c->result, high, c->passed);
        v->tile_add(c->rows, key, c->result, high, c->own);
    }
    v->tile_add_diagonal(c->rows, key, c->products, pitch, c->x.queries, c->own, high);
    if (h->dk.data)
        v->tile_store(c->rows, key, c->own, high, row_of(&h->dk, c->t), h->dk.row, h->dk.column);
}

static void run_chunk(const grad_head *h, int64_t chunk, float *scratch)
{
    const scan_shape *s = h->s;
    chunk_tiles c = take_tiles(h, chunk, scratch);
    grad_clear_behind(h, chunk);
    if (c.rows == 0)
        return;
    make_triangles(h, &c);
    if (c.has_gradient)
        vectors()->tile_transpose(s->key, s->width, grad_gradient(h, chunk), h->p->wide, 1, c.other,
                                  h->p->high);
    finish(h, &c);
    make_dv(h, &c);
    if (h->p->decay.kind == DECAY_UNWANTED)
        return;
    memset(c.whole, 0, sizeof *c.whole * (size_t)h->p->high);
    if (c.has_state && c.has_gradient)
        state_meets_gradient(h, &c);
    vectors()->gate_decay_gradient(c.rows, s->key, c.terms, c.passed, h->p->high, c.whole);
    vectors()->tile_store(c.rows, s->key, c.terms, h->p->high, row_of(&h->ddecay, c.t), h->ddecay.row,
                          h->ddecay.column);
}

static void run(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    grad_run(call, phase, task, scratch, &(grad_stages){states_forward, states_backward, run_chunk});
}

const kernel kernel_scan_grad_gate = {"scan_grad, gates of keys", plan, run};
