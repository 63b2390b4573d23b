/* The decays of a chunk: sums in double, exponentials of sums and differences in float. */
#include "ops/kernels/recurrent/scan_decay.h"

/* The stride of an extent of 1 means nothing. */
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
            sum += log_decay_bounded(*row_of(decay, t + i));
        d->sums[i] = sum;
    }
    for (int64_t i = 0; i < pitch; i++)
        rest[i] = sum - d->sums[i];
    for (int i = 0; i < TILE_LANES; i++)
        last[i] = sum;
    vectors()->scan_exponentials(d->before, d->sums, pitch);
    vectors()->scan_exponentials(d->after, rest, pitch);
    vectors()->scan_factors(d->whole, d->part, last, TILE_LANES);
}

/* ---- the gradient of the log decay ---- */

decay_gradient decay_gradient_of(const kernel_call *call, const scan_shape *s, int64_t chunks)
{
    const tensor *decay = operand_of(call, SCAN_DECAY);
    if (!decay->data || !call->outputs[3].data)
        return (decay_gradient){0};
    if (decay->dims[2] == 1 && decay->dims[3] == 1)
        return (decay_gradient){.kind = DECAY_BY_CHUNK, .slots = chunks, .keys = 1};
    bool direct = decay->dims[0] == s->batch && decay->dims[1] == s->heads;
    return (decay_gradient){
        .kind = direct ? DECAY_DIRECT : DECAY_BY_STEP, .slots = s->time, .keys = decay->dims[3]};
}

size_t decay_gradient_bytes(const decay_gradient *d, const scan_shape *s)
{
    int64_t count = tile_pitch(s->batch * s->heads * d->slots * d->keys);
    return d->kind == DECAY_BY_STEP    ? sizeof *d->steps * (size_t)count
           : d->kind == DECAY_BY_CHUNK ? sizeof *d->chunks * (size_t)count
                                       : 0;
}

head_view decay_gradient_rows(const kernel_call *call, const scan_shape *s, const decay_gradient *d,
                              int64_t pair)
{
    if (d->kind == DECAY_DIRECT)
        return head_of(&call->outputs[3], pair / s->heads, pair % s->heads);
    return (head_view){d->kind == DECAY_BY_STEP ? d->steps + pair * d->slots * d->keys : NULL, d->keys, 1};
}

int64_t decay_gradient_tasks(const kernel_call *call, const decay_gradient *d)
{
    const tensor *out = &call->outputs[3];
    return out->data && d->kind != DECAY_DIRECT ? out->dims[0] * out->dims[1] : 0;
}

/* The sentences and heads that are summed in one element of the gradient. */
typedef struct heads_of_part {
    int64_t first, count[2], step; /* the first as a number; sentences and heads; heads of a sentence */
} heads_of_part;

/* Σ over these heads of the element at `at` and the slots − 1 after it. */
static double sum_of_heads(const decay_gradient *d, const heads_of_part *p, int64_t at, int64_t slots)
{
    double sum = 0;
    for (int64_t b = 0; b < p->count[0]; b++)
        for (int64_t h = 0; h < p->count[1]; h++)
            for (int64_t i = 0; i < slots; i++) {
                int64_t place = (p->first + b * p->step + h) * d->slots * d->keys + at + i;
                sum += d->kind == DECAY_BY_CHUNK ? d->chunks[place] : d->steps[place];
            }
    return sum;
}

void decay_gradient_sum(const kernel_call *call, const scan_shape *s, const decay_gradient *d, int64_t task)
{
    const tensor *out = &call->outputs[3];
    int64_t b = task / out->dims[1], h = task % out->dims[1];
    head_view to = head_of(out, b, h);
    heads_of_part p = {b * s->heads + h, {s->batch, s->heads}, s->heads};
    for (int axis = 0; axis < 2; axis++)
        if (out->dims[axis] > 1)
            p.count[axis] = 1;
    if (d->kind == DECAY_UNWANTED)
        *to.data = 0;
    else if (d->kind == DECAY_BY_CHUNK)
        *to.data = (float)sum_of_heads(d, &p, 0, d->slots);
    else
        for (int64_t i = 0; i < d->slots * d->keys; i++)
            row_of(&to, i / d->keys)[i % d->keys * to.column] = (float)sum_of_heads(d, &p, i, 1);
}
