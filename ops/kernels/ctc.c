/* CTC, a sequence a task: forwards and backwards over the states, as logarithms in double. */
#include "ops/kernels/strided.h"
#include "ops/rules.h"
#include "ops/vector/table.h"
#include <math.h>
#include <string.h>

enum { LOGITS, LABELS, FRAMES, LABEL_LENGTHS };
enum { LOSS, COUNT, IMPOSSIBLE, GRADIENT };

/* What a sequence adds to the results, in the call's shared memory. */
typedef struct part {
    double loss, count, impossible;
} part;

/* One sequence, in the scratch of its worker. State 2 i is a blank, state 2 i + 1 label i. */
typedef struct lattice {
    const float *logits;
    int64_t time_step, class_step; /* strides of the logits */
    int64_t frames, classes, states;
    double *forward;        /* [frames or 2][states]: log of the paths through frames 0 … t that end in s */
    double *backward;       /* [2][states]: log of the paths through frames t + 1 … that begin after s */
    double *emissions;      /* [2][states] of a frame: log of the probability of a state's class */
    double *log_sums;       /* [frames]: logsumexp of the logits */
    float *row, *occupancy; /* [classes] */
    int64_t *ids;           /* [states]: classes */
} lattice;

static bool wants_gradient(const kernel_call *call)
{
    return call->outputs[GRADIENT].data != NULL;
}

static bool plan_ctc(kernel_call *call)
{
    const int64_t *dims = call->inputs[LOGITS].dims, states = 2 * call->inputs[LABELS].dims[1] + 1;
    int64_t kept = wants_gradient(call) && dims[1] > 2 ? dims[1] : 2;
    call->phases = 2;
    call->tasks[0] = dims[0];
    call->tasks[1] = 1;
    call->shared_bytes = sizeof(part) * (size_t)dims[0];
    call->scratch_bytes = sizeof(double) * (size_t)((kept + 4) * states + dims[1]) +
                          sizeof(int64_t) * (size_t)states + sizeof(float) * 2 * (size_t)dims[2];
    return true;
}

static int64_t length_of(const kernel_call *call, int operand, int64_t sequence, int64_t most)
{
    if (operand >= call->input_count || !call->inputs[operand].data)
        return most;
    const tensor *t = &call->inputs[operand];
    int64_t length = ((const int32_t *)t->data)[sequence * t->strides[0]];
    return length < 0 ? 0 : length > most ? most : length;
}

static lattice lattice_of(const kernel_call *call, int64_t b, void *scratch)
{
    const tensor *x = &call->inputs[LOGITS], *labels = &call->inputs[LABELS];
    lattice l = {.logits = (const float *)x->data + b * x->strides[0],
                 .time_step = x->strides[1],
                 .class_step = x->strides[2],
                 .frames = length_of(call, FRAMES, b, x->dims[1]),
                 .classes = x->dims[2],
                 .states = 2 * length_of(call, LABEL_LENGTHS, b, labels->dims[1]) + 1};
    int64_t kept = wants_gradient(call) && l.frames > 2 ? l.frames : 2;
    l.forward = scratch;
    l.backward = l.forward + kept * l.states;
    l.emissions = l.backward + 2 * l.states;
    l.log_sums = l.emissions + 2 * l.states;
    l.ids = (int64_t *)(l.log_sums + l.frames);
    l.row = (float *)(l.ids + l.states);
    l.occupancy = l.row + l.classes;
    for (int64_t s = 0; s < l.states; s++)
        l.ids[s] = s % 2
                       ? ((const int32_t *)labels->data)[b * labels->strides[0] + s / 2 * labels->strides[1]]
                       : call->attributes[ctc_blank].integer;
    return l;
}

/* Each label is a class and not the blank. */
static bool labels_are_classes(const lattice *l)
{
    for (int64_t s = 1; s < l->states; s += 2)
        if (l->ids[s] < 0 || l->ids[s] >= l->classes || l->ids[s] == l->ids[0])
            return false;
    return true;
}

/* Equal labels in a row need a blank between them. */
static bool may_skip(const lattice *l, int64_t s)
{
    return s % 2 && s >= 2 && l->ids[s] != l->ids[s - 2];
}

/* Each label needs a frame, and so does each blank that cannot be skipped. */
static bool fits(const lattice *l)
{
    int64_t needed = l->states / 2;
    for (int64_t s = 3; s < l->states; s += 2)
        needed += !may_skip(l, s);
    return needed <= l->frames;
}

/* Row t of the logits, one after another. */
static const float *load_row(const lattice *l, int64_t t)
{
    const float *x = l->logits + t * l->time_step;
    if (l->class_step == 1)
        return x;
    gather_row(l->row, x, l->class_step, l->classes);
    return l->row;
}

static const double *load_emissions(const lattice *l, int64_t t)
{
    double *to = l->emissions + t % 2 * l->states;
    for (int64_t s = 0; s < l->states; s++)
        to[s] = (double)l->logits[t * l->time_step + l->ids[s] * l->class_step] - l->log_sums[t];
    return to;
}

