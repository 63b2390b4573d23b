/* Softmax attention as one op with its own gradient, so that the weights [T, S] are never stored. A key
 * counts if s < length[b] and, if causal, s ≤ t + offset[b]; other keys are never read. A query for which no
 * key counts gives 0 and has no gradient; its logsumexp is −∞.
 *
 * Dropout draws weight (b, h, t, s) as `dropout` does on a tensor [B, H, T, S] with time at axis 2. */
#include "ops/kernels/dropout_hash.h"
#include "ops/infer.h"
#include "ops/reference.h"
#include "ops/rules.h"
#include <math.h>

/* operands; from RESULT on: of the gradient */
enum { Q, K, V, LENGTH, OFFSET, SEED, SENTENCES, RESULT, LOGSUMEXP, GRADIENT };

_Static_assert((int)attention_scale == (int)attention_grad_scale &&
                   (int)attention_causal == (int)attention_grad_causal &&
                   (int)attention_rate == (int)attention_grad_rate &&
                   (int)attention_site == (int)attention_grad_site,
               "attention and its gradient read their attributes alike");

/* ---- infer ---- */

/* The seven operands; fills q, k and v. */
static bool infer_operands(rondo_graph *g, const node *n, const value *qkv[3])
{
    for (int i = 0; i < 3; i++)
        if (!(qkv[i] = infer_operand(g, n, i, RONDO_F32)))
            return false;
    const shape *q = &qkv[Q]->shape, *k = &qkv[K]->shape, *v = &qkv[V]->shape;
    bool fit = q->rank == 4 && k->rank == 4 && v->rank == 4 && dim_equal(q->dims[3], k->dims[3]) &&
               dim_equal(k->dims[2], v->dims[2]);
    for (int i = 0; fit && i < 2; i++)
        fit = dim_equal(q->dims[i], k->dims[i]) && dim_equal(q->dims[i], v->dims[i]);
    if (!fit)
        return infer_fail(
            g, "%s: queries %s, keys %s and values %s do not fit [B,H,T,Dk], [B,H,S,Dk], [B,H,S,Dv]",
            op_words(n), shape_words(g, q), shape_words(g, k), shape_words(g, v));
    for (int i = LENGTH; i <= SENTENCES; i++)
        if (i != SEED && i < n->input_count && n->inputs[i] != NONE && !infer_per_sentence(g, n, i, qkv[Q]))
            return false;
    return true;
}

static bool infer_rate(rondo_graph *g, const node *n)
{
    double rate = n->attributes[attention_rate].real;
    const value *seed, *sentences;
    if (!infer_optional(g, n, SEED, RONDO_I32, &seed) ||
        !infer_optional(g, n, SENTENCES, RONDO_I32, &sentences))
        return false;
    if (!(rate >= 0 && rate < 1))
        return infer_fail(g, "%s: the dropout rate %g must be at least 0 and below 1", op_words(n), rate);
    if (rate > 0 && (!seed || !sentences))
        return infer_fail(g, "%s: dropout needs a seed and the ids of the sentences", op_words(n));
    if (seed && (seed->shape.rank != 1 || !dim_is_number(seed->shape.dims[0], 2)))
        return infer_fail(g, "%s: the seed is %s, it must be [2]", op_words(n), shape_words(g, &seed->shape));
    return true;
}

static void result_shapes(const value *const qkv[3], shape *y, shape *logsumexp)
{
    *y = *logsumexp = qkv[Q]->shape;
    y->dims[3] = qkv[V]->shape.dims[3];
    logsumexp->dims[3] = dim_number(1);
}

bool infer_attention(rondo_graph *g, node *n, value *outputs)
{
    const value *qkv[3];
    if (!infer_operands(g, n, qkv) || !infer_rate(g, n))
        return false;
    shape y, logsumexp;
    result_shapes(qkv, &y, &logsumexp);
    return infer_result(&outputs[0], RONDO_F32, &y) && infer_result(&outputs[1], RONDO_F32, &logsumexp);
}

