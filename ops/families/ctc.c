/* Connectionist temporal classification (Graves et al. 2006): the loss of sequences of labels whose place in
 * time is not known. A path gives each frame a label or the blank; it spells the labels when repeats are
 * merged and blanks are left out. The loss is −log of the sum of the probabilities of all paths that spell
 * them. The op computes its gradient in the same sweep. */
#include "ops/infer.h"
#include "ops/reference.h"
#include "ops/rules.h"
#include <math.h>

enum { LOGITS, LABELS, FRAMES, LABEL_LENGTHS };

/* ---- infer ---- */

bool infer_ctc(rondo_graph *g, node *n, value *outputs)
{
    const value *x = infer_operand(g, n, LOGITS, RONDO_F32),
                *labels = x ? infer_operand(g, n, LABELS, RONDO_I32) : NULL;
    int64_t blank = n->attributes[ctc_blank].integer;
    if (!labels)
        return false;
    if (x->shape.rank != 3 || labels->shape.rank != 2 || !dim_equal(x->shape.dims[0], labels->shape.dims[0]))
        return infer_fail(g, "ctc of %s and %s: it needs logits [B,T,V] and labels [B,L]",
                          shape_words(g, &x->shape), shape_words(g, &labels->shape));
    dim classes = x->shape.dims[2];
    if (!dim_is_literal(classes))
        return infer_fail(g, "ctc: the number of classes, the last extent of %s, must be a number",
                          shape_words(g, &x->shape));
    if (blank < 0 || blank >= classes.factor)
        return infer_fail(g, "ctc: the blank %lld is not one of the %lld classes", (long long)blank,
                          (long long)classes.factor);
    for (int i = FRAMES; i <= LABEL_LENGTHS; i++)
        if (i < n->input_count && n->inputs[i] != NONE && !infer_per_sentence(g, n, i, x))
            return false;
    for (int p = 0; p < 3; p++)
        infer_result(&outputs[p], RONDO_F32, &(shape){0});
    return infer_result(&outputs[3], RONDO_F32, &x->shape);
}

/* ---- vjp ---- */

bool vjp_ctc(rondo_graph *g, const node *n, const value_id *out_gradients, const bool *needs,
             value_id *in_gradients)
{
    if (out_gradients[3] != NONE)
        return graph_refuse(g, RONDO_NO_GRADIENT,
                            "result 3 of ctc is a gradient, and this would be a second derivative");
    if (needs[LOGITS] && out_gradients[0] != NONE)
        in_gradients[LOGITS] = build_mul(g, build_output(g, n->first_output, 3), out_gradients[0]);
    return graph_good(g);
}

/* ---- reference: sums of probabilities, without logarithms ---- */

/* One sequence: probabilities p [frames][classes], states 0 … 2 · length with a blank between labels. */
typedef struct lattice {
    const double *p;
    int64_t frames, classes, states, *ids; /* ids: the class of each state */
} lattice;

static bool may_skip(const lattice *l, int64_t s)
{
    return s >= 2 && l->ids[s] != l->ids[0] && l->ids[s] != l->ids[s - 2];
}

static double emission(const lattice *l, int64_t t, int64_t s)
{
    return l->p[t * l->classes + l->ids[s]];
}

/* forward[t][s]: paths through frames 0 … t that end in s. */
static void fill_forward(const lattice *l, double *forward)
{
    for (int64_t t = 0; t < l->frames; t++)
        for (int64_t s = 0; s < l->states; s++) {
            const double *before = forward + (t - 1) * l->states;
            double sum = t ? before[s] : s < 2;
            if (t && s >= 1)
                sum += before[s - 1];
            if (t && may_skip(l, s))
                sum += before[s - 2];
            forward[t * l->states + s] = sum * emission(l, t, s);
        }
}

/* backward[t][s]: paths through frames t + 1 … that begin after s. */
static void fill_backward(const lattice *l, double *backward)
{
    for (int64_t t = l->frames - 1; t >= 0; t--)
        for (int64_t s = 0; s < l->states; s++) {
            const double *after = backward + (t + 1) * l->states;
            double sum = t + 1 < l->frames ? after[s] * emission(l, t + 1, s) : s + 2 >= l->states;
            if (t + 1 < l->frames && s + 1 < l->states)
                sum += after[s + 1] * emission(l, t + 1, s + 1);
            if (t + 1 < l->frames && s + 2 < l->states && may_skip(l, s + 2))
                sum += after[s + 2] * emission(l, t + 1, s + 2);
            backward[t * l->states + s] = sum;
        }
}

