/* What the scan over channels and its gradient share. Heads with one key and one value are lanes: where
 * they lie side by side in memory, [B, T, H], a task is a strip of them in one sentence. */
#pragma once
#include "ops/kernels/recurrent/scan_decay.h"

/* Channels of a strip, a row of each operand is 1 KB; and rows that are fetched ahead. */
enum { STRIP = 256, AHEAD = 3 };

/* False: not these operands. */
bool channel_takes(const kernel_call *call, scan_shape *s);
/* A task for each strip, and the work of one pass over them. */
void channel_cut(kernel_call *call, const scan_shape *s);

/* Sentence b, channels from `first` on. Nothing where there is no tensor. */
channel_rows channel_rows_of(const tensor *t, int64_t b, int64_t first);
channel_results channel_results_of(const tensor *t, int64_t b, int64_t first);
channel_scan channel_scan_of(const kernel_call *call, const scan_shape *s, int64_t b, int64_t first);

/* A state or its gradient, as doubles and back. */
void channel_load_state(const tensor *from, int64_t b, int64_t first, int64_t channels, double *state);
void channel_store_state(const tensor *to, int64_t b, int64_t first, int64_t channels, const double *state);
/* Rows from `from` on become 0. */
void channel_clear_behind(const tensor *t, int64_t b, int64_t first, int64_t channels, int64_t from);