bool infer_attention_grad(rondo_graph *g, node *n, value *outputs)
{
    const value *qkv[3];
    if (!infer_operands(g, n, qkv) || !infer_rate(g, n))
        return false;
    shape y, logsumexp;
    result_shapes(qkv, &y, &logsumexp);
    for (int i = RESULT; i <= GRADIENT; i++) {
        const value *given = infer_operand(g, n, i, RONDO_F32);
        const shape *expected = i == LOGSUMEXP ? &logsumexp : &y;
        if (!given)
            return false;
        if (!shape_equal(&given->shape, expected))
            return infer_fail(g, "attention_grad: operand %d is %s, it must be %s", i,
                              shape_words(g, &given->shape), shape_words(g, expected));
    }
    for (int i = 0; i < 3; i++)
        infer_result(&outputs[i], RONDO_F32, &qkv[i]->shape);
    return true;
}

/* ---- vjp ---- */

bool vjp_attention(rondo_graph *g, const node *n, const value_id *out_gradients, const bool *needs,
                   value_id *in_gradients)
{
    static const int of[] = {Q, K, V};
    const value_id more[] = {n->first_output, n->first_output + 1, out_gradients[0]};
    if (out_gradients[1] != NONE)
        return graph_refuse(g, RONDO_NO_GRADIENT, "the logsumexp of attention has no gradient");
    if (out_gradients[0] == NONE)
        return true;
    const gradient_node d = {OP_attention_grad, .own = SENTENCES + 1, .more_count = 3,
                             .of_count = 3,     .more = more,         .of = of};
    return build_gradient(g, n, &d, needs, in_gradients);
}

/* ---- reference ---- */

typedef struct attention_sizes {
    int64_t batch, heads, queries, keys, key_width, value_width;
    double scale, rate;
    double *weights; /* [S]: of the current query */
} attention_sizes;

static bool attention_begin(const reference_call *call, attention_sizes *a)
{
    const int64_t *q = call->inputs[Q].dims, *v = call->inputs[V].dims;
    *a = (attention_sizes){q[0],
                           q[1],
                           q[2],
                           v[2],
                           q[3],
                           v[3],
                           call->attributes[attention_scale].real,
                           call->attributes[attention_rate].real,
                           NULL};
    a->weights = ARENA_NEW(call->scratch, double, a->keys + 1);
    return a->weights;
}

/* How many keys count for query t of sentence b. */
static int64_t key_limit(const reference_call *call, const attention_sizes *a, int64_t b, int64_t t)
{
    const double *length = reference_data(call, LENGTH), *offset = reference_data(call, OFFSET);
    int64_t limit = a->keys;
    if (length && (int64_t)length[b] < limit)
        limit = (int64_t)length[b];
    int64_t last = t + (offset ? (int64_t)offset[b] : 0);
    return call->attributes[attention_causal].integer && last + 1 < limit ? last + 1 : limit;
}

/* The factor of dropout on weight (b, h, t, s). */
static double weight_factor(const reference_call *call, const attention_sizes *a, int64_t b, int64_t h,
                            int64_t t, int64_t s)
{
    if (a->rate <= 0)
        return 1;
    const double *seed = call->inputs[SEED].data;
    uint64_t key = dropout_sentence(call->attributes[attention_site].integer, (int32_t)seed[0],
                                    (int32_t)seed[1], (int32_t)call->inputs[SENTENCES].data[b]);
    uint32_t channel =
        dropout_channel(4, (int64_t[]){a->batch, a->heads, a->queries, a->keys}, (int64_t[]){b, h, t, s}, 2);
    return dropout_keeps(dropout_row(key, t), channel, dropout_threshold(a->rate)) ? dropout_scale(a->rate)
                                                                                   : 0;
}

static double dot(const double *a, const double *b, int64_t count)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += a[i] * b[i];
    return sum;
}

