/* Which code does a product, and how a product is cut into tasks. */
#include "ops/kernels/products/gemm.h"
#include "ops/kernels/products/blas.h"
#include "ops/vector/table.h"
#include <string.h>

/* ---- one product ---- */

typedef enum gemm_code { CODE_OURS, CODE_ONEDNN, CODE_OPENBLAS } gemm_code;

/* The static cost table: the first row that fits decides. A product fits when it is not larger than `most`,
 * and not smaller than `least`, in m, n, k and volume. Measured in docs/GEMM.md; of two that are close, the
 * one with defined bits is taken. */
typedef struct gemm_rule {
    onednn_set set;               /* the row is for this one; ONEDNN_ANY: for all */
    int transpose_a, transpose_b; /* −1: either */
    int64_t least_m, most_m, most_n, least_k;
    int64_t most_volume; /* m · n · k */
    gemm_code code;
} gemm_rule;
enum { EITHER = -1 };
#define NO_LIMIT INT64_MAX
static const gemm_rule gemm_rules[] = {
    /* one column is a dot product in the libraries, with its own order */
    {ONEDNN_ANY, EITHER, EITHER, 0, NO_LIMIT, 1, 0, NO_LIMIT, CODE_OURS},
    /* few rows: the step of a decoder and the tail of a panel. oneDNN has another order below 16 rows for b
       transposed */
    {ONEDNN_ANY, EITHER, EITHER, 0, 16, NO_LIMIT, 0, NO_LIMIT, CODE_OURS},
    /* tiles of attention and scans, up to about 96 × 64 × 64 */
    {ONEDNN_ANY, EITHER, EITHER, 0, NO_LIMIT, NO_LIMIT, 0, 400000, CODE_OURS},
    /* weight gradients on AVX2, where oneDNN's is slow, worst when rows are 4 KB apart. Not in the defined
     * order, so only for shapes that only the gradient of a weight has */
    {ONEDNN_AVX2, 1, 0, 64, NO_LIMIT, NO_LIMIT, 1024, NO_LIMIT, CODE_OPENBLAS},
    {ONEDNN_ANY, EITHER, EITHER, 0, NO_LIMIT, NO_LIMIT, 0, NO_LIMIT, CODE_ONEDNN},
};

static gemm_code choose(const gemm_shape *s)
{
    onednn_set set = onednn_set_here();
    double volume = (double)s->m * (double)s->n * (double)s->k;
    const gemm_rule *r = gemm_rules;
    while ((r->set != ONEDNN_ANY && r->set != set) ||
           (r->transpose_a != EITHER && r->transpose_a != s->transpose_a) ||
           (r->transpose_b != EITHER && r->transpose_b != s->transpose_b) || s->m < r->least_m ||
           s->m > r->most_m || s->n > r->most_n || s->k < r->least_k ||
           (r->most_volume != NO_LIMIT && volume > (double)r->most_volume))
        r++;
    return r->code;
}

static const float *from_row(const gemm_shape *s, const float *a, int64_t row)
{
    return a + (s->transpose_a ? row : row * s->lda);
}
static const float *from_column(const gemm_shape *s, const float *b, int64_t column)
{
    return b + (s->transpose_b ? column * s->ldb : column);
}

static void ours(const gemm_shape *s, const float *a, const float *b, bool add, float *c)
{
    vectors()->small_gemm(&(small_product){s->m, s->n, s->k, a, s->transpose_a ? 1 : s->lda,
                                           s->transpose_a ? s->lda : 1, b, s->ldb, s->transpose_b, add, c,
                                           s->ldc});
}

