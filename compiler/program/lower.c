/* lower, second half: the calls. Each node that computes gets the first kernel of its row whose plan accepts
 * the shapes and strides (the row lists the best first; options.kernel_choice names another), buffers get
 * lifetimes, and plan gives them offsets.
 *
 *   needs: placements and an order
 *   gives: calls, relocations, offsets, the memory report
 *   breaks: nothing */
#include "compiler/program/lower.h"
#include "compiler/program/wisdom.h"
#include "core/guard.h"
#include <string.h>

static int64_t elements(const specialisation *s, const rondo_graph *g, value_id v)
{
    int64_t count = 1;
    for (int a = 0; a < g->values[v].shape.rank; a++)
        count *= s->dims[v][a];
    return count;
}

int64_t value_bytes(const specialisation *s, const rondo_graph *g, value_id v)
{
    if (graph_op_of(g, v) == OP_constant && s->placements[v].root == v && s->placements[v].strides[0] == 0 &&
        elements(s, g, v))
        return type_bytes(g->values[v].type);
    return elements(s, g, v) * type_bytes(g->values[v].type);
}

static tensor tensor_of(const specialisation *s, const rondo_graph *g, value_id v)
{
    tensor t = {0};
    if (v == NONE)
        return t;
    t.type = g->values[v].type;
    t.rank = g->values[v].shape.rank;
    memcpy(t.dims, s->dims[v], sizeof t.dims);
    memcpy(t.strides, s->placements[v].strides, sizeof t.strides);
    return t;
}

/* A view op whose result is a view, and leaves, compute nothing. */
static bool computes(const specialisation *s, const node *n)
{
    if (op_table[n->op].flags & OP_LEAF)
        return false;
    return s->placements[n->first_output].root == n->first_output;
}

/* By value: whether it is read, in the graph or after the run. */
static bool *mark_reads(arena *a, const program *p)
{
    const rondo_graph *g = p->graph;
    bool *read = ARENA_NEW(a, bool, g->value_count + 1);
    if (!read)
        return NULL;
    memcpy(read, p->kept, sizeof *read * (size_t)g->value_count);
    for (node_id id = 0; id < g->node_count; id++)
        for (int i = 0; i < g->nodes[id].input_count; i++)
            if (g->nodes[id].inputs[i] != NONE)
                read[g->nodes[id].inputs[i]] = true;
    return read;
}

static bool pick_kernel(kernel_call *call, const program *p, const node *n)
{
    const kernel *const *candidates = op_table[n->op].kernels;
    int wanted = p->options.kernel_choice > 0 ? p->options.kernel_choice : 0;
    const kernel *measured = wanted ? NULL : wisdom_choice(p->wisdom, call);
    if (measured) {
        kernel_call probe = *call;
        probe.kernel = measured;
        if (measured->plan(&probe)) {
            *call = probe;
            return true;
        }
    }
    bool found = false;
    for (int k = 0; candidates[k]; k++) {
        kernel_call probe = *call;
        probe.kernel = candidates[k];
        if (!candidates[k]->plan(&probe))
            continue;
        *call = probe;
        found = true;
        if (wanted-- == 0)
            break;
    }
    return found;
}

int operand_room(const node *n)
{
    int most = op_table[n->op].signature.max_inputs;
    return n->input_count > most ? n->input_count : most;
}

static bool make_call(specialisation *s, const program *p, node_id id, const bool *read, rondo_error *error)
{
    const rondo_graph *g = p->graph;
    const node *n = &g->nodes[id];
    kernel_call *call = &s->calls[s->call_count];
    int room = operand_room(n); /* trailing operands that are absent become empty tensors */
    tensor *tensors = ARENA_NEW(&s->arena, tensor, room + n->output_count + 1);
    attribute *attributes = ARENA_NEW(&s->arena, attribute, MAX_ATTRIBUTES);
    if (!tensors || !attributes)
        return fail_memory(error, sizeof *tensors * MAX_INPUTS, "a kernel call");
    memcpy(attributes, n->attributes, sizeof n->attributes);
    *call = (kernel_call){.op = n->op,
                          .attributes = attributes,
                          .input_count = n->input_count,
                          .output_count = n->output_count,
                          .inputs = tensors,
                          .outputs = tensors + room,
                          .phases = 1};
    if (n->op == OP_fused)
        call->program = g->names[n->attributes[fused_program].integer];
    for (int i = 0; i < n->input_count; i++) {
        tensors[i] = tensor_of(s, g, n->inputs[i]);
        if (n->inputs[i] !=
            NONE) /* plans look at whether an optional operand is present, never at its contents */
            tensors[i].data = (void *)s;
    }
    for (int o = 0; o < n->output_count; o++) {
        call->outputs[o] = tensor_of(s, g, n->first_output + o);
        call->outputs[o].data = n->output_count == 1 || read[n->first_output + o] ? (void *)s : NULL;
    }
    if (n->op == OP_constant && !p->kept[n->first_output] && !p->dense[n->first_output])
        call->outputs[0].rank = 0;
    char place[PLACE_BYTES];
    if (n->op == OP_loop && !lower_loop(s, p, id, call, error))
        return false;
    if (n->op != OP_loop && !pick_kernel(call, p, n))
        return fail(error, RONDO_ARGUMENT, "%s: no kernel takes these shapes", graph_place(g, id, place));
    s->nodes[s->call_count++] = id;
    s->flops += call->flops;
    return true;
}

