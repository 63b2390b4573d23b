/* The kernel of matmul: strided tensors become one gemm_problem. Leading axes that only repeat rows are
 * joined to m, so that [B, T, d] × [d, n] is one product with B · T rows; a matrix whose strides no library
 * takes is first copied, in a phase of its own, and so is a transposed b with many rows, because row panels
 * are faster without the transpose. */
#include "ops/gemm.h"
#include "ops/onednn_primitives.h"
#include "ops/op.h"
#include "ops/rows.h"
#include "ops/rules.h"
#include "ops/vector/table.h"
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
    operand a, b, c, out; /* c.data is NULL when there is none, or when it is the output already */
    bool has_c;
    gemm_problem problem;
} product;

static const tensor *optional(const kernel_call *call, int index)
{
    return index < call->input_count && call->inputs[index].data ? &call->inputs[index] : NULL;
}

/* The last two axes, swapped when transposed; the leading axes against those of the result. */
static operand operand_of(const tensor *t, bool transposed, const tensor *result)
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

static bool joins(const operand *o, int axis, bool may_repeat)
{
    return o->rows == 1 ? may_repeat || o->batch[axis] : o->batch[axis] == o->rows * o->row;
}
static void join(operand *o, int axis, int64_t extent)
{
    if (o->rows == 1)
        o->row = o->batch[axis];
    o->rows *= extent;
}

static void drop_axis(product *p, int axis)
{
    operand *all[] = {&p->a, &p->b, &p->c, &p->out};
    for (int i = axis; i + 1 < p->axes; i++) {
        p->batch[i] = p->batch[i + 1];
        for (int k = 0; k < 4; k++)
            all[k]->batch[i] = all[k]->batch[i + 1];
    }
    p->axes--;
}

static void join_axes(product *p)
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

/* Rows that lie one after another: *pitch between them; or columns that do: *transposed. False: neither. */
static bool plain(const operand *o, bool *transposed, int64_t *pitch)
{
    *transposed = false;
    *pitch = o->rows > 1 ? o->row : o->columns;
    if ((o->column == 1 || o->columns == 1) && *pitch >= o->columns)
        return true;
    *transposed = true;
    *pitch = o->columns > 1 ? o->column : o->rows;
    return (o->row == 1 || o->rows == 1) && *pitch >= o->rows;
}

/* The copy has one matrix for each entry that differs. Pitches of a multiple of 4 KB share few cache sets. */
static void copy_operand(const product *p, operand *o, size_t *shared_bytes)
{
    o->copied = true;
    o->pitch = o->columns % 1024 ? o->columns : o->columns + 16;
    o->shared_offset = *shared_bytes;
    int64_t entries = 1;
    for (int i = 0; i < p->axes; i++)
        entries *= o->batch[i] ? p->batch[i] : 1;
    *shared_bytes += ((size_t)(entries * o->rows * o->pitch) * sizeof(float) + 63) / 64 * 64;
}

static void set_operand(const product *p, operand *o, bool *transposed, int64_t *pitch, int64_t *strides)
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

static void set_problem(product *p)
{
    gemm_problem *g = &p->problem;
    *g = (gemm_problem){.shape = {.m = p->m, .n = p->n, .k = p->k}, .add = p->has_c, .axes = p->axes};
    memcpy(g->batch, p->batch, sizeof g->batch);
    set_operand(p, &p->a, &g->shape.transpose_a, &g->shape.lda, g->stride_a);
    set_operand(p, &p->b, &g->shape.transpose_b, &g->shape.ldb, g->stride_b);
    memcpy(g->stride_c, p->out.batch, sizeof g->stride_c);
    g->shape.ldc = p->m > 1 ? p->out.row : p->n;
}

/* The operands with as few axes as they can have. */
static void joined_product(const kernel_call *call, product *p)
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

/* The result's rows must lie one after another. */
static bool takes_result(const product *p)
{
    bool transposed;
    int64_t pitch;
    return p->n <= 0 || (plain(&p->out, &transposed, &pitch) && (!transposed || p->n == 1));
}

/* The whole of what the shapes say; the same at plan and at run. False: the result's rows do not lie as they
 * must. */
