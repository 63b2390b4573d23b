/* Reading a chunk's gates, and its triangle block by block. */
#include "ops/kernels/recurrent/gate_blocks.h"
#include <string.h>

int64_t gate_floats(const scan_shape *s)
{
    int64_t pitch = tile_pitch(s->chunk), high = tile_pitch(s->key);
    return 3 * pitch * high + s->key * pitch + (4 * TILE_LANES + 1) * high +
           (3 * (pitch / TILE_LANES) + 2) * high;
}

gate_tiles gate_take(float **scratch, const scan_shape *s)
{
    gate_tiles x = {.key = s->key, .pitch = tile_pitch(s->chunk), .high = tile_pitch(s->key)};
    x.queries = tile_take(scratch, x.pitch, x.high), x.decay = tile_take(scratch, x.pitch, x.high);
    x.before = tile_take(scratch, x.pitch, x.high), x.keys = tile_take(scratch, x.key, x.pitch);
    x.faded = tile_take(scratch, TILE_LANES, x.high), x.gates = tile_take(scratch, TILE_LANES, x.high);
    x.queries_turned = tile_take(scratch, x.high, TILE_LANES);
    x.decay_turned = tile_take(scratch, x.high, TILE_LANES);
    x.factor = tile_take(scratch, 1, x.high);
    x.blocks = tile_take(scratch, x.pitch / TILE_LANES, x.high);
    x.starts = (double *)tile_take(scratch, 2 * (x.pitch / TILE_LANES + 1), x.high);
    return x;
}

void gate_read(gate_tiles *x, const head_view *q, const head_view *k, const head_view *g, int64_t t,
               int64_t rows)
{
    const vector_table *v = vectors();
    int64_t high = x->high, padded = tile_pitch(rows);
    v->tile_transpose(rows, x->key, row_of(k, t), k->row, k->column, x->keys, x->pitch);
    v->tile_copy(rows, x->key, row_of(q, t), q->row, q->column, x->queries, high);
    memset(x->queries + rows * high, 0, sizeof(float) * (size_t)((padded - rows) * high));
    memset(x->starts, 0, sizeof *x->starts * (size_t)high);
    for (int64_t i = 0; i < rows; i += TILE_LANES) {
        int64_t some = rows - i < TILE_LANES ? rows - i : TILE_LANES;
        double *sums = x->starts + i / TILE_LANES * high;
        v->tile_copy(some, x->key, row_of(g, t + i), g->row, g->column, x->gates, high);
        memset(x->gates + some * high, 0, sizeof(float) * (size_t)((TILE_LANES - some) * high));
        v->gate_exponentials(TILE_LANES, x->key, x->gates, high, x->decay + i * high);
        v->gate_from_start(TILE_LANES, x->key, x->gates, high, x->before + i * high, sums + high);
        v->scan_exponentials(x->blocks + i / TILE_LANES * high, sums + high, high);
        for (int64_t f = 0; f < high; f++)
            sums[high + f] += sums[f];
    }
}

const float *gate_factor(const gate_tiles *x, int64_t from, int64_t to)
{
    const double *start = x->starts + from / TILE_LANES * x->high,
                 *end = x->starts + to / TILE_LANES * x->high;
    for (int64_t f = 0; f < x->high; f += TILE_LANES) {
        double sums[TILE_LANES];
        for (int64_t i = 0; i < TILE_LANES; i++)
            sums[i] = end[f + i] - start[f + i];
        vectors()->scan_exponentials(x->factor + f, sums, TILE_LANES);
    }
    return x->factor;
}

void gate_scores_of(gate_tiles *x, int64_t first, int64_t rows, float *out, bool strict)
{
    const vector_table *v = vectors();
    int64_t high = x->high;
    const float *queries = x->queries + first * high;
    v->tile_transpose(TILE_LANES, x->key, queries, high, 1, x->queries_turned, TILE_LANES);
    v->tile_transpose(TILE_LANES, x->key, x->decay + first * high, high, 1, x->decay_turned, TILE_LANES);
    v->gate_scores(x->key, x->queries_turned, x->decay_turned, x->keys + first, x->pitch, out + first,
                   x->pitch, strict);
    v->tile_multiply(TILE_LANES, x->key, queries, x->before + first * high, high, x->faded);
    if (first == 0)
        return;
    v->tile_product(rows, first, x->key, x->faded, high, 1, x->keys, x->pitch, out, x->pitch, false);
    v->tile_scale_rows(x->key, first, x->keys, x->pitch, gate_block_factor(x, first));
}