static double sequence_probability(const lattice *l, const double *forward)
{
    const double *last = forward + (l->frames - 1) * l->states;
    if (!l->frames)
        return l->states == 1;
    return last[l->states - 1] + (l->states > 1 ? last[l->states - 2] : 0);
}

static void softmax_row(const double *x, int64_t count, double *p)
{
    double largest = -INFINITY, sum = 0;
    for (int64_t i = 0; i < count; i++)
        largest = fmax(largest, x[i]);
    for (int64_t i = 0; i < count; i++)
        sum += p[i] = exp(x[i] - largest);
    for (int64_t i = 0; i < count; i++)
        p[i] /= sum;
}

/* What operand i says of a sequence; no more than there is. */
static int64_t length_of(const reference_call *call, int i, int64_t b, int64_t most)
{
    const double *lengths = reference_data(call, i);
    return !lengths || lengths[b] > (double)most ? most : (int64_t)lengths[b];
}

/* False: the arena refused. */
static bool sequence(const reference_call *call, int64_t b)
{
    const reference_tensor *x = &call->inputs[LOGITS], *labels = &call->inputs[LABELS];
    int64_t most = x->dims[1], blank = call->attributes[ctc_blank].integer;
    int64_t length = length_of(call, LABEL_LENGTHS, b, labels->dims[1]);
    lattice l = {.frames = length_of(call, FRAMES, b, most), .classes = x->dims[2], .states = 2 * length + 1};
    double *p = ARENA_NEW(call->scratch, double, l.frames *l.classes + 1);
    double *forward = ARENA_NEW(call->scratch, double, l.frames *l.states + 1);
    double *backward = ARENA_NEW(call->scratch, double, l.frames *l.states + 1);
    l.ids = ARENA_NEW(call->scratch, int64_t, l.states);
    l.p = p;
    if (!p || !forward || !backward || !l.ids)
        return false;
    for (int64_t s = 0; s < l.states; s++)
        l.ids[s] = s % 2 ? (int64_t)labels->data[b * labels->dims[1] + s / 2] : blank;
    for (int64_t t = 0; t < l.frames; t++)
        softmax_row(x->data + (b * most + t) * l.classes, l.classes, p + t * l.classes);
    fill_forward(&l, forward);
    fill_backward(&l, backward);
    double all = sequence_probability(&l, forward);
    if (all == 0) {
        call->outputs[2].data[0] += 1;
        return true;
    }
    call->outputs[0].data[0] -= log(all);
    call->outputs[1].data[0] += 1;
    for (int64_t t = 0; t < l.frames; t++) {
        double *dx = call->outputs[3].data + (b * most + t) * l.classes;
        for (int64_t v = 0; v < l.classes; v++)
            dx[v] = p[t * l.classes + v];
        for (int64_t s = 0; s < l.states; s++)
            dx[l.ids[s]] -= forward[t * l.states + s] * backward[t * l.states + s] / all;
    }
    return true;
}

bool reference_ctc(const reference_call *call)
{
    for (int64_t b = 0; b < call->inputs[LOGITS].dims[0]; b++)
        if (!sequence(call, b))
            return false;
    return true;
}

/* ---- samples ---- */

/* Sequences, frames, classes, labels; labels are below the blank, which is the last class. */
value_id samples_ctc(rondo_graph *g, sampler *s, int index)
{
    static const struct {
        int64_t batch, frames, classes, labels;
        bool framed, measured;
    } cases[] = {
        {1, 1, 2, 1, false, false}, {2, 5, 3, 2, false, false}, {3, 7, 4, 3, true, false},
        {2, 11, 5, 4, false, true}, {5, 9, 3, 4, true, true},   {0, 3, 3, 2, true, true},
        {2, 13, 37, 5, true, true}, {1, 4, 3, 0, false, false}, {3, 2, 3, 3, false, false},
    };
    if (index >= (int)(sizeof cases / sizeof *cases))
        return NONE;
    int64_t batch = cases[index].batch, frames = cases[index].frames, classes = cases[index].classes,
            labels = cases[index].labels;
    value_id inputs[4] = {sample_input(g, s, -2, 2, 3, (int64_t[]){batch, frames, classes}),
                          sample_ids(g, s, classes - 2, 2, (int64_t[]){batch, labels}), NONE, NONE};
    if (cases[index].framed)
        inputs[FRAMES] = sample_ids(g, s, frames, 1, &batch);
    if (cases[index].measured)
        inputs[LABEL_LENGTHS] = sample_ids(g, s, labels, 1, &batch);
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[ctc_blank] = integer_attribute(classes - 1);
    return build_node(g, OP_ctc, 4, inputs, attributes);
}