/* log(e^a + e^b + e^c) */
static double add_three(double a, double b, double c)
{
    double most = a > b ? a : b;
    most = most > c ? most : c;
    if (most == -INFINITY)
        return a + b + c; /* −∞, or NaN, which does not compare */
    return most + log(exp(a - most) + exp(b - most) + exp(c - most));
}

static double *forward_row(const lattice *l, bool all, int64_t t)
{
    return l->forward + (all ? t : t % 2) * l->states;
}

/* log of the probability of the labels. all: keep every row of `forward`. */
static double go_forward(const lattice *l, bool all)
{
    for (int64_t t = 0; t < l->frames; t++) {
        l->log_sums[t] = vectors()->row_logsumexp(load_row(l, t), l->classes);
        const double *emissions = load_emissions(l, t), *before = t ? forward_row(l, all, t - 1) : NULL;
        double *to = forward_row(l, all, t);
        for (int64_t s = 0; s < l->states; s++) {
            double paths = t ? add_three(before[s], s ? before[s - 1] : -INFINITY,
                                         may_skip(l, s) ? before[s - 2] : -INFINITY)
                             : (s < 2 ? 0 : -INFINITY);
            to[s] = paths + emissions[s];
        }
    }
    if (!l->frames)
        return l->states == 1 ? 0 : -INFINITY;
    const double *last = forward_row(l, all, l->frames - 1);
    return add_three(last[l->states - 1], l->states > 1 ? last[l->states - 2] : -INFINITY, -INFINITY);
}

/* Row t of `backward` from row t + 1. */
static double *step_backward(const lattice *l, int64_t t)
{
    double *to = l->backward + t % 2 * l->states;
    const double *after = l->backward + (t + 1) % 2 * l->states;
    if (t + 1 == l->frames) {
        for (int64_t s = 0; s < l->states; s++)
            to[s] = s + 2 >= l->states ? 0 : -INFINITY;
        return to;
    }
    const double *emissions = load_emissions(l, t + 1);
    for (int64_t s = 0; s < l->states; s++) {
        bool next = s + 1 < l->states, skips = s + 2 < l->states && may_skip(l, s + 2);
        to[s] = add_three(after[s] + emissions[s], next ? after[s + 1] + emissions[s + 1] : -INFINITY,
                          skips ? after[s + 2] + emissions[s + 2] : -INFINITY);
    }
    return to;
}

/* dx: softmax of the logits minus the share of the paths that are in a state of the class. */
static void gradient_row(const lattice *l, int64_t t, double log_all, const tensor *out, float *dx)
{
    const float *x = load_row(l, t);
    const double *forward = l->forward + t * l->states, *backward = step_backward(l, t);
    memset(l->occupancy, 0, sizeof *l->occupancy * (size_t)l->classes);
    for (int64_t s = 0; s < l->states; s++)
        l->occupancy[l->ids[s]] += (float)exp(forward[s] + backward[s] - log_all);
    for (int64_t v = 0; v < l->classes; v++)
        l->row[v] = x[v] - (float)l->log_sums[t];
    vectors()->math_exp(l->row, l->row, l->classes);
    for (int64_t v = 0; v < l->classes; v++)
        dx[v * out->strides[2]] = l->row[v] - l->occupancy[v];
}

static void store_gradient(const kernel_call *call, const lattice *l, int64_t b, bool possible,
                           double log_all)
{
    const tensor *out = &call->outputs[GRADIENT];
    float *to = (float *)out->data + b * out->strides[0];
    int64_t counted = possible ? l->frames : 0;
    for (int64_t t = counted - 1; t >= 0; t--)
        gradient_row(l, t, log_all, out, to + t * out->strides[1]);
    for (int64_t t = counted; t < out->dims[1]; t++)
        for (int64_t v = 0; v < l->classes; v++)
            to[t * out->strides[1] + v * out->strides[2]] = 0;
}

static part one_sequence(const kernel_call *call, int64_t b, void *scratch)
{
    lattice l = lattice_of(call, b, scratch);
    bool gradient = wants_gradient(call), classes = labels_are_classes(&l);
    double log_all = classes && fits(&l) ? go_forward(&l, gradient) : -INFINITY;
    bool possible = log_all != -INFINITY;
    if (gradient)
        store_gradient(call, &l, b, possible, log_all);
    if (!classes) /* so that the trainer reports it */
        return (part){NAN, 1, 0};
    return possible ? (part){-log_all, 1, 0} : (part){0, 0, 1};
}

static void store(const tensor *t, double number)
{
    if (t->data)
        *(float *)t->data = (float)number;
}

static void run_ctc(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    part *parts = call->shared, all = {0, 0, 0};
    if (phase == 0) {
        parts[task] = one_sequence(call, task, scratch);
        return;
    }
    for (int64_t b = 0; b < call->tasks[0]; b++)
        all = (part){all.loss + parts[b].loss, all.count + parts[b].count,
                     all.impossible + parts[b].impossible};
    store(&call->outputs[LOSS], all.loss);
    store(&call->outputs[COUNT], all.count);
    store(&call->outputs[IMPOSSIBLE], all.impossible);
}

const kernel kernel_ctc = {"ctc, a sequence a task", plan_ctc, run_ctc};
