/* Softmax attention, forward: softmax(scale q kᵀ) v, whose weights never leave a task. A task is some heads,
 * or some queries of one head: keys are transposed once, then queries are done in blocks whose scores,
 * exponentials and products stay in the caches. With few queries, as in decoding, keys and values are read in
 * place, up to the real length only. */
#include "ops/kernels/attention/attention_shape.h"
#include <math.h>
#include <string.h>

enum { CHOICE_QUERIES, CHOICE_GROUP, CHOICE_DIRECT }; /* queries and heads of one task; no tiles */
enum { DIRECT_QUERIES = 4, CAUSAL_BLOCK = 16, BLOCK = 64 };

/* Queries in a block: few where the mask is a triangle of moderate size, so that little work is masked
 * away. */
static int64_t block_of(const attention_shape *s)
{
    int64_t block = s->causal && s->queries <= 256 ? CAUSAL_BLOCK : BLOCK;
    return s->queries < block ? s->queries : block;
}

static bool rows_are_plain(const tensor *t)
{
    return t->strides[3] == 1 || t->dims[3] == 1;
}

static bool plan(kernel_call *call)
{
    attention_shape s = attention_shape_of(call);
    int64_t pairs = s.batch * s.heads, queries = s.queries > 0 ? s.queries : 1, block = block_of(&s);
    bool direct = queries <= DIRECT_QUERIES && rows_are_plain(&call->inputs[ATTENTION_K]) &&
                  rows_are_plain(&call->inputs[ATTENTION_V]);
    if (pairs < 8 && queries >= 256) /* each part transposes the keys again */
        queries = divide_up(divide_up(queries, 4), BLOCK) * BLOCK;
    call->choice[CHOICE_QUERIES] = queries;
    call->choice[CHOICE_GROUP] = rows_per_task((queries + s.keys) * (s.key + s.value) + queries * s.keys);
    call->choice[CHOICE_DIRECT] = direct;
    call->phases = 1;
    call->tasks[0] =
        s.queries > 0 ? divide_up(pairs, call->choice[CHOICE_GROUP]) * divide_up(s.queries, queries) : 0;
    int64_t pitch = tile_pitch(s.keys), wide = tile_pitch(s.value), high = tile_pitch(s.key);
    int64_t tiles = block * (high + pitch + wide) + s.key * pitch + s.keys * wide;
    call->scratch_bytes = sizeof(float) * (size_t)(direct ? high + pitch + wide : tiles);
    call->flops = 2.0 * (double)(pairs * s.queries) * (double)(s.keys * (s.key + s.value));
    return true;
}

/* Where the results of one head go. */
typedef struct attention_results {
    head_view y, logsumexp;
} attention_results;

/* A row without any key is 0, whatever is in the tile. */
static void store_row(const attention_results *r, int64_t t, int64_t columns, float *row, float sum,
                      float largest)
{
    if (r->logsumexp.data)
        *row_of(&r->logsumexp, t) = sum > 0 || sum != sum ? largest + (float)log((double)sum) : -INFINITY;
    if (!r->y.data)
        return;
    if (sum == 0)
        memset(row, 0, sizeof *row * (size_t)columns);
    else
        vectors()->row_scale(row, row, 1 / sum, columns);
    vectors()->tile_store(1, columns, row, 0, row_of(&r->y, t), 0, r->y.column);
}

/* ---- tiles ---- */

static void run_tiles(const attention_head *h, const attention_results *r, int64_t from, int64_t to,
                      float *scratch)
{
    const vector_table *v = vectors();
    const attention_shape *s = h->s;
    int64_t block = block_of(s), most = attention_limit(h, to - 1), value_pitch;
    int64_t pitch = tile_pitch(s->keys), wide = tile_pitch(s->value), high = tile_pitch(s->key);
    float *keys = tile_take(&scratch, s->key, pitch), *copy = tile_take(&scratch, s->keys, wide);
    float *queries = tile_take(&scratch, block, high), *scores = tile_take(&scratch, block, pitch);
    float *result = tile_take(&scratch, block, wide);
    v->tile_transpose(most, s->key, h->k.data, h->k.row, h->k.column, keys, pitch);
    const float *values = attention_rows(&h->v, most, s->value, copy, &value_pitch);
    for (int64_t t = from; t < to; t += block) {
        int64_t rows = to - t < block ? to - t : block, end = attention_limit(h, t + rows - 1);
        float sum[BLOCK], largest[BLOCK];
        attention_load_queries(h, t, rows, queries, high);
        v->tile_product(rows, end, s->key, queries, high, 1, keys, pitch, scores, pitch, false);
        for (int64_t i = 0; i < rows; i++) {
            attention_dropout d;
            float *row = scores + i * pitch;
            int64_t limit = attention_limit(h, t + i), whole = tile_pitch(limit);
            sum[i] = v->attention_weights(row, limit, &largest[i], attention_dropout_of(h, t + i, &d));
            if (whole < end)
                memset(row + whole, 0, sizeof *row * (size_t)(end - whole));
        }
        v->tile_product(rows, s->value, end, scores, pitch, 1, values, value_pitch, result, wide, false);
        for (int64_t i = 0; i < rows; i++)
            store_row(r, t + i, s->value, result + i * wide, sum[i], largest[i]);
    }
}

/* ---- few queries ---- */

static void run_direct(const attention_head *h, const attention_results *r, float *scratch)
{
    const vector_table *v = vectors();
    const attention_shape *s = h->s;
    int64_t high = tile_pitch(s->key);
    float *query = tile_take(&scratch, 1, high), *scores = tile_take(&scratch, 1, tile_pitch(s->keys)),
          *result = scratch;
    for (int64_t t = 0; t < s->queries; t++) {
        int64_t limit = attention_limit(h, t);
        attention_dropout d;
        float largest;
        attention_load_queries(h, t, 1, query, high);
        v->attention_scores(scores, query, h->k.data, h->k.row, limit, s->key);
        float sum = v->attention_weights(scores, limit, &largest, attention_dropout_of(h, t, &d));
        v->attention_mix(result, scores, h->v.data, h->v.row, limit, s->value);
        store_row(r, t, s->value, result, sum, largest);
    }
}

static void run(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    (void)phase;
    attention_shape s = attention_shape_of(call);
    int64_t queries = call->choice[CHOICE_QUERIES], group = call->choice[CHOICE_GROUP],
            parts = divide_up(s.queries, queries);
    int64_t pairs = s.batch * s.heads, first = task % parts * queries, from = task / parts * group;
    int64_t last = first + queries < s.queries ? first + queries : s.queries;
    for (int64_t pair = from; pair < from + group && pair < pairs; pair++) {
        attention_head h = attention_head_of(call, &s, pair);
        attention_results r = {head_of(&call->outputs[0], pair / s.heads, h.head),
                               head_of(&call->outputs[1], pair / s.heads, h.head)};
        if (call->choice[CHOICE_DIRECT])
            run_direct(&h, &r, scratch);
        else
            run_tiles(&h, &r, first, last, scratch);
    }
}

const kernel kernel_attention = {"attention", plan, run};
