/* What the kernels of scan share: its sizes, its operands by name, and the cutting of time into chunks. */
#pragma once
#include "ops/kernels/recurrent/chunk_work.h"
#include "ops/kernels/attention/head_view.h"
#include "ops/rules.h"

enum {
    SCAN_Q,
    SCAN_K,
    SCAN_V,
    SCAN_DECAY,
    SCAN_LENGTH,
    SCAN_STATE,
    SCAN_DNUMERATOR,
    SCAN_DDENOMINATOR,
    SCAN_DSTATE
};

/* One number a head, at each step or for all; or one a key dimension at each step. */
typedef enum scan_decay_kind { DECAY_NONE, DECAY_OF_HEADS, DECAY_OF_KEYS } scan_decay_kind;

/* The denominator is one more column of v, all ones, that only exists in tiles: width = value + 1 and the
 * state is [key, width]. */
typedef struct scan_shape {
    int64_t batch, heads, time, key, value, width;
    bool exclusive, denominator;
    scan_decay_kind decay;
    int64_t chunk; /* rows of a chunk, at least 1 */
    int64_t group; /* heads of one task */
} scan_shape;

/* False: not these operands. The attributes of scan and scan_grad are the same. */
bool scan_shape_of(const kernel_call *call, scan_shape *s);

/* Rows of sentence b, in [0, time]. */
static inline int64_t scan_length(const kernel_call *call, const scan_shape *s, int64_t b)
{
    const tensor *length = operand_of(call, SCAN_LENGTH);
    int64_t rows = length->data ? ((const int32_t *)length->data)[b * length->strides[0]] : s->time;
    return rows < 0 ? 0 : rows > s->time ? s->time : rows;
}