static bool product_of(const kernel_call *call, product *p, size_t *shared_bytes)
{
    bool transposed;
    int64_t pitch;
    joined_product(call, p);
    *shared_bytes = 0;
    if (!takes_result(p))
        return false;
    if (p->k > 0 && !plain(&p->a, &transposed, &pitch))
        copy_operand(p, &p->a, shared_bytes);
    if (p->k > 0 && !plain(&p->b, &transposed, &pitch))
        copy_operand(p, &p->b, shared_bytes);
    set_problem(p);
    if (gemm_pays_to_untranspose(&p->problem)) {
        copy_operand(p, &p->b, shared_bytes);
        set_problem(p);
    }
    return true;
}

/* ---- the phase of copies ---- */

/* Rows are copied as they are, columns are transposed: the part of a matrix that one task copies. */
static bool by_columns(const operand *o)
{
    return o->column != 1 && o->row == 1;
}
static int64_t chunk(const operand *o)
{
    enum { MULTIPLE = 16 };
    return divide_up(rows_per_task(by_columns(o) ? o->rows : o->columns), MULTIPLE) * MULTIPLE;
}
static int64_t copies(const product *p, const operand *o)
{
    int64_t entries = o->copied;
    for (int i = 0; i < p->axes; i++)
        entries *= o->batch[i] ? p->batch[i] : 1;
    return entries;
}
static int64_t copy_tasks(const product *p, const operand *o)
{
    return copies(p, o) * divide_up(by_columns(o) ? o->columns : o->rows, chunk(o));
}

static void copy_part(const operand *o, const float *from, float *to, int64_t first, int64_t count)
{
    if (by_columns(o)) {
        vectors()->gemm_transpose(count, o->rows, from + first * o->column, o->column, to + first, o->pitch);
        return;
    }
    for (int64_t i = first; i < first + count; i++)
        for (int64_t j = 0; j < o->columns; j++)
            to[i * o->pitch + j] = from[i * o->row + j * o->column];
}

static void copy_task(const product *p, const operand *o, const float *from, char *shared, int64_t task)
{
    int64_t size = chunk(o), all = by_columns(o) ? o->columns : o->rows, chunks = divide_up(all, size);
    int64_t entry = task / chunks, first = task % chunks * size, rest = entry;
    for (int i = p->axes - 1; i >= 0; i--)
        if (o->batch[i]) {
            from += rest % p->batch[i] * o->batch[i];
            rest /= p->batch[i];
        }
    float *to = (float *)(shared + o->shared_offset) + entry * o->rows * o->pitch;
    copy_part(o, from, to, first, all - first < size ? all - first : size);
}

/* ---- the phase of products ---- */

/* c is put where the product is added, unless it is there already. */
static void put_c(void *argument, const gemm_piece *piece)
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
static bool bias_gathered(const tensor *bias)
{
    return bias && bias->dims[0] > 1 && bias->strides[0] != 1;
}

static const float *bias_of(const tensor *bias, float *scratch)
{
    if (!bias_gathered(bias))
        return bias ? bias->data : NULL;
    for (int64_t j = 0; j < bias->dims[0]; j++)
        scratch[j] = ((const float *)bias->data)[j * bias->strides[0]];
    return scratch;
}

static void run_product(const kernel_call *call, product *p, int64_t task, void *scratch)
{
    const tensor *c = optional(call, INPUT_C), *bias = optional(call, INPUT_BIAS);
    bool in_place = c && c->data == call->outputs[0].data;
    const char *shared = call->shared;
    const float *a = p->a.copied ? (const float *)(shared + p->a.shared_offset) : p->a.data;
    const float *b = p->b.copied ? (const float *)(shared + p->b.shared_offset) : p->b.data;
    gemm_finish finish = {bias_of(bias, scratch), (int)call->attributes[matmul_activation].integer};
    gemm_plan plan = gemm_plan_of(&p->problem);
    gemm_task(&p->problem, &plan, task, a, b, p->out.data, c && !in_place ? put_c : NULL, p, &finish);
}

/* ---- kernel ---- */

