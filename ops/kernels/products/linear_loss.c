/* Cross entropy with its output projection: loss, and dh, dW and dbias for dloss = 1, in one sweep, so that
 * the logits are computed once and never exist all together. Rows whose target counts are gathered first, and
 * divided evenly among a number of lanes that depends on shapes alone; a lane does its rows in chunks:
 * logits, softmax and gradient in place, dh, and its own sum of dW. The lanes' sums are added in order, so
 * the bits do not depend on the threads.
 *
 *   phase 0   list of live rows, bias; W one row after another if it is stored otherwise
 *   phase 1   a task a lane
 *   phase 2   dW = Σ lanes, some rows a task; task 0 does loss and dbias too */
#include "ops/kernels/products/gemm.h"
#include "ops/kernels/loss_shape.h"
#include <string.h>

enum { H, WEIGHT, TARGETS, BIAS, LOSS = 0, NLL, COUNT, DH, DWEIGHT, DBIAS };
enum { CHUNK = 240, MOST_LANES = 8, LANES_BYTES = 1 << 27 }; /* rows at once; dW sums of all lanes */

typedef struct loss_shape {
    int64_t rows, width, vocabulary, pitch; /* pitch: of logits, never a multiple of 4 KB */
    int64_t lanes, chunk;                   /* chunk: rows at once */
    bool bias, packed;                      /* packed: W has to be copied */
    bool dh, dweight, dbias, gradient;      /* wanted; any of them */
    /* in the shared block */
    float *weight, *bias_row; /* [V, d]; [V] */
    float *sums, *bias_sums;  /* lanes [V, d]; lanes [V] */
    loss_sums *totals;
    int64_t *live; /* row numbers; [rows] is how many there are */
    bool *wrong;   /* some target is no id */
    size_t bytes;
} loss_shape;

static void *take(loss_shape *s, void *shared, size_t bytes)
{
    void *at = shared ? (char *)shared + s->bytes : NULL;
    s->bytes += (bytes + 63) / 64 * 64;
    return at;
}

static loss_shape shape_of(const kernel_call *call)
{
    const tensor *h = &call->inputs[H], *w = &call->inputs[WEIGHT];
    loss_shape s = {.rows = extents_product(h->dims, h->rank - 1),
                    .width = w->dims[1],
                    .vocabulary = w->dims[0],
                    .dh = call->choice[DH],
                    .dweight = call->choice[DWEIGHT],
                    .dbias = call->choice[DBIAS]};
    s.chunk = s.rows < CHUNK ? s.rows : CHUNK;
    s.pitch = (s.vocabulary + 15) / 16 * 16 + (s.vocabulary % 1024 == 0 ? 16 : 0);
    s.bias = call->input_count > BIAS && call->inputs[BIAS].data;
    s.gradient = s.dh || s.dweight || s.dbias;
    s.packed = !(w->strides[1] == 1 && w->strides[0] >= s.width);
    s.lanes = s.rows > 0 ? divide_up(s.rows, CHUNK) : 1;
    double bytes = (double)s.vocabulary * (double)s.width * sizeof(float);
    if (s.dweight || s.dbias) {
        s.lanes = s.lanes > MOST_LANES ? MOST_LANES : s.lanes;
        while (s.lanes > 2 && bytes * (double)s.lanes > LANES_BYTES)
            s.lanes /= 2;
    }
    size_t table = sizeof(float) * (size_t)(s.vocabulary * s.width);
    s.weight = take(&s, call->shared, s.packed ? table : 0);
    s.bias_row = take(&s, call->shared, s.bias ? sizeof(float) * (size_t)s.vocabulary : 0);
    s.sums = take(&s, call->shared, s.dweight ? table * (size_t)s.lanes : 0);
    s.bias_sums = take(&s, call->shared, s.dbias ? sizeof(float) * (size_t)(s.lanes * s.vocabulary) : 0);
    s.totals = take(&s, call->shared, sizeof(loss_sums) * (size_t)s.lanes);
    s.live = take(&s, call->shared, sizeof(int64_t) * (size_t)(s.rows + 1));
    s.wrong = take(&s, call->shared, sizeof(bool));
    return s;
}