/* Blocks of k, a call each: the library would split k elsewhere. What it refuses, our own code does. */
static void blocks(const gemm_shape *s, blas_product *product, const float *a, const float *b, bool add,
                   float *c)
{
    for (int64_t i = 0; i < s->k; i += GEMM_BLOCK) {
        gemm_shape part = *s;
        part.k = s->k - i < GEMM_BLOCK ? s->k - i : GEMM_BLOCK;
        const float *left = a + (s->transpose_a ? i * s->lda : i),
                    *right = b + (s->transpose_b ? i : i * s->ldb);
        bool more = add || i > 0;
        if (!product(s->transpose_a, s->transpose_b, s->m, s->n, part.k, 1, left, s->lda, right, s->ldb, more,
                     c, s->ldc))
            ours(&part, left, right, more, c);
    }
}

/* oneDNN's AVX2 code has the defined order only in whole groups of rows and of columns; our own code does the
 * edges. */
static void onednn_product(const gemm_shape *s, const float *a, const float *b, bool add, float *c)
{
    enum { ROWS = 24, COLUMNS = 16 };
    if (onednn_set_here() != ONEDNN_AVX2) {
        blocks(s, onednn_sgemm, a, b, add, c);
        return;
    }
    gemm_shape body = *s, below = *s, beside = *s;
    body.m = beside.m = s->m / ROWS * ROWS;
    below.m = s->m - body.m;
    body.n = s->n / COLUMNS * COLUMNS;
    beside.n = s->n - body.n;
    if (body.m && body.n)
        blocks(&body, onednn_sgemm, a, b, add, c);
    if (beside.m && beside.n)
        ours(&beside, a, from_column(s, b, body.n), add, c + body.n);
    if (below.m)
        ours(&below, from_row(s, a, body.m), b, add, c + body.m * s->ldc);
}

void gemm_panel(const gemm_shape *s, const float *a, const float *b, bool add, float *c)
{
    if (s->m <= 0 || s->n <= 0)
        return;
    if (s->k <= 0) {
        if (!add)
            blas_scale(s->m, s->n, 0, c, s->ldc);
        return;
    }
    switch (choose(s)) {
    case CODE_OURS:
        ours(s, a, b, add, c);
        break;
    case CODE_ONEDNN:
        onednn_product(s, a, b, add, c);
        break;
    case CODE_OPENBLAS:
        blocks(s, openblas_sgemm, a, b, add, c);
        break;
    }
}

/* ---- tasks ---- */

/* Measured roughly, on one core, in nanoseconds: arithmetic, or the bytes of b when rows are few. */
static double cost(int64_t m, int64_t n, int64_t k)
{
    double arithmetic = 2.0 * (double)m * (double)n * (double)k / 150,
           memory = 4.0 * (double)n * (double)k / 25;
    return arithmetic > memory ? arithmetic : memory;
}

enum { TASKS = 8, LEAST_NANOSECONDS = 5000, LEAST_COLUMNS = 64 };

static int64_t parts(int64_t count, int64_t part)
{
    return part ? (count + part - 1) / part : 0;
}
/* A part, a multiple of `unit`, such that there are about `wanted`. */
static int64_t part_of(int64_t count, int64_t wanted, int64_t unit)
{
    int64_t part = parts(parts(count, wanted), unit) * unit;
    return part < count ? part : count;
}

/* Every task copies a transposed a, so there are few tasks, and large ones. */
static int64_t rows_of_task(const gemm_shape *s)
{
    if (!s->transpose_a)
        return s->m < GEMM_PANEL ? s->m : GEMM_PANEL;
    if (cost(s->m, s->n, s->k) < 2 * LEAST_NANOSECONDS)
        return s->m;
    int64_t wanted = s->m / (s->m <= 128 ? 64 : 128);
    if (wanted > 4)
        wanted = s->m > 4 * 384 ? s->m / 384 : 4;
    return part_of(s->m, wanted < 1 ? 1 : wanted, 16);
}

int64_t gemm_entries(const gemm_problem *p)
{
    int64_t entries = 1;
    for (int i = 0; i < p->axes; i++)
        entries *= p->batch[i];
    return entries;
}

