/* ops/kernels/box.h. The axis that is dense in the target goes last; a source that is dense along another
 * axis is copied in square tiles, so that both sides use whole cache lines. */
#include "ops/kernels/box.h"
#include "ops/kernels/rows.h"
#include <string.h>

enum { TILE = 32, SEGMENT = 16384 };

void box_axis(box *b, int64_t extent, int64_t from, int64_t to)
{
    b->dims[b->rank] = extent;
    b->from[b->rank] = from;
    b->to[b->rank++] = to;
}

/* ---- making one ---- */

/* Drops extents of 1, and merges neighbours that are one axis on both sides. */
static void box_merge(box *b)
{
    int rank = 0;
    for (int i = 0; i < b->rank; i++) {
        if (b->dims[i] == 1)
            continue;
        bool joins =
            rank && b->from[rank - 1] == b->from[i] * b->dims[i] && b->to[rank - 1] == b->to[i] * b->dims[i];
        int at = joins ? rank - 1 : rank++;
        b->dims[at] = joins ? b->dims[at] * b->dims[i] : b->dims[i];
        b->from[at] = b->from[i];
        b->to[at] = b->to[i];
    }
    b->rank = rank;
}

static void box_move(box *b, int axis, int place)
{
    int64_t extent = b->dims[axis], from = b->from[axis], to = b->to[axis];
    for (int i = axis; i < place; i++) {
        b->dims[i] = b->dims[i + 1];
        b->from[i] = b->from[i + 1];
        b->to[i] = b->to[i + 1];
    }
    b->dims[place] = extent;
    b->from[place] = from;
    b->to[place] = to;
}

static int box_dense_axis(const int64_t *strides, int rank)
{
    for (int i = rank - 1; i >= 0; i--)
        if (strides[i] == 1)
            return i;
    return -1;
}

void box_order(box *b)
{
    box_merge(b);
    if (!b->rank)
        box_axis(b, 1, 1, 1);
    int dense = box_dense_axis(b->to, b->rank);
    if (dense >= 0)
        box_move(b, dense, b->rank - 1);
    int source = box_dense_axis(b->from, b->rank - 1);
    if (source >= 0 && b->from[b->rank - 1] > 1)
        box_move(b, source, b->rank - 2);
}

static bool box_tiled(const box *b)
{
    return b->rank > 1 && b->to[b->rank - 1] == 1 && b->from[b->rank - 1] > 1 && b->from[b->rank - 2] == 1;
}

/* A tensor with as few axes as possible; a dense one has one. */
static box box_alone(const tensor *t)
{
    box alone = {0};
    for (int i = 0; i < t->rank; i++)
        box_axis(&alone, t->dims[i], t->strides[i], t->strides[i]);
    box_merge(&alone);
    return alone;
}

bool box_reshape(box *b, const tensor *x, const tensor *y)
{
    box from = box_alone(x), to = box_alone(y), inside = {0};
    int i = from.rank - 1, j = to.rank - 1;
    while (i >= 0 && j >= 0) {
        int64_t step = from.dims[i] < to.dims[j] ? from.dims[i] : to.dims[j];
        if (step > 0 && (from.dims[i] % step || to.dims[j] % step))
            return false;
        box_axis(&inside, step, from.from[i], to.to[j]);
        if (step == 0)
            break;
        from.dims[i] /= step;
        from.from[i] *= step;
        to.dims[j] /= step;
        to.to[j] *= step;
        i -= from.dims[i] == 1;
        j -= to.dims[j] == 1;
    }
    for (int k = inside.rank - 1; k >= 0; k--)
        box_axis(b, inside.dims[k], inside.from[k], inside.to[k]);
    return true;
}

/* ---- copying it ---- */

/* Units are rows cut into segments, or tiles; a task is some units in a row. */
typedef struct box_units {
    int outer;               /* axes outside the unit's own */
    int64_t rows, columns;   /* pieces of the last two axes of a tiled box; of the last axis: columns */
    int64_t count, per_task; /* of units */
} box_units;