static bool plan(kernel_call *call)
{
    call->shared = NULL;
    for (int i = DH; i <= DBIAS; i++)
        call->choice[i] = call->outputs[i].data != NULL; /* which gradients are wanted */
    loss_shape s = shape_of(call);
    int64_t part = rows_per_task(s.width);
    call->phases = 3;
    call->tasks[0] = 1 + (s.packed ? divide_up(s.vocabulary, part) : 0);
    call->tasks[1] = s.lanes;
    call->tasks[2] = s.dweight && s.vocabulary > 0 ? divide_up(s.vocabulary, part) : 1;
    call->scratch_bytes = sizeof(float) * (size_t)(s.chunk * (s.pitch + 2 * s.width) + s.width);
    call->shared_bytes = s.bytes;
    call->flops =
        (double)(2 + 2 * s.dh + 2 * s.dweight) * (double)s.rows * (double)s.vocabulary * (double)s.width;
    return true;
}

/* ---- phase 0 ---- */

static void list_rows(const kernel_call *call, const loss_shape *s)
{
    int64_t count = 0, ignore = call->attributes[linear_cross_entropy_ignore].integer;
    *s->wrong = false;
    for (int64_t row = 0; row < s->rows; row++) {
        target_kind kind = target_kind_of(target_at(&call->inputs[TARGETS], row), ignore, s->vocabulary);
        if (kind == TARGET_COUNTS)
            s->live[count++] = row;
        *s->wrong |= kind == TARGET_WRONG;
    }
    s->live[s->rows] = count;
    if (s->bias)
        gather_row(s->bias_row, call->inputs[BIAS].data, call->inputs[BIAS].strides[0], s->vocabulary);
}

static void copy_weight(const kernel_call *call, const loss_shape *s, int64_t task)
{
    const tensor *w = &call->inputs[WEIGHT];
    int64_t part = rows_per_task(s->width);
    for (int64_t row = task * part; row < (task + 1) * part && row < s->vocabulary; row++)
        gather_row(s->weight + row * s->width, (const float *)w->data + row * w->strides[0], w->strides[1],
                   s->width);
}

/* ---- phase 1: one lane ---- */

typedef struct loss_lane {
    const kernel_call *call;
    const loss_shape *s;
    const float *weight;
    int64_t weight_row;
    float *logits, *h, *dh, *dweight, *dbias; /* dweight, dbias: NULL where nobody reads them */
    loss_sums total;
} loss_lane;

/* Turns the logits of some live rows into their gradient, in place, and adds to the sums. */
static void chunk_rows(loss_lane *l, const int64_t *live, int64_t rows)
{
    const loss_shape *s = l->s;
    for (int64_t i = 0; i < rows; i++) {
        float *x = l->logits + i * s->pitch;
        double sums[2] = {0};
        vectors()->loss_row(
            &(loss_row_work){.x = x,
                             .bias = s->bias ? s->bias_row : NULL,
                             .gradient = s->gradient ? x : NULL,
                             .column_sums = l->dbias,
                             .count = s->vocabulary,
                             .target = target_at(&l->call->inputs[TARGETS], live[i]),
                             .smoothing = l->call->attributes[linear_cross_entropy_smoothing].real,
                             .scale = 1},
            sums);
        l->total = loss_sums_add(l->total, (loss_sums){sums[0], sums[1], 1});
    }
}

static void chunk(loss_lane *l, const int64_t *live, int64_t rows, bool first)
{
    const loss_shape *s = l->s;
    const tensor *h = &l->call->inputs[H], *dh = &l->call->outputs[DH];
    for (int64_t i = 0; i < rows; i++)
        gather_row(l->h + i * s->width, (const float *)h->data + loss_row_offset(h, live[i]),
                   tensor_last_stride(h), s->width);
    gemm_panel(&(gemm_shape){rows, s->vocabulary, s->width, false, true, s->width, l->weight_row, s->pitch},
               l->h, l->weight, false, l->logits);
    chunk_rows(l, live, rows);
    if (s->dh) {
        gemm_panel(
            &(gemm_shape){rows, s->width, s->vocabulary, false, false, s->pitch, l->weight_row, s->width},
            l->logits, l->weight, false, l->dh);
        for (int64_t i = 0; i < rows; i++)
            scatter_row((float *)dh->data + loss_row_offset(dh, live[i]), tensor_last_stride(dh),
                        l->dh + i * s->width, s->width);
    }
    if (l->dweight)
        gemm_panel(&(gemm_shape){s->vocabulary, s->width, rows, true, false, s->pitch, s->width, s->width},
                   l->logits, l->h, !first, l->dweight);
}

