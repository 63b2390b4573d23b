/* The delta rule: a state that is corrected by its prediction error, for each sentence b and head h:
 *
 *   U_t = e^{g_t} S_{t−1}      e_t = v_t − U_tᵀ k_t      S_t = U_t + β_t k_t e_tᵀ      out_t = S_tᵀ q_t
 *
 * g is the log decay, 0 without one: DeltaNet (Yang et al. 2024, 2406.06484), and with one Gated DeltaNet
 * (Yang et al. 2024, 2412.06464). The error depends on all earlier tokens, so the op is no masked product of
 * two factors, and `linearize` could not find it. Rows at or beyond length[b] are never read, give 0, and
 * leave the state as it is. */
#include "ops/infer.h"
#include "ops/reference.h"
#include "ops/rules.h"
#include <math.h>
#include <string.h>

/* operands; from DOUT on: of the gradient */
enum { Q, K, V, BETA, LOG_DECAY, LENGTH, STATE, DOUT, DSTATE };
enum { OUT, STATE_OUT };                         /* results */
enum { DQ, DK, DV, DBETA, DLOG_DECAY, DBEFORE }; /* results of the gradient */

_Static_assert((int)delta_chunk == (int)delta_grad_chunk,
               "delta and its gradient read their attribute alike");

/* ---- infer ---- */

static shape last_replaced(const shape *s, dim last)
{
    shape r = *s;
    r.dims[r.rank - 1] = last;
    return r;
}

/* [B, H, Dk, Dv] */
static shape state_shape(const shape *k, const shape *v)
{
    shape s = *k;
    s.dims[2] = k->dims[3];
    s.dims[3] = v->dims[3];
    return s;
}

/* The seven operands; fills q, k, v and the shapes of one number a step and of the state. */
static bool infer_operands(rondo_graph *g, const node *n, const value *qkv[3], shape *each, shape *state)
{
    if (!infer_recurrence(g, n, qkv))
        return false;
    const value *length;
    *each = last_replaced(&qkv[Q]->shape, dim_number(1));
    *state = state_shape(&qkv[K]->shape, &qkv[V]->shape);
    return infer_operand(g, n, BETA, RONDO_F32) && infer_fits(g, n, BETA, "beta", each) &&
           infer_fits(g, n, LOG_DECAY, "log decay", each) &&
           infer_optional(g, n, LENGTH, RONDO_I32, &length) &&
           (!length || infer_per_sentence(g, n, LENGTH, qkv[Q])) && infer_fits(g, n, STATE, "state", state);
}

bool infer_delta(rondo_graph *g, node *n, value *outputs)
{
    const value *qkv[3];
    shape each, state;
    return infer_operands(g, n, qkv, &each, &state) &&
           infer_result(&outputs[OUT], RONDO_F32, &qkv[V]->shape) &&
           infer_result(&outputs[STATE_OUT], RONDO_F32, &state);
}

bool infer_delta_grad(rondo_graph *g, node *n, value *outputs)
{
    const value *qkv[3];
    shape each, state;
    if (!infer_operands(g, n, qkv, &each, &state) ||
        !infer_fits(g, n, DOUT, "gradient of the result", &qkv[V]->shape) ||
        !infer_fits(g, n, DSTATE, "gradient of the state", &state))
        return false;
    dim one = dim_number(1);
    shape none = {.rank = 4, .dims = {one, one, one, one}}; /* no decay: one number that stays 0 */
    for (int i = 0; i < 3; i++)
        infer_result(&outputs[i], RONDO_F32, &qkv[i]->shape);
    bool decays = LOG_DECAY < n->input_count && n->inputs[LOG_DECAY] != NONE;
    return infer_result(&outputs[DBETA], RONDO_F32, &each) &&
           infer_result(&outputs[DLOG_DECAY], RONDO_F32, decays ? &each : &none) &&
           infer_result(&outputs[DBEFORE], RONDO_F32, &state);
}

/* ---- vjp ---- */

bool vjp_delta(rondo_graph *g, const node *n, const value_id *out_gradients, const bool *needs,
               value_id *in_gradients)
{
    static const int of[] = {Q, K, V, BETA, LOG_DECAY, STATE};
    const value_id more[] = {out_gradients[OUT], out_gradients[STATE_OUT]};
    const gradient_node d = {OP_delta_grad, .own = STATE + 1, .more_count = 2,
                             .of_count = 6, .more = more,     .of = of};
    return build_gradient(g, n, &d, needs, in_gradients);
}

/* ---- recurrence ---- */

static void delta_sizes_text(text *t, const shape *state)
{
    int64_t heads = state->dims[1].factor, features = state->dims[2].factor;
    text_add(t, "%lld head%s, %lld feature%s, values of %lld", (long long)heads, heads == 1 ? "" : "s",
             (long long)features, features == 1 ? "" : "s", (long long)state->dims[3].factor);
}

