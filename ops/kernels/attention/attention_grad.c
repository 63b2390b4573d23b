/* The gradient of softmax attention. The forward pass keeps one number for each row, the logsumexp, and
 * scores are computed again, a block of queries at a time. A task is some heads; a head's dk and dv are
 * summed in its scratch.
 *
 *   p = e^(scale q kᵀ − logsumexp)      w = keep p      ds = p (keep (dy vᵀ) − y · dy)
 *   dv = wᵀ dy      dq = scale ds k      dk = scale dsᵀ q */
#include "ops/kernels/attention/attention_shape.h"
#include <math.h>
#include <string.h>

enum { BLOCK = 64 };

static int64_t block_of(const attention_shape *s)
{
    return s->queries < BLOCK ? s->queries : BLOCK;
}

static int64_t group_of(const attention_shape *s)
{
    return rows_per_task((s->queries + s->keys) * (s->key + s->value) + s->queries * s->keys);
}

static bool plan(kernel_call *call)
{
    attention_shape s = attention_shape_of(call);
    int64_t pairs = s.batch * s.heads, block = block_of(&s);
    int64_t pitch = tile_pitch(s.keys), wide = tile_pitch(s.value), high = tile_pitch(s.key);
    call->phases = 1;
    call->tasks[0] = divide_up(pairs, group_of(&s));
    call->scratch_bytes = sizeof(float) * (size_t)((s.key + s.value + 2 * block) * pitch +
                                                   s.keys * (2 * high + wide) + 2 * block * (high + wide));
    call->flops = 4.0 * (double)(pairs * s.queries) * (double)(s.keys * (s.key + s.value));
    return true;
}

typedef struct grad_head {
    attention_head h;
    head_view y, logsumexp, dy, dq, dk, dv;
    int64_t pitch, wide, high, key_pitch; /* of tiles with keys, value and key columns; of key_rows */
    const float *key_rows;
    float *keys, *values, *queries, *dresults, *results, *scores, *dscores, *dqueries, *dkeys, *dvalues;
} grad_head;

static void take_tiles(grad_head *g, float *scratch)
{
    const attention_shape *s = g->h.s;
    int64_t block = block_of(s);
    g->pitch = tile_pitch(s->keys), g->wide = tile_pitch(s->value), g->high = tile_pitch(s->key);
    g->keys = tile_take(&scratch, s->key, g->pitch), g->values = tile_take(&scratch, s->value, g->pitch);
    g->scores = tile_take(&scratch, block, g->pitch), g->dscores = tile_take(&scratch, block, g->pitch);
    g->queries = tile_take(&scratch, block, g->high), g->dqueries = tile_take(&scratch, block, g->high);
    g->results = tile_take(&scratch, block, g->wide), g->dresults = tile_take(&scratch, block, g->wide);
    g->dkeys = tile_take(&scratch, s->keys, g->high), g->dvalues = tile_take(&scratch, s->keys, g->wide);
    g->key_rows = scratch;
}

/* w into scores and ds into dscores, rows t … of a block; both zero from a row's limit to `end`. */
static void score_gradients(const grad_head *g, int64_t t, int64_t rows, int64_t end)
{
    const vector_table *v = vectors();
    const attention_shape *s = g->h.s;
    attention_load_queries(&g->h, t, rows, g->queries, g->high);
    v->tile_copy(rows, s->value, row_of(&g->dy, t), g->dy.row, g->dy.column, g->dresults, g->wide);
    v->tile_copy(rows, s->value, row_of(&g->y, t), g->y.row, g->y.column, g->results, g->wide);
    for (int64_t i = 0; i < rows; i += TILE_LANES) {
        int64_t high = rows - i < TILE_LANES ? rows - i : TILE_LANES,
                limit = attention_limit(&g->h, t + i + high - 1);
        v->tile_product(high, limit, s->key, g->queries + i * g->high, g->high, 1, g->keys, g->pitch,
                        g->scores + i * g->pitch, g->pitch, false);
        v->tile_product(high, limit, s->value, g->dresults + i * g->wide, g->wide, 1, g->values, g->pitch,
                        g->dscores + i * g->pitch, g->pitch, false);
    }
    for (int64_t i = 0; i < rows; i++) {
        attention_dropout d;
        float logsumexp = *row_of(&g->logsumexp, t + i);
        float inner = v->row_dot(g->dresults + i * g->wide, g->results + i * g->wide, s->value);
        int64_t limit = logsumexp == -INFINITY ? 0 : attention_limit(&g->h, t + i);
        v->attention_gradient(g->scores + i * g->pitch, g->dscores + i * g->pitch, limit, tile_pitch(end),
                              logsumexp, inner, attention_dropout_of(&g->h, t + i, &d));
    }
}

