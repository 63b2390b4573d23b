/* The linear recurrence of attention without a softmax, for each sentence b and head h:
 *
 *   U_t = D_t ∘ S_{t−1}      S_t = U_t + k_t v_tᵀ      D_t = e^(log decay), 1 without one
 *   inclusive: numerator_t = S_tᵀ q_t      exclusive: numerator_t = U_tᵀ q_t, the token does not see itself
 *
 * With `denominator` v has one more column of ones, so that the state's last column is Σ k and denominator_t
 * = Σ k · q_t; without it that result is 0. Rows at or beyond length[b] are never read, give 0, and leave the
 * state as it is. Log decay is [B|1, H|1, T, 1] or [B|1, H|1, T, Dk], or the same at every step: [B|1, H|1,
 * 1, 1]. */
#include "ops/infer.h"
#include "ops/reference.h"
#include "ops/rules.h"
#include <math.h>
#include <string.h>

/* operands; from DNUMERATOR on: of the gradient */
enum { Q, K, V, LOG_DECAY, LENGTH, STATE, DNUMERATOR, DDENOMINATOR, DSTATE };
enum { NUMERATOR, DENOMINATOR, STATE_OUT }; /* results */

_Static_assert((int)scan_exclusive == (int)scan_grad_exclusive &&
                   (int)scan_denominator == (int)scan_grad_denominator &&
                   (int)scan_chunk == (int)scan_grad_chunk,
               "scan and its gradient read their attributes alike");

/* ---- infer ---- */

static bool is_one_of(dim a, dim b, dim c)
{
    return dim_equal(a, b) || dim_equal(a, c);
}

static bool infer_decay(rondo_graph *g, const node *n, const shape *q)
{
    const value *decay;
    if (!infer_optional(g, n, LOG_DECAY, RONDO_F32, &decay))
        return false;
    if (!decay)
        return true;
    const shape *s = &decay->shape;
    dim one = dim_number(1);
    if (s->rank == 4 && is_one_of(s->dims[0], q->dims[0], one) && is_one_of(s->dims[1], q->dims[1], one) &&
        ((dim_equal(s->dims[2], q->dims[2]) && is_one_of(s->dims[3], q->dims[3], one)) ||
         (dim_equal(s->dims[2], one) && dim_equal(s->dims[3], one))))
        return true;
    return infer_fail(g, "%s: the log decay is %s, it must be [B,H,T,1], [B,H,T,Dk] or [B,H,1,1] for keys %s",
                      op_words(n), shape_words(g, s), shape_words(g, q));
}

static shape last_replaced(const shape *s, dim last)
{
    shape r = *s;
    r.dims[r.rank - 1] = last;
    return r;
}

/* [B, H, Dk, Dv], one column more with the denominator. False: Dv is not a number, so that one cannot be
 * added to it. */
static bool state_shape(const node *n, const shape *k, const shape *v, shape *state)
{
    *state = *k;
    state->dims[2] = k->dims[3];
    state->dims[3] = v->dims[3];
    state->dims[3].factor += n->attributes[scan_denominator].integer ? 1 : 0;
    return !n->attributes[scan_denominator].integer || dim_is_literal(v->dims[3]);
}

/* The six operands; fills q, k, v and the shape of the state. */
static bool infer_operands(rondo_graph *g, const node *n, const value *qkv[3], shape *state)
{
    if (!infer_recurrence(g, n, qkv))
        return false;
    if (!state_shape(n, &qkv[K]->shape, &qkv[V]->shape, state))
        return infer_fail(g,
                          "%s: the width of the values %s must be a number, as the state has a column more",
                          op_words(n), shape_words(g, &qkv[V]->shape));
    const value *length, *given;
    if (!infer_decay(g, n, &qkv[Q]->shape) || !infer_optional(g, n, LENGTH, RONDO_I32, &length) ||
        (length && !infer_per_sentence(g, n, LENGTH, qkv[Q])) ||
        !infer_optional(g, n, STATE, RONDO_F32, &given))
        return false;
    if (given && !shape_equal(&given->shape, state))
        return infer_fail(g, "%s: the state is %s, it must be %s", op_words(n), shape_words(g, &given->shape),
                          shape_words(g, state));
    return true;
}