static bool takes_operands(const kernel_call *call)
{
    const tensor *out = &call->outputs[0];
    int64_t activation = call->attributes[matmul_activation].integer;
    return out->type == RONDO_F32 && out->rank >= 2 && out->rank - 2 <= GEMM_BATCH_AXES && activation >= 0 &&
           activation <= 3;
}

static bool plan(kernel_call *call)
{
    const tensor *bias = optional(call, INPUT_BIAS);
    product p;
    if (!takes_operands(call) || !product_of(call, &p, &call->shared_bytes))
        return false;
    bool copy = p.a.copied || p.b.copied;
    call->phases = 1 + copy;
    call->tasks[0] = copy_tasks(&p, &p.a) + copy_tasks(&p, &p.b);
    call->tasks[copy] = gemm_plan_of(&p.problem).tasks;
    call->scratch_bytes = bias_gathered(bias) ? sizeof(float) * (size_t)bias->dims[0] : 0;
    call->flops = 2.0 * (double)p.m * (double)p.n * (double)p.k * (double)gemm_entries(&p.problem);
    return true;
}

static void run(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    product p;
    size_t shared_bytes;
    if (!product_of(call, &p, &shared_bytes))
        return;
    int64_t copies_of_a = copy_tasks(&p, &p.a);
    if (phase == 1 || (!p.a.copied && !p.b.copied))
        run_product(call, &p, task, scratch);
    else if (task < copies_of_a)
        copy_task(&p, &p.a, p.a.data, call->shared, task);
    else
        copy_task(&p, &p.b, p.b.data, call->shared, task - copies_of_a);
}

const kernel kernel_matmul = {"matmul", plan, run};

/* ---- oneDNN's matmul with bias, sum and activation: not the defined bits ---- */

/* A task is some entries of the outermost batch axis, else some rows, else, where they are more, some
 * columns. b is packed anew in each. */
enum { PRIMITIVE_ROWS = 192, PRIMITIVE_COLUMNS = 512, PRIMITIVE_FLOPS = 8000000 };

static int64_t primitive_tasks(const product *p)
{
    if (p->axes > 0) {
        double entry = 2.0 * (double)p->m * (double)p->n * (double)p->k;
        for (int i = 1; i < p->axes; i++)
            entry *= (double)p->batch[i];
        int64_t each = entry < PRIMITIVE_FLOPS ? (int64_t)(PRIMITIVE_FLOPS / entry) : 1;
        return divide_up(p->batch[0], each);
    }
    return p->n > 2 * p->m ? divide_up(p->n, PRIMITIVE_COLUMNS) : divide_up(p->m, PRIMITIVE_ROWS);
}

static void move(float **data, int64_t elements)
{
    if (*data)
        *data += elements;
}

/* Cuts p down to the task; *column is where its columns begin. */
static void primitive_part(product *p, int64_t tasks, int64_t task, int64_t *column)
{
    bool batched = p->axes > 0, by_columns = !batched && p->n > 2 * p->m;
    int64_t *extent = batched ? &p->batch[0] : by_columns ? &p->n : &p->m;
    int64_t each = divide_up(*extent, tasks), first = task * each;
    *extent = *extent - first < each ? *extent - first : each;
    *column = by_columns ? first : 0;
    operand *all[] = {&p->a, &p->b, &p->c, &p->out};
    for (int i = 0; i < 4; i++) {
        operand *o = all[i];
        if (batched)
            move(&o->data, first * o->batch[0]);
        else if (by_columns && o != &p->a) {
            move(&o->data, first * o->column);
            o->columns = p->n;
        } else if (!by_columns && o != &p->b) {
            move(&o->data, first * o->row);
            o->rows = p->m;
        }
    }
}

static primitive_tensor primitive_operand(const product *p, const operand *o)
{
    primitive_tensor t = {0};
    for (int i = 0; i < p->axes; i++)
        primitive_axis(&t, p->batch[i], o->batch[i]);
    primitive_axis(&t, o->rows, o->row);
    primitive_axis(&t, o->columns, o->column);
    primitive_close(&t);
    return t;
}