static box_units box_split(const box *b)
{
    bool tiled = box_tiled(b);
    int64_t last = b->dims[b->rank - 1], piece = tiled ? TILE : SEGMENT;
    box_units u = {.outer = b->rank - (tiled ? 2 : 1), .rows = 1, .columns = divide_up(last, piece)};
    int64_t elements = last < piece ? last : piece;
    if (tiled) {
        u.rows = divide_up(b->dims[b->rank - 2], TILE);
        elements *= b->dims[b->rank - 2] < TILE ? b->dims[b->rank - 2] : TILE;
    }
    u.count = extents_product(b->dims, u.outer) * u.rows * u.columns;
    u.per_task = rows_per_task(elements);
    return u;
}

int64_t box_tasks(const box *b)
{
    box_units u = box_split(b);
    return divide_up(u.count, u.per_task);
}

static void copy_row(const uint32_t *from, int64_t from_stride, uint32_t *to, int64_t to_stride,
                     int64_t count)
{
    if (to_stride == 1 && from_stride == 1) {
        memcpy(to, from, sizeof *to * (size_t)count);
    } else if (to_stride == 1 && from_stride == 0) {
        for (int64_t i = 0; i < count; i++)
            to[i] = *from;
    } else {
        for (int64_t i = 0; i < count; i++)
            to[i * to_stride] = from[i * from_stride];
    }
}

/* to[i, j] = from[i, j]: i is dense in from, j in to. Four by four through registers. */
static void copy_tile(const uint32_t *from, int64_t from_column, uint32_t *to, int64_t to_row, int64_t rows,
                      int64_t columns)
{
    typedef uint32_t four __attribute__((vector_size(16), aligned(4)));
    int64_t i = 0, whole = columns / 4 * 4;
    for (; i + 4 <= rows; i += 4)
        for (int64_t j = 0; j < whole; j += 4) {
            four column[4];
            for (int k = 0; k < 4; k++)
                column[k] = *(const four *)&from[i + (j + k) * from_column];
            for (int k = 0; k < 4; k++)
                *(four *)&to[(i + k) * to_row + j] =
                    (four){column[0][k], column[1][k], column[2][k], column[3][k]};
        }
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = r < i ? whole : 0; j < columns; j++)
            to[r * to_row + j] = from[r + j * from_column];
}

static void box_unit(const box *b, const box_units *u, const uint32_t *from, uint32_t *to, int64_t unit)
{
    int last = b->rank - 1;
    int64_t column = unit % u->columns, row = unit / u->columns % u->rows, rest = unit / u->columns / u->rows;
    for (int i = u->outer - 1; i >= 0; i--) {
        int64_t at = rest % b->dims[i];
        rest /= b->dims[i];
        from += at * b->from[i];
        to += at * b->to[i];
    }
    bool tiled = u->outer == last - 1;
    int64_t piece = tiled ? TILE : SEGMENT, left = b->dims[last] - column * piece,
            count = left < piece ? left : piece;
    from += column * piece * b->from[last];
    to += column * piece * b->to[last];
    if (!tiled) {
        copy_row(from, b->from[last], to, b->to[last], count);
        return;
    }
    int64_t left_rows = b->dims[last - 1] - row * TILE;
    copy_tile(from + row * TILE, b->from[last], to + row * TILE * b->to[last - 1], b->to[last - 1],
              left_rows < TILE ? left_rows : TILE, count);
}

void box_run(const box *b, const void *from, void *to, int64_t task)
{
    box_units u = box_split(b);
    int64_t end = (task + 1) * u.per_task < u.count ? (task + 1) * u.per_task : u.count;
    for (int64_t unit = task * u.per_task; unit < end; unit++)
        box_unit(b, &u, (const uint32_t *)from + b->from_start, (uint32_t *)to + b->to_start, unit);
}

/* ---- several ---- */

bool box_parts_plan(kernel_call *call, box_part *rule)
{
    box b;
    const void *from;
    call->phases = 1;
    call->tasks[0] = 0;
    for (int part = 0; rule(call, part, &b, &from); part++)
        call->tasks[0] += box_tasks(&b);
    return true;
}

void box_parts_run(const kernel_call *call, int64_t task, box_part *rule)
{
    box b;
    const void *from;
    for (int part = 0; rule(call, part, &b, &from); part++) {
        int64_t tasks = box_tasks(&b);
        if (task < tasks) {
            box_run(&b, from, call->outputs[0].data, task);
            return;
        }
        task -= tasks;
    }
}
