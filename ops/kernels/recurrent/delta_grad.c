/* The gradient of the delta rule, exact and in chunks. A task goes over a head twice: forward for the states
 * between chunks, which it keeps in its scratch, and backward, solving each chunk's system again
 * (ops/kernels/recurrent/delta_chunk.h). With u = β ∘ e, R = dS' and the triangle P = tril(Γ ∘ q kᵀ), a chunk
 * gives back
 *
 *   y_s = (Pᵀ dout + e^(b_C − b) ∘ k R)_s − Σ_{t>s} Γ[t, s] (k_t · k_s) β_t y_t      the gradient of u
 *   dv = β ∘ y,  dβ = y · e
 *   X = tril(Γ ∘ dout uᵀ),  Z = −tril(Γ ∘ dv uᵀ, −1)
 *   dq = e^{b} ∘ (dout Sᵀ) + X k
 *   dk = L + E,  L = −e^{b} ∘ (dv Sᵀ) + Z k,  E = e^(b_C − b) ∘ (u Rᵀ) + Xᵀ q + Zᵀ k
 *   dS = e^{b_C} R + (e^{b} ∘ q)ᵀ dout − (e^{b} ∘ k)ᵀ dv
 *
 * dg_t is the sum over all that passes step t, from a row s < t or the state before to a row i ≥ t or the
 * state after. Sums over rectangles of a triangle come from its row and column sums: products of two floats
 * are exact in double, so what cancels there cancels exactly. */
#include "ops/kernels/recurrent/delta_chunk.h"
#include <string.h>

enum { DQ, DK, DV, DBETA, DLOG_DECAY, DBEFORE }; /* results */

static int64_t chunks_of(const delta_shape *s)
{
    return divide_up(s->time, s->chunk);
}

static int64_t scratch_floats(const delta_shape *s)
{
    return delta_chunk_floats(s) + chunks_of(s) * s->key * s->wide +
           s->chunk * (3 * s->pitch + 3 * s->wide + 5 * s->high) + s->value * (s->pitch + 2 * s->high) +
           s->key * s->wide + 8 * s->pitch;
}

static bool plan(kernel_call *call)
{
    delta_shape s;
    if (!delta_shape_of(call, &s))
        return false;
    int64_t pairs = s.batch * s.heads;
    call->phases = 1;
    call->tasks[0] = pairs > 0 ? divide_up(pairs, s.group) : 1;
    call->scratch_bytes = sizeof(float) * (size_t)scratch_floats(&s);
    double before = chunk_rows_before(s.time, s.chunk, operand_of(call, DELTA_STATE)->data),
           after = chunk_rows_after(s.time, s.chunk, operand_of(call, DELTA_DSTATE)->data);
    call->flops = 2.0 * (double)pairs *
                  (chunk_pairs(s.time, s.chunk) * (double)(7 * s.key + 6 * s.value) +
                   (5 * before + 4 * after) * (double)(s.key * s.value));
    return true;
}

typedef struct delta_back {
    delta_head h;
    delta_span c;
    head_view dout, dstate;                           /* operands */
    head_view dq, dk, dv, dbeta, dlog_decay, dbefore; /* results */
    bool carried;                                     /* R is not zero */
    float *states;                                    /* S before each chunk, [key, value] each */
    float *queries, *keys, *dqueries, *early, *late;  /* [chunk, key]; early: E, late: L */
    float *lower, *outer, *system;                    /* P, X and Z [chunk, chunk] */
    float *gradient, *dwrites, *dvalues;              /* dout, y, dv: [chunk, value] */
    float *writes;                                    /* uᵀ [value, chunk] */
    float *before, *after;                            /* Sᵀ and Rᵀ [value, key] */
    float *d;                                         /* R [key, value] */
    double *rows, *columns; /* sums over the triangles' pairs: Σ_{s<i} and Σ_{i>s}, [chunk] */
    double *read, *kept;    /* what row i reads of the state before, what row s adds to the one after */
    double whole;           /* what the state before passes to the one after */
} delta_back;

