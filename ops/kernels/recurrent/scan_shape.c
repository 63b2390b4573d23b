/* Reads the sizes of a scan from its call, and chooses its chunk. */
#include "ops/kernels/recurrent/scan_shape.h"

/* Multiply-adds of a row: `pairs` for each earlier row of its chunk, half the chunk on average, and `state`
 * for the state, which is also read, written and transposed once a chunk. */
typedef struct row_cost {
    double pairs, state, chunk; /* chunk: once a chunk */
    double most;                /* rows of a chunk that is not all of time */
} row_cost;

/* Weights that make the choice agree with measurements for key and width in 16 … 256. */
static row_cost cost_of_row(const scan_shape *s, bool grad)
{
    double key = (double)s->key, width = (double)s->width;
    if (grad)
        return (row_cost){3 * key + 2 * width, 5 * key * width, 100 * key * width, 192};
    return (row_cost){key + width, 2 * key * width, 4 * key * width, 128};
}

/* With one chunk and no state given or wanted, no state is computed. */
static int64_t choose_chunk(const scan_shape *s, const row_cost *cost, bool carried)
{
    static const int64_t candidates[] = {16, 32, 48, 64, 96, 128, 192, 256};
    int64_t best = 64;
    double least = 0;
    for (size_t i = 0; i < sizeof candidates / sizeof *candidates; i++) {
        double chunk = (double)candidates[i];
        bool whole = candidates[i] >= s->time;
        if (chunk > cost->most && !whole)
            break;
        double now = ((whole ? (double)s->time : chunk) / 2 + 8) * cost->pairs +
                     (whole && !carried ? 0 : cost->state + cost->chunk / chunk);
        if (i == 0 || now < least)
            best = candidates[i], least = now;
        if (whole)
            break;
    }
    return best;
}

bool scan_shape_of(const kernel_call *call, scan_shape *s)
{
    const tensor *q = operand_of(call, SCAN_Q), *v = operand_of(call, SCAN_V);
    const tensor *decay = operand_of(call, SCAN_DECAY);
    if (q->rank != 4 || v->rank != 4)
        return false;
    bool grad = call->op == OP_scan_grad;
    *s = (scan_shape){
        .batch = q->dims[0], .heads = q->dims[1], .time = q->dims[2], .key = q->dims[3], .value = v->dims[3]};
    s->exclusive = call->attributes[grad ? scan_grad_exclusive : scan_exclusive].integer;
    s->denominator = call->attributes[grad ? scan_grad_denominator : scan_denominator].integer;
    s->width = s->value + s->denominator;
    if (decay->data)
        s->decay = decay->dims[3] == 1 ? DECAY_OF_HEADS : DECAY_OF_KEYS;
    s->chunk = call->attributes[grad ? scan_grad_chunk : scan_chunk].integer;
    bool carried = operand_of(call, SCAN_STATE)->data || call->outputs[grad ? 4 : 2].data ||
                   (grad && operand_of(call, SCAN_DSTATE)->data);
    row_cost cost = cost_of_row(s, grad);
    if (s->chunk <= 0)
        s->chunk = choose_chunk(s, &cost, carried);
    if (s->chunk > s->time)
        s->chunk = s->time > 0 ? s->time : 1;
    s->group = rows_per_task(s->time * (s->key + s->width) + s->key * s->width);
    return true;
}
