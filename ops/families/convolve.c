/* A short causal convolution along time, each channel by itself, as linear recurrent layers put before their
 * queries, keys and values (Yang et al. 2024, 2406.06484; there with K = 4):
 *
 *   y_t = Σ_{j<K} weight[K−1−j] ∘ x_{t−j}
 *
 * Rows before the first are the K − 1 rows of the state, zeros without one; the state afterwards is the last
 * K − 1 rows of state and x up to length[b]. Rows at or beyond that are never read and give 0. */
#include "ops/infer.h"
#include "ops/reference.h"
#include "ops/rules.h"

/* operands; from DY on: of the gradient */
enum { X, WEIGHT, LENGTH, STATE, DY, DSTATE };
enum { DX, DWEIGHT, DBEFORE }; /* results of the gradient; of the op: y, state out */

/* ---- infer ---- */

/* The four operands; fills x, weight and the state's shape [B, K − 1, D]. */
static bool infer_operands(rondo_graph *g, const node *n, const value **x, const value **weight, shape *state)
{
    *x = infer_operand(g, n, X, RONDO_F32);
    *weight = *x ? infer_operand(g, n, WEIGHT, RONDO_F32) : NULL;
    if (!*x || !*weight)
        return false;
    const shape *rows = &(*x)->shape, *taps = &(*weight)->shape;
    if (rows->rank != 3 || taps->rank != 2 || !dim_equal(rows->dims[2], taps->dims[1]) ||
        !dim_is_literal(taps->dims[0]) || taps->dims[0].factor < 1)
        return infer_fail(g, "%s: %s and weights %s do not fit [B,T,D] and [K,D] with K at least 1",
                          op_words(n), shape_words(g, rows), shape_words(g, taps));
    const value *length;
    *state = *rows;
    state->dims[1] = dim_number(taps->dims[0].factor - 1);
    return infer_optional(g, n, LENGTH, RONDO_I32, &length) &&
           (!length || infer_per_sentence(g, n, LENGTH, *x)) && infer_fits(g, n, STATE, "state", state);
}

bool infer_convolve(rondo_graph *g, node *n, value *outputs)
{
    const value *x, *weight;
    shape state;
    return infer_operands(g, n, &x, &weight, &state) && infer_result(&outputs[0], RONDO_F32, &x->shape) &&
           infer_result(&outputs[1], RONDO_F32, &state);
}

bool infer_convolve_grad(rondo_graph *g, node *n, value *outputs)
{
    const value *x, *weight;
    shape state;
    return infer_operands(g, n, &x, &weight, &state) &&
           infer_fits(g, n, DY, "gradient of the result", &x->shape) &&
           infer_fits(g, n, DSTATE, "gradient of the state", &state) &&
           infer_result(&outputs[DX], RONDO_F32, &x->shape) &&
           infer_result(&outputs[DWEIGHT], RONDO_F32, &weight->shape) &&
           infer_result(&outputs[DBEFORE], RONDO_F32, &state);
}

/* ---- vjp ---- */

bool vjp_convolve(rondo_graph *g, const node *n, const value_id *out_gradients, const bool *needs,
                  value_id *in_gradients)
{
    static const int of[] = {X, WEIGHT, STATE};
    const value_id more[] = {out_gradients[0], out_gradients[1]};
    const gradient_node d = {OP_convolve_grad, .own = STATE + 1, .more_count = 2,
                             .of_count = 3,    .more = more,     .of = of};
    return build_gradient(g, n, &d, needs, in_gradients);
}

/* ---- recurrence ---- */

static void convolve_sizes_text(text *t, const shape *state)
{
    text_add(t, "%lld rows of %lld channels", (long long)state->dims[1].factor + 1,
             (long long)state->dims[2].factor);
}

/* A token is combined with K rows: its own and the K − 1 of the state. */
const recurrence recurrence_convolve = {
    .time_axis = 1,
    .timed = 1 << X,
    .length = LENGTH,
    .untimed = "its operand must carry time on its second axis, and its weights must not",
    .name = "convolution",
    .plural = "convolutions",
    .decay = NONE,
    .flops = 2,
    .rows_more = 1,
    .formulas = {"y[t] = Σ_{j<K} w[K−1−j] ∘ x[t−j]"},
    .sizes = convolve_sizes_text,
};

/* ---- reference ---- */

typedef struct convolve_sizes {
    int64_t batch, time, channels, taps, before; /* before: K − 1, the rows of the state */
} convolve_sizes;

static convolve_sizes convolve_begin(const reference_call *call)
{
    const int64_t *x = call->inputs[X].dims, taps = call->inputs[WEIGHT].dims[0];
    return (convolve_sizes){x[0], x[1], x[2], taps, taps - 1};
}

static int64_t rows_of(const reference_call *call, const convolve_sizes *z, int64_t b)
{
    const double *length = reference_data(call, LENGTH);
    return length && (int64_t)length[b] < z->time ? (int64_t)length[b] : z->time;
}

/* The offset of row t of sentence b; rows of the state have the numbers −(K − 1) … −1. */
static double *row_at(const convolve_sizes *z, double *x, double *state, int64_t b, int64_t t)
{
    if (t >= 0)
        return x + (b * z->time + t) * z->channels;
    return state ? state + (b * z->before + z->before + t) * z->channels : NULL;
}