/* ---- memory ---- */

typedef struct buffers {
    lifetime *records;
    int *scratch;
    int count;
    int *of_root;   /* by value: its record, −1 none */
    int *of_shared; /* by call */
} buffers;

static void touch(const specialisation *s, buffers *b, value_id v, int call)
{
    if (v == NONE)
        return;
    int record = b->of_root[s->placements[v].root];
    if (record >= 0 && b->records[record].last < call)
        b->records[record].last = call;
}

/* Whether the output may take over the storage of input i: no later call reads it, and the layouts agree. */
static bool takes_over(const specialisation *s, const program *p, const buffers *b, const int *last_read,
                       const node *n, int i, value_id out, int call)
{
    const rondo_graph *g = p->graph;
    value_id in = i >= 0 && i < n->input_count ? n->inputs[i] : NONE;
    if (p->options.no_in_place || in == NONE || p->kept[out])
        return false;
    value_id root = s->placements[in].root;
    if (b->of_root[root] < 0 || p->kept[root] || last_read[root] != call ||
        graph_op_of(g, root) == OP_constant)
        return false;
    for (int k = 0; k < n->input_count; k++)
        if (k != i && n->inputs[k] != NONE && s->placements[n->inputs[k]].root == root)
            return false;
    int rank = g->values[out].shape.rank;
    return s->placements[in].offset == 0 && rank == g->values[in].shape.rank &&
           g->values[in].type == g->values[out].type &&
           !memcmp(s->dims[in], s->dims[out], sizeof s->dims[in][0] * (size_t)rank) &&
           !memcmp(s->placements[in].strides, s->placements[out].strides, sizeof(int64_t) * (size_t)rank) &&
           value_bytes(s, g, root) == value_bytes(s, g, out);
}

/* The operand whose storage output o takes over; −1: none. An elementwise op may take over any operand, since
 * it reads each element before it writes there; a fused chain with several results may not, since it stores
 * one result before it has read the operands of the next. */
static int operand_taken(const specialisation *s, const program *p, const buffers *b, const int *last_read,
                         const node *n, int o, int call)
{
    bool any = (op_table[n->op].flags & OP_ELEMENTWISE) || n->op == OP_fused;
    if (n->op == OP_fused && n->output_count > 1)
        return -1;
    int first = node_in_place(n, o), last = any ? n->input_count - 1 : first;
    for (int i = first; i >= 0 && i <= last; i++)
        if (takes_over(s, p, b, last_read, n, i, n->first_output + o, call))
            return i;
    return -1;
}

static void find_last_reads(const specialisation *s, const rondo_graph *g, int *last_read)
{
    for (int c = 0; c < s->call_count; c++) {
        const node *n = &g->nodes[s->nodes[c]];
        for (int i = 0; i < n->input_count; i++)
            if (n->inputs[i] != NONE)
                last_read[s->placements[n->inputs[i]].root] = c;
    }
}

static int new_record(buffers *b, const program *p, int64_t bytes, int first, int last)
{
    b->records[b->count] = (lifetime){bytes + (p->options.poison ? GUARD_BYTES : 0), first, last, 0, bytes};
    return b->count++;
}

