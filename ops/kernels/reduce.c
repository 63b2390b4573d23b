/* Reductions: sum, mean, max and logsumexp over an axis, sum_to over several.
 *
 * Axes are kept or reduced; each kind is merged by itself. If neighbours in memory are kept, whole rows are
 * added to rows (columns); else each result is a sum over runs of neighbours (lines). Long sums are cut at
 * fixed places: blocks of BLOCK rows in float, or pieces of PIECE elements in double, are summed in phase 0
 * and put together in order in phase 1. */
#include "ops/op.h"
#include "ops/rules.h"
#include "ops/kernels/strided.h"
#include "ops/vector/table.h"
#include <math.h>
#include <string.h>

enum { BLOCK = 64, CHUNK = 1024, PIECE = 16384, LINE_SPLIT = 65536, TASK = 32768, ROOM = 16 };

typedef struct reduction {
    strided_walk kept; /* operand 0: x, 1: y */
    strided_walk over; /* operand 0: x */
    int64_t count;     /* numbers summed for one result */
    bool columns;
    /* columns: [kept.rows][blocks][chunks]; lines: [kept elements][pieces] */
    int64_t blocks, chunks, chunk, pieces_per_row, pieces;
    int64_t units, per_task, finish_units, finish_per_task;
    bool split; /* two phases */
} reduction;

/* Which axes of x go. */
static unsigned reduced_axes(const kernel_call *call)
{
    const tensor *x = &call->inputs[0], *y = &call->outputs[0];
    if (call->op != OP_sum_to) {
        int64_t axis = call->attributes[sum_axis].integer;
        return 1u << (axis < 0 ? axis + x->rank : axis);
    }
    unsigned axes = 0;
    for (int i = 0; i < x->rank; i++) {
        int own = i - (x->rank - y->rank);
        if (own < 0 || (y->dims[own] == 1 && x->dims[i] != 1))
            axes |= 1u << i;
    }
    return axes;
}

/* y with x's rank: reduced axes have extent 1. */
static tensor result_like(const kernel_call *call, unsigned axes)
{
    const tensor *x = &call->inputs[0];
    tensor y = call->outputs[0], wide = y;
    bool keeps = call->op != OP_sum_to && call->attributes[sum_keep].integer;
    wide.rank = x->rank;
    for (int i = 0, own = 0; i < x->rank; i++) {
        bool gone = axes >> i & 1;
        int at = call->op == OP_sum_to ? i - (x->rank - y.rank) : own;
        wide.dims[i] = gone ? 1 : x->dims[i];
        wide.strides[i] = gone || at < 0 ? 0 : y.strides[at];
        own += !gone || keeps;
    }
    return wide;
}

/* t with extent 1 on the axes in `axes`. */
static tensor without(tensor t, unsigned axes)
{
    for (int i = 0; i < t.rank; i++)
        if (axes >> i & 1) {
            t.dims[i] = 1;
            t.strides[i] = 0;
        }
    return t;
}

static void plan_columns(reduction *r)
{
    int64_t columns = r->kept.inner;
    r->chunk = CHUNK;
    r->chunks = parts_of(columns, r->chunk);
    r->split = r->split && r->count > BLOCK;
    r->blocks = r->split ? parts_of(r->count, BLOCK) : 1;
    int64_t height = r->split ? BLOCK : r->count, width = columns < r->chunk ? columns : r->chunk;
    r->units = r->kept.rows * r->blocks * r->chunks;
    r->per_task = units_per_task(height * width, TASK);
    r->finish_units = r->kept.rows * r->chunks;
    r->finish_per_task = units_per_task(r->blocks * width, TASK);
}

static void plan_lines(reduction *r)
{
    r->pieces_per_row = r->over.inner ? parts_of(r->over.inner, PIECE) : 0;
    r->pieces = r->over.rows * r->pieces_per_row;
    r->split = r->split && r->count >= LINE_SPLIT;
    int64_t results = walk_elements(&r->kept);
    r->units = r->split ? results * r->pieces : results;
    r->per_task = units_per_task(r->split ? r->over.inner < PIECE ? r->over.inner : PIECE : r->count, TASK);
    r->finish_units = results;
    r->finish_per_task = units_per_task(r->pieces, TASK);
}

static void make_reduction(const kernel_call *call, reduction *r)
{
    const tensor *x = &call->inputs[0];
    unsigned axes = reduced_axes(call), others = (1u << x->rank) - 1 - axes;
    tensor y = result_like(call, axes), x_kept = without(*x, axes), x_over = without(*x, others);
    memset(r, 0, sizeof *r);
    walk_begin(&r->kept, x->rank, x_kept.dims);
    walk_add(&r->kept, &x_kept);
    walk_add(&r->kept, &y);
    walk_merge(&r->kept);
    walk_begin(&r->over, x->rank, x_over.dims);
    walk_add(&r->over, &x_over);
    walk_merge(&r->over);
    r->count = walk_elements(&r->over);
    bool unit_kept = r->kept.inner > 1 && walk_stride(&r->kept, 0) == 1;
    bool unit_over = r->over.inner > 1 && walk_stride(&r->over, 0) == 1;
    r->columns = unit_kept || (!unit_over && r->kept.inner > 1);
    r->split = call->op == OP_sum || call->op == OP_mean || call->op == OP_sum_to;
    if (r->columns)
        plan_columns(r);
    else
        plan_lines(r);
}