/* Prediction, writing and reading each use all of the state. */
const recurrence recurrence_delta = {
    .time_axis = 2,
    .timed = 1 << Q | 1 << K | 1 << V | 1 << BETA | 1 << LOG_DECAY,
    .length = LENGTH,
    .untimed = "its operands must carry time on their third axis",
    .name = "delta rule",
    .plural = "delta rules",
    .attention = true,
    .decay = LOG_DECAY,
    .flops = 6,
    .formulas = {"u[t] = β[t] (v[t] − Mᵀ k[t])", "M ← M + k[t] u[t]ᵀ", "y[t] = Mᵀ q[t]"},
    .fading = {"u[t] = β[t] (v[t] − (D·M)ᵀ k[t])", "M ← D·M + k[t] u[t]ᵀ", "y[t] = Mᵀ q[t]",
               "D = e^g[t], a number for each head and token"},
    .state_formula = 1,
    .sizes = delta_sizes_text,
};

/* ---- reference ---- */

typedef struct delta_sizes {
    int64_t batch, heads, time, keys, values, elements;
} delta_sizes;

static delta_sizes delta_begin(const reference_call *call)
{
    const int64_t *q = call->inputs[Q].dims, *v = call->inputs[V].dims;
    return (delta_sizes){q[0], q[1], q[2], q[3], v[3], q[3] * v[3]};
}

static int64_t rows_of(const reference_call *call, const delta_sizes *z, int64_t b)
{
    const double *length = reference_data(call, LENGTH);
    return length && (int64_t)length[b] < z->time ? (int64_t)length[b] : z->time;
}

static double decay_of(const reference_call *call, int64_t row)
{
    const double *log_decay = reference_data(call, LOG_DECAY);
    return log_decay ? exp(log_decay[row]) : 1;
}

/* e_t of column c, from the state before. */
static double error_of(const reference_call *call, const delta_sizes *z, int64_t row, const double *before,
                       int64_t c)
{
    double error = call->inputs[V].data[row * z->values + c], decay = decay_of(call, row);
    for (int64_t f = 0; f < z->keys; f++)
        error -= decay * before[f * z->values + c] * call->inputs[K].data[row * z->keys + f];
    return error;
}

static void delta_advance(const reference_call *call, const delta_sizes *z, int64_t row, const double *before,
                          double *after)
{
    const double *k = call->inputs[K].data + row * z->keys;
    for (int64_t c = 0; c < z->values; c++) {
        double write = call->inputs[BETA].data[row] * error_of(call, z, row, before, c);
        for (int64_t f = 0; f < z->keys; f++)
            after[f * z->values + c] = decay_of(call, row) * before[f * z->values + c] + k[f] * write;
    }
}

/* All states of one head, S_0 … S_length, one after another. */
static void delta_states(const reference_call *call, const delta_sizes *z, int64_t bh, double *states)
{
    const double *given = reference_data(call, STATE);
    for (int64_t i = 0; i < z->elements; i++)
        states[i] = given ? given[bh * z->elements + i] : 0;
    for (int64_t t = 0; t < rows_of(call, z, bh / z->heads); t++)
        delta_advance(call, z, bh * z->time + t, states + t * z->elements, states + (t + 1) * z->elements);
}

bool reference_delta(const reference_call *call)
{
    delta_sizes z = delta_begin(call);
    double *states = ARENA_NEW(call->scratch, double, (z.time + 1) * z.elements + 1);
    for (int64_t bh = 0; states && bh < z.batch * z.heads; bh++) {
        int64_t rows = rows_of(call, &z, bh / z.heads);
        delta_states(call, &z, bh, states);
        for (int64_t t = 0; t < rows; t++)
            for (int64_t i = 0; i < z.elements; i++)
                call->outputs[OUT].data[(bh * z.time + t) * z.values + i % z.values] +=
                    states[(t + 1) * z.elements + i] *
                    call->inputs[Q].data[(bh * z.time + t) * z.keys + i / z.values];
        for (int64_t i = 0; i < z.elements; i++)
            call->outputs[STATE_OUT].data[bh * z.elements + i] = states[rows * z.elements + i];
    }
    return states;
}

/* The reverse of one step. d: the gradient of S_t from later steps, and after it that of S_{t−1}. */
static void delta_step_back(const reference_call *call, const delta_sizes *z, int64_t row,
                            const double *before, double *d)
{
    const double *q = call->inputs[Q].data + row * z->keys, *k = call->inputs[K].data + row * z->keys;
    const double *given = reference_data(call, DOUT);
    double *dq = call->outputs[DQ].data + row * z->keys, *dk = call->outputs[DK].data + row * z->keys;
    double beta = call->inputs[BETA].data[row], decay = decay_of(call, row), dlog_decay = 0;
    for (int64_t c = 0; c < z->values; c++) {
        double dout = given ? given[row * z->values + c] : 0, error = error_of(call, z, row, before, c);
        double dwrite = 0;
        for (int64_t f = 0; f < z->keys; f++) {
            int64_t at = f * z->values + c;
            dq[f] += dout * (decay * before[at] + k[f] * beta * error);
            d[at] += dout * q[f];
            dk[f] += d[at] * beta * error;
            dwrite += d[at] * k[f];
        }
        double derror = beta * dwrite;
        call->outputs[DBETA].data[row] += dwrite * error;
        call->outputs[DV].data[row * z->values + c] = derror;
        for (int64_t f = 0; f < z->keys; f++) {
            int64_t at = f * z->values + c;
            double ddecayed = d[at] - k[f] * derror;
            dk[f] -= derror * decay * before[at];
            dlog_decay += ddecayed * decay * before[at];
            d[at] = ddecayed * decay;
        }
    }
    if (reference_data(call, LOG_DECAY))
        call->outputs[DLOG_DECAY].data[row] = dlog_decay;
}

