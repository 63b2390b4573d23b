/* tests/ops/harness.h: samples, comparing, kernels. Gradients are in gradient.c. */
#include "harness.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char message[700];
const char *harness_message(void)
{
    return message;
}

static const char *RONDO_FORMAT(1, 2) say(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(message, sizeof message, format, list);
    va_end(list);
    return message;
}

/* ---- samples ---- */

/* A number of the leaf's domain; reals are rounded to float so that kernels see the same. */
static double leaf_number(sampler *s, int leaf)
{
    if (s->inputs[leaf].integer)
        return (double)sample_between(s, (int64_t)s->inputs[leaf].low, (int64_t)s->inputs[leaf].high);
    double unit = (double)sample_between(s, 1, (1 << 30) - 1) / (1 << 30);
    return (float)(s->inputs[leaf].low + (s->inputs[leaf].high - s->inputs[leaf].low) * unit);
}

static bool fill_leaves(op_sample *s)
{
    sampler numbers = s->sampler;
    int64_t bound[MAX_SYMBOLS] = {0};
    s->leaf_count = s->sampler.input_count;
    for (int leaf = 0; leaf < s->leaf_count; leaf++) {
        char name[16];
        dim elements;
        snprintf(name, sizeof name, "x%d", leaf);
        s->leaves[leaf] = graph_find_leaf(s->graph, OP_input, name);
        if (s->leaves[leaf] == NONE || !shape_elements(graph_shape_of(s->graph, s->leaves[leaf]), &elements))
            return false;
        int64_t count = dim_value(elements, bound);
        s->data[leaf] = ARENA_NEW(&s->numbers, double, count + 1);
        s->repeated[leaf] = -1;
        for (int64_t i = 0; i < count; i++)
            s->data[leaf][i] = leaf_number(&numbers, leaf);
    }
    return true;
}

/* From the name of the op, so that the numbers do not depend on the order of the table (Fowler, Noll & Vo's
 * FNV-1a). Bounds are relative to the rms of a result, which is too small where terms happen to cancel: with
 * this initial value, no sample does. */
static uint64_t seed_of(const char *name)
{
    uint64_t hash = 1;
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 1099511628211u;
    return hash;
}

enum sample_state sample_open(op_sample *s, op_id op, int index)
{
    rondo_error error = {0};
    *s = (op_sample){.context = rondo_new(1)};
    s->graph = graph_new(s->context, &error);
    if (!s->graph) {
        say("no graph: %s", error.message);
        return SAMPLE_BROKEN;
    }
    arena_begin(&s->numbers, NULL);
    s->sampler.state = seed_of(op_table[op].signature.name) + (uint64_t)index;
    s->result = op_table[op].samples(s->graph, &s->sampler, index);
    if (s->result == NONE && !s->graph->error.code) {
        sample_close(s);
        return SAMPLE_PAST;
    }
    if (s->result == NONE)
        say("sample %d: %s", index, s->graph->error.message);
    else if (graph_op_of(s->graph, s->result) != (int)op)
        say("sample %d makes %s", index, op_table[graph_op_of(s->graph, s->result)].signature.name);
    else if (!fill_leaves(s))
        say("sample %d: its leaves are not those of the sampler", index);
    else
        return SAMPLE_OPEN;
    sample_close(s);
    return SAMPLE_BROKEN;
}

void sample_close(op_sample *s)
{
    arena_end(&s->numbers);
    graph_free(s->graph);
    rondo_free(s->context);
}

void sample_repeat(op_sample *s)
{
    int64_t bound[MAX_SYMBOLS] = {0};
    for (int leaf = 0; leaf < s->leaf_count; leaf++) {
        const shape *extents = graph_shape_of(s->graph, s->leaves[leaf]);
        if (s->sampler.inputs[leaf].integer || !extents->rank)
            continue;
        int axis = s->repeated[leaf] = (int)sample_between(&s->sampler, 0, extents->rank - 1);
        int64_t inner = 1, count = 1, extent = dim_value(extents->dims[axis], bound);
        for (int i = 0; i < extents->rank; i++) {
            count *= dim_value(extents->dims[i], bound);
            inner *= i > axis ? dim_value(extents->dims[i], bound) : 1;
        }
        for (int64_t i = 0; i < count; i++)
            s->data[leaf][i] = s->data[leaf][i / (inner * extent) * (inner * extent) + i % inner];
    }
}

