/* The gradient of the causal scan with a decay of heads or none, exact and in chunks:
 * ops/kernels/recurrent/grad_plan.h has the phases. With D[t, s] = e^(b_t − b_s) in the lower triangle, P = D
 * ∘ (G vᵀ) and A = D ∘ (q kᵀ) a chunk gives
 *
 *   dq = P k + e^b G Sᵀ      dk = Pᵀ q + e^(b_end − b) v Rᵀ      dv = Aᵀ G + e^(b_end − b) k R
 *
 * and the states go from chunk to chunk as S' = e^b_end S + Σ_j e^(b_end − b_j) k_j v_jᵀ, R = e^b_end R' +
 * Σ_i e^b_i q_i G_iᵀ. A log decay gets everything that passes its step: the chunk's pairs across it (never
 * the diagonal), what rows from it on read from S, what rows before it add to the next state, and S ∘ R. */
#include "ops/kernels/recurrent/grad_plan.h"
#include <string.h>

static int64_t chunk_floats(const grad_plan *p)
{
    int64_t chunk = p->s.chunk, result = p->high > p->wide ? p->high : p->wide;
    return chunk * (p->wide + 2 * p->high + result + 2 * p->pitch) + (p->s.width + p->s.key) * p->pitch +
           p->s.width * p->high + (HEAD_DECAY_ROWS + 10) * p->pitch;
}

static bool plan(kernel_call *call)
{
    scan_shape s;
    if (!scan_shape_of(call, &s) || s.decay == DECAY_OF_KEYS)
        return false;
    grad_plan p = grad_plan_of(call, &s);
    grad_plan_call(call, &p);
    int64_t sweep =
        s.chunk * (p.wide + p.high) + s.width * p.pitch + s.key * p.wide + HEAD_DECAY_ROWS * p.pitch;
    int64_t floats = chunk_floats(&p);
    call->scratch_bytes = sizeof(float) * (size_t)(floats > sweep ? floats : sweep);
    return true;
}

/* ---- phase 0: states ---- */

static void states_forward(const grad_head *h, float *scratch)
{
    const vector_table *v = vectors();
    const scan_shape *s = h->s;
    int64_t pitch = h->p->pitch, high = h->p->high;
    float *values = tile_take(&scratch, s->width, pitch), *keys = tile_take(&scratch, s->chunk, high);
    head_decay decay = head_decay_take(&scratch, s);
    grad_first_state(h);
    for (int64_t c = 0; c < h->last; c++) {
        int64_t t = c * s->chunk;
        grad_load_values(h, t, s->chunk, values);
        v->tile_copy(s->chunk, s->key, row_of(&h->k, t), h->k.row, h->k.column, keys, high);
        head_decay_read(&decay, &h->decay, t, s->chunk);
        fade_after_rows(&decay, s->chunk, s->key, keys, high);
        if (grad_has_state(h, c))
            fade_state(&decay, s->width, s->key, grad_state(h, c), grad_state(h, c + 1), high);
        v->tile_product(s->width, s->key, s->chunk, values, pitch, 1, keys, high, grad_state(h, c + 1), high,
                        grad_has_state(h, c));
    }
}

/* From the gradient of the last state down to that of the first, if it is wanted. */
static void states_backward(const grad_head *h, float *scratch)
{
    const vector_table *v = vectors();
    const scan_shape *s = h->s;
    int64_t wide = h->p->wide;
    float *gradient = tile_take(&scratch, s->chunk, wide), *first = tile_take(&scratch, s->key, wide);
    head_decay decay = head_decay_take(&scratch, s);
    bool carried = grad_last_gradient(h);
    for (int64_t c = h->last; h->rows > 0 && c >= (h->dstate_in.data ? 0 : 1); c--, carried = true) {
        int64_t t = c * s->chunk, rows = grad_rows(h, c);
        float *to = c > 0 ? grad_gradient(h, c - 1) : first;
        grad_load_gradient(h, t, rows, gradient);
        head_decay_read(&decay, &h->decay, t, rows);
        fade_until_rows(&decay, rows, s->width, gradient, wide);
        if (carried)
            fade_state(&decay, s->key, s->width, grad_gradient(h, c), to, wide);
        v->tile_product(s->key, s->width, rows, row_of(&h->q, t), h->q.column, h->q.row, gradient, wide, to,
                        wide, carried);
    }
    grad_store_first(h, first, carried);
}

