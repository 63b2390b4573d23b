/* What the gradients of the chunked scans share: their plan, operands by head, tiles and sums. */
#include "ops/kernels/recurrent/grad_plan.h"
#include <string.h>

grad_plan grad_plan_of(const kernel_call *call, const scan_shape *s)
{
    const tensor *out = call->outputs;
    grad_plan p = {.s = *s,
                   .pitch = tile_pitch(s->chunk),
                   .wide = tile_pitch(s->width),
                   .high = tile_pitch(s->key),
                   .pairs = s->batch * s->heads,
                   .chunks = s->time > 0 ? divide_up(s->time, s->chunk) : 1};
    bool decay = s->decay != DECAY_NONE && out[3].data;
    p.needs_states = (out[0].data || decay) && (p.chunks > 1 || operand_of(call, SCAN_STATE)->data);
    p.needs_gradients = (out[1].data || out[2].data || out[4].data || decay) &&
                        (p.chunks > 1 || operand_of(call, SCAN_DSTATE)->data || out[4].data);
    p.units = rows_per_task(s->chunk * (s->key + s->width) + s->key * s->width);
    p.decay = decay_gradient_of(call, s, p.chunks);
    return p;
}

static int64_t state_floats(const grad_plan *p)
{
    return p->needs_states ? p->pairs * p->chunks * p->s.width * p->high : 0;
}
static int64_t gradient_floats(const grad_plan *p)
{
    return p->needs_gradients ? p->pairs * p->chunks * p->s.key * p->wide : 0;
}

/* Sets the addresses of its parts in the shared memory, which exists once the call runs. */
static void find_parts(grad_plan *p, char *shared)
{
    if (p->decay.kind == DECAY_BY_STEP)
        p->decay.steps = (float *)shared;
    if (p->decay.kind == DECAY_BY_CHUNK)
        p->decay.chunks = (double *)shared;
    if (p->needs_states)
        p->states = (float *)(shared + decay_gradient_bytes(&p->decay, &p->s));
    if (p->needs_gradients)
        p->gradients = (float *)(shared + decay_gradient_bytes(&p->decay, &p->s)) + state_floats(p);
}

void grad_plan_call(kernel_call *call, const grad_plan *p)
{
    const scan_shape *s = &p->s;
    call->choice[0] = s->chunk;
    call->phases = 3;
    call->tasks[0] = p->needs_states || p->needs_gradients ? 2 * divide_up(p->pairs, s->group) : 0;
    call->tasks[1] = divide_up(p->pairs * p->chunks, p->units);
    call->tasks[2] = decay_gradient_tasks(call, &p->decay);
    call->shared_bytes =
        decay_gradient_bytes(&p->decay, s) + sizeof(float) * (size_t)(state_floats(p) + gradient_floats(p));
    double key = (double)s->key, width = (double)s->width;
    double with_state = chunk_rows_before(s->time, s->chunk, operand_of(call, SCAN_STATE)->data);
    double with_gradient = chunk_rows_after(s->time, s->chunk, operand_of(call, SCAN_DSTATE)->data);
    double states =
        (p->needs_states ? chunk_rows_after(s->time, s->chunk, false) + with_state : 0) +
        (p->needs_gradients ? chunk_rows_before(s->time, s->chunk, false) + 2 * with_gradient : 0);
    call->flops = 2.0 * (double)p->pairs *
                  (chunk_pairs(s->time, s->chunk) * (3 * key + 2 * width) + states * key * width);
}

grad_head grad_head_of(const kernel_call *call, const grad_plan *p, int64_t pair)
{
    const scan_shape *s = &p->s;
    int64_t b = pair / s->heads, head = pair % s->heads;
    const tensor *out = call->outputs;
    grad_head h = {.p = p, .s = s, .pair = pair};
    h.q = head_of(operand_of(call, SCAN_Q), b, head), h.k = head_of(operand_of(call, SCAN_K), b, head);
    h.v = head_of(operand_of(call, SCAN_V), b, head), h.decay = scan_decay_of(call, b, head);
    h.state = head_of(operand_of(call, SCAN_STATE), b, head);
    h.dstate = head_of(operand_of(call, SCAN_DSTATE), b, head);
    h.dnumerator = head_of(operand_of(call, SCAN_DNUMERATOR), b, head);
    h.ddenominator = head_of(operand_of(call, SCAN_DDENOMINATOR), b, head);
    h.dq = head_of(&out[0], b, head), h.dk = head_of(&out[1], b, head), h.dv = head_of(&out[2], b, head);
    h.dstate_in = head_of(&out[4], b, head), h.ddecay = decay_gradient_rows(call, s, &p->decay, pair);
    h.rows = scan_length(call, s, b);
    h.last = h.rows > 0 ? (h.rows - 1) / s->chunk : 0;
    return h;
}

float *grad_state(const grad_head *h, int64_t chunk)
{
    return h->p->states + (h->pair * h->p->chunks + chunk) * h->s->width * h->p->high;
}
float *grad_gradient(const grad_head *h, int64_t chunk)
{
    return h->p->gradients + (h->pair * h->p->chunks + chunk) * h->s->key * h->p->wide;
}
bool grad_has_state(const grad_head *h, int64_t chunk)
{
    return chunk > 0 || h->state.data;
}
bool grad_has_gradient(const grad_head *h, int64_t chunk)
{
    return chunk < h->last || h->dstate.data;
}

void grad_first_state(const grad_head *h)
{
    if (h->state.data)
        vectors()->tile_transpose(h->s->key, h->s->width, h->state.data, h->state.row, h->state.column,
                                  grad_state(h, 0), h->p->high);
}