bool reference_delta_grad(const reference_call *call)
{
    delta_sizes z = delta_begin(call);
    const double *dstate = reference_data(call, DSTATE);
    double *states = ARENA_NEW(call->scratch, double, (z.time + 1) * z.elements + 1);
    for (int64_t bh = 0; states && bh < z.batch * z.heads; bh++) {
        double *d = call->outputs[DBEFORE].data + bh * z.elements;
        delta_states(call, &z, bh, states);
        for (int64_t i = 0; dstate && i < z.elements; i++)
            d[i] = dstate[bh * z.elements + i];
        for (int64_t t = rows_of(call, &z, bh / z.heads) - 1; t >= 0; t--)
            delta_step_back(call, &z, bh * z.time + t, states + t * z.elements, d);
    }
    return states;
}

/* ---- samples ---- */

/* B, H, T, Dk, Dv. */
static const struct {
    int64_t sizes[5];
    bool decay, length, state;
} cases[] = {
    {{1, 1, 1, 1, 1}, false, false, false},    {{2, 1, 5, 3, 2}, true, false, false},
    {{5, 2, 7, 3, 5}, false, true, false},     {{4, 2, 11, 4, 3}, true, true, true},
    {{3, 2, 1, 5, 7}, true, false, true},      {{2, 3, 13, 5, 2}, false, false, true},
    {{3, 2, 9, 5, 4}, true, true, false},      {{2, 1, 0, 3, 2}, true, false, true},
    {{2, 2, 67, 16, 32}, true, true, true},    {{2, 1, 131, 17, 19}, false, true, true},
    {{1, 2, 150, 40, 24}, true, false, false},
};
enum { CASES = sizeof cases / sizeof *cases };

/* Keys of norm about 1: with much longer ones I − β k kᵀ is an expansion, and the state grows without bound.
 */
static void sample_operands(rondo_graph *g, sampler *s, int index, value_id inputs[STATE + 1])
{
    const int64_t *z = cases[index].sizes;
    const int64_t keys[] = {z[0], z[1], z[2], z[3]}, values[] = {z[0], z[1], z[2], z[4]};
    const int64_t each[] = {z[0], z[1], z[2], 1}, state[] = {z[0], z[1], z[3], z[4]};
    double most = sqrt(3 / (double)z[3]);
    inputs[Q] = sample_input(g, s, -1, 1, 4, keys);
    inputs[K] = sample_input(g, s, -most, most, 4, keys);
    inputs[V] = sample_input(g, s, -1, 1, 4, values);
    inputs[BETA] = sample_input(g, s, 0.1, 1, 4, each);
    inputs[LOG_DECAY] = cases[index].decay ? sample_input(g, s, -0.5, 0, 4, each) : NONE;
    inputs[LENGTH] = cases[index].length ? sample_ids(g, s, z[2], 1, z) : NONE;
    inputs[STATE] = cases[index].state ? sample_input(g, s, -1, 1, 4, state) : NONE;
}

value_id samples_delta(rondo_graph *g, sampler *s, int index)
{
    if (index >= CASES)
        return NONE;
    value_id inputs[STATE + 1];
    attribute attributes[MAX_ATTRIBUTES] = {0};
    sample_operands(g, s, index, inputs);
    return build_node(g, OP_delta, STATE + 1, inputs, attributes);
}

/* Every case with both gradients, with the result's alone, and with the state's alone. */
value_id samples_delta_grad(rondo_graph *g, sampler *s, int index)
{
    if (index >= 3 * CASES)
        return NONE;
    value_id inputs[DSTATE + 1];
    attribute attributes[MAX_ATTRIBUTES] = {0};
    const int64_t *z = cases[index % CASES].sizes;
    const int64_t values[] = {z[0], z[1], z[2], z[4]}, state[] = {z[0], z[1], z[3], z[4]};
    sample_operands(g, s, index % CASES, inputs);
    inputs[DOUT] = index / CASES == 2 ? NONE : sample_input(g, s, -1, 1, 4, values);
    inputs[DSTATE] = index / CASES == 1 ? NONE : sample_input(g, s, -1, 1, 4, state);
    return build_node(g, OP_delta_grad, DSTATE + 1, inputs, attributes);
}