bool infer_scan(rondo_graph *g, node *n, value *outputs)
{
    const value *qkv[3];
    shape state;
    if (!infer_operands(g, n, qkv, &state))
        return false;
    shape denominator = last_replaced(&qkv[Q]->shape, dim_number(1));
    return infer_result(&outputs[NUMERATOR], RONDO_F32, &qkv[V]->shape) &&
           infer_result(&outputs[DENOMINATOR], RONDO_F32, &denominator) &&
           infer_result(&outputs[STATE_OUT], RONDO_F32, &state);
}

bool infer_scan_grad(rondo_graph *g, node *n, value *outputs)
{
    const value *qkv[3], *given;
    shape state;
    if (!infer_operands(g, n, qkv, &state))
        return false;
    shape denominator = last_replaced(&qkv[Q]->shape, dim_number(1));
    const shape *expected[] = {&qkv[V]->shape, &denominator, &state};
    for (int i = DNUMERATOR; i <= DSTATE; i++) {
        if (!infer_optional(g, n, i, RONDO_F32, &given))
            return false;
        if (given && !shape_equal(&given->shape, expected[i - DNUMERATOR]))
            return infer_fail(g, "scan_grad: operand %d is %s, it must be %s", i,
                              shape_words(g, &given->shape), shape_words(g, expected[i - DNUMERATOR]));
    }
    for (int i = 0; i < 3; i++)
        infer_result(&outputs[i], RONDO_F32, &qkv[i]->shape);
    if (!infer_optional(g, n, LOG_DECAY, RONDO_F32, &given))
        return false;
    dim one = dim_number(1);
    shape none = {.rank = 4, .dims = {one, one, one, one}}; /* no decay: one number that stays 0 */
    return infer_result(&outputs[3], RONDO_F32, given ? &given->shape : &none) &&
           infer_result(&outputs[4], RONDO_F32, &state);
}

/* ---- vjp ---- */

bool vjp_scan(rondo_graph *g, const node *n, const value_id *out_gradients, const bool *needs,
              value_id *in_gradients)
{
    static const int of[] = {Q, K, V, LOG_DECAY, STATE};
    bool denominator = n->attributes[scan_denominator].integer;
    const value_id more[] = {out_gradients[NUMERATOR], denominator ? out_gradients[DENOMINATOR] : NONE,
                             out_gradients[STATE_OUT]};
    const gradient_node d = {OP_scan_grad,  .own = STATE + 1, .more_count = 3,
                             .of_count = 5, .more = more,     .of = of};
    return build_gradient(g, n, &d, needs, in_gradients);
}

/* ---- recurrence ---- */

/* A decay may be the same at every step. */
const recurrence recurrence_scan = {
    .time_axis = 2,
    .timed = 1 << Q | 1 << K | 1 << V,
    .either = 1 << LOG_DECAY,
    .length = LENGTH,
    .untimed = "its operands must carry time on their third axis",
    .decay = LOG_DECAY,
};

/* ---- reference ---- */

typedef struct scan_sizes {
    int64_t batch, heads, time, keys, values, columns; /* Dk, Dv, Dv or Dv + 1 */
    bool exclusive, denominator;
} scan_sizes;

static scan_sizes scan_begin(const reference_call *call)
{
    const int64_t *q = call->inputs[Q].dims, *v = call->inputs[V].dims;
    bool denominator = call->attributes[scan_denominator].integer;
    bool exclusive = call->attributes[scan_exclusive].integer;
    return (scan_sizes){q[0], q[1], q[2], q[3], v[3], v[3] + denominator, exclusive, denominator};
}

