/* Matrix products as kernels call them. Every element is defined (docs/GEMM.md):
 *
 *     c[i, j] = (c[i, j] or 0) + s₀ + s₁ + …,   s: a chain of multiply-adds over GEMM_BLOCK terms of k
 *
 * so its bits depend on its row of a and its column of b alone: not on m, on the row's place, on a task's
 * edges or on the library. The one exception, weight gradients on AVX2, is explained in gemm.c. */
#pragma once
#include "ops/vector/types.h"
#include <stddef.h>

/* Rows of one task: any multiple of 24 gives the same bits; this one suits the caches. */
enum { GEMM_PANEL = 96 };

/* op(a) is [m, k], op(b) is [k, n]; transposed they are stored [k, m] and [n, k]. lda, ldb, ldc: from row to
 * row as stored. */
typedef struct gemm_shape {
    int64_t m, n, k;
    bool transpose_a, transpose_b;
    int64_t lda, ldb, ldc;
} gemm_shape;

/* c = (add ? c : 0) + op(a) · op(b) on the calling thread, whole. Needs no memory. Inside blas_begin …
 * blas_end. */
void gemm_panel(const gemm_shape *s, const float *a, const float *b, bool add, float *c);

/* What follows a row of the product: bias (or NULL) is added, then the activation of op matmul. */
typedef struct gemm_finish {
    const float *bias; /* [n] */
    int activation;    /* 0 none, 1 relu, 2 gelu, 3 silu */
} gemm_finish;

/* Many products of one shape: entries of a batch, as strides, in elements; 0 where an operand is broadcast.
 */
enum { GEMM_BATCH_AXES = 6 };
typedef struct gemm_problem {
    gemm_shape shape;
    bool add;
    int axes;
    int64_t batch[GEMM_BATCH_AXES], stride_a[GEMM_BATCH_AXES], stride_b[GEMM_BATCH_AXES],
        stride_c[GEMM_BATCH_AXES];
} gemm_problem;

/* How a problem is cut into tasks. It depends on the problem alone. */
typedef struct gemm_plan {
    int64_t rows, columns, entries; /* of one task, at most */
    int64_t row_parts, column_parts, entry_parts, tasks;
} gemm_plan;
gemm_plan gemm_plan_of(const gemm_problem *p);
int64_t gemm_entries(const gemm_problem *p); /* product of batch[] */

/* Does one task. before (may be NULL) is called on each piece of c before the product; finish may be NULL. */
typedef struct gemm_piece {
    int64_t entry, row, column, rows, columns;
    float *c;
} gemm_piece;
typedef void gemm_before(void *argument, const gemm_piece *piece);
void gemm_task(const gemm_problem *p, const gemm_plan *plan, int64_t task, const float *a, const float *b,
               float *c, gemm_before *before, void *argument, const gemm_finish *finish);

/* Where entry number `entry` begins. */
int64_t gemm_offset(const gemm_problem *p, const int64_t *strides, int64_t entry);

/* With this many rows it pays to copy op(b) to rows first: that takes 2 % of the time, and row panels are 5
 * to 12 % faster. */
bool gemm_pays_to_untranspose(const gemm_problem *p);