/* Row r = (b, h, t) of a tensor of queries, and row s of one of keys. */
static double *query_row(const reference_tensor *x, const attention_sizes *a, int64_t b, int64_t h, int64_t t)
{
    return x->data + ((b * a->heads + h) * a->queries + t) * x->dims[3];
}
static double *key_row(const reference_tensor *x, const attention_sizes *a, int64_t b, int64_t h, int64_t s)
{
    return x->data + ((b * a->heads + h) * a->keys + s) * x->dims[3];
}

static void attention_row(const reference_call *call, const attention_sizes *a, int64_t b, int64_t h,
                          int64_t t)
{
    int64_t limit = key_limit(call, a, b, t);
    const double *q = query_row(&call->inputs[Q], a, b, h, t);
    double *y = query_row(&call->outputs[0], a, b, h, t),
           *logsumexp = query_row(&call->outputs[1], a, b, h, t);
    double largest = -INFINITY, sum = 0;
    for (int64_t s = 0; s < limit; s++) {
        a->weights[s] = a->scale * dot(q, key_row(&call->inputs[K], a, b, h, s), a->key_width);
        largest = fmax(largest, a->weights[s]);
    }
    for (int64_t s = 0; s < limit; s++)
        sum += a->weights[s] = exp(a->weights[s] - largest);
    *logsumexp = limit > 0 ? largest + log(sum) : -INFINITY;
    for (int64_t s = 0; s < limit; s++) {
        double weight = a->weights[s] / sum * weight_factor(call, a, b, h, t, s);
        const double *v = key_row(&call->inputs[V], a, b, h, s);
        for (int64_t c = 0; c < a->value_width; c++)
            y[c] += weight * v[c];
    }
}

typedef void query_rule(const reference_call *call, const attention_sizes *a, int64_t b, int64_t h,
                        int64_t t);

static bool each_query(const reference_call *call, query_rule *rule)
{
    attention_sizes a;
    if (!attention_begin(call, &a))
        return false;
    for (int64_t b = 0; b < a.batch; b++)
        for (int64_t h = 0; h < a.heads; h++)
            for (int64_t t = 0; t < a.queries; t++)
                rule(call, &a, b, h, t);
    return true;
}

bool reference_attention(const reference_call *call)
{
    return each_query(call, attention_row);
}

/* The weights are computed again from the logsumexp, and Σ_s p dp is y · dy, with dropout too. */
static void attention_grad_row(const reference_call *call, const attention_sizes *a, int64_t b, int64_t h,
                               int64_t t)
{
    int64_t limit = key_limit(call, a, b, t);
    const double *q = query_row(&call->inputs[Q], a, b, h, t),
                 *y = query_row(&call->inputs[RESULT], a, b, h, t);
    const double *dy = query_row(&call->inputs[GRADIENT], a, b, h, t);
    double logsumexp = *query_row(&call->inputs[LOGSUMEXP], a, b, h, t), delta = dot(y, dy, a->value_width);
    double *dq = query_row(&call->outputs[Q], a, b, h, t);
    for (int64_t s = 0; s < limit; s++) {
        const double *k = key_row(&call->inputs[K], a, b, h, s), *v = key_row(&call->inputs[V], a, b, h, s);
        double *dk = key_row(&call->outputs[K], a, b, h, s), *dv = key_row(&call->outputs[V], a, b, h, s);
        double p = exp(a->scale * dot(q, k, a->key_width) - logsumexp),
               factor = weight_factor(call, a, b, h, t, s);
        double dscore = p * (factor * dot(dy, v, a->value_width) - delta) * a->scale;
        for (int64_t c = 0; c < a->key_width; c++) {
            dq[c] += dscore * k[c];
            dk[c] += dscore * q[c];
        }
        for (int64_t c = 0; c < a->value_width; c++)
            dv[c] += p * factor * dy[c];
    }
}

bool reference_attention_grad(const reference_call *call)
{
    return each_query(call, attention_grad_row);
}

/* ---- samples ---- */