const char *sample_interpret(const op_sample *s, interpretation *result)
{
    int64_t bound[MAX_SYMBOLS] = {0};
    interpret_binding bindings[MAX_INPUTS];
    rondo_error error = {0};
    for (int leaf = 0; leaf < s->leaf_count; leaf++)
        bindings[leaf] = (interpret_binding){s->leaves[leaf], s->data[leaf]};
    if (!interpret(s->graph, bound, bindings, s->leaf_count, result, &error))
        return say("interpret: %s", error.message);
    return NULL;
}

/* ---- comparing ---- */

const char *compare_tensors(const double *a, const double *b, int64_t count, double bound)
{
    double differences = 0, squares = 0, largest = 0;
    int64_t finite = 0, worst = 0;
    for (int64_t i = 0; i < count; i++) {
        if (!isfinite(b[i])) {
            if (isnan(b[i]) ? !isnan(a[i]) : a[i] != b[i])
                return say("element %lld is %g, not %g", (long long)i, a[i], b[i]);
            continue;
        }
        double difference = fabs(a[i] - b[i]);
        if (!isfinite(a[i]))
            return say("element %lld is %g, not %g", (long long)i, a[i], b[i]);
        if (difference > largest) {
            largest = difference;
            worst = i;
        }
        differences += difference * difference;
        squares += b[i] * b[i];
        finite++;
    }
    double scale = sqrt(squares / (double)(finite ? finite : 1)),
           off = sqrt(differences / (double)(finite ? finite : 1));
    if (scale < 1e-12) /* zero but for rounding in double: relative to the operands, which are about 1 */
        scale = 1;
    if (off <= bound * scale && largest <= 10 * bound * scale)
        return NULL;
    return say(
        "off by %.2g rms and %.2g at most, relative to an rms of %.3g (element %lld is %.9g, not %.9g)",
        off / scale, largest / scale, scale, (long long)worst, a[worst], b[worst]);
}

/* ---- memory for one tensor ---- */

const char *const layout_names[LAYOUT_COUNT] = {"dense",    "pitched",  "permuted",   "scattered",
                                                "repeated", "in place", "first only", "last only"};
enum { POISON = 0x7fa00000 | 0xdead, MARGIN = 64 }; /* a signalling NaN; elements around each tensor */

typedef struct room {
    uint32_t *memory;
    int64_t elements;
    tensor tensor;
} room;

/* Strides for the layout; returns how many elements the tensor spans. */
static int64_t lay_out(tensor *t, tensor_layout layout, sampler *random)
{
    int order[MAX_RANK]; /* from the outermost axis in memory */
    int64_t pitch = 1;
    for (int i = 0; i < t->rank; i++)
        order[i] = i;
    for (int i = t->rank - 1; layout == LAYOUT_PERMUTED && i > 0; i--) {
        int other = (int)sample_between(random, 0, i), kept = order[i];
        order[i] = order[other];
        order[other] = kept;
    }
    for (int i = t->rank - 1; i >= 0; i--) {
        bool padded = layout == LAYOUT_PERMUTED || (layout == LAYOUT_PITCHED && i < t->rank - 1);
        pitch += padded ? sample_between(random, 0, 3) : 0;
        t->strides[order[i]] = pitch;
        pitch *= t->dims[order[i]] > 0 ? t->dims[order[i]] : 1;
    }
    return pitch;
}

/* How operands and results lie under each layout. */
static tensor_layout operand_layout(tensor_layout layout)
{
    return layout == LAYOUT_SCATTERED ? LAYOUT_PERMUTED : layout <= LAYOUT_PERMUTED ? layout : LAYOUT_DENSE;
}
static tensor_layout result_layout(tensor_layout layout)
{
    return layout == LAYOUT_SCATTERED  ? LAYOUT_PERMUTED
           : layout == LAYOUT_PERMUTED ? LAYOUT_PITCHED
                                       : operand_layout(layout);
}

static room room_for(const rondo_graph *g, value_id v, const reference_tensor *numbers, tensor_layout layout,
                     sampler *random)
{
    room r = {.tensor = {.type = g->values[v].type, .rank = numbers->rank}};
    memcpy(r.tensor.dims, numbers->dims, sizeof r.tensor.dims);
    int64_t span = lay_out(&r.tensor, layout, random);
    int64_t shift = layout == LAYOUT_PITCHED || layout == LAYOUT_PERMUTED ? sample_between(random, 0, 3) : 0;
    r.elements = span + 2 * MARGIN + shift;
    r.elements += 15 - (r.elements + 15) % 16;
    r.memory = aligned_alloc(64, sizeof *r.memory * (size_t)r.elements);
    for (int64_t i = 0; i < r.elements; i++)
        r.memory[i] = POISON;
    r.tensor.data = r.memory + MARGIN + shift;
    return r;
}

