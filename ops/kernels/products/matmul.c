/* The kernel of matmul: strided tensors become one gemm_problem. Leading axes that only repeat rows are
 * joined to m, so that [B, T, d] × [d, n] is one product with B · T rows; a matrix whose strides no library
 * takes is first copied, in a phase of its own, and so is a transposed b with many rows, because row panels
 * are faster without the transpose. */
#include "ops/kernels/products/matmul_product.h"
#include "ops/kernels/rows.h"
#include "ops/rules.h"
#include "ops/vector/table.h"

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

/* All that follows from the shapes, the same in plan and in run. False: the result's layout does not fit. */
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
