/* What ops/kernels/attention/attention.c and ops/kernels/attention/attention_grad.c share: sizes, which keys
 * a query sees, and the dropout of a row of weights. */
#pragma once
#include "ops/kernels/dropout_hash.h"
#include "ops/kernels/attention/head_view.h"
#include "ops/rules.h"

enum {
    ATTENTION_Q,
    ATTENTION_K,
    ATTENTION_V,
    ATTENTION_LENGTH,
    ATTENTION_OFFSET,
    ATTENTION_SEED,
    ATTENTION_SENTENCES,
    ATTENTION_RESULT,
    ATTENTION_LOGSUMEXP,
    ATTENTION_GRADIENT /* the gradient's own */
};

typedef struct attention_shape {
    int64_t batch, heads, queries, keys, key, value;
    float scale;
    bool causal;
    double rate; /* 0: no dropout */
    int64_t site;
} attention_shape;

/* The attributes of attention and attention_grad are the same. */
static inline attention_shape attention_shape_of(const kernel_call *call)
{
    const int64_t *q = call->inputs[ATTENTION_Q].dims, *v = call->inputs[ATTENTION_V].dims;
    return (attention_shape){
        .batch = q[0],
        .heads = q[1],
        .queries = q[2],
        .keys = v[2],
        .key = q[3],
        .value = v[3],
        .scale = (float)call->attributes[attention_scale].real,
        .causal = call->attributes[attention_causal].integer,
        .rate = operand_of(call, ATTENTION_SEED)->data ? call->attributes[attention_rate].real : 0,
        .site = call->attributes[attention_site].integer};
}

/* One head. Query t sees the first attention_limit(t) keys; keys beyond attention_limit(last) are not
 * read. */
typedef struct attention_head {
    const attention_shape *s;
    head_view q, k, v;
    int64_t length, offset; /* keys of this sentence; what t counts from */
    int64_t head;
    uint64_t sentence_key;
} attention_head;

static inline int64_t attention_limit(const attention_head *h, int64_t t)
{
    int64_t past = t + 1 + h->offset;
    int64_t limit = h->s->causal && past < h->length ? past : h->length;
    return limit < 0 ? 0 : limit;
}

static inline int64_t attention_number(const kernel_call *call, int i, int64_t index, int64_t absent)
{
    const tensor *t = operand_of(call, i);
    return t->data ? ((const int32_t *)t->data)[index * t->strides[0]] : absent;
}

static inline attention_head attention_head_of(const kernel_call *call, const attention_shape *s,
                                               int64_t pair)
{
    int64_t b = pair / s->heads, head = pair % s->heads;
    attention_head h = {.s = s, .head = head};
    h.q = head_of(&call->inputs[ATTENTION_Q], b, head);
    h.k = head_of(&call->inputs[ATTENTION_K], b, head);
    h.v = head_of(&call->inputs[ATTENTION_V], b, head);
    int64_t length = attention_number(call, ATTENTION_LENGTH, b, s->keys);
    h.length = length > s->keys ? s->keys : length;
    h.offset = attention_number(call, ATTENTION_OFFSET, b, 0);
    if (s->rate > 0)
        h.sentence_key = dropout_sentence(s->site, (int32_t)attention_number(call, ATTENTION_SEED, 0, 0),
                                          (int32_t)attention_number(call, ATTENTION_SEED, 1, 0),
                                          (int32_t)attention_number(call, ATTENTION_SENTENCES, b, 0));
    return h;
}

/* The dropout of query t's weights: weight s has channel s · heads + head. NULL without dropout. */
static inline const attention_dropout *attention_dropout_of(const attention_head *h, int64_t t,
                                                            attention_dropout *d)
{
    if (!(h->s->rate > 0))
        return 0;
    dropout_key row = dropout_row(h->sentence_key, t);
    *d = (attention_dropout){(uint32_t)h->head * DROPOUT_CHANNEL + row.first,
                             (uint32_t)h->s->heads * DROPOUT_CHANNEL, row.second,
                             dropout_threshold(h->s->rate), (float)dropout_scale(h->s->rate)};
    return d;
}

/* Some rows of q times scale, as a tile. */
static inline void attention_load_queries(const attention_head *h, int64_t t, int64_t rows, float *tile,
                                          int64_t pitch)
{
    vectors()->tile_copy(rows, h->s->key, row_of(&h->q, t), h->q.row, h->q.column, tile, pitch);
    vectors()->row_scale(tile, tile, h->s->scale, rows * pitch);
}

/* Rows of a tensor as right operand of a product: in place if the layout allows, else copied. *pitch: that of
 * the rows. */
static inline const float *attention_rows(const head_view *v, int64_t rows, int64_t columns, float *tile,
                                          int64_t *pitch)
{
    bool plain = v->column == 1 && columns % TILE_LANES == 0;
    *pitch = plain ? v->row : tile_pitch(columns);
    if (!plain)
        vectors()->tile_copy(rows, columns, v->data, v->row, v->column, tile, *pitch);
    return plain ? v->data : tile;
}