bool reference_convolve(const reference_call *call)
{
    convolve_sizes z = convolve_begin(call);
    double *state = call->input_count > STATE ? call->inputs[STATE].data : NULL;
    for (int64_t b = 0; b < z.batch; b++) {
        int64_t rows = rows_of(call, &z, b);
        for (int64_t t = 0; t < rows; t++)
            for (int64_t i = 0; i < z.taps; i++) {
                const double *x = row_at(&z, call->inputs[X].data, state, b, t - z.before + i);
                for (int64_t d = 0; x && d < z.channels; d++)
                    call->outputs[0].data[(b * z.time + t) * z.channels + d] +=
                        call->inputs[WEIGHT].data[i * z.channels + d] * x[d];
            }
        for (int64_t i = 0; i < z.before; i++) {
            const double *x = row_at(&z, call->inputs[X].data, state, b, rows - z.before + i);
            for (int64_t d = 0; x && d < z.channels; d++)
                call->outputs[1].data[(b * z.before + i) * z.channels + d] = x[d];
        }
    }
    return true;
}

bool reference_convolve_grad(const reference_call *call)
{
    convolve_sizes z = convolve_begin(call);
    double *state = call->input_count > STATE ? call->inputs[STATE].data : NULL;
    const double *dy = reference_data(call, DY), *dstate = reference_data(call, DSTATE);
    for (int64_t b = 0; b < z.batch; b++) {
        int64_t rows = rows_of(call, &z, b);
        for (int64_t t = 0; dy && t < rows; t++)
            for (int64_t i = 0; i < z.taps; i++) {
                const double *x = row_at(&z, call->inputs[X].data, state, b, t - z.before + i);
                double *dx =
                    row_at(&z, call->outputs[DX].data, call->outputs[DBEFORE].data, b, t - z.before + i);
                for (int64_t d = 0; d < z.channels; d++) {
                    double given = dy[(b * z.time + t) * z.channels + d];
                    dx[d] += call->inputs[WEIGHT].data[i * z.channels + d] * given;
                    call->outputs[DWEIGHT].data[i * z.channels + d] += x ? x[d] * given : 0;
                }
            }
        for (int64_t i = 0; dstate && i < z.before; i++) {
            double *dx =
                row_at(&z, call->outputs[DX].data, call->outputs[DBEFORE].data, b, rows - z.before + i);
            for (int64_t d = 0; d < z.channels; d++)
                dx[d] += dstate[(b * z.before + i) * z.channels + d];
        }
    }
    return true;
}

/* ---- samples ---- */

/* B, T, D, K. */
static const struct {
    int64_t sizes[4];
    bool length, state;
} cases[] = {
    {{1, 1, 1, 1}, false, false},    {{2, 5, 3, 4}, false, false}, {{5, 7, 2, 4}, true, false},
    {{4, 3, 5, 3}, true, true},      {{3, 2, 7, 5}, true, true},   {{2, 9, 4, 1}, true, true},
    {{2, 0, 3, 4}, false, true},     {{3, 1, 17, 4}, true, true},  {{2, 131, 67, 4}, true, true},
    {{1, 70, 130, 7}, false, false},
};
enum { CASES = sizeof cases / sizeof *cases };

static void sample_operands(rondo_graph *g, sampler *s, int index, value_id inputs[STATE + 1])
{
    const int64_t *z = cases[index].sizes, rows[] = {z[0], z[1], z[2]}, state[] = {z[0], z[3] - 1, z[2]};
    inputs[X] = sample_input(g, s, -1, 1, 3, rows);
    inputs[WEIGHT] = sample_input(g, s, -1, 1, 2, (int64_t[]){z[3], z[2]});
    inputs[LENGTH] = cases[index].length ? sample_ids(g, s, z[1], 1, z) : NONE;
    inputs[STATE] = cases[index].state ? sample_input(g, s, -1, 1, 3, state) : NONE;
}

value_id samples_convolve(rondo_graph *g, sampler *s, int index)
{
    value_id inputs[STATE + 1];
    if (index >= CASES)
        return NONE;
    sample_operands(g, s, index, inputs);
    return build_node(g, OP_convolve, STATE + 1, inputs, NULL);
}

/* Every case with both gradients, with the result's alone, and with the state's alone. */
value_id samples_convolve_grad(rondo_graph *g, sampler *s, int index)
{
    value_id inputs[DSTATE + 1];
    if (index >= 3 * CASES)
        return NONE;
    const int64_t *z = cases[index % CASES].sizes;
    const int64_t rows[] = {z[0], z[1], z[2]}, state[] = {z[0], z[3] - 1, z[2]};
    sample_operands(g, s, index % CASES, inputs);
    inputs[DY] = index / CASES == 2 ? NONE : sample_input(g, s, -1, 1, 3, rows);
    inputs[DSTATE] = index / CASES == 1 ? NONE : sample_input(g, s, -1, 1, 3, state);
    return build_node(g, OP_convolve_grad, DSTATE + 1, inputs, NULL);
}
