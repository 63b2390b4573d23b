/* oneDNN's candidates for elementwise ops and reductions. The operands are merged to few axes and cut along
 * the outermost; a task is one cut. If oneDNN refuses when the task runs, our own kernel does it, as a call
 * on that cut alone.
 *
 * Whether a call is accepted depends on shapes and on what oneDNN has code for on this processor. */
#include "ops/kernels/onednn/primitives.h"
#include "ops/op.h"
#include "ops/rules.h"
#include "ops/kernels/strided.h"
#include <string.h>

enum { TASK = 32768, MOST_INPUTS = 2 };

/* One task: the primitive with its memory, and the same as a call for our own kernel. */
typedef struct part {
    primitive wanted;
    float *data[PRIMITIVE_TENSORS];
    kernel_call call;
    tensor inputs[MOST_INPUTS], output;
    attribute attributes[MAX_ATTRIBUTES];
} part;

typedef bool part_rule(const kernel_call *call, int64_t task, int64_t tasks, part *p);

static size_t whole_lines(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

/* Prepares the first task and the last, which may be smaller; scratch is enough for both ways to run. */
static bool plan_parts(kernel_call *call, int64_t tasks, part_rule *rule, const kernel *own)
{
    call->phases = 1;
    call->tasks[0] = tasks;
    call->scratch_bytes = 0;
    for (int last = 0; last < 2; last++) {
        part p;
        if (!rule(call, last ? tasks - 1 : 0, tasks, &p) ||
            !primitive_plan(&p.wanted, &call->scratch_bytes) || !own->plan(&p.call))
            return false;
        size_t bytes = whole_lines(p.call.scratch_bytes) + p.call.shared_bytes;
        call->scratch_bytes = call->scratch_bytes > bytes ? call->scratch_bytes : bytes;
    }
    return true;
}

static void run_part(const kernel_call *call, int64_t task, part_rule *rule, const kernel *own, void *scratch)
{
    part p;
    if (!rule(call, task, call->tasks[0], &p) || primitive_run(&p.wanted, p.data, scratch) ||
        !own->plan(&p.call))
        return;
    p.call.shared = (char *)scratch + whole_lines(p.call.scratch_bytes);
    for (int phase = 0; phase < p.call.phases; phase++)
        for (int64_t i = 0; i < p.call.tasks[phase]; i++)
            own->run(&p.call, phase, i, scratch);
}

/* An operand on the walk's axes, of which the outermost is cut. */
static tensor cut(const strided_walk *w, int operand, const tensor *t, int64_t first, int64_t count)
{
    tensor c = {.data = (float *)t->data + first * w->strides[operand][0], .type = t->type, .rank = w->rank};
    memcpy(c.dims, w->dims, sizeof w->dims);
    memcpy(c.strides, w->strides[operand], sizeof w->strides[operand]);
    c.dims[0] = count;
    return c;
}

static void describe(primitive_tensor *d, const tensor *t)
{
    for (int i = 0; i < t->rank; i++)
        primitive_axis(d, t->dims[i], t->strides[i]);
    primitive_close(d);
}

/* Rows [first, first + count) of task `task`: equal but for the last. */
static int64_t rows_of(int64_t rows, int64_t tasks, int64_t task, int64_t *count)
{
    int64_t each = parts_of(rows, tasks), first = task * each;
    *count = rows - first < each ? rows - first : each;
    return first;
}
static int64_t tasks_of(int64_t rows, int64_t row_elements)
{
    return parts_of(rows, units_per_task(row_elements, TASK));
}

static bool floats(const kernel_call *call)
{
    for (int i = 0; i < call->input_count; i++)
        if (call->inputs[i].type != RONDO_F32)
            return false;
    return call->outputs[0].type == RONDO_F32;
}

/* ---- elementwise ---- */

/* y, then the operands. */
static void elementwise_walk(const kernel_call *call, strided_walk *w)
{
    walk_begin(w, call->outputs[0].rank, call->outputs[0].dims);
    walk_add(w, &call->outputs[0]);
    for (int i = 0; i < call->input_count; i++)
        walk_add(w, &call->inputs[i]);
    walk_merge(w);
}

static bool repeats(const tensor *t)
{
    for (int i = 0; i < t->rank; i++)
        if (!t->strides[i] && t->dims[i] != 1)
            return true;
    return false;
}

static bool elementwise_part(const kernel_call *call, int64_t task, int64_t tasks, part *p)
{
    strided_walk w;
    int64_t count;
    elementwise_walk(call, &w);
    memset(p, 0, sizeof *p);
    int64_t first = rows_of(w.dims[0], tasks, task, &count);
    p->output = cut(&w, 0, &call->outputs[0], first, count);
    for (int i = 0; i < call->input_count; i++)
        p->inputs[i] = cut(&w, 1 + i, &call->inputs[i], first, count);
    p->call = (kernel_call){.kernel = call->kernel,
                            .op = call->op,
                            .attributes = call->attributes,
                            .input_count = call->input_count,
                            .output_count = 1,
                            .inputs = p->inputs,
                            .outputs = &p->output};
    bool swaps =
        call->input_count == 2 && repeats(&p->inputs[0]) && op_table[call->op].flags & OP_COMMUTATIVE;
    p->wanted.kind = call->input_count == 2 ? PRIMITIVE_BINARY : PRIMITIVE_UNARY;
    p->wanted.op = call->op;
    for (int i = 0; i < call->input_count; i++) {
        const tensor *x = &p->inputs[swaps ? 1 - i : i];
        describe(&p->wanted.tensors[i], x);
        p->data[i] = x->data;
    }
    describe(&p->wanted.tensors[call->input_count], &p->output);
    p->data[call->input_count] = p->output.data;
    return !repeats(&p->inputs[swaps]); /* the first of the two operands may not broadcast */
}

static bool elementwise_plan(kernel_call *call)
{
    strided_walk w;
    if (!floats(call) || !tensor_elements(&call->outputs[0]))
        return false;
    elementwise_walk(call, &w);
    return plan_parts(call, tasks_of(w.dims[0], walk_elements(&w) / w.dims[0]), elementwise_part,
                      &kernel_elementwise);
}

static void elementwise_run(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    (void)phase;
    run_part(call, task, elementwise_part, &kernel_elementwise, scratch);
}
const kernel kernel_elementwise_onednn = {"elementwise_onednn", elementwise_plan, elementwise_run};

/* ---- reductions of one axis ---- */

static int reduced_axis(const kernel_call *call)
{
    int64_t axis = call->attributes[sum_axis].integer;
    return (int)(axis < 0 ? axis + call->inputs[0].rank : axis);
}

/* x without the axis, and y. */
static void reduction_walk(const kernel_call *call, strided_walk *w)
{
    const tensor *x = &call->inputs[0];
    tensor kept = tensor_without(x, reduced_axis(call)), y = call->outputs[0];
    if (y.rank == x->rank)
        y = tensor_without(&y, reduced_axis(call));
    walk_begin(w, kept.rank, kept.dims);
    walk_add(w, &kept);
    walk_add(w, &y);
    walk_merge(w);
}

static void last_axis(tensor *t, int64_t extent, int64_t stride)
{
    t->dims[t->rank] = extent;
    t->strides[t->rank++] = stride;
}

static bool reduction_part(const kernel_call *call, int64_t task, int64_t tasks, part *p)
{
    const tensor *x = &call->inputs[0];
    int axis = reduced_axis(call);
    strided_walk w;
    int64_t count;
    reduction_walk(call, &w);
    memset(p, 0, sizeof *p);
    int64_t first = rows_of(w.dims[0], tasks, task, &count);
    p->inputs[0] = cut(&w, 0, x, first, count);
    p->output = cut(&w, 1, &call->outputs[0], first, count);
    if (w.rank == MAX_RANK || repeats(&p->inputs[0]))
        return false;
    last_axis(&p->inputs[0], x->dims[axis], x->strides[axis]);
    last_axis(&p->output, 1, 1);
    p->attributes[sum_axis].integer = w.rank;
    p->attributes[sum_keep].integer = 1;
    p->call = (kernel_call){.kernel = call->kernel,
                            .op = call->op,
                            .attributes = p->attributes,
                            .input_count = 1,
                            .output_count = 1,
                            .inputs = p->inputs,
                            .outputs = &p->output};
    p->wanted.kind = PRIMITIVE_REDUCTION;
    p->wanted.op = call->op;
    describe(&p->wanted.tensors[0], &p->inputs[0]);
    describe(&p->wanted.tensors[1], &p->output);
    p->data[0] = p->inputs[0].data;
    p->data[1] = p->output.data;
    return true;
}

/* oneDNN sums a line in float, which loses too much on long ones. */
static bool reduction_plan(kernel_call *call)
{
    enum { LONGEST = 4096 };
    const tensor *x = &call->inputs[0];
    int axis = reduced_axis(call);
    strided_walk w;
    if (!floats(call) || !tensor_elements(x) || x->dims[axis] < 2 || x->dims[axis] > LONGEST ||
        !x->strides[axis])
        return false;
    reduction_walk(call, &w);
    return plan_parts(call, tasks_of(w.dims[0], tensor_elements(x) / w.dims[0]), reduction_part,
                      &kernel_reduce);
}

static void reduction_run(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    (void)phase;
    run_part(call, task, reduction_part, &kernel_reduce, scratch);
}
const kernel kernel_reduce_onednn = {"reduce_onednn", reduction_plan, reduction_run};