static bool reduce_plan(kernel_call *call)
{
    reduction r;
    make_reduction(call, &r);
    int64_t results = walk_elements(&r.kept);
    call->phases = r.split ? 2 : 1;
    call->tasks[0] = parts_of(r.units, r.per_task);
    call->tasks[1] = r.split ? parts_of(r.finish_units, r.finish_per_task) : 0;
    call->shared_bytes = !r.split    ? 0
                         : r.columns ? sizeof(float) * (size_t)(results * r.blocks)
                                     : sizeof(double) * (size_t)(results * r.pieces);
    bool sums = call->op != OP_max && call->op != OP_logsumexp;
    call->scratch_bytes = r.columns
                              ? (sizeof(float) * 3 + sizeof(double)) * (CHUNK + ROOM)
                              : sizeof(float) * (size_t)((sums && r.count > PIECE ? PIECE : r.count) + ROOM);
    return true;
}

static double scale_of(const kernel_call *call, const reduction *r)
{
    return call->op == OP_mean ? 1 / (double)r->count : 1;
}

/* ---- columns ---- */

/* Calls `each` on the rows [first, last) of x in runs of equal pitch; a row that is not dense goes through
 * `gathered`. */
typedef struct column_rows {
    const reduction *r;
    const float *x; /* at the kept row and the first column */
    int64_t columns;
    float *gathered;
} column_rows;
typedef void column_run(void *argument, const float *x, int64_t pitch, int64_t rows, int64_t columns);

static void each_run(const column_rows *c, int64_t first, int64_t last, column_run *each, void *argument)
{
    const strided_walk *over = &c->r->over;
    int64_t stride = walk_stride(&c->r->kept, 0);
    for (int64_t at = first; at < last;) {
        int64_t rows = over->inner - at % over->inner;
        rows = rows < last - at ? rows : last - at;
        const float *x = c->x + walk_at(over, 0, at);
        if (stride == 1)
            each(argument, x, walk_stride(over, 0), rows, c->columns);
        else
            for (int64_t i = 0; i < rows; i++) {
                gather_row(c->gathered, x + i * walk_stride(over, 0), stride, c->columns);
                each(argument, c->gathered, 0, 1, c->columns);
            }
        at += rows;
    }
}

static void add_run(void *total, const float *x, int64_t pitch, int64_t rows, int64_t columns)
{
    vectors()->columns_sum(total, x, pitch, rows, columns);
}
static void max_run(void *largest, const float *x, int64_t pitch, int64_t rows, int64_t columns)
{
    vectors()->columns_max(largest, x, pitch, rows, columns);
}
typedef struct exp_sums {
    double *total;
    const float *largest;
} exp_sums;
static void exp_run(void *argument, const float *x, int64_t pitch, int64_t rows, int64_t columns)
{
    const exp_sums *sums = argument;
    vectors()->columns_exp_sum(sums->total, x, sums->largest, pitch, rows, columns);
}

/* Result `flat` of row `row`, chunk `chunk`, written from `from`. */
static void write_chunk(const kernel_call *call, const reduction *r, int64_t row, int64_t chunk,
                        const float *from, int64_t columns)
{
    int64_t stride = walk_stride(&r->kept, 1);
    float *y = (float *)call->outputs[0].data + walk_row(&r->kept, 1, row) + chunk * r->chunk * stride;
    scatter_row(y, stride, from, columns);
}

/* max or logsumexp of a chunk of columns, all rows. */
static void extreme_chunk(const kernel_call *call, const column_rows *c, float *out, float *largest,
                          double *total)
{
    int64_t count = c->r->count;
    vectors()->row_fill(largest, -INFINITY, c->columns);
    each_run(c, 0, count, max_run, largest);
    if (call->op == OP_max) {
        vectors()->row_copy(out, largest, c->columns);
        return;
    }
    memset(total, 0, sizeof *total * (CHUNK + ROOM));
    exp_sums sums = {total, largest};
    for (int64_t at = 0; at < count; at += BLOCK)
        each_run(c, at, at + BLOCK < count ? at + BLOCK : count, exp_run, &sums);
    vectors()->columns_finish_logsumexp(out, largest, total, c->columns);
}