gemm_plan gemm_plan_of(const gemm_problem *p)
{
    const gemm_shape *s = &p->shape;
    gemm_plan plan = {0};
    int64_t entries = gemm_entries(p);
    if (s->m <= 0 || s->n <= 0 || entries <= 0)
        return plan;
    plan.rows = rows_of_task(s);
    plan.columns = s->n;
    plan.entries = 1;
    plan.row_parts = parts(s->m, plan.rows);
    double each = cost(plan.rows, s->n, s->k);
    int64_t tasks = plan.row_parts * entries, wanted = s->transpose_a ? TASKS / 2 : TASKS;
    if (tasks < wanted && each >= 2 * LEAST_NANOSECONDS && s->n >= 2 * LEAST_COLUMNS) { /* columns too */
        int64_t fits = (int64_t)(each / LEAST_NANOSECONDS), more = parts(wanted, tasks);
        plan.columns = part_of(s->n, more < fits ? more : fits, LEAST_COLUMNS);
    } else if (plan.row_parts == 1 && tasks > TASKS && each < LEAST_NANOSECONDS) { /* small ones in groups */
        int64_t group = (int64_t)(LEAST_NANOSECONDS / (each + 50)), most = entries / TASKS;
        plan.entries = group > most ? most : group < 1 ? 1 : group;
    }
    plan.column_parts = parts(s->n, plan.columns);
    plan.entry_parts = parts(entries, plan.entries);
    plan.tasks = plan.row_parts * plan.column_parts * plan.entry_parts;
    return plan;
}

int64_t gemm_offset(const gemm_problem *p, const int64_t *strides, int64_t entry)
{
    int64_t offset = 0;
    for (int i = p->axes - 1; i >= 0; i--) {
        offset += entry % p->batch[i] * strides[i];
        entry /= p->batch[i];
    }
    return offset;
}

static void piece(const gemm_problem *p, const gemm_piece *at, const float *a, const float *b,
                  gemm_before *before, void *argument, const gemm_finish *finish)
{
    gemm_shape s = p->shape;
    s.m = at->rows;
    s.n = at->columns;
    if (before)
        before(argument, at);
    gemm_panel(&s, from_row(&s, a, at->row), from_column(&s, b, at->column), p->add, at->c);
    if (finish && (finish->bias || finish->activation))
        vectors()->gemm_rows_finish(at->c, s.ldc, at->rows, at->columns,
                                    finish->bias ? finish->bias + at->column : NULL, finish->activation);
}

void gemm_task(const gemm_problem *p, const gemm_plan *plan, int64_t task, const float *a, const float *b,
               float *c, gemm_before *before, void *argument, const gemm_finish *finish)
{
    int64_t column_part = task % plan->column_parts, row_part = task / plan->column_parts % plan->row_parts;
    int64_t first = task / plan->column_parts / plan->row_parts * plan->entries, entries = gemm_entries(p);
    gemm_piece at = {.row = row_part * plan->rows, .column = column_part * plan->columns};
    at.rows = p->shape.m - at.row < plan->rows ? p->shape.m - at.row : plan->rows;
    at.columns = p->shape.n - at.column < plan->columns ? p->shape.n - at.column : plan->columns;
    for (at.entry = first; at.entry < entries && at.entry < first + plan->entries; at.entry++) {
        at.c = c + gemm_offset(p, p->stride_c, at.entry) + at.row * p->shape.ldc + at.column;
        piece(p, &at, a + gemm_offset(p, p->stride_a, at.entry), b + gemm_offset(p, p->stride_b, at.entry),
              before, argument, finish);
    }
}

bool gemm_pays_to_untranspose(const gemm_problem *p)
{
    const gemm_shape *s = &p->shape;
    if (!s->transpose_b || s->transpose_a || s->m < 4 * GEMM_PANEL || s->n < 32 || s->k < 32)
        return false;
    for (int i = 0; i < p->axes; i++)
        if (p->batch[i] > 1 && p->stride_b[i])
            return false;
    return true;
}