static primitive primitive_wanted(const kernel_call *call, const product *p)
{
    static const int64_t activations[] = {OP_COUNT, OP_COUNT, OP_gelu,
                                          OP_silu}; /* its relu makes 0 of a NaN */
    primitive wanted = {.kind = PRIMITIVE_MATMUL,
                        .op = activations[call->attributes[matmul_activation].integer],
                        .add = p->has_c};
    wanted.tensors[0] = primitive_operand(p, &p->a);
    wanted.tensors[1] = primitive_operand(p, &p->b);
    if (optional(call, INPUT_BIAS)) {
        const operand row = {.rows = 1, .columns = p->n, .column = 1};
        wanted.tensors[2] = primitive_operand(p, &row);
    }
    wanted.tensors[3] = primitive_operand(p, &p->out);
    return wanted;
}

static bool primitive_takes(const product *p)
{
    bool transposed;
    int64_t pitch;
    return p->m > 0 && p->n > 0 && p->k > 0 && gemm_entries(&p->problem) > 0 && takes_result(p) &&
           plain(&p->a, &transposed, &pitch) && plain(&p->b, &transposed, &pitch);
}

static bool plan_onednn(kernel_call *call)
{
    product p;
    if (!takes_operands(call) || bias_gathered(optional(call, INPUT_BIAS)))
        return false;
    joined_product(call, &p);
    p.problem.axes = p.axes;
    memcpy(p.problem.batch, p.batch, sizeof p.batch);
    if (!primitive_takes(&p))
        return false;
    call->phases = 1;
    call->tasks[0] = primitive_tasks(&p);
    call->scratch_bytes = call->shared_bytes = 0;
    call->flops = 2.0 * (double)p.m * (double)p.n * (double)p.k * (double)gemm_entries(&p.problem);
    for (int64_t task = 0, tasks = call->tasks[0], column; task<tasks; task += tasks> 1 ? tasks - 1 : 1) {
        product part = p;
        primitive_part(&part, tasks, task, &column);
        primitive wanted = primitive_wanted(call, &part);
        if (!primitive_plan(&wanted, &call->scratch_bytes))
            return false;
    }
    return true;
}

/* Everything of a part's c at once; where the primitive then refuses, our product finds it there as well. */
static void put_whole_c(const kernel_call *call, product *p)
{
    if (!p->has_c || optional(call, INPUT_C)->data == call->outputs[0].data)
        return;
    for (int64_t entry = 0; entry < gemm_entries(&p->problem); entry++)
        put_c(p, &(gemm_piece){.entry = entry,
                               .rows = p->m,
                               .columns = p->n,
                               .c = p->out.data + gemm_offset(&p->problem, p->out.batch, entry)});
}

static void run_onednn(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    enum { RELU = 1 };
    (void)phase;
    product p;
    int64_t column;
    joined_product(call, &p);
    primitive_part(&p, call->tasks[0], task, &column);
    set_problem(&p);
    put_whole_c(call, &p);
    const tensor *bias_tensor = optional(call, INPUT_BIAS);
    float *bias = bias_tensor ? (float *)bias_tensor->data + column : NULL;
    primitive wanted = primitive_wanted(call, &p);
    int activation = (int)call->attributes[matmul_activation].integer;
    if (primitive_run(&wanted, (float *[PRIMITIVE_TENSORS]){p.a.data, p.b.data, bias, p.out.data}, scratch)) {
        for (int64_t entry = 0; activation == RELU && entry < gemm_entries(&p.problem); entry++)
            vectors()->gemm_rows_finish(p.out.data + gemm_offset(&p.problem, p.out.batch, entry),
                                        p.problem.shape.ldc, p.m, p.n, NULL, RELU);
        return;
    }
    gemm_finish finish = {bias, activation};
    gemm_plan plan = gemm_plan_of(&p.problem);
    for (int64_t i = 0; i < plan.tasks; i++)
        gemm_task(&p.problem, &plan, i, p.a.data, p.b.data, p.out.data, NULL, NULL, &finish);
}

const kernel kernel_matmul_onednn = {"matmul_onednn", plan_onednn, run_onednn};