bool grad_last_gradient(const grad_head *h)
{
    if (h->dstate.data)
        vectors()->tile_copy(h->s->key, h->s->width, h->dstate.data, h->dstate.row, h->dstate.column,
                             grad_gradient(h, h->last), h->p->wide);
    return h->dstate.data;
}

void grad_store_first(const grad_head *h, const float *first, bool carried)
{
    if (carried && h->dstate_in.data)
        vectors()->tile_store(h->s->key, h->s->width, h->rows > 0 ? first : grad_gradient(h, 0), h->p->wide,
                              h->dstate_in.data, h->dstate_in.row, h->dstate_in.column);
    else
        clear_rows(&h->dstate_in, 0, h->s->key, h->s->width);
}

void grad_clear_behind(const grad_head *h, int64_t chunk)
{
    const scan_shape *s = h->s;
    int64_t t = chunk * s->chunk, from = t + grad_rows(h, chunk),
            end = t + s->chunk < s->time ? t + s->chunk : s->time;
    clear_rows(&h->dq, from, end, s->key);
    clear_rows(&h->dk, from, end, s->key);
    clear_rows(&h->dv, from, end, s->value);
    clear_rows(&h->ddecay, from, end, h->p->decay.keys);
    if (h->p->decay.kind == DECAY_BY_CHUNK)
        h->p->decay.chunks[h->pair * h->p->chunks + chunk] = 0; /* the chunk fills it if it has rows */
}

/* ---- tasks ---- */

void grad_run(const kernel_call *call, int phase, int64_t task, void *scratch, const grad_stages *stages)
{
    scan_shape s;
    scan_shape_of(call, &s);
    s.chunk = call->choice[0];
    grad_plan p = grad_plan_of(call, &s);
    find_parts(&p, call->shared);
    if (phase == 2) {
        decay_gradient_sum(call, &s, &p.decay, task);
        return;
    }
    int64_t some = phase == 0 ? s.group : p.units, from = (phase == 0 ? task / 2 : task) * some,
            all = phase == 0 ? p.pairs : p.pairs * p.chunks;
    for (int64_t i = from; i < from + some && i < all; i++) {
        grad_head h = grad_head_of(call, &p, phase == 0 ? i : i / p.chunks);
        if (phase == 1)
            stages->chunk(&h, i % p.chunks, scratch);
        else if (task % 2 == 0 && p.needs_states)
            stages->forward(&h, scratch);
        else if (task % 2 == 1 && p.needs_gradients)
            stages->backward(&h, scratch);
    }
}

/* ---- tiles ---- */

void grad_load_gradient(const grad_head *h, int64_t t, int64_t rows, float *tile)
{
    const scan_shape *s = h->s;
    int64_t wide = h->p->wide;
    if (h->dnumerator.data)
        vectors()->tile_copy(rows, s->value, row_of(&h->dnumerator, t), h->dnumerator.row,
                             h->dnumerator.column, tile, wide);
    bool cleared = h->dnumerator.data && s->value % TILE_LANES != 0;
    for (int64_t i = 0; i < rows && (s->denominator || !h->dnumerator.data); i++) {
        float *row = tile + i * wide;
        int64_t from = h->dnumerator.data ? s->value : 0;
        if (!cleared)
            memset(row + from, 0, sizeof *row * (size_t)(wide - from));
        if (s->denominator)
            row[s->value] = h->ddenominator.data ? *row_of(&h->ddenominator, t + i) : 0;
    }
}

void grad_load_values(const grad_head *h, int64_t t, int64_t rows, float *tile)
{
    int64_t pitch = h->p->pitch;
    vectors()->tile_transpose(rows, h->s->value, row_of(&h->v, t), h->v.row, h->v.column, tile, pitch);
    for (int64_t i = 0; h->s->denominator && i < pitch; i++)
        tile[h->s->value * pitch + i] = i < rows;
}

void grad_triangle(const grad_head *h, int64_t rows, int64_t depth, const float *left, int64_t left_row,
                   const float *right, float *out)
{
    int64_t pitch = h->p->pitch;
    for (int64_t i = 0; i < rows; i += TILE_LANES) {
        int64_t high = rows - i < TILE_LANES ? rows - i : TILE_LANES;
        vectors()->tile_product(high, i + high, depth, left + i * left_row, left_row, 1, right, pitch,
                                out + i * pitch, pitch, false);
    }
}

void grad_add_upper(const grad_head *h, int64_t rows, const float *lower, const float *right, int64_t columns,
                    int64_t wide, float *out, bool add)
{
    int64_t pitch = h->p->pitch;
    for (int64_t i = 0; i < rows; i += TILE_LANES) {
        int64_t high = rows - i < TILE_LANES ? rows - i : TILE_LANES;
        vectors()->tile_product(high, columns, rows - i, lower + i * pitch + i, 1, pitch, right + i * wide,
                                wide, out + i * wide, wide, add);
    }
}

/* ---- the log decay ---- */

/* Row t gets Σ_{i≥t} terms[i] + Σ_{j<t} passed[j] + whole. */
void grad_store_decay(const grad_head *h, int64_t chunk, double *terms, const double *passed, double whole)
{
    int64_t first = chunk * h->s->chunk, rows = grad_rows(h, chunk);
    double left = whole, total = 0;
    for (int64_t i = rows - 2; i >= 0;
         i--) /* from the end, so that steps without an effect on the loss get exactly 0 */
        terms[i] += terms[i + 1];
    for (int64_t i = 0; i < rows; i++) {
        double gradient = terms[i] + left;
        total += gradient;
        if (h->ddecay.data)
            *row_of(&h->ddecay, first + i) = (float)gradient;
        left += passed[i];
    }
    if (h->p->decay.kind == DECAY_BY_CHUNK)
        h->p->decay.chunks[h->pair * h->p->chunks + chunk] = total;
}