static int64_t scan_length(const reference_call *call, const scan_sizes *z, int64_t b)
{
    const double *length = reference_data(call, LENGTH);
    return length && (int64_t)length[b] < z->time ? (int64_t)length[b] : z->time;
}

/* The offset of the log decay of (b, h, t, f); −1: there is none. */
static int64_t decay_offset(const reference_call *call, int64_t b, int64_t h, int64_t t, int64_t f)
{
    if (!reference_data(call, LOG_DECAY))
        return -1;
    return reference_offset(&call->inputs[LOG_DECAY], (int64_t[]){b, h, t, f}, 4);
}
static double decay_of(const reference_call *call, int64_t b, int64_t h, int64_t t, int64_t f)
{
    int64_t at = decay_offset(call, b, h, t, f);
    return at < 0 ? 1 : exp(call->inputs[LOG_DECAY].data[at]);
}

static double value_of(const scan_sizes *z, const double *v, int64_t column)
{
    return column < z->values ? v[column] : 1;
}

/* One step: decays `state`, keeps it in `decayed` (if wanted), adds k vᵀ. */
static void scan_advance(const reference_call *call, const scan_sizes *z, int64_t b, int64_t h, int64_t t,
                         double *state, double *decayed)
{
    int64_t row = (b * z->heads + h) * z->time + t;
    const double *k = call->inputs[K].data + row * z->keys, *v = call->inputs[V].data + row * z->values;
    for (int64_t f = 0; f < z->keys; f++) {
        double decay = decay_of(call, b, h, t, f);
        for (int64_t c = 0; c < z->columns; c++) {
            double before = state[f * z->columns + c] * decay;
            decayed[f * z->columns + c] = before;
            state[f * z->columns + c] = before + k[f] * value_of(z, v, c);
        }
    }
}

static void scan_read(const reference_call *call, const scan_sizes *z, int64_t row, const double *state)
{
    const double *q = call->inputs[Q].data + row * z->keys;
    for (int64_t f = 0; f < z->keys; f++) {
        for (int64_t c = 0; c < z->values; c++)
            call->outputs[NUMERATOR].data[row * z->values + c] += q[f] * state[f * z->columns + c];
        if (z->denominator)
            call->outputs[DENOMINATOR].data[row] += q[f] * state[f * z->columns + z->values];
    }
}

bool reference_scan(const reference_call *call)
{
    scan_sizes z = scan_begin(call);
    int64_t elements = z.keys * z.columns;
    const double *given = reference_data(call, STATE);
    double *decayed = ARENA_NEW(call->scratch, double, elements + 1);
    for (int64_t bh = 0; decayed && bh < z.batch * z.heads; bh++) {
        int64_t b = bh / z.heads, length = scan_length(call, &z, b);
        double *state = call->outputs[STATE_OUT].data + bh * elements;
        if (given && elements)
            memcpy(state, given + bh * elements, sizeof *state * (size_t)elements);
        for (int64_t t = 0; t < length; t++) {
            scan_advance(call, &z, b, bh % z.heads, t, state, decayed);
            scan_read(call, &z, bh * z.time + t, z.exclusive ? decayed : state);
        }
    }
    return decayed;
}

