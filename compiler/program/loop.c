/* Loops in a program: lowering one to the program of its body, and running the body step by step. A step
 * gets its rows by pointers into the loop's operands and writes its results where they belong; nothing is
 * copied but what the body passes on unchanged.
 *
 *   needs: dense operands (place.c)     gives: loop_call     breaks: nothing */
#include "compiler/program/instance.h"
#include "compiler/program/lower.h"
#include <string.h>

/* ---- lowering ---- */

/* A name for reports: the call has no phases, run_loop does the work. */
static const kernel kernel_loop = {"loop", NULL, NULL};

static int64_t tensor_bytes(const tensor *t)
{
    int64_t count = type_bytes(t->type);
    for (int a = 0; a < t->rank; a++)
        count *= t->dims[a];
    return count;
}

static loop_slot slot_of(const loop_call *l, loop_place at, value_id inside, const tensor *t)
{
    bool whole = at.kind == LOOP_CARRY || at.kind == LOOP_CONSTANT;
    int64_t bytes = tensor_bytes(t);
    return (loop_slot){at.kind, inside, whole ? bytes : l->steps ? bytes / l->steps : 0, false};
}

static bool find_slots(loop_call *l, arena *a, const loop_parts *parts, const kernel_call *call)
{
    l->operands = ARENA_NEW(a, loop_slot, call->input_count + 1);
    l->results = ARENA_NEW(a, loop_slot, call->output_count + 1);
    l->carry_offsets = ARENA_NEW(a, size_t, parts->carries + 1);
    if (!l->operands || !l->results || !l->carry_offsets)
        return false;
    for (int i = 0; i < call->input_count; i++)
        l->operands[i] = slot_of(l, loop_operand(parts, i), loop_leaf(parts, i), &call->inputs[i]);
    for (int i = 0; i < call->output_count; i++)
        l->results[i] = slot_of(l, loop_result(parts, i), loop_made(parts, i), &call->outputs[i]);
    return true;
}

static bool is_leaf(const rondo_graph *body, value_id v)
{
    return op_table[graph_op_of(body, v)].flags & OP_LEAF;
}

/* The body writes a result itself unless it is a leaf, or another result is the same value; rows come before
 * carries, which are read from there. */
static void bind_results(loop_call *l, const rondo_graph *body, const kernel_call *call)
{
    int count = call->output_count;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < count; i++) {
            loop_slot *slot = &l->results[i];
            bool free = !is_leaf(body, slot->inside) && (pass == 1 || call->outputs[i].data);
            for (int j = 0; j < count; j++)
                free = free && !(l->results[j].bound && l->results[j].inside == slot->inside);
            if ((slot->kind == LOOP_CARRY) == (pass == 1) && free)
                slot->bound = true;
        }
}

bool lower_loop(specialisation *s, const program *p, node_id id, kernel_call *call, rondo_error *error)
{
    const rondo_graph *g = p->graph;
    const node *n = &g->nodes[id];
    loop_parts parts;
    dim steps;
    int64_t bound[MAX_SYMBOLS] = {0};
    loop_call *l = &s->loops[s->loop_count];
    loop_parts_of(g, n->attributes, n->input_count, &parts);
    loop_steps(g, n, &parts, &steps);
    loop_bound(g, s->bound, parts.body, bound);
    *l = (loop_call){.program = p->bodies[id],
                     .steps = dim_value(steps, s->bound),
                     .reverse = parts.reverse,
                     .carries = parts.carries};
    if (!find_slots(l, &s->arena, &parts, call))
        return fail_memory(error, sizeof *l, "a loop");
    bind_results(l, parts.body, call);
    if (!(l->body = program_specialise(l->program, bound, error)))
        return false;
    call->kernel = &kernel_loop;
    call->choice[0] = s->loop_count++;
    call->phases = 0;
    call->flops = l->body->flops * (double)l->steps;
    call->scratch_bytes = l->body->worker_bytes;
    size_t at = 0;
    for (int k = 0; k < l->carries; k++) {
        l->carry_offsets[k] = at;
        at += 2 * (((size_t)l->operands[k].bytes + 63) / 64 * 64);
    }
    l->arena_offset = at;
    call->shared_bytes = at + l->body->arena_bytes + 64;
    return true;
}