static bool plan_memory(specialisation *s, const program *p, rondo_error *error)
{
    const rondo_graph *g = p->graph;
    buffers b = {0};
    int most = g->value_count + s->call_count + 1;
    b.records = ARENA_NEW(&s->arena, lifetime, most);
    b.scratch = ARENA_NEW(&s->arena, int, 5 * (size_t)most);
    b.of_root = ARENA_NEW(&s->arena, int, g->value_count + 1);
    b.of_shared = ARENA_NEW(&s->arena, int, s->call_count + 1);
    int *last_read = ARENA_NEW(&s->arena, int, g->value_count + 1);
    if (!b.records || !b.scratch || !b.of_root || !b.of_shared || !last_read)
        return fail_memory(error, sizeof *b.records * (size_t)most, "a memory plan");
    memset(b.of_root, -1, sizeof *b.of_root * (size_t)g->value_count);
    memset(last_read, -1, sizeof *last_read * (size_t)g->value_count);
    find_last_reads(s, g, last_read);
    for (int c = 0; c < s->call_count; c++) {
        const node *n = &g->nodes[s->nodes[c]];
        for (int o = 0; o < n->output_count; o++) {
            value_id v = n->first_output + o;
            if (!s->calls[c].outputs[o].data)
                continue;
            int taken = operand_taken(s, p, &b, last_read, n, o, c);
            if (taken >= 0) {
                b.of_root[v] = b.of_root[s->placements[n->inputs[taken]].root];
                b.records[b.of_root[v]].last = c;
                continue;
            }
            b.of_root[v] = new_record(&b, p, value_bytes(s, g, v), c, p->kept[v] ? s->call_count : c);
        }
        for (int i = 0; i < n->input_count; i++)
            touch(s, &b, n->inputs[i], c);
        b.of_shared[c] =
            s->calls[c].shared_bytes ? new_record(&b, p, (int64_t)s->calls[c].shared_bytes, c, c) : -1;
    }
    s->memory = plan(b.records, b.count, 64, b.scratch);
    s->lifetimes = b.records;
    s->lifetime_count = b.count;
    s->begins = b.scratch;
    s->ends = b.scratch + b.count;
    s->arena_bytes = (size_t)s->memory.peak_bytes;
    if (!plan_verify(b.records, b.count, s->memory.peak_bytes, b.scratch))
        return fail(error, RONDO_SHAPE, "the buffers of this graph are too large to count at these sizes");
    for (value_id v = 0; v < g->value_count; v++)
        s->offsets[v] = b.of_root[v] >= 0 ? b.records[b.of_root[v]].offset : -1;
    for (int c = 0; c < s->call_count; c++)
        s->scratch[c].shared_offset = b.of_shared[c] >= 0 ? b.records[b.of_shared[c]].offset : -1;
    return true;
}

static bool make_relocations(specialisation *s, const program *p, rondo_error *error)
{
    const rondo_graph *g = p->graph;
    int most = 0;
    for (int c = 0; c < s->call_count; c++)
        most += s->calls[c].input_count + s->calls[c].output_count;
    s->relocations = ARENA_NEW(&s->arena, relocation, most + 1);
    if (!s->relocations)
        return fail_memory(error, sizeof *s->relocations * (size_t)most, "a program");
    for (int c = 0; c < s->call_count; c++) {
        const node *n = &g->nodes[s->nodes[c]];
        for (int i = 0; i < n->input_count + n->output_count; i++) {
            bool input = i < n->input_count;
            value_id v = input ? n->inputs[i] : n->first_output + i - n->input_count;
            if (v == NONE || (!input && !s->calls[c].outputs[i - n->input_count].data))
                continue;
            s->relocations[s->relocation_count++] =
                (relocation){c, input ? i : -1 - (i - n->input_count), s->placements[v].root,
                             s->placements[v].offset * type_bytes(g->values[v].type)};
        }
        if (s->calls[c].scratch_bytes > s->worker_bytes)
            s->worker_bytes = (s->calls[c].scratch_bytes + 63) / 64 * 64;
    }
    return true;
}

bool lower_calls(specialisation *s, const program *p, const node_id *order, int count, rondo_error *error)
{
    s->calls = ARENA_NEW(&s->arena, kernel_call, count + 1);
    s->scratch = ARENA_NEW(&s->arena, call_scratch, count + 1);
    s->nodes = ARENA_NEW(&s->arena, node_id, count + 1);
    s->offsets = ARENA_NEW(&s->arena, int64_t, p->graph->value_count + 1);
    s->loops = ARENA_NEW(&s->arena, loop_call, count + 1);
    bool *read = mark_reads(&s->arena, p);
    if (!s->calls || !s->scratch || !s->nodes || !s->offsets || !s->loops || !read)
        return fail_memory(error, sizeof *s->calls * (size_t)count, "a program");
    for (int i = 0; i < count; i++)
        if (computes(s, &p->graph->nodes[order[i]]) && !make_call(s, p, order[i], read, error))
            return false;
    return plan_memory(s, p, error) && make_relocations(s, p, error) && lower_check(s, p, error);
}
