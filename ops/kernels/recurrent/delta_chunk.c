/* ops/kernels/recurrent/delta_chunk.h. */
#include "ops/kernels/recurrent/delta_chunk.h"
#include <math.h>

enum { MOST_ROWS = 256 }; /* of a chunk: larger systems cost more and lose precision */

/* Measured with AVX-512 for keys and values of 16 … 128: work grows with the chunk, and the fixed cost of a
 * chunk soon stops mattering. A sequence that fits in one chunk needs no state. */
static int64_t choose_chunk(const delta_shape *s)
{
    return s->time <= 32 || s->key + s->value > 64 ? 32 : 16;
}

bool delta_shape_of(const kernel_call *call, delta_shape *s)
{
    const tensor *q = operand_of(call, DELTA_Q), *v = operand_of(call, DELTA_V);
    if (q->rank != 4 || v->rank != 4)
        return false;
    *s = (delta_shape){
        .batch = q->dims[0], .heads = q->dims[1], .time = q->dims[2], .key = q->dims[3], .value = v->dims[3]};
    s->chunk = call->attributes[call->op == OP_delta_grad ? (int)delta_grad_chunk : (int)delta_chunk].integer;
    if (s->chunk <= 0)
        s->chunk = choose_chunk(s);
    s->chunk = s->chunk > MOST_ROWS ? MOST_ROWS : s->chunk;
    s->chunk = s->chunk < s->time ? s->chunk : s->time > 0 ? s->time : 1;
    s->group = rows_per_task(s->time * (s->key + s->value) + s->key * s->value);
    s->pitch = tile_pitch(s->chunk), s->high = tile_pitch(s->key), s->wide = tile_pitch(s->value);
    return true;
}

static int64_t rows_of(const kernel_call *call, const delta_shape *s, int64_t b)
{
    const tensor *length = operand_of(call, DELTA_LENGTH);
    int64_t rows = length->data ? ((const int32_t *)length->data)[b * length->strides[0]] : s->time;
    return rows < 0 ? 0 : rows > s->time ? s->time : rows;
}

delta_head delta_head_of(const kernel_call *call, const delta_shape *s, int64_t b, int64_t head)
{
    return (delta_head){.s = s,
                        .q = head_of(operand_of(call, DELTA_Q), b, head),
                        .k = head_of(operand_of(call, DELTA_K), b, head),
                        .v = head_of(operand_of(call, DELTA_V), b, head),
                        .beta = head_of(operand_of(call, DELTA_BETA), b, head),
                        .log_decay = head_of(operand_of(call, DELTA_LOG_DECAY), b, head),
                        .state = head_of(operand_of(call, DELTA_STATE), b, head),
                        .rows = rows_of(call, s, b)};
}

/* ---- tiles ---- */

int64_t delta_chunk_floats(const delta_shape *s)
{
    return (s->key + 2 * s->chunk) * s->pitch + s->chunk * (s->high + 2 * s->wide) + 5 * s->pitch;
}

delta_span delta_chunk_new(const delta_shape *s, float **scratch)
{
    return (delta_span){.keys = tile_take(scratch, s->key, s->pitch),
                        .scaled = tile_take(scratch, s->chunk, s->high),
                        .system = tile_take(scratch, s->chunk, s->pitch),
                        .decays = tile_take(scratch, s->chunk, s->pitch),
                        .errors = tile_take(scratch, s->chunk, s->wide),
                        .writes = tile_take(scratch, s->chunk, s->wide),
                        .beta = tile_take(scratch, 1, s->pitch),
                        .before = tile_take(scratch, 1, s->pitch),
                        .after = tile_take(scratch, 1, s->pitch),
                        .sums = (double *)tile_take(scratch, 2, s->pitch)};
}

/* e^−200 is 0 in f32; −∞, a complete reset, would make differences NaN. */
static double log_decay_at(const delta_head *h, int64_t t)
{
    double log_decay = *row_of(&h->log_decay, t);
    return log_decay < -200 ? -200 : log_decay;
}