/* ---- running ---- */

typedef struct loop_run {
    const loop_call *call;
    const kernel_call *outer; /* with the memory of operands and results */
    instance *body;
    const void *found[MAX_INPUTS]; /* of each carry, by this step */
    int side;                      /* which of a carry's two buffers this step writes */
} loop_run;

static char *carry_buffer(const loop_run *r, int k, int side)
{
    size_t bytes = ((size_t)r->call->operands[k].bytes + 63) / 64 * 64;
    return (char *)r->outer->shared + r->call->carry_offsets[k] + (side ? bytes : 0);
}

static char *operand_at(const loop_run *r, int i, int64_t step)
{
    const loop_slot *slot = &r->call->operands[i];
    if (slot->kind == LOOP_CARRY)
        return (char *)r->found[i];
    bool whole = slot->kind == LOOP_CONSTANT;
    return (char *)r->outer->inputs[i].data + (whole ? 0 : step * slot->bytes);
}

/* Where result i of a step belongs; NULL: nobody reads it. */
static char *result_at(const loop_run *r, int i, int64_t step)
{
    const loop_slot *slot = &r->call->results[i];
    if (slot->kind == LOOP_CARRY)
        return carry_buffer(r, i, r->side);
    char *data = r->outer->outputs[i].data;
    return data ? data + step * slot->bytes : NULL;
}

static void bind_step(const loop_run *r, int64_t step)
{
    const loop_call *l = r->call;
    for (int i = 0; i < r->outer->input_count; i++)
        instance_bind(r->body, l->operands[i].inside, operand_at(r, i, step));
    for (int i = 0; i < r->outer->output_count; i++)
        if (l->results[i].bound)
            instance_bind(r->body, l->results[i].inside, result_at(r, i, step));
}

/* Copies what the body did not write where it belongs, and finds the carries for the next step. */
static void end_step(loop_run *r, int64_t step)
{
    const loop_call *l = r->call;
    const void *next[MAX_INPUTS];
    for (int i = 0; i < r->outer->output_count; i++) {
        const loop_slot *slot = &l->results[i];
        const void *made = instance_tensor(r->body, slot->inside).data;
        char *to = result_at(r, i, step);
        if (i < l->carries && !is_leaf(r->body->program->graph, slot->inside)) {
            next[i] = made;
            continue;
        }
        if (!slot->bound && to)
            memcpy(to, made, (size_t)slot->bytes);
        if (i < l->carries)
            next[i] = to;
    }
    for (int k = 0; k < l->carries; k++)
        r->found[k] = next[k];
    r->side = !r->side;
}

bool run_loop(instance *i, int call, team *t, rondo_error *error)
{
    const kernel_call *outer = &i->calls[call];
    const loop_call *l = &i->now->loops[outer->choice[0]];
    loop_run r = {l, outer, &i->loops[outer->choice[0]], {0}, 0};
    r.body->memory = (char *)outer->shared + l->arena_offset;
    r.body->workers = i->workers;
    r.body->cancel = i->cancel;
    for (int k = 0; k < l->carries; k++)
        r.found[k] = outer->inputs[k].data;
    for (int64_t done = 0; done < l->steps; done++) {
        int64_t step = l->reverse ? l->steps - 1 - done : done;
        bind_step(&r, step);
        if (!instance_relocate(r.body, error) || !instance_calls(r.body, t, error))
            return false;
        end_step(&r, step);
    }
    for (int k = 0; k < l->carries; k++)
        if (outer->outputs[k].data && r.found[k])
            memcpy(outer->outputs[k].data, r.found[k], (size_t)l->operands[k].bytes);
    return true;
}