/* ---- phase 1: chunks ---- */

typedef struct chunk_tiles {
    int64_t chunk, t, rows;
    float *gradient, *values, *keys, *keys_transposed,
        *queries;                                    /* [rows, wide], [width, pitch], [rows, high], … */
    float *products, *scores;                        /* P and A, [rows, pitch] */
    float *result, *other;                           /* [rows, high or wide]; Rᵀ [width, high] */
    double *row_sums, *column_sums, *terms, *passed; /* of pairs; of the log decay's gradient */
    head_decay decay;
} chunk_tiles;

static chunk_tiles take_tiles(const grad_head *h, int64_t chunk, float *scratch)
{
    const scan_shape *s = h->s;
    int64_t pitch = h->p->pitch, wide = h->p->wide, high = h->p->high;
    chunk_tiles x = {.chunk = chunk, .t = chunk * s->chunk, .rows = grad_rows(h, chunk)};
    x.gradient = tile_take(&scratch, s->chunk, wide), x.values = tile_take(&scratch, s->width, pitch);
    x.keys = tile_take(&scratch, s->chunk, high), x.keys_transposed = tile_take(&scratch, s->key, pitch);
    x.queries = tile_take(&scratch, s->chunk, high);
    x.products = tile_take(&scratch, s->chunk, pitch), x.scores = tile_take(&scratch, s->chunk, pitch);
    x.result = tile_take(&scratch, s->chunk, high > wide ? high : wide);
    x.other = tile_take(&scratch, s->width, high);
    x.row_sums = (double *)tile_take(&scratch, 2, pitch),
    x.column_sums = (double *)tile_take(&scratch, 2, pitch);
    x.terms = (double *)tile_take(&scratch, 2, pitch), x.passed = (double *)tile_take(&scratch, 2, pitch);
    x.decay = head_decay_take(&scratch, s);
    return x;
}

/* P and A, with their decays and the sums of their pairs. */
static void make_triangles(const grad_head *h, chunk_tiles *x)
{
    const vector_table *v = vectors();
    const scan_shape *s = h->s;
    int64_t pitch = h->p->pitch, high = h->p->high;
    grad_load_gradient(h, x->t, x->rows, x->gradient);
    grad_load_values(h, x->t, x->rows, x->values);
    v->tile_copy(x->rows, s->key, row_of(&h->k, x->t), h->k.row, h->k.column, x->keys, high);
    v->tile_transpose(x->rows, s->key, x->keys, high, 1, x->keys_transposed, pitch);
    v->tile_copy(x->rows, s->key, row_of(&h->q, x->t), h->q.row, h->q.column, x->queries, high);
    head_decay_read(&x->decay, &h->decay, x->t, x->rows);
    bool both = x->decay.sums;
    if (both || h->dq.data || h->dk.data)
        grad_triangle(h, x->rows, s->width, x->gradient, h->p->wide, x->values, x->products);
    if (both || h->dv.data)
        grad_triangle(h, x->rows, s->key, x->queries, high, x->keys_transposed, x->scores);
    if (both) {
        v->tile_decay_pairs(x->rows, x->scores, x->products, pitch, s->exclusive, x->decay.sums, x->row_sums,
                            x->column_sums);
        return;
    }
    if (h->dq.data || h->dk.data)
        v->tile_keep_lower(0, x->rows, x->products, pitch, s->exclusive);
    if (h->dv.data)
        v->tile_keep_lower(0, x->rows, x->scores, pitch, s->exclusive);
}

/* to[i] += left_i · right_i: the terms of row i that involve a state. */
static void add_dots(const grad_head *h, const chunk_tiles *x, const float *left, double *to)
{
    for (int64_t i = 0; i < x->rows && x->decay.sums; i++)
        to[i] += vectors()->row_dot(left + i * h->p->high, x->result + i * h->p->high, h->s->key);
}

