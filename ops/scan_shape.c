/* Reads the sizes of a scan from its call, and chooses its chunk. */
#include "ops/scan_shape.h"

/* Multiply-adds a row, and the traffic of the state, which is read and written once a chunk: weighed so that
 * the choice is the measured one for key and width in 16 … 256. With one chunk and no state before or after
 * there is no state at all. */
static int64_t choose_chunk(const scan_shape *s, bool carried)
{
    static const int64_t candidates[] = {16, 32, 48, 64, 96, 128, 192, 256};
    int64_t best = 64;
    double best_cost = 0;
    for (size_t i = 0; i < sizeof candidates / sizeof *candidates; i++) {
        double chunk = (double)candidates[i], key = (double)s->key, width = (double)s->width;
        bool whole = candidates[i] >= s->time;
        if (candidates[i] > 128 && !whole)
            break;
        double cost = ((whole ? (double)s->time : chunk) / 2 + 8) * (key + width) +
                      (whole && !carried ? 0 : 2 * key * width * (1 + 2 / chunk));
        if (i == 0 || cost < best_cost)
            best = candidates[i], best_cost = cost;
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
    if (s->chunk <= 0)
        s->chunk = choose_chunk(s, carried);
    if (s->chunk > s->time)
        s->chunk = s->time > 0 ? s->time : 1;
    s->group = rows_per_task(s->time * (s->key + s->width) + s->key * s->width);
    return true;
}
