/* What the forward scans share: how heads and columns of v are cut into tasks, and the rows of one head. */
#pragma once
#include "ops/kernels/recurrent/scan_decay.h"

typedef struct scan_head {
    const scan_shape *s;
    head_view q, k, v, decay, state, numerator, denominator, state_out;
    int64_t rows;           /* of this sentence */
    int64_t first, columns; /* of v with its column of ones */
    int64_t real;           /* columns of v among them; the next one is the ones */
} scan_head;

/* Rows t … t + rows of v and of its ones, as a tile. */
void scan_load_values(const scan_head *h, int64_t t, int64_t rows, float *tile, int64_t pitch);
/* Stores such a tile as rows of the numerator and the denominator. */
void scan_store_results(const scan_head *h, int64_t t, int64_t rows, const float *tile, int64_t pitch);
/* Loads the state before the first token as a tile; false: it is zero and the tile is not written. Stores the
 * state after the last. */
bool scan_load_state(const scan_head *h, float *tile, int64_t pitch);
void scan_store_state(const scan_head *h, const float *tile, int64_t pitch, bool carried);

/* A task is some heads, or `columns` columns of v of one head. Every part of a head recomputes the triangle,
 * so a head is split only for lack of tasks. Fills phases, tasks and flops. */
int64_t scan_cut(kernel_call *call, const scan_shape *s, bool whole);
typedef void scan_head_run(const scan_head *h, float *scratch);
/* Runs the heads of a task, and sets the padding in their results to 0. */
void scan_run_heads(const kernel_call *call, scan_shape *s, int64_t columns, int64_t task,
                    scan_head_run *head, float *scratch);
