/* The decays of a chunk: sums in double, exponentials of sums and differences in float. */
#include "ops/scan_decay.h"
#include "core/mutant.h"

/* The strides of an extent of 1 are nobody's. */
static int64_t broadcast_stride(const tensor *t, int axis)
{
    return t->dims[axis] == 1 ? 0 : t->strides[axis];
}

head_view scan_decay_of(const kernel_call *call, int64_t b, int64_t h)
{
    const tensor *t = operand_of(call, SCAN_DECAY);
    if (!t->data)
        return (head_view){0};
    return (head_view){(float *)t->data + b * broadcast_stride(t, 0) + h * broadcast_stride(t, 1),
                       broadcast_stride(t, 2), broadcast_stride(t, 3)};
}

head_decay head_decay_take(float **scratch, const scan_shape *s)
{
    if (s->decay != DECAY_OF_HEADS)
        return (head_decay){0};
    int64_t pitch = tile_pitch(s->chunk);
    head_decay d = {.sums = (double *)tile_take(scratch, 4, pitch)};
    d.before = tile_take(scratch, 1, pitch), d.after = tile_take(scratch, 1, pitch);
    return d;
}

void head_decay_read(head_decay *d, const head_view *decay, int64_t t, int64_t rows)
{
    if (!d->sums)
        return;
    int64_t pitch = tile_pitch(rows);
    double sum = 0, *rest = d->sums + pitch, last[TILE_LANES];
    for (int64_t i = 0; i < pitch; i++) {
        if (i < rows)
            sum =
                MUTANT(scan_decay_sums_in_float, (float)sum, sum) + log_decay_bounded(*row_of(decay, t + i));
        d->sums[i] = sum;
    }
    for (int64_t i = 0; i < pitch; i++)
        rest[i] =
            MUTANT(scan_decay_counts_its_own_row_twice, sum - (i ? d->sums[i - 1] : 0), sum - d->sums[i]);
    for (int i = 0; i < TILE_LANES; i++)
        last[i] = sum;
    vectors()->scan_exponentials(d->before, d->sums, pitch);
    vectors()->scan_exponentials(d->after, rest, pitch);
    vectors()->scan_factors(d->whole, d->part, last, TILE_LANES);
}

/* ---- the gradient of the log decay ---- */

decay_partials decay_partials_of(const kernel_call *call, int64_t time, int64_t chunks)
{
    const tensor *decay = operand_of(call, SCAN_DECAY);
    if (!decay->data)
        return (decay_partials){0};
    bool constant = decay->dims[2] == 1;
    return (decay_partials){.slots = constant ? chunks : time, .keys = decay->dims[3], .constant = constant};
}

int64_t decay_sum_tasks(const kernel_call *call)
{
    const tensor *out = &call->outputs[3];
    return out->data ? out->dims[0] * out->dims[1] : 0;
}

/* Σ of one element over the sentences and heads from … and over `slots` slots. */
static double sum_of_heads(const decay_partials *p, int64_t heads, const int64_t from[2],
                           const int64_t count[2], int64_t at, int64_t slots)
{
    double sum = 0;
    for (int64_t b = from[0]; b < from[0] + count[0]; b++)
        for (int64_t h = from[1]; h < from[1] + count[1]; h++)
            for (int64_t i = 0; i < slots; i++)
                sum += p->data[((b * heads + h) * p->slots + i) * p->keys + at];
    return sum;
}

void decay_sum(const kernel_call *call, const decay_partials *p, int64_t task)
{
    const tensor *q = operand_of(call, SCAN_Q), *out = &call->outputs[3];
    if (!p->slots && !operand_of(call, SCAN_DECAY)->data) {
        *(float *)out->data = 0;
        return;
    }
    int64_t from[2] = {task / out->dims[1], task % out->dims[1]}, count[2] = {1, 1};
    float *to = (float *)out->data + from[0] * out->strides[0] + from[1] * out->strides[1];
    for (int axis = 0; axis < 2; axis++)
        if (out->dims[axis] == 1)
            count[axis] = MUTANT(scan_decay_gradient_of_one_sentence, 1, q->dims[axis]);
    int64_t keys = p->keys;
    for (int64_t t = 0; t < out->dims[2]; t++)
        for (int64_t f = 0; f < keys; f++)
            to[t * out->strides[2] + f * out->strides[3]] =
                (float)sum_of_heads(p, q->dims[1], from, count, t * keys + f, p->constant ? p->slots : 1);
}