static void make_dq(const grad_head *h, const chunk_tiles *x)
{
    const vector_table *v = vectors();
    const scan_shape *s = h->s;
    int64_t high = h->p->high;
    bool carried = h->p->needs_states && grad_has_state(h, x->chunk);
    if (carried) {
        v->tile_product(x->rows, s->key, s->width, x->gradient, h->p->wide, 1, grad_state(h, x->chunk), high,
                        x->result, high, false);
        fade_until_rows(&x->decay, x->rows, s->key, x->result, high);
        add_dots(h, x, x->queries, x->terms);
    }
    if (!h->dq.data)
        return;
    for (int64_t i = 0; i < x->rows; i += TILE_LANES) {
        int64_t some = x->rows - i < TILE_LANES ? x->rows - i : TILE_LANES;
        v->tile_product(some, s->key, i + some, x->products + i * h->p->pitch, h->p->pitch, 1, x->keys, high,
                        x->result + i * high, high, carried);
    }
    v->tile_store(x->rows, s->key, x->result, high, row_of(&h->dq, x->t), h->dq.row, h->dq.column);
}

static void make_dk(const grad_head *h, const chunk_tiles *x, bool carried)
{
    const vector_table *v = vectors();
    const scan_shape *s = h->s;
    int64_t high = h->p->high;
    if (carried) {
        v->tile_product(x->rows, s->key, s->width, x->values, 1, h->p->pitch, x->other, high, x->result, high,
                        false);
        fade_after_rows(&x->decay, x->rows, s->key, x->result, high);
        add_dots(h, x, x->keys, x->passed);
    }
    if (!h->dk.data)
        return;
    grad_add_upper(h, x->rows, x->products, x->queries, s->key, high, x->result, carried);
    v->tile_store(x->rows, s->key, x->result, high, row_of(&h->dk, x->t), h->dk.row, h->dk.column);
}

static void make_dv(const grad_head *h, const chunk_tiles *x, bool carried)
{
    const vector_table *v = vectors();
    const scan_shape *s = h->s;
    int64_t wide = h->p->wide;
    if (!h->dv.data)
        return;
    if (carried) {
        v->tile_product(x->rows, s->value, s->key, x->keys, h->p->high, 1, grad_gradient(h, x->chunk), wide,
                        x->result, wide, false);
        fade_after_rows(&x->decay, x->rows, s->value, x->result, wide);
    }
    grad_add_upper(h, x->rows, x->scores, x->gradient, s->value, wide, x->result, carried);
    v->tile_store(x->rows, s->value, x->result, wide, row_of(&h->dv, x->t), h->dv.row, h->dv.column);
}

/* e^b_end Σ S ∘ R. */
static double state_meets_gradient(const grad_head *h, const chunk_tiles *x)
{
    double sum = 0;
    const float *state = grad_state(h, x->chunk);
    for (int64_t c = 0; c < h->s->width; c++)
        sum += vectors()->row_dot(state + c * h->p->high, x->other + c * h->p->high, h->s->key);
    return sum * ((double)x->decay.whole[0] + x->decay.part[0]);
}

static void run_chunk(const grad_head *h, int64_t chunk, float *scratch)
{
    const scan_shape *s = h->s;
    chunk_tiles x = take_tiles(h, chunk, scratch);
    grad_clear_behind(h, chunk);
    bool wants_decay = h->p->decay.kind != DECAY_UNWANTED,
         carried = h->p->needs_gradients && grad_has_gradient(h, chunk);
    memset(x.terms, 0, sizeof(double) * (size_t)h->p->pitch);
    memset(x.passed, 0, sizeof(double) * (size_t)h->p->pitch);
    double whole = 0;
    if (x.rows > 0) {
        make_triangles(h, &x);
        if (carried)
            vectors()->tile_transpose(s->key, s->width, grad_gradient(h, chunk), h->p->wide, 1, x.other,
                                      h->p->high);
        if (wants_decay && carried && grad_has_state(h, chunk))
            whole = state_meets_gradient(h, &x);
        make_dq(h, &x);
        make_dk(h, &x, carried);
        make_dv(h, &x, carried);
    }
    if (!wants_decay)
        return;
    for (int64_t i = 0; i < x.rows; i++)
        x.terms[i] += x.row_sums[i] - x.column_sums[i];
    grad_store_decay(h, chunk, x.terms, x.passed, whole);
}

static void run(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    grad_run(call, phase, task, scratch, &(grad_stages){states_forward, states_backward, run_chunk});
}

const kernel kernel_scan_grad = {"scan_grad, chunked", plan, run};