/* Row-major element i. */
static int64_t element_at(const tensor *t, int64_t i)
{
    int64_t offset = 0;
    for (int axis = t->rank - 1; axis >= 0; axis--) {
        offset += i % t->dims[axis] * t->strides[axis];
        i /= t->dims[axis];
    }
    return offset;
}

static void room_write(room *r, const reference_tensor *numbers)
{
    for (int64_t i = 0; i < numbers->count; i++) {
        int64_t at = element_at(&r->tensor, i);
        if (r->tensor.type == RONDO_I32)
            ((int32_t *)r->tensor.data)[at] = (int32_t)numbers->data[i];
        else
            ((float *)r->tensor.data)[at] = (float)numbers->data[i];
    }
}

static const char *room_compare(room *r, const reference_tensor *numbers, double bound)
{
    double *got = malloc(sizeof *got * (size_t)(numbers->count + 1));
    const char *wrong = NULL;
    for (int64_t i = 0; i < numbers->count; i++) {
        int64_t at = element_at(&r->tensor, i);
        got[i] =
            r->tensor.type == RONDO_I32 ? ((int32_t *)r->tensor.data)[at] : ((float *)r->tensor.data)[at];
        ((uint32_t *)r->tensor.data)[at] = POISON; /* what is left must be poison */
    }
    wrong = compare_tensors(got, numbers->data, numbers->count, r->tensor.type == RONDO_I32 ? 0 : bound);
    free(got);
    for (int64_t i = 0; !wrong && i < r->elements; i++)
        if (r->memory[i] != POISON)
            wrong = say("memory outside the tensor was written, %lld elements after its beginning",
                        (long long)(&r->memory[i] - (uint32_t *)r->tensor.data));
    return wrong;
}

/* ---- kernels ---- */

/* One task after the other, or from the last to the first. */
static void run_serially(kernel_call *call, bool backwards)
{
    size_t scratch_bytes = (call->scratch_bytes + 127) / 64 * 64,
           shared_bytes = (call->shared_bytes + 127) / 64 * 64;
    char *scratch = aligned_alloc(64, scratch_bytes);
    call->shared = aligned_alloc(64, shared_bytes);
    memset(call->shared, 0xff, shared_bytes);
    for (int phase = 0; phase < call->phases; phase++)
        for (int64_t task = 0; task < call->tasks[phase]; task++) {
            memset(scratch, 0xff, scratch_bytes);
            call->kernel->run(call, phase, backwards ? call->tasks[phase] - 1 - task : task, scratch);
        }
    free(scratch);
    free(call->shared);
}

/* In place: output 0 is operand 0's memory. False: this node cannot. */
static bool share_first(const rondo_graph *g, const node *n, room *inputs, room *outputs)
{
    const value *x = n->input_count && n->inputs[0] != NONE ? &g->values[n->inputs[0]] : NULL,
                *y = &g->values[n->first_output];
    if (node_in_place(n, 0) != 0 || !x || x->type != y->type || !shape_equal(&x->shape, &y->shape))
        return false;
    free(outputs[0].memory);
    outputs[0] = inputs[0];
    inputs[0].memory = NULL;
    return true;
}

static double kernel_bound(const node *n)
{
    return op_table[n->op].flags & OP_TRAINING ? 5e-6 : 1e-6;
}

static const char *compare_results(const kernel_call *call, const interpretation *values, const node *n,
                                   room *outputs)
{
    for (int p = 0; p < n->output_count; p++) {
        char wrong[500];
        const reference_tensor *numbers = &values->values[n->first_output + p];
        const char *found =
            call->outputs[p].data ? room_compare(&outputs[p], numbers, kernel_bound(n)) : NULL;
        if (!found)
            continue;
        snprintf(wrong, sizeof wrong, "%s", found);
        return say("kernel %s, result %d: %s", call->kernel->name, p, wrong);
    }
    return NULL;
}

