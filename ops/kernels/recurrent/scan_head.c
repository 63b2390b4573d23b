/* Tasks, operands and results of a forward scan, a head at a time. */
#include "ops/kernels/recurrent/scan_head.h"
#include <string.h>

void scan_load_values(const scan_head *h, int64_t t, int64_t rows, float *tile, int64_t pitch)
{
    vectors()->tile_copy(rows, h->real, row_of(&h->v, t) + h->first * h->v.column, h->v.row, h->v.column,
                         tile, pitch);
    if (h->real == h->columns)
        return;
    for (int64_t i = 0; i < rows; i++) {
        float *row = tile + i * pitch;
        if (h->real % TILE_LANES == 0)
            memset(row + h->real, 0, TILE_LANES * sizeof *row);
        row[h->real] = 1;
    }
}

void scan_store_results(const scan_head *h, int64_t t, int64_t rows, const float *tile, int64_t pitch)
{
    if (h->numerator.data)
        vectors()->tile_store(rows, h->real, tile, pitch,
                              row_of(&h->numerator, t) + h->first * h->numerator.column, h->numerator.row,
                              h->numerator.column);
    if (h->denominator.data && h->real < h->columns)
        for (int64_t i = 0; i < rows; i++)
            *row_of(&h->denominator, t + i) = tile[i * pitch + h->real];
}

static void clear_results(const scan_head *h, int64_t from)
{
    for (int64_t t = from; t < h->s->time; t++) {
        if (h->numerator.data)
            for (int64_t j = 0; j < h->real; j++)
                row_of(&h->numerator, t)[(h->first + j) * h->numerator.column] = 0;
        if (h->denominator.data && h->real < h->columns)
            *row_of(&h->denominator, t) = 0;
    }
}

bool scan_load_state(const scan_head *h, float *tile, int64_t pitch)
{
    if (h->state.data)
        vectors()->tile_copy(h->s->key, h->columns, h->state.data + h->first * h->state.column, h->state.row,
                             h->state.column, tile, pitch);
    return h->state.data;
}

void scan_store_state(const scan_head *h, const float *tile, int64_t pitch, bool carried)
{
    if (h->state_out.data && carried)
        vectors()->tile_store(h->s->key, h->columns, tile, pitch,
                              h->state_out.data + h->first * h->state_out.column, h->state_out.row,
                              h->state_out.column);
    for (int64_t f = 0; h->state_out.data && !carried && f < h->s->key; f++)
        for (int64_t j = 0; j < h->columns; j++)
            row_of(&h->state_out, f)[(h->first + j) * h->state_out.column] = 0;
}

/* ---- tasks ---- */

int64_t scan_cut(kernel_call *call, const scan_shape *s, bool whole)
{
    int64_t pairs = s->batch * s->heads, columns = s->width > 0 ? s->width : 1;
    while (!whole && pairs * divide_up(s->width, columns) < 4 && columns >= 64)
        columns = tile_pitch(divide_up(columns, 2));
    call->phases = 1;
    call->tasks[0] = divide_up(pairs, s->group) * divide_up(s->width, columns);
    double parts = (double)divide_up(s->width, columns), key = (double)s->key, width = (double)s->width;
    double states = chunk_rows_before(s->time, s->chunk, operand_of(call, SCAN_STATE)->data) +
                    chunk_rows_after(s->time, s->chunk, call->outputs[2].data);
    double triangles = whole ? 0 : chunk_pairs(s->time, s->chunk) * (parts * key + width);
    call->flops = 2.0 * (double)pairs * (triangles + (whole ? 2 : states) * key * width);
    return columns;
}

static scan_head head_of_pair(const kernel_call *call, const scan_shape *s, int64_t pair)
{
    int64_t b = pair / s->heads, head = pair % s->heads;
    return (scan_head){.s = s,
                       .q = head_of(operand_of(call, SCAN_Q), b, head),
                       .k = head_of(operand_of(call, SCAN_K), b, head),
                       .v = head_of(operand_of(call, SCAN_V), b, head),
                       .decay = scan_decay_of(call, b, head),
                       .state = head_of(operand_of(call, SCAN_STATE), b, head),
                       .numerator = head_of(&call->outputs[0], b, head),
                       .denominator = head_of(&call->outputs[1], b, head),
                       .state_out = head_of(&call->outputs[2], b, head),
                       .rows = scan_length(call, s, b)};
}

void scan_run_heads(const kernel_call *call, scan_shape *s, int64_t columns, int64_t task,
                    scan_head_run *head, float *scratch)
{
    int64_t parts = divide_up(s->width, columns), pairs = s->batch * s->heads;
    int64_t first = task % parts * columns, from = task / parts * s->group;
    for (int64_t pair = from; pair < from + s->group && pair < pairs; pair++) {
        scan_head h = head_of_pair(call, s, pair);
        h.first = first, h.columns = s->width - first < columns ? s->width - first : columns;
        h.real = s->value - first < h.columns ? s->value - first : h.columns;
        clear_results(&h, h.rows);
        head(&h, scratch);
        if (!s->denominator && h.denominator.data && first == 0) /* without one it is 0 */
            for (int64_t t = 0; t < s->time; t++)
                *row_of(&h.denominator, t) = 0;
    }
}