static void take_tiles(delta_back *b, float *scratch)
{
    const delta_shape *s = b->h.s;
    b->c = delta_chunk_new(s, &scratch);
    b->states = tile_take(&scratch, chunks_of(s) * s->key, s->wide);
    float **wide_as_keys[] = {&b->queries, &b->keys, &b->dqueries, &b->early, &b->late};
    for (size_t i = 0; i < sizeof wide_as_keys / sizeof *wide_as_keys; i++)
        *wide_as_keys[i] = tile_take(&scratch, s->chunk, s->high);
    b->lower = tile_take(&scratch, s->chunk, s->pitch);
    b->outer = tile_take(&scratch, s->chunk, s->pitch);
    b->system = tile_take(&scratch, s->chunk, s->pitch);
    b->gradient = tile_take(&scratch, s->chunk, s->wide);
    b->dwrites = tile_take(&scratch, s->chunk, s->wide);
    b->dvalues = tile_take(&scratch, s->chunk, s->wide);
    b->writes = tile_take(&scratch, s->value, s->pitch);
    b->before = tile_take(&scratch, s->value, s->high);
    b->after = tile_take(&scratch, s->value, s->high);
    b->d = tile_take(&scratch, s->key, s->wide);
    b->rows = (double *)tile_take(&scratch, 8, s->pitch);
    b->columns = b->rows + s->pitch, b->read = b->columns + s->pitch, b->kept = b->read + s->pitch;
}

/* ---- forward: the states between chunks ---- */

static const float *state_before(const delta_back *b, int64_t t)
{
    const delta_shape *s = b->h.s;
    return t == 0 && !b->h.state.data ? NULL : b->states + t / s->chunk * s->key * s->wide;
}

static void sweep_forward(delta_back *b)
{
    const vector_table *v = vectors();
    const delta_shape *s = b->h.s;
    int64_t elements = s->key * s->wide;
    if (b->h.state.data)
        v->tile_copy(s->key, s->value, b->h.state.data, b->h.state.row, b->h.state.column, b->states,
                     s->wide);
    for (int64_t t = 0; t + s->chunk < b->h.rows; t += s->chunk) {
        const float *state = state_before(b, t);
        float *next = b->states + (t / s->chunk + 1) * elements;
        delta_chunk_solve(&b->h, &b->c, t, s->chunk, state);
        if (state)
            memcpy(next, state, sizeof *next * (size_t)elements);
        delta_chunk_advance(&b->h, &b->c, next, state);
    }
}

/* ---- products with triangles ---- */

/* out (+)= lower · right, row blocks ending where their triangle does. */
static void add_lower(const delta_back *b, const float *lower, const float *right, int64_t columns,
                      int64_t wide, float *out, bool add)
{
    for (int64_t i = 0; i < b->c.rows; i += TILE_LANES) {
        int64_t high = delta_block(&b->c, i);
        vectors()->tile_product(high, columns, i + high, lower + i * b->h.s->pitch, b->h.s->pitch, 1, right,
                                wide, out + i * wide, wide, add);
    }
}

/* out (+)= lowerᵀ · right */
static void add_upper(const delta_back *b, const float *lower, const float *right, int64_t columns,
                      int64_t wide, float *out, bool add)
{
    int64_t pitch = b->h.s->pitch;
    for (int64_t i = 0; i < b->c.rows; i += TILE_LANES)
        vectors()->tile_product(delta_block(&b->c, i), columns, b->c.rows - i, lower + i * pitch + i, 1,
                                pitch, right + i * wide, wide, out + i * wide, wide, add);
}

static void triangle(const delta_back *b, const float *left, int64_t left_row, const float *right,
                     int64_t depth, float factor, bool strict, float *out)
{
    for (int64_t i = 0; i < b->c.rows; i += TILE_LANES)
        delta_triangle_rows(&b->h, &b->c, i, left, left_row, 1, right, depth, factor, strict, out);
}

/* out = factors ∘ (left · right), left [rows, depth]; right NULL: zeros. */
static void decayed_product(const delta_back *b, const float *factors, const float *left, int64_t left_row,
                            int64_t depth, const float *right, int64_t columns, int64_t wide, float *out)
{
    if (!right) {
        memset(out, 0, sizeof *out * (size_t)(b->c.rows * wide));
        return;
    }
    vectors()->tile_product(b->c.rows, columns, depth, left, left_row, 1, right, wide, out, wide, false);
    delta_decay_rows(&b->h, &b->c, factors, out, columns, wide);
}

