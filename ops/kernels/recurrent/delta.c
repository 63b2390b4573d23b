/* The delta rule forward, in chunks (ops/kernels/recurrent/delta_chunk.h); a single token is a case of its
 * own, which reads the state in place. A task is some heads. Rows from a sentence's length on are not
 * read. */
#include "ops/kernels/recurrent/delta_chunk.h"
#include <string.h>

enum { CHOICE_STEP }; /* whether time is 1 and the state can be read in place */

static bool rows_are_plain(const tensor *t)
{
    return !t->data || t->strides[3] == 1 || t->dims[3] == 1;
}

static bool plan(kernel_call *call)
{
    delta_shape s;
    if (!delta_shape_of(call, &s))
        return false;
    int64_t pairs = s.batch * s.heads;
    bool step =
        s.time == 1 && rows_are_plain(operand_of(call, DELTA_STATE)) && rows_are_plain(&call->outputs[1]);
    call->choice[CHOICE_STEP] = step;
    call->phases = 1;
    call->tasks[0] = divide_up(pairs, s.group);
    int64_t tiles = delta_chunk_floats(&s) + s.chunk * (s.high + s.pitch + s.wide) + s.key * s.wide;
    call->scratch_bytes = sizeof(float) * (size_t)(step ? 2 * s.wide : tiles);
    double read = chunk_rows_before(s.time, s.chunk, operand_of(call, DELTA_STATE)->data),
           written = chunk_rows_after(s.time, s.chunk, call->outputs[1].data);
    double triangles = step ? 0 : 2 * chunk_pairs(s.time, s.chunk) * (double)(s.key + s.value);
    call->flops = 2.0 * (double)pairs * (triangles + (2 * read + written) * (double)(s.key * s.value));
    return true;
}

/* ---- chunks ---- */

typedef struct delta_results {
    head_view out, state_out;
    float *queries, *triangle, *result, *state; /* tiles */
} delta_results;

/* result = e^{b} ∘ (q S) + tril(Γ ∘ q kᵀ) (β ∘ e) */
static void read_chunk(const delta_head *h, const delta_span *c, const delta_results *r, bool carried)
{
    const vector_table *v = vectors();
    const delta_shape *s = h->s;
    v->tile_copy(c->rows, s->key, row_of(&h->q, c->first), h->q.row, h->q.column, r->queries, s->high);
    for (int64_t i = 0; i < c->rows; i += TILE_LANES) {
        int64_t high = delta_block(c, i);
        const float *row = r->triangle + i * s->pitch;
        float *result = r->result + i * s->wide;
        delta_triangle_rows(h, c, i, r->queries, s->high, 1, c->keys, s->key, 1, false, r->triangle);
        v->tile_product(high, s->value, i, row, s->pitch, 1, c->writes, s->wide, result, s->wide, false);
        v->tile_add_lower(high, s->value, row + i, s->pitch, c->writes + i * s->wide, result, s->wide);
    }
    if (carried) {
        delta_decay_rows(h, c, c->before, r->queries, s->key, s->high);
        v->tile_product(c->rows, s->value, s->key, r->queries, s->high, 1, r->state, s->wide, r->result,
                        s->wide, true);
    }
    v->tile_store(c->rows, s->value, r->result, s->wide, row_of(&r->out, c->first), r->out.row,
                  r->out.column);
}

static void run_chunks(const delta_head *h, delta_results *r, float *scratch)
{
    const vector_table *v = vectors();
    const delta_shape *s = h->s;
    delta_span c = delta_chunk_new(s, &scratch);
    r->queries = tile_take(&scratch, s->chunk, s->high);
    r->triangle = tile_take(&scratch, s->chunk, s->pitch);
    r->result = tile_take(&scratch, s->chunk, s->wide);
    r->state = tile_take(&scratch, s->key, s->wide);
    bool carried = h->state.data;
    if (carried)
        v->tile_copy(s->key, s->value, h->state.data, h->state.row, h->state.column, r->state, s->wide);
    for (int64_t t = 0; t < h->rows; t += s->chunk) {
        int64_t rows = h->rows - t < s->chunk ? h->rows - t : s->chunk;
        delta_chunk_solve(h, &c, t, rows, carried ? r->state : NULL);
        if (r->out.data)
            read_chunk(h, &c, r, carried);
        if (t + rows < h->rows || r->state_out.data) {
            delta_chunk_advance(h, &c, r->state, carried);
            carried = true;
        }
    }
    if (!r->state_out.data)
        return;
    if (!carried)
        memset(r->state, 0, sizeof *r->state * (size_t)(s->key * s->wide));
    v->tile_store(s->key, s->value, r->state, s->wide, r->state_out.data, r->state_out.row,
                  r->state_out.column);
}

/* ---- one token ---- */

/* A sentence without rows keeps its state. */
static void keep_state(const delta_head *h, const delta_results *r)
{
    for (int64_t f = 0; r->state_out.data && f < h->s->key; f++)
        for (int64_t j = 0; j < h->s->value; j++)
            row_of(&r->state_out, f)[j * r->state_out.column] =
                h->state.data ? row_of(&h->state, f)[j * h->state.column] : 0;
}

static void run_step(const delta_head *h, const delta_results *r, float *scratch)
{
    const delta_shape *s = h->s;
    double match = 0, log_decay = h->log_decay.data ? *h->log_decay.data : 0;
    for (int64_t f = 0; f < s->key; f++)
        match += (double)h->q.data[f * h->q.column] * h->k.data[f * h->k.column];
    float *values = scratch, *result = scratch + s->wide, decay = (float)log_decay;
    vectors()->math_exp(&decay, &decay, 1);
    vectors()->tile_copy(1, s->value, h->v.data, h->v.row, h->v.column, values, s->wide);
    vectors()->delta_step_state(&(delta_step){.key = s->key,
                                              .width = s->value,
                                              .q = h->q.data,
                                              .k = h->k.data,
                                              .q_step = h->q.column,
                                              .k_step = h->k.column,
                                              .v = values,
                                              .state = h->state.data,
                                              .state_row = h->state.row,
                                              .state_out_row = r->state_out.row,
                                              .state_out = r->state_out.data,
                                              .out = result,
                                              .beta = *h->beta.data,
                                              .decay = decay,
                                              .match = (float)match});
    if (r->out.data)
        vectors()->tile_store(1, s->value, result, s->wide, r->out.data, r->out.row, r->out.column);
}

static void run(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    (void)phase;
    delta_shape s;
    delta_shape_of(call, &s);
    for (int64_t pair = task * s.group; pair < (task + 1) * s.group && pair < s.batch * s.heads; pair++) {
        int64_t b = pair / s.heads, head = pair % s.heads;
        delta_head h = delta_head_of(call, &s, b, head);
        delta_results r = {.out = head_of(&call->outputs[0], b, head),
                           .state_out = head_of(&call->outputs[1], b, head)};
        clear_rows(&r.out, h.rows, s.time, s.value);
        if (!call->choice[CHOICE_STEP])
            run_chunks(&h, &r, scratch);
        else if (h.rows > 0)
            run_step(&h, &r, scratch);
        else
            keep_state(&h, &r);
    }
}

const kernel kernel_delta = {"delta, chunked", plan, run};
