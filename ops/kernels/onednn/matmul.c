/* oneDNN's matmul with bias, sum and activation. Its sums are not in the defined order (docs/GEMM.md), so it
 * is never the first choice. */
#include "ops/kernels/products/matmul_product.h"
#include "ops/kernels/onednn/primitives.h"
#include "ops/rules.h"
#include "ops/vector/table.h"
#include "ops/kernels/rows.h"

/* A task is some entries of the outermost batch axis, else some rows, else, where they are more, some
 * columns. Each packs b again. */
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

/* oneDNN's relu makes 0 of a NaN, and its gelu, by version, is far off below 0 or NaN at infinity: we do
 * those two ourselves, while the task's results are in cache. */
enum { SILU = 3 };

static primitive primitive_wanted(const kernel_call *call, const product *p)
{
    bool silu = call->attributes[matmul_activation].integer == SILU;
    primitive wanted = {.kind = PRIMITIVE_MATMUL, .op = silu ? OP_silu : OP_COUNT, .add = p->has_c};
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
    for (int last = 0; last < 2; last++) { /* the first task and the last, which may be smaller */
        product part = p;
        int64_t column, tasks = call->tasks[0];
        primitive_part(&part, tasks, last ? tasks - 1 : 0, &column);
        primitive wanted = primitive_wanted(call, &part);
        if (!primitive_plan(&wanted, &call->scratch_bytes))
            return false;
    }
    return true;
}

/* Prepares all of a part's c at once, so that our own product can start from it if the primitive refuses. */
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
        bool left = activation && activation != SILU;
        for (int64_t entry = 0; left && entry < gemm_entries(&p.problem); entry++)
            vectors()->gemm_rows_finish(p.out.data + gemm_offset(&p.problem, p.out.batch, entry),
                                        p.problem.shape.ldc, p.m, p.n, NULL, activation);
        return;
    }
    gemm_finish finish = {bias, activation};
    gemm_plan plan = gemm_plan_of(&p.problem);
    for (int64_t i = 0; i < plan.tasks; i++)
        gemm_task(&p.problem, &plan, i, p.a.data, p.b.data, p.out.data, NULL, NULL, &finish);
}

const kernel kernel_matmul_onednn = {"matmul_onednn", plan_onednn, run_onednn};