/* ---- one chunk ---- */

static void load_chunk(const delta_back *b, const float *state)
{
    const vector_table *v = vectors();
    const delta_shape *s = b->h.s;
    const delta_span *c = &b->c;
    v->tile_copy(c->rows, s->key, row_of(&b->h.q, c->first), b->h.q.row, b->h.q.column, b->queries, s->high);
    v->tile_copy(c->rows, s->key, row_of(&b->h.k, c->first), b->h.k.row, b->h.k.column, b->keys, s->high);
    v->tile_transpose(c->rows, s->value, c->writes, s->wide, 1, b->writes, s->pitch);
    if (b->dout.data)
        v->tile_copy(c->rows, s->value, row_of(&b->dout, c->first), b->dout.row, b->dout.column, b->gradient,
                     s->wide);
    else
        memset(b->gradient, 0, sizeof *b->gradient * (size_t)(c->rows * s->wide));
    if (state)
        v->tile_transpose(s->key, s->value, state, s->wide, 1, b->before, s->high);
    if (b->carried)
        v->tile_transpose(s->key, s->value, b->d, s->wide, 1, b->after, s->high);
}

/* y and dv: the transposed system, from the last block up. */
static void solve_back(const delta_back *b)
{
    const vector_table *v = vectors();
    const delta_shape *s = b->h.s;
    const delta_span *c = &b->c;
    decayed_product(b, c->after, b->keys, s->high, s->key, b->carried ? b->d : NULL, s->value, s->wide,
                    b->dwrites);
    triangle(b, b->queries, s->high, c->keys, s->key, 1, false, b->lower);
    add_upper(b, b->lower, b->gradient, s->value, s->wide, b->dwrites, true);
    for (int64_t i = (c->rows - 1) / TILE_LANES * TILE_LANES; i >= 0; i -= TILE_LANES) {
        int64_t high = delta_block(c, i), end = i + high, last = end - 1;
        float *y = b->dwrites + i * s->wide, *dvalues = b->dvalues + i * s->wide;
        v->tile_product(high, s->value, c->rows - end, c->system + end * s->pitch + i, 1, s->pitch,
                        b->dvalues + end * s->wide, s->wide, y, s->wide, true);
        v->tile_solve(high, s->value, c->system + last * s->pitch + last, -1, -s->pitch, c->beta + last, -1,
                      y + (high - 1) * s->wide, dvalues + (high - 1) * s->wide, -s->wide);
    }
}

/* The pair (i, s), s < i: raw[i, s] = left_i · u_s times its weight. */
static void add_meetings(const delta_back *b, int64_t from, const float *raw, const float *weights)
{
    int64_t pitch = b->h.s->pitch;
    for (int64_t i = from; i < from + delta_block(&b->c, from); i++)
        for (int64_t s = 0; s < i; s++) {
            double met = (double)raw[i * pitch + s] * weights[i * pitch + s];
            b->rows[i] += met;
            b->columns[s] += met;
        }
}

/* out = factor · Γ ∘ (left uᵀ), the gradient of a triangle that was `weights`. */
static void triangle_back(const delta_back *b, const float *left, const float *weights, float factor,
                          bool strict, float *out)
{
    const vector_table *v = vectors();
    const delta_shape *s = b->h.s;
    const float *decays = b->h.log_decay.data ? b->c.decays : NULL;
    for (int64_t i = 0; i < b->c.rows; i += TILE_LANES) {
        int64_t high = delta_block(&b->c, i), pitch = s->pitch;
        v->tile_product(high, i + high, s->value, left + i * s->wide, s->wide, 1, b->writes, pitch,
                        out + i * pitch, pitch, false);
        if (decays)
            add_meetings(b, i, out, weights);
        v->tile_weigh_lower(i, high, out + i * pitch, pitch, decays ? decays + i * pitch : NULL, pitch,
                            factor, strict);
    }
}