static void add_block(const grad_head *g, int64_t t, int64_t rows)
{
    const vector_table *v = vectors();
    const attention_shape *s = g->h.s;
    int64_t end = attention_limit(&g->h, t + rows - 1);
    score_gradients(g, t, rows, end);
    for (int64_t i = 0; i < rows && g->dq.data; i += TILE_LANES) {
        int64_t high = rows - i < TILE_LANES ? rows - i : TILE_LANES;
        float *dq = g->dqueries + i * g->high;
        v->tile_product(high, s->key, attention_limit(&g->h, t + i + high - 1), g->dscores + i * g->pitch,
                        g->pitch, 1, g->key_rows, g->key_pitch, dq, g->high, false);
        v->row_scale(dq, dq, s->scale, high * g->high);
        v->tile_store(high, s->key, dq, g->high, row_of(&g->dq, t + i), g->dq.row, g->dq.column);
    }
    for (int64_t i = 0; i < end; i += TILE_LANES) { /* keys that only later queries of the block see */
        int64_t high = end - i < TILE_LANES ? end - i : TILE_LANES,
                first = s->causal ? i - g->h.offset - t : 0;
        first = first > 0 ? first / TILE_LANES * TILE_LANES : 0;
        if (first >= rows)
            break;
        if (g->dk.data)
            v->tile_product(high, s->key, rows - first, g->dscores + first * g->pitch + i, 1, g->pitch,
                            g->queries + first * g->high, g->high, g->dkeys + i * g->high, g->high, true);
        if (g->dv.data)
            v->tile_product(high, s->value, rows - first, g->scores + first * g->pitch + i, 1, g->pitch,
                            g->dresults + first * g->wide, g->wide, g->dvalues + i * g->wide, g->wide, true);
    }
}

static void run_head(grad_head *g, float *scratch)
{
    const vector_table *v = vectors();
    const attention_shape *s = g->h.s;
    take_tiles(g, scratch);
    int64_t most = s->queries > 0 ? attention_limit(&g->h, s->queries - 1) : 0;
    v->tile_transpose(most, s->key, g->h.k.data, g->h.k.row, g->h.k.column, g->keys, g->pitch);
    v->tile_transpose(most, s->value, g->h.v.data, g->h.v.row, g->h.v.column, g->values, g->pitch);
    g->key_rows = attention_rows(&g->h.k, most, s->key, (float *)g->key_rows, &g->key_pitch);
    memset(g->dkeys, 0, sizeof(float) * (size_t)(most * g->high));
    memset(g->dvalues, 0, sizeof(float) * (size_t)(most * g->wide));
    for (int64_t t = 0; t < s->queries; t += BLOCK)
        add_block(g, t, s->queries - t < BLOCK ? s->queries - t : BLOCK);
    if (g->dk.data)
        v->tile_store(most, s->key, g->dkeys, g->high, g->dk.data, g->dk.row, g->dk.column);
    if (g->dv.data)
        v->tile_store(most, s->value, g->dvalues, g->wide, g->dv.data, g->dv.row, g->dv.column);
    clear_rows(&g->dk, most, s->keys, s->key);
    clear_rows(&g->dv, most, s->keys, s->value);
}

static void run(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    (void)phase;
    attention_shape s = attention_shape_of(call);
    int64_t pairs = s.batch * s.heads, group = group_of(&s);
    for (int64_t pair = task * group; pair < (task + 1) * group && pair < pairs; pair++) {
        int64_t b = pair / s.heads, head = pair % s.heads;
        grad_head g = {.h = attention_head_of(call, &s, pair)};
        g.y = head_of(&call->inputs[ATTENTION_RESULT], b, head);
        g.logsumexp = head_of(&call->inputs[ATTENTION_LOGSUMEXP], b, head);
        g.dy = head_of(&call->inputs[ATTENTION_GRADIENT], b, head);
        g.dq = head_of(&call->outputs[0], b, head);
        g.dk = head_of(&call->outputs[1], b, head);
        g.dv = head_of(&call->outputs[2], b, head);
        run_head(&g, scratch);
    }
}

const kernel kernel_attention_grad = {"attention_grad", plan, run};