static void load_decays(const delta_head *h, delta_span *c)
{
    double sum = 0;
    for (int64_t i = 0; i < c->rows; i++)
        c->sums[i] = sum += log_decay_at(h, c->first + i);
    for (int64_t i = 0; i < c->rows; i++) {
        float *row = c->decays + i * h->s->pitch;
        c->before[i] = (float)c->sums[i];
        c->after[i] = (float)(sum - c->sums[i]);
        for (int64_t j = 0; j <= i; j++)
            row[j] = (float)(c->sums[i] - c->sums[j]);
        vectors()->math_exp(row, row, i + 1);
        for (int64_t j = i + 1; j < tile_pitch(i + 1); j++)
            row[j] = 0;
    }
    vectors()->math_exp(c->before, c->before, c->rows);
    vectors()->math_exp(c->after, c->after, c->rows);
}

static void load_factors(const delta_head *h, delta_span *c)
{
    for (int64_t i = 0; i < c->rows; i++)
        c->beta[i] = *row_of(&h->beta, c->first + i);
    if (h->log_decay.data) {
        load_decays(h, c);
        return;
    }
    vectors()->row_fill(c->before, 1, c->rows);
    vectors()->row_fill(c->after, 1, c->rows);
}

void delta_decay_rows(const delta_head *h, const delta_span *c, const float *factors, float *tile,
                      int64_t columns, int64_t pitch)
{
    if (h->log_decay.data)
        vectors()->tile_scale_rows(c->rows, columns, tile, pitch, factors);
}

void delta_triangle_rows(const delta_head *h, const delta_span *c, int64_t from, const float *left,
                         int64_t left_row, int64_t left_column, const float *right, int64_t depth,
                         float factor, bool strict, float *out)
{
    int64_t pitch = h->s->pitch, high = delta_block(c, from);
    out += from * pitch;
    vectors()->tile_product(high, from + high, depth, left + from * left_row, left_row, left_column, right,
                            pitch, out, pitch, false);
    vectors()->tile_weigh_lower(from, high, out, pitch, h->log_decay.data ? c->decays + from * pitch : NULL,
                                pitch, factor, strict);
}

/* ---- the system ---- */

/* errors = v − e^{b} ∘ (k S): what the state before the chunk leaves unexplained. */
static void load_errors(const delta_head *h, delta_span *c, const float *state)
{
    const vector_table *v = vectors();
    const delta_shape *s = h->s;
    v->tile_copy(c->rows, s->value, row_of(&h->v, c->first), h->v.row, h->v.column, c->errors, s->wide);
    if (!state)
        return;
    v->tile_copy(c->rows, s->key, row_of(&h->k, c->first), h->k.row, h->k.column, c->scaled, s->high);
    for (int64_t i = 0; i < c->rows; i++)
        v->row_scale(c->scaled + i * s->high, c->scaled + i * s->high, -c->before[i], s->key);
    v->tile_product(c->rows, s->value, s->key, c->scaled, s->high, 1, state, s->wide, c->errors, s->wide,
                    true);
}

void delta_chunk_solve(const delta_head *h, delta_span *c, int64_t first, int64_t rows, const float *state)
{
    const vector_table *v = vectors();
    const delta_shape *s = h->s;
    c->first = first, c->rows = rows;
    load_factors(h, c);
    v->tile_transpose(rows, s->key, row_of(&h->k, first), h->k.row, h->k.column, c->keys, s->pitch);
    load_errors(h, c, state);
    for (int64_t i = 0; i < rows; i += TILE_LANES) {
        int64_t high = delta_block(c, i);
        float *row = c->system + i * s->pitch, *errors = c->errors + i * s->wide;
        delta_triangle_rows(h, c, i, row_of(&h->k, first), h->k.row, h->k.column, c->keys, s->key, -1, true,
                            c->system);
        v->tile_product(high, s->value, i, row, s->pitch, 1, c->writes, s->wide, errors, s->wide, true);
        v->tile_solve(high, s->value, row + i, s->pitch, 1, c->beta + i, 1, errors, c->writes + i * s->wide,
                      s->wide);
    }
}

void delta_chunk_advance(const delta_head *h, delta_span *c, float *state, bool carried)
{
    const vector_table *v = vectors();
    const delta_shape *s = h->s;
    float whole = c->before[c->rows - 1];
    for (int64_t f = 0; carried && h->log_decay.data && f < s->key; f++)
        v->row_scale(state + f * s->wide, state + f * s->wide, whole, s->value);
    delta_decay_rows(h, c, c->after, c->writes, s->value, s->wide);
    v->tile_product(s->key, s->value, c->rows, c->keys, s->pitch, 1, c->writes, s->wide, state, s->wide,
                    carried);
}