/* The tasks in another order give the same bits. Results are compared, and poisoned again, in between. */
static const char *run_both_ways(kernel_call *call, const interpretation *values, const node *n,
                                 room *outputs)
{
    uint32_t *bits[MAX_OUTPUTS] = {0};
    run_serially(call, false);
    for (int p = 0; p < n->output_count; p++) {
        bits[p] = malloc(sizeof(uint32_t) * (size_t)outputs[p].elements);
        memcpy(bits[p], outputs[p].memory, sizeof(uint32_t) * (size_t)outputs[p].elements);
    }
    const char *wrong = compare_results(call, values, n, outputs);
    if (!wrong)
        run_serially(call, true);
    for (int p = 0; p < n->output_count; p++) {
        if (!wrong && memcmp(bits[p], outputs[p].memory, sizeof(uint32_t) * (size_t)outputs[p].elements))
            wrong = say("kernel %s, result %d: other bits when the tasks run in another order",
                        call->kernel->name, p);
        free(bits[p]);
    }
    return wrong;
}

/* Removes the data of results that are not wanted in this layout; false: there are none. */
static bool drop_results(kernel_call *call, tensor_layout layout)
{
    int kept = layout == LAYOUT_FIRST_ONLY ? 0 : call->output_count - 1;
    for (int p = 0; p < call->output_count; p++)
        if (p != kept)
            call->outputs[p].data = NULL;
    return call->output_count > 1;
}

static const char *run_and_compare(kernel_call *call, const interpretation *values, const node *n,
                                   tensor_layout layout, room *outputs, bool *ran)
{
    if (layout >= LAYOUT_FIRST_ONLY && !drop_results(call, layout))
        return NULL;
    *ran = call->kernel->plan(call);
    if (!*ran)
        return NULL;
    if (layout == LAYOUT_PITCHED)
        return run_both_ways(call, values, n, outputs);
    run_serially(call, false);
    return compare_results(call, values, n, outputs);
}

static room operand_room(const op_sample *s, value_id v, const reference_tensor *numbers,
                         tensor_layout layout, sampler *random)
{
    room r = room_for(s->graph, v, numbers, operand_layout(layout), random);
    for (int leaf = 0; layout == LAYOUT_REPEATED && leaf < s->leaf_count; leaf++)
        if (s->leaves[leaf] == v && s->repeated[leaf] >= 0)
            r.tensor.strides[s->repeated[leaf]] = 0;
    room_write(&r, numbers);
    return r;
}

const char *check_kernel(const op_sample *s, const kernel *k, const interpretation *values,
                         tensor_layout layout, bool *ran)
{
    const rondo_graph *g = s->graph;
    const node *n = graph_node_of(g, s->result);
    room inputs[MAX_INPUTS] = {{0}}, outputs[MAX_OUTPUTS] = {{0}};
    tensor input_tensors[MAX_INPUTS], output_tensors[MAX_OUTPUTS];
    sampler random = {.state = (uint64_t)s->result + 77u * layout};
    memset(input_tensors, 0, sizeof input_tensors);
    for (int i = 0; i < n->input_count; i++)
        if (n->inputs[i] != NONE) {
            const reference_tensor *numbers = &values->values[n->inputs[i]];
            inputs[i] = operand_room(s, n->inputs[i], numbers, layout, &random);
            input_tensors[i] = inputs[i].tensor;
        }
    for (int p = 0; p < n->output_count; p++)
        outputs[p] = room_for(g, n->first_output + p, &values->values[n->first_output + p],
                              result_layout(layout), &random);
    bool possible = layout != LAYOUT_IN_PLACE || share_first(g, n, inputs, outputs);
    for (int p = 0; p < n->output_count; p++)
        output_tensors[p] = outputs[p].tensor;
    kernel_call call = {.kernel = k,
                        .op = n->op,
                        .attributes = n->attributes,
                        .input_count = n->input_count,
                        .output_count = n->output_count,
                        .inputs = input_tensors,
                        .outputs = output_tensors};
    if (n->op == OP_fused)
        call.program = g->names[n->attributes[fused_program].integer];
    *ran = false;
    const char *wrong = possible ? run_and_compare(&call, values, n, layout, outputs, ran) : NULL;
    for (int i = 0; i < MAX_INPUTS; i++)
        free(inputs[i].memory);
    for (int p = 0; p < MAX_OUTPUTS; p++)
        free(outputs[p].memory);
    return wrong;
}