/* sums[i] += factor · one_i · other_i */
static void add_dots(const delta_back *b, const float *one, const float *other, double factor, double *sums)
{
    const delta_shape *s = b->h.s;
    for (int64_t i = 0; b->h.log_decay.data && i < b->c.rows; i++)
        sums[i] += factor * vectors()->row_dot(one + i * s->high, other + i * s->high, s->key);
}

/* dq, L and E, and the terms of dg. */
static void give_back(delta_back *b, const float *state)
{
    const delta_shape *s = b->h.s;
    const delta_span *c = &b->c;
    const float *before = state ? b->before : NULL, *after = b->carried ? b->after : NULL;
    memset(b->rows, 0, 4 * sizeof *b->rows * (size_t)s->pitch);
    triangle_back(b, b->gradient, b->lower, 1, false, b->outer);
    triangle_back(b, b->dvalues, c->system, -1, true, b->system);
    decayed_product(b, c->before, b->gradient, s->wide, s->value, before, s->key, s->high, b->dqueries);
    add_dots(b, b->queries, b->dqueries, 1, b->read);
    add_lower(b, b->outer, b->keys, s->key, s->high, b->dqueries, true);
    decayed_product(b, c->before, b->dvalues, s->wide, s->value, before, s->key, s->high, b->late);
    add_dots(b, b->keys, b->late, -1, b->read);
    for (int64_t i = 0; i < c->rows; i++)
        vectors()->row_scale(b->late + i * s->high, b->late + i * s->high, -1, s->key);
    add_lower(b, b->system, b->keys, s->key, s->high, b->late, true);
    decayed_product(b, c->after, c->writes, s->wide, s->value, after, s->key, s->high, b->early);
    add_dots(b, b->keys, b->early, 1, b->kept);
    add_upper(b, b->outer, b->queries, s->key, s->high, b->early, true);
    add_upper(b, b->system, b->keys, s->key, s->high, b->early, true);
    b->whole = 0;
    for (int64_t f = 0; state && after && f < s->key; f++)
        b->whole += vectors()->row_dot(state + f * s->wide, b->d + f * s->wide, s->value);
    b->whole *= c->before[c->rows - 1];
}

/* dg_t = whole + Σ_{s<t} kept_s + Σ_{i≥t} read_i + Σ_{s<t≤i} of the pairs (i, s). */
static void give_back_decay(const delta_back *b)
{
    int64_t rows = b->c.rows;
    double crossing = 0, sum = b->whole;
    if (!b->h.log_decay.data || !b->dlog_decay.data)
        return;
    for (int64_t t = 0; t < rows; t++) { /* from here on kept[t]: of the state and the rows before t */
        double kept = b->kept[t];
        b->kept[t] = sum;
        sum += kept;
    }
    for (int64_t t = rows - 1; t >= 0; t--) {
        crossing += b->rows[t] - b->columns[t] + b->read[t];
        *row_of(&b->dlog_decay, b->c.first + t) = (float)(b->kept[t] + crossing);
    }
}

static void store_chunk(const delta_back *b)
{
    const vector_table *v = vectors();
    const delta_shape *s = b->h.s;
    const delta_span *c = &b->c;
    for (int64_t i = 0; b->dbeta.data && i < c->rows; i++)
        *row_of(&b->dbeta, c->first + i) =
            v->row_dot(b->dwrites + i * s->wide, c->errors + i * s->wide, s->value);
    if (b->dv.data)
        v->tile_store(c->rows, s->value, b->dvalues, s->wide, row_of(&b->dv, c->first), b->dv.row,
                      b->dv.column);
    if (b->dq.data)
        v->tile_store(c->rows, s->key, b->dqueries, s->high, row_of(&b->dq, c->first), b->dq.row,
                      b->dq.column);
    for (int64_t i = 0; b->dk.data && i < c->rows; i++)
        for (int64_t f = 0; f < s->key; f++)
            row_of(&b->dk, c->first + i)[f * b->dk.column] =
                b->late[i * s->high + f] + b->early[i * s->high + f];
}