/* The reverse of one step. d: the gradient of S_t from later steps, and after it that of S_{t−1}. */
static void scan_step_back(const reference_call *call, const scan_sizes *z, int64_t b, int64_t h, int64_t t,
                           const double *decayed, const double *after, double *d)
{
    int64_t row = (b * z->heads + h) * z->time + t;
    const double *q = call->inputs[Q].data + row * z->keys, *k = call->inputs[K].data + row * z->keys;
    const double *v = call->inputs[V].data + row * z->values;
    const double *dnumerator = reference_data(call, DNUMERATOR),
                 *ddenominator = reference_data(call, DDENOMINATOR);
    double *dq = call->outputs[Q].data + row * z->keys, *dk = call->outputs[K].data + row * z->keys;
    double *dv = call->outputs[V].data + row * z->values;
    const double *read = z->exclusive ? decayed : after;
    for (int64_t f = 0; f < z->keys; f++) {
        double decay = decay_of(call, b, h, t, f), ddecay = 0;
        for (int64_t c = 0; c < z->columns; c++) {
            int64_t at = f * z->columns + c;
            const double *given = c < z->values ? dnumerator : ddenominator;
            double dread = !given ? 0 : c < z->values ? given[row * z->values + c] : given[row];
            double dafter = d[at] + (z->exclusive ? 0 : q[f] * dread), dbefore = d[at] + q[f] * dread;
            dq[f] += dread * read[at];
            dk[f] += dafter * value_of(z, v, c);
            if (c < z->values)
                dv[c] += dafter * k[f];
            ddecay += dbefore * decayed[at];
            d[at] = dbefore * decay;
        }
        int64_t at = decay_offset(call, b, h, t, f);
        if (at >= 0)
            call->outputs[3].data[at] += ddecay;
    }
}

/* All states of one (b, h) forward, [T, 2, Dk · columns]: decayed and after; then the steps back. */
bool reference_scan_grad(const reference_call *call)
{
    scan_sizes z = scan_begin(call);
    int64_t elements = z.keys * z.columns;
    size_t bytes = sizeof(double) * (size_t)elements;
    const double *given = reference_data(call, STATE), *dstate = reference_data(call, DSTATE);
    double *states = ARENA_NEW(call->scratch, double, 2 * z.time * elements + 1),
           *state = ARENA_NEW(call->scratch, double, elements + 1);
    for (int64_t bh = 0; states && state && bh < z.batch * z.heads; bh++) {
        int64_t b = bh / z.heads, h = bh % z.heads, length = scan_length(call, &z, b);
        double *d = call->outputs[4].data + bh * elements;
        memset(state, 0, bytes);
        if (given && bytes)
            memcpy(state, given + bh * elements, bytes);
        if (dstate && bytes)
            memcpy(d, dstate + bh * elements, bytes);
        for (int64_t t = 0; t < length; t++) {
            scan_advance(call, &z, b, h, t, state, states + 2 * t * elements);
            memcpy(states + (2 * t + 1) * elements, state, bytes);
        }
        for (int64_t t = length - 1; t >= 0; t--)
            scan_step_back(call, &z, b, h, t, states + 2 * t * elements, states + (2 * t + 1) * elements, d);
    }
    return states && state;
}

/* ---- samples ---- */

/* B, H, T, Dk, Dv. decay: the dims of the log decay, rank 0 for none. */
static const struct {
    int64_t sizes[5];
    bool exclusive, denominator, length, state;
    int decay_rank;
    int64_t decay[4];
} cases[] = {
    {{1, 1, 1, 1, 1}, false, false, false, false, 0, {0}},
    {{2, 1, 5, 3, 2}, false, true, false, false, 0, {0}},
    {{5, 2, 7, 3, 5}, true, false, true, false, 0, {0}},
    {{5, 2, 11, 4, 3}, true, true, true, true, 0, {0}},
    {{3, 2, 1, 5, 7}, true, true, false, true, 4, {3, 2, 1, 1}},
    {{3, 2, 7, 2, 3}, false, true, true, true, 4, {3, 2, 7, 1}},
    {{2, 3, 13, 5, 2}, false, false, false, false, 4, {1, 3, 1, 1}},
    {{4, 2, 5, 3, 3}, true, true, true, true, 4, {4, 2, 1, 1}},
    {{3, 2, 9, 5, 4}, false, true, true, true, 4, {3, 2, 9, 5}},
    {{2, 1, 6, 3, 3}, true, false, false, true, 4, {2, 1, 6, 3}},
    {{2, 1, 0, 3, 2}, false, true, false, true, 0, {0}},
    {{3, 2, 131, 16, 32}, false, true, true, false, 0, {0}},
    {{2, 2, 197, 32, 16}, false, true, true, true, 4, {2, 2, 197, 1}},
    {{2, 2, 130, 17, 19}, true, true, true, true, 4, {2, 2, 130, 17}},
    {{1, 2, 300, 64, 33}, true, false, false, true, 4, {1, 2, 1, 1}},
    {{2, 3, 129, 8, 9}, false, true, true, true, 4, {1, 3, 129, 8}},
    {{2, 2, 65, 6, 17}, true, false, true, false, 4, {2, 1, 65, 1}},
    {{3, 2, 1, 5, 7}, false, true, true, true, 4, {3, 2, 1, 5}},
    {{2, 19, 1, 1, 1}, false, false, false, true, 4, {2, 19, 1, 1}},
    {{2, 37, 23, 1, 1}, false, false, true, true, 4, {2, 37, 23, 1}},
    {{3, 130, 9, 1, 1}, true, false, true, false, 4, {1, 130, 1, 1}},
    {{1, 16, 40, 1, 1}, false, false, false, true, 0, {0}},
};
enum { CASES = sizeof cases / sizeof *cases };

