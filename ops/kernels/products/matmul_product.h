/* The operands of matmul as one product: leading axes that only repeat rows are joined to m, and strides are
 * checked for what a library accepts. Both kernels of matmul begin here. */
#pragma once
#include "ops/kernels/products/gemm.h"
#include "ops/op.h"
#include <string.h>

enum { INPUT_A, INPUT_B, INPUT_C, INPUT_BIAS };

/* One operand: a matrix and where its copies in the batch begin. */
typedef struct operand {
    float *data;
    int64_t rows, columns, row, column; /* extents and strides */
    int64_t batch[GEMM_BATCH_AXES];     /* strides; 0 where broadcast */
    bool copied;
    int64_t pitch;        /* of the copy, [rows, pitch] */
    size_t shared_offset; /* of the copy, in bytes */
} operand;

typedef struct product {
    int64_t m, n, k;
    int axes;
    int64_t batch[GEMM_BATCH_AXES];
    operand a, b, c, out; /* c.data is NULL if there is none, or if it is in the output already */
    bool has_c;
    gemm_problem problem;
} product;

static inline const tensor *optional(const kernel_call *call, int index)
{
    return index < call->input_count && call->inputs[index].data ? &call->inputs[index] : NULL;
}

/* The last two axes, swapped when transposed; the leading axes against those of the result. */
static inline operand operand_of(const tensor *t, bool transposed, const tensor *result)
{
    int row = t->rank - 2 + transposed, column = t->rank - 1 - transposed;
    operand o = {t->data, t->dims[row], t->dims[column], t->strides[row], t->strides[column]};
    for (int i = 0; i < result->rank - 2; i++) {
        int axis = i + t->rank - result->rank;
        o.batch[i] = axis < 0 || t->dims[axis] == 1 ? 0 : t->strides[axis];
    }
    return o;
}

/* ---- joining leading axes ---- */

static inline bool joins(const operand *o, int axis, bool may_repeat)
{
    return o->rows == 1 ? may_repeat || o->batch[axis] : o->batch[axis] == o->rows * o->row;
}
static inline void join(operand *o, int axis, int64_t extent)
{
    if (o->rows == 1)
        o->row = o->batch[axis];
    o->rows *= extent;
}

static inline void drop_axis(product *p, int axis)
{
    operand *all[] = {&p->a, &p->b, &p->c, &p->out};
    for (int i = axis; i + 1 < p->axes; i++) {
        p->batch[i] = p->batch[i + 1];
        for (int k = 0; k < 4; k++)
            all[k]->batch[i] = all[k]->batch[i + 1];
    }
    p->axes--;
}

static inline void join_axes(product *p)
{
    for (int i = p->axes - 1; i >= 0; i--)
        if (p->batch[i] == 1)
            drop_axis(p, i);
    while (p->axes > 0) {
        int last = p->axes - 1;
        int64_t extent = p->batch[last];
        if (p->b.batch[last] || !joins(&p->a, last, false) || !joins(&p->out, last, false) ||
            (p->has_c && !joins(&p->c, last, true)))
            return;
        join(&p->a, last, extent);
        join(&p->out, last, extent);
        join(&p->c, last, extent);
        p->m *= extent;
        p->axes--;
    }
}

/* ---- strides that the libraries take ---- */

/* Contiguous rows: *pitch between them; or contiguous columns: *transposed. False: neither. */
static inline bool plain(const operand *o, bool *transposed, int64_t *pitch)
{
    *transposed = false;
    *pitch = o->rows > 1 ? o->row : o->columns;
    if ((o->column == 1 || o->columns == 1) && *pitch >= o->columns)
        return true;
    *transposed = true;
    *pitch = o->columns > 1 ? o->column : o->rows;
    return (o->row == 1 || o->rows == 1) && *pitch >= o->rows;
}

static inline void set_operand(const product *p, operand *o, bool *transposed, int64_t *pitch,
                               int64_t *strides)
{
    if (!o->copied) {
        plain(o, transposed, pitch);
        memcpy(strides, o->batch, sizeof o->batch);
        return;
    }
    *transposed = false;
    *pitch = o->pitch;
    int64_t stride = o->rows * o->pitch;
    for (int i = p->axes - 1; i >= 0; i--) {
        strides[i] = o->batch[i] ? stride : 0;
        stride *= o->batch[i] ? p->batch[i] : 1;
    }
}

static inline void set_problem(product *p)
{
    gemm_problem *g = &p->problem;
    *g = (gemm_problem){.shape = {.m = p->m, .n = p->n, .k = p->k}, .add = p->has_c, .axes = p->axes};
    memcpy(g->batch, p->batch, sizeof g->batch);
    set_operand(p, &p->a, &g->shape.transpose_a, &g->shape.lda, g->stride_a);
    set_operand(p, &p->b, &g->shape.transpose_b, &g->shape.ldb, g->stride_b);
    memcpy(g->stride_c, p->out.batch, sizeof g->stride_c);
    g->shape.ldc = p->m > 1 ? p->out.row : p->n;
}

/* The operands with as few axes as possible. */
static inline void joined_product(const kernel_call *call, product *p)
{
    const tensor *out = &call->outputs[0], *c = optional(call, INPUT_C);
    *p = (product){.axes = out->rank - 2, .has_c = c != NULL};
    p->a = operand_of(&call->inputs[INPUT_A], call->attributes[matmul_transpose_a].integer, out);
    p->b = operand_of(&call->inputs[INPUT_B], call->attributes[matmul_transpose_b].integer, out);
    p->out = operand_of(out, false, out);
    p->c = c ? operand_of(c, false, out) : p->out;
    memcpy(p->batch, out->dims, (size_t)p->axes * sizeof p->batch[0]);
    p->m = p->a.rows;
    p->n = p->b.columns;
    p->k = p->a.columns;
    join_axes(p);
}

/* The result's rows must be contiguous. */
static inline bool takes_result(const product *p)
{
    bool transposed;
    int64_t pitch;
    return p->n <= 0 || (plain(&p->out, &transposed, &pitch) && (!transposed || p->n == 1));
}

static inline bool takes_operands(const kernel_call *call)
{
    const tensor *out = &call->outputs[0];
    int64_t activation = call->attributes[matmul_activation].integer;
    return out->type == RONDO_F32 && out->rank >= 2 && out->rank - 2 <= GEMM_BATCH_AXES && activation >= 0 &&
           activation <= 3;
}

/* Copies c to the output, where the product is added, unless it is there already. */
static inline void put_c(void *argument, const gemm_piece *piece)
{
    const product *p = argument;
    const operand *c = &p->c;
    const float *from = c->data + gemm_offset(&p->problem, c->batch, piece->entry) + piece->row * c->row +
                        piece->column * c->column;
    for (int64_t i = 0; i < piece->rows; i++, from += c->row)
        for (int64_t j = 0; j < piece->columns; j++)
            piece->c[i * p->problem.shape.ldc + j] = from[j * c->column];
}

/* A bias that is not contiguous (a constant, say) is gathered into the task's scratch. */
static inline bool bias_gathered(const tensor *bias)
{
    return bias && bias->dims[0] > 1 && bias->strides[0] != 1;
}

static inline const float *bias_of(const tensor *bias, float *scratch)
{
    if (!bias_gathered(bias))
        return bias ? bias->data : NULL;
    for (int64_t j = 0; j < bias->dims[0]; j++)
        scratch[j] = ((const float *)bias->data)[j * bias->strides[0]];
    return scratch;
}