/* dh of the rows in from … to − 1 that do not count. */
static void clear_dead(const loss_lane *l, int64_t from, int64_t to, const int64_t *live, int64_t count)
{
    const tensor *dh = &l->call->outputs[DH];
    for (int64_t row = from, next = 0; l->s->dh && row < to; row++) {
        if (next < count && live[next] == row) {
            next++;
            continue;
        }
        float *at = (float *)dh->data + loss_row_offset(dh, row);
        for (int64_t j = 0; j < l->s->width; j++)
            at[j * tensor_last_stride(dh)] = 0;
    }
}

static int64_t live_row(const loss_shape *s, int64_t i)
{
    return i < s->live[s->rows] ? s->live[i] : s->rows;
}

static void run_lane(const kernel_call *call, const loss_shape *s, int64_t lane, float *scratch)
{
    int64_t count = s->live[s->rows], from = lane * count / s->lanes, to = (lane + 1) * count / s->lanes;
    const tensor *w = &call->inputs[WEIGHT];
    loss_lane l = {.call = call,
                   .s = s,
                   .weight = s->packed ? s->weight : w->data,
                   .weight_row = s->packed ? s->width : w->strides[0],
                   .logits = scratch,
                   .h = scratch + s->chunk * s->pitch,

                   .dh = scratch + s->chunk * (s->pitch + s->width)};
    l.dweight = s->dweight ? s->sums + lane * s->vocabulary * s->width : NULL;
    l.dbias = s->dbias ? s->bias_sums + lane * s->vocabulary : NULL;
    if (l.dbias)
        memset(l.dbias, 0, sizeof *l.dbias * (size_t)s->vocabulary);
    if (l.dweight && from == to)
        memset(l.dweight, 0, sizeof *l.dweight * (size_t)(s->vocabulary * s->width));
    /* this lane's rows, dead ones included */
    int64_t first = lane == 0 ? 0 : live_row(s, from),
            last = lane == s->lanes - 1 ? s->rows : live_row(s, to);
    clear_dead(&l, first, last, s->live + from, to - from);
    int64_t parts = divide_up(to - from, CHUNK), rows = parts ? divide_up(to - from, parts) : 0;
    for (int64_t i = from; i < to; i += rows)
        chunk(&l, s->live + i, to - i < rows ? to - i : rows, i == from);
    s->totals[lane] = l.total;
}

/* ---- phase 2 ---- */

static void sum_bias(const kernel_call *call, const loss_shape *s)
{
    const tensor *out = &call->outputs[DBIAS];
    for (int64_t v = 0; v < s->vocabulary; v++) {
        double total = 0;
        for (int64_t lane = 0; lane < s->lanes; lane++)
            total += (double)s->bias_sums[lane * s->vocabulary + v];
        ((float *)out->data)[v * out->strides[0]] = (float)total;
    }
}

static void sum_weight(const kernel_call *call, const loss_shape *s, int64_t task, float *row)
{
    const tensor *out = &call->outputs[DWEIGHT];
    int64_t part = rows_per_task(s->width);
    for (int64_t v = task * part; v < (task + 1) * part && v < s->vocabulary; v++) {
        float *to = (float *)out->data + v * out->strides[0], *dense = out->strides[1] == 1 ? to : row;
        vectors()->sum_lanes(dense, s->sums + v * s->width, s->vocabulary * s->width, s->lanes, s->width);
        if (dense != to)
            scatter_row(to, out->strides[1], dense, s->width);
    }
}

static void run(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    loss_shape s = shape_of(call);
    if (phase == 0 && task == 0)
        list_rows(call, &s);
    else if (phase == 0)
        copy_weight(call, &s, task - 1);
    else if (phase == 1)
        run_lane(call, &s, task, scratch);
    else if (s.dweight)
        sum_weight(call, &s, task, scratch);
    if (phase < 2 || task > 0)
        return;
    loss_sums total = {0};
    for (int64_t lane = 0; lane < s.lanes; lane++)
        total = loss_sums_add(total, s.totals[lane]);
    if (*s.wrong)
        total.loss = total.nll = NAN;
    loss_sums_store(call, total);
    if (s.dbias)
        sum_bias(call, &s);
}

const kernel kernel_linear_cross_entropy = {"linear_cross_entropy, in chunks", plan, run};