static void columns_unit(const kernel_call *call, const reduction *r, int64_t unit, float *scratch)
{
    int64_t chunk = unit % r->chunks, block = unit / r->chunks % r->blocks,
            row = unit / r->chunks / r->blocks;
    int64_t first = chunk * r->chunk, left = r->kept.inner - first;
    float *gathered = scratch, *out = gathered + CHUNK + ROOM, *largest = out + CHUNK + ROOM;
    double *total = (double *)(largest + CHUNK + ROOM);
    column_rows c = {r,
                     (const float *)call->inputs[0].data + walk_row(&r->kept, 0, row) +
                         first * walk_stride(&r->kept, 0),
                     left < r->chunk ? left : r->chunk, gathered};
    if (call->op == OP_max || call->op == OP_logsumexp) {
        extreme_chunk(call, &c, out, largest, total);
    } else {
        int64_t end = r->split ? (block + 1) * BLOCK : r->count;
        float *sum =
            r->split ? (float *)call->shared + (row * r->blocks + block) * r->kept.inner + first : out;
        vectors()->row_fill(sum, 0, c.columns);
        each_run(&c, block * BLOCK, end < r->count ? end : r->count, add_run, sum);
        if (r->split)
            return;
        vectors()->columns_combine(out, out, 0, 1, c.columns, scale_of(call, r));
    }
    write_chunk(call, r, row, chunk, out, c.columns);
}

static void columns_finish(const kernel_call *call, const reduction *r, int64_t unit, float *out)
{
    int64_t chunk = unit % r->chunks, row = unit / r->chunks, first = chunk * r->chunk,
            left = r->kept.inner - first;
    int64_t columns = left < r->chunk ? left : r->chunk;
    const float *parts = (const float *)call->shared + row * r->blocks * r->kept.inner + first;
    vectors()->columns_combine(out, parts, r->kept.inner, r->blocks, columns, scale_of(call, r));
    write_chunk(call, r, row, chunk, out, columns);
}

/* ---- lines ---- */

static double sum_piece(const reduction *r, const float *x, int64_t piece, float *gathered)
{
    int64_t first = piece % r->pieces_per_row * PIECE, left = r->over.inner - first,
            stride = walk_stride(&r->over, 0);
    int64_t count = left < PIECE ? left : PIECE;
    const float *from = x + walk_row(&r->over, 0, piece / r->pieces_per_row) + first * stride;
    if (stride != 1) {
        gather_row(gathered, from, stride, count);
        from = gathered;
    }
    return vectors()->row_sum(from, count);
}

/* The whole line one after another: in place if it is dense, else gathered. */
static const float *whole_line(const reduction *r, const float *x, float *gathered)
{
    if (walk_dense(&r->over, 0))
        return x;
    for (int64_t row = 0; row < r->over.rows; row++)
        gather_row(gathered + row * r->over.inner, x + walk_row(&r->over, 0, row), walk_stride(&r->over, 0),
                   r->over.inner);
    return gathered;
}

static float line_result(const kernel_call *call, const reduction *r, const float *x, float *gathered)
{
    if (call->op == OP_max)
        return vectors()->row_max(whole_line(r, x, gathered), r->count);
    if (call->op == OP_logsumexp)
        return vectors()->row_logsumexp(whole_line(r, x, gathered), r->count);
    double total = 0;
    for (int64_t piece = 0; piece < r->pieces; piece++)
        total += sum_piece(r, x, piece, gathered);
    return (float)(total * scale_of(call, r));
}

static void lines_unit(const kernel_call *call, const reduction *r, int64_t unit, float *gathered)
{
    int64_t result = r->split ? unit / r->pieces : unit;
    const float *x = (const float *)call->inputs[0].data + walk_at(&r->kept, 0, result);
    if (r->split)
        ((double *)call->shared)[unit] = sum_piece(r, x, unit % r->pieces, gathered);
    else
        ((float *)call->outputs[0].data)[walk_at(&r->kept, 1, result)] = line_result(call, r, x, gathered);
}

static void lines_finish(const kernel_call *call, const reduction *r, int64_t unit)
{
    const double *parts = (const double *)call->shared + unit * r->pieces;
    double total = 0;
    for (int64_t piece = 0; piece < r->pieces; piece++)
        total += parts[piece];
    ((float *)call->outputs[0].data)[walk_at(&r->kept, 1, unit)] = (float)(total * scale_of(call, r));
}

static void reduce_run(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    reduction r;
    make_reduction(call, &r);
    int64_t each = phase ? r.finish_per_task : r.per_task, units = phase ? r.finish_units : r.units;
    int64_t last = (task + 1) * each < units ? (task + 1) * each : units;
    for (int64_t unit = task * each; unit < last; unit++) {
        if (r.columns && phase == 0)
            columns_unit(call, &r, unit, scratch);
        else if (r.columns)
            columns_finish(call, &r, unit, scratch);
        else if (phase == 0)
            lines_unit(call, &r, unit, scratch);
        else
            lines_finish(call, &r, unit);
    }
}
const kernel kernel_reduce = {"reduce", reduce_plan, reduce_run};
const kernel kernel_sum_to = {"sum_to", reduce_plan, reduce_run};