/* B, H, T, S, Dk, Dv */
static const struct {
    int64_t sizes[6];
    double scale, rate;
    bool causal, length, offset;
} cases[] = {
    {{1, 1, 1, 1, 1, 1}, 1, 0, false, false, false},
    {{2, 1, 5, 7, 3, 2}, 0.5, 0, false, false, false},
    {{5, 2, 3, 7, 5, 4}, 0.4, 0, false, true, false},
    {{2, 3, 7, 7, 4, 5}, 0.5, 0, true, false, false},
    {{5, 2, 11, 11, 3, 3}, 0.6, 0, true, true, false},
    {{3, 2, 1, 13, 8, 5}, 0.3, 0, true, false, true},
    {{4, 2, 3, 17, 5, 8}, 0.4, 0, true, true, true},
    {{7, 2, 5, 11, 4, 3}, 0.5, 0.3, false, true, false},
    {{2, 3, 7, 7, 4, 4}, 0.5, 0.5, true, false, false},
    {{2, 1, 0, 3, 2, 2}, 1, 0, false, false, false},
    {{2, 1, 3, 0, 2, 2}, 1, 0, false, false, false},
    {{2, 2, 131, 131, 16, 32}, 0.25, 0, true, true, false},
    {{2, 2, 67, 150, 32, 16}, 0.18, 0.1, false, true, false},
};
enum { CASES = sizeof cases / sizeof *cases };

static void sample_operands(rondo_graph *g, sampler *s, int index, value_id inputs[SENTENCES + 1])
{
    const int64_t *z = cases[index].sizes;
    inputs[Q] = sample_input(g, s, -2, 2, 4, (int64_t[]){z[0], z[1], z[2], z[4]});
    inputs[K] = sample_input(g, s, -2, 2, 4, (int64_t[]){z[0], z[1], z[3], z[4]});
    inputs[V] = sample_input(g, s, -2, 2, 4, (int64_t[]){z[0], z[1], z[3], z[5]});
    inputs[LENGTH] = cases[index].length ? sample_ids(g, s, z[3], 1, z) : NONE;
    inputs[OFFSET] = cases[index].offset ? sample_ids(g, s, z[3] - z[2], 1, z) : NONE;
    inputs[SEED] = cases[index].rate > 0 ? sample_ids(g, s, 1000000, 1, (int64_t[]){2}) : NONE;
    inputs[SENTENCES] = cases[index].rate > 0 ? sample_ids(g, s, 1000000, 1, z) : NONE;
}

static void sample_attributes(int index, attribute *attributes)
{
    attributes[attention_scale].real = cases[index].scale;
    attributes[attention_causal].integer = cases[index].causal;
    attributes[attention_rate].real = cases[index].rate;
    attributes[attention_site].integer = cases[index].rate > 0 ? index : 0;
}

value_id samples_attention(rondo_graph *g, sampler *s, int index)
{
    if (index >= CASES)
        return NONE;
    value_id inputs[SENTENCES + 1];
    attribute attributes[MAX_ATTRIBUTES] = {0};
    sample_operands(g, s, index, inputs);
    sample_attributes(index, attributes);
    return build_node(g, OP_attention, SENTENCES + 1, inputs, attributes);
}

/* The results of attention on these operands: with an arbitrary logsumexp, weights would have no bound. */
value_id samples_attention_grad(rondo_graph *g, sampler *s, int index)
{
    if (index >= CASES)
        return NONE;
    value_id inputs[GRADIENT + 1];
    attribute attributes[MAX_ATTRIBUTES] = {0};
    const int64_t *z = cases[index].sizes;
    sample_operands(g, s, index, inputs);
    sample_attributes(index, attributes);
    inputs[RESULT] = build_node(g, OP_attention, SENTENCES + 1, inputs, attributes);
    inputs[LOGSUMEXP] = build_output(g, inputs[RESULT], 1);
    inputs[GRADIENT] = sample_input(g, s, -2, 2, 4, (int64_t[]){z[0], z[1], z[2], z[5]});
    return build_node(g, OP_attention_grad, GRADIENT + 1, inputs, attributes);
}