static void sample_operands(rondo_graph *g, sampler *s, int index, value_id inputs[STATE + 1])
{
    const int64_t *z = cases[index].sizes, state[] = {z[0], z[1], z[3], z[4] + cases[index].denominator};
    inputs[Q] = sample_input(g, s, -1, 1, 4, (int64_t[]){z[0], z[1], z[2], z[3]});
    inputs[K] = sample_input(g, s, -1, 1, 4, (int64_t[]){z[0], z[1], z[2], z[3]});
    inputs[V] = sample_input(g, s, -1, 1, 4, (int64_t[]){z[0], z[1], z[2], z[4]});
    inputs[LOG_DECAY] = cases[index].decay_rank ? sample_input(g, s, -0.7, 0, 4, cases[index].decay) : NONE;
    inputs[LENGTH] = cases[index].length ? sample_ids(g, s, z[2], 1, z) : NONE;
    inputs[STATE] = cases[index].state ? sample_input(g, s, -1, 1, 4, state) : NONE;
}

static void sample_attributes(int index, attribute *attributes)
{
    attributes[scan_exclusive].integer = cases[index].exclusive;
    attributes[scan_denominator].integer = cases[index].denominator;
}

value_id samples_scan(rondo_graph *g, sampler *s, int index)
{
    if (index >= CASES)
        return NONE;
    value_id inputs[STATE + 1];
    attribute attributes[MAX_ATTRIBUTES] = {0};
    sample_operands(g, s, index, inputs);
    sample_attributes(index, attributes);
    return build_node(g, OP_scan, STATE + 1, inputs, attributes);
}

/* Every case with all gradients, with the numerator's alone, and with the other two. */
value_id samples_scan_grad(rondo_graph *g, sampler *s, int index)
{
    if (index >= 3 * CASES)
        return NONE;
    int which = index / CASES;
    value_id inputs[DSTATE + 1] = {0};
    attribute attributes[MAX_ATTRIBUTES] = {0};
    const int64_t *z = cases[index % CASES].sizes;
    bool denominator = cases[index % CASES].denominator;
    sample_operands(g, s, index % CASES, inputs);
    sample_attributes(index % CASES, attributes);
    inputs[DNUMERATOR] =
        which == 2 ? NONE : sample_input(g, s, -1, 1, 4, (int64_t[]){z[0], z[1], z[2], z[4]});
    inputs[DDENOMINATOR] =
        which == 1 || !denominator ? NONE : sample_input(g, s, -1, 1, 4, (int64_t[]){z[0], z[1], z[2], 1});
    inputs[DSTATE] =
        which == 1 ? NONE : sample_input(g, s, -1, 1, 4, (int64_t[]){z[0], z[1], z[3], z[4] + denominator});
    return build_node(g, OP_scan_grad, DSTATE + 1, inputs, attributes);
}