/* R before the chunk from R after it. Overwrites dout and dv. */
static void retreat(delta_back *b)
{
    const vector_table *v = vectors();
    const delta_shape *s = b->h.s;
    const delta_span *c = &b->c;
    for (int64_t f = 0; b->carried && b->h.log_decay.data && f < s->key; f++)
        v->row_scale(b->d + f * s->wide, b->d + f * s->wide, c->before[c->rows - 1], s->value);
    delta_decay_rows(&b->h, c, c->before, b->gradient, s->value, s->wide);
    v->tile_product(s->key, s->value, c->rows, b->queries, 1, s->high, b->gradient, s->wide, b->d, s->wide,
                    b->carried);
    for (int64_t i = 0; i < c->rows; i++)
        v->row_scale(b->dvalues + i * s->wide, b->dvalues + i * s->wide, -c->before[i], s->value);
    v->tile_product(s->key, s->value, c->rows, b->keys, 1, s->high, b->dvalues, s->wide, b->d, s->wide, true);
    b->carried = true;
}

static void chunk_backward(delta_back *b, int64_t t, int64_t rows)
{
    const float *state = state_before(b, t);
    delta_chunk_solve(&b->h, &b->c, t, rows, state);
    load_chunk(b, state);
    solve_back(b);
    give_back(b, state);
    store_chunk(b);
    give_back_decay(b);
    if (t > 0 || b->dbefore.data)
        retreat(b);
}

/* ---- heads ---- */

static void clear_padding(const delta_back *b)
{
    const delta_shape *s = b->h.s;
    clear_rows(&b->dq, b->h.rows, s->time, s->key);
    clear_rows(&b->dk, b->h.rows, s->time, s->key);
    clear_rows(&b->dv, b->h.rows, s->time, s->value);
    clear_rows(&b->dbeta, b->h.rows, s->time, 1);
    if (b->h.log_decay.data)
        clear_rows(&b->dlog_decay, b->h.rows, s->time, 1);
}

static void run_head(delta_back *b)
{
    const vector_table *v = vectors();
    const delta_shape *s = b->h.s;
    clear_padding(b);
    sweep_forward(b);
    b->carried = b->dstate.data;
    if (b->carried)
        v->tile_copy(s->key, s->value, b->dstate.data, b->dstate.row, b->dstate.column, b->d, s->wide);
    for (int64_t t = (b->h.rows - 1) / s->chunk * s->chunk; b->h.rows > 0 && t >= 0; t -= s->chunk)
        chunk_backward(b, t, b->h.rows - t < s->chunk ? b->h.rows - t : s->chunk);
    if (b->carried && b->dbefore.data)
        v->tile_store(s->key, s->value, b->d, s->wide, b->dbefore.data, b->dbefore.row, b->dbefore.column);
    else
        clear_rows(&b->dbefore, 0, s->key, s->value);
}

static void run(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    (void)phase;
    delta_shape s;
    delta_shape_of(call, &s);
    const tensor *out = call->outputs;
    if (task == 0 && out[DLOG_DECAY].data && !operand_of(call, DELTA_LOG_DECAY)->data)
        *(float *)out[DLOG_DECAY].data = 0; /* there is no decay: its gradient is one number */
    for (int64_t pair = task * s.group; pair < (task + 1) * s.group && pair < s.batch * s.heads; pair++) {
        int64_t n = pair / s.heads, head = pair % s.heads;
        delta_back b = {.h = delta_head_of(call, &s, n, head)};
        b.dout = head_of(operand_of(call, DELTA_DOUT), n, head);
        b.dstate = head_of(operand_of(call, DELTA_DSTATE), n, head);
        b.dq = head_of(&out[DQ], n, head), b.dk = head_of(&out[DK], n, head);
        b.dv = head_of(&out[DV], n, head), b.dbeta = head_of(&out[DBETA], n, head);
        b.dbefore = head_of(&out[DBEFORE], n, head);
        if (b.h.log_decay.data)
            b.dlog_decay = head_of(&out[DLOG_DECAY], n, head);
        take_tiles(&b, scratch);
        run_head(&b);
    }
}

const kernel kernel_delta_grad = {"delta_grad, chunked", plan, run};
