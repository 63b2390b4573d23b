/* instance: one caller's memory for a program, and the run itself: a flat loop over calls. */
#include "compiler/program/instance.h"
#include "compiler/program/lower.h"
#include "core/guard.h"
#include "ops/kernels/products/blas.h"
#include <string.h>
#include <time.h>

bool instance_begin(instance *i, program *p, rondo_error *error)
{
    *i = (instance){.program = p, .allocator = &p->context->allocator};
    i->roots_bytes = sizeof *i->roots * ((size_t)p->graph->value_count + 1);
    i->roots = memory_new(i->allocator, i->roots_bytes);
    return i->roots || fail_memory(error, i->roots_bytes, "a session");
}

static void resize(instance *i, void **memory, size_t *now, size_t bytes)
{
    if (bytes <= *now)
        return;
    memory_free(i->allocator, *memory, *now);
    *memory = memory_new(i->allocator, bytes);
    *now = *memory ? bytes : 0;
}

static void end_loops(instance *i)
{
    for (int k = 0; k < i->loop_count; k++)
        instance_end(&i->loops[k]);
    memory_free(i->allocator, i->loops, i->loops_bytes);
    i->loops = NULL;
    i->loops_bytes = 0;
    i->loop_count = 0;
}

void instance_end(instance *i)
{
    if (!i->program)
        return;
    end_loops(i);
    program_release(i->program, i->now);
    memory_free(i->allocator, i->roots, i->roots_bytes);
    memory_free(i->allocator, i->calls, i->calls_bytes);
    memory_free(i->allocator, i->tensors, i->tensors_bytes);
    if (!i->borrows) {
        memory_free(i->allocator, i->memory, i->memory_bytes);
        memory_free(i->allocator, i->workers, i->workers_bytes);
    }
    *i = (instance){0};
}

void instance_bind(instance *i, value_id v, void *data)
{
    if (v >= 0 && v < i->program->graph->value_count)
        i->roots[v] = data;
}

static bool adopt(instance *i, const specialisation *s, int workers, rondo_error *error);

/* An instance for the body of each loop; the specialisation has a use of the body's for as long as it
 * lives, and the instance another. */
static bool adopt_loops(instance *i, const specialisation *s, rondo_error *error)
{
    end_loops(i);
    if (!s->loop_count)
        return true;
    i->loops_bytes = sizeof *i->loops * (size_t)s->loop_count;
    i->loops = memory_new(i->allocator, i->loops_bytes);
    if (!i->loops)
        return fail_memory(error, i->loops_bytes, "running a loop");
    for (; i->loop_count < s->loop_count; i->loop_count++) {
        const loop_call *l = &s->loops[i->loop_count];
        instance *body = &i->loops[i->loop_count];
        if (!instance_begin(body, l->program, error))
            return false;
        body->borrows = true;
        const specialisation *own = program_specialise(l->program, l->body->bound, error);
        if (!own || !adopt(body, own, 0, error)) {
            program_release(l->program, own);
            instance_end(body);
            return false;
        }
    }
    return true;
}

/* Copies the calls of a specialisation, so that pointers can be put into them. */
static bool adopt(instance *i, const specialisation *s, int workers, rondo_error *error)
{
    size_t tensors = 0;
    for (int c = 0; c < s->call_count; c++)
        tensors += (size_t)(operand_room(&i->program->graph->nodes[s->nodes[c]]) + s->calls[c].output_count);
    resize(i, (void **)&i->calls, &i->calls_bytes, sizeof *i->calls * ((size_t)s->call_count + 1));
    resize(i, (void **)&i->tensors, &i->tensors_bytes, sizeof *i->tensors * (tensors + 1));
    if (!i->borrows) {
        resize(i, (void **)&i->memory, &i->memory_bytes, s->arena_bytes + 64);
        resize(i, (void **)&i->workers, &i->workers_bytes, s->worker_bytes * (size_t)workers + 64);
    }
    program_release(i->program, i->now);
    i->now = NULL;
    if (!i->calls || !i->tensors || (!i->borrows && (!i->memory || !i->workers)))
        return fail_memory(error, s->arena_bytes, "running a program");
    if (!adopt_loops(i, s, error))
        return false;
    tensor *at = i->tensors;
    for (int c = 0; c < s->call_count; c++) {
        kernel_call *call = &i->calls[c];
        int room = operand_room(&i->program->graph->nodes[s->nodes[c]]);
        *call = s->calls[c];
        memcpy(at, call->inputs, sizeof *at * (size_t)room);
        call->inputs = at;
        at += room;
        memcpy(at, s->calls[c].outputs, sizeof *at * (size_t)call->output_count);
        call->outputs = at;
        at += call->output_count;
    }
    i->now = s;
    return true;
}

static char *root_memory(const instance *i, value_id root)
{
    if (i->roots[root])
        return i->roots[root];
    return i->now->offsets[root] >= 0 ? i->memory + i->now->offsets[root] : NULL;
}

bool instance_relocate(instance *i, rondo_error *error)
{
    const specialisation *s = i->now;
    for (int c = 0; c < s->call_count; c++)
        if (s->scratch[c].shared_offset >= 0)
            i->calls[c].shared = i->memory + s->scratch[c].shared_offset;
    for (int r = 0; r < s->relocation_count; r++) {
        const relocation *at = &s->relocations[r];
        char *memory = root_memory(i, at->root);
        if (!memory) {
            const rondo_graph *g = i->program->graph;
            const node *n = graph_node_of(g, at->root);
            return fail(error, RONDO_ARGUMENT, "%s \"%s\" was given no data", op_table[n->op].signature.name,
                        g->names[n->attributes[0].integer]);
        }
        kernel_call *call = &i->calls[at->call];
        tensor *t = at->operand >= 0 ? &call->inputs[at->operand] : &call->outputs[-1 - at->operand];
        t->data = memory + at->offset;
    }
    return true;
}

typedef struct work {
    const kernel_call *call;
    int phase;
    char *workers;
    size_t worker_bytes;
} work;

static void do_task(void *argument, int64_t task, int worker)
{
    const work *w = argument;
    w->call->kernel->run(w->call, w->phase, task, w->workers + w->worker_bytes * (size_t)worker);
}

/* ---- poison, for tests: shows who reads a buffer before it is written, after its end of life, or past its
 * end ---- */

static void fill_poison(char *memory, int64_t bytes)
{
    static const uint32_t signalling = 0x7fa00000; /* a NaN as f32, out of any range as i32 */
    size_t all = (size_t)bytes, done = all < sizeof signalling ? all : sizeof signalling;
    if (!all)
        return;
    memcpy(memory, &signalling, done);
    while (done < all) { /* copies what is filled already: the workers' scratch is filled for every call */
        size_t more = done < all - done ? done : all - done;
        memcpy(memory + done, memory, more);
        done += more;
    }
}

/* How many lifetimes have begun, and how many have ended. */
typedef struct poisoning {
    int begun, ended;
} poisoning;

static void poison_before(const instance *i, poisoning *at, int call, int workers)
{
    const specialisation *s = i->now;
    fill_poison(i->workers, (int64_t)s->worker_bytes * workers);
    for (; at->begun < s->lifetime_count && s->lifetimes[s->begins[at->begun]].first == call; at->begun++) {
        const lifetime *l = &s->lifetimes[s->begins[at->begun]];
        fill_poison(i->memory + l->offset, l->used);
        guard_set(i->memory + l->offset + l->used, (size_t)(l->bytes - l->used));
    }
}

/* The guards behind the results and the scratch memory of a call. */
static bool guards_hold(const instance *i, int call)
{
    const specialisation *s = i->now;
    const rondo_graph *g = i->program->graph;
    const node *n = &g->nodes[s->nodes[call]];
    bool hold =
        s->scratch[call].shared_offset < 0 ||
        guard_holds(i->memory + s->scratch[call].shared_offset + s->calls[call].shared_bytes, GUARD_BYTES);
    for (int o = 0; hold && o < n->output_count; o++) {
        value_id root = s->placements[n->first_output + o].root;
        if (s->offsets[root] >= 0 && !i->roots[root])
            hold = guard_holds(i->memory + s->offsets[root] + value_bytes(s, g, root), GUARD_BYTES);
    }
    return hold;
}

static bool poison_after(const instance *i, poisoning *at, int call, rondo_error *error)
{
    const specialisation *s = i->now;
    char place[PLACE_BYTES];
    bool hold = guards_hold(i, call);
    for (; at->ended < s->lifetime_count && s->lifetimes[s->ends[at->ended]].last <= call; at->ended++) {
        const lifetime *l = &s->lifetimes[s->ends[at->ended]];
        hold = hold && guard_holds(i->memory + l->offset + l->used, (size_t)(l->bytes - l->used));
        fill_poison(i->memory + l->offset, l->used);
    }
    return hold || fail(error, RONDO_MISMATCH, "%s wrote past the end of a buffer",
                        graph_place(i->program->graph, s->nodes[call], place));
}

static double now_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

bool instance_calls(instance *i, team *t, rondo_error *error)
{
    const specialisation *s = i->now;
    poisoning poisoned = {0};
    double before = i->seconds ? now_seconds() : 0;
    for (int c = 0; c < s->call_count; c++) {
        const kernel_call *call = &i->calls[c];
        if (i->program->options.poison)
            poison_before(i, &poisoned, c, team_size(t));
        for (int phase = 0; phase < call->phases; phase++) {
            work w = {call, phase, i->workers, s->worker_bytes};
            team_run(t, call->tasks[phase], do_task, &w);
        }
        if (call->op == OP_loop && !run_loop(i, c, t, error))
            return false;
        if (i->cancel && atomic_load(i->cancel))
            return fail(error, RONDO_CANCELLED, "cancelled");
        if (i->program->options.poison && !poison_after(i, &poisoned, c, error))
            return false;
        if (i->seconds) {
            double after = now_seconds();
            i->seconds[s->nodes[c]] += after - before;
            before = after;
        }
    }
    return true;
}

/* Makes i->now the specialisation for `bound`, held by the instance. */
static bool specialise(instance *i, int workers, const int64_t *bound, rondo_error *error)
{
    const specialisation *s = program_specialise(i->program, bound, error);
    if (s && i->now != s && adopt(i, s, workers, error))
        return true;
    program_release(i->program, s);
    return s && i->now == s;
}

bool instance_run(instance *i, team *t, const int64_t *bound, rondo_error *error)
{
    if (!specialise(i, team_size(t), bound, error) || !instance_relocate(i, error))
        return false;
    blas_begin();
    team_begin(t);
    bool whole = instance_calls(i, t, error);
    team_end(t);
    blas_end();
    return whole;
}

tensor instance_tensor(const instance *i, value_id v)
{
    const rondo_graph *g = i->program->graph;
    const placement *at = &i->now->placements[v];
    tensor t = {.type = g->values[v].type, .rank = g->values[v].shape.rank};
    memcpy(t.dims, i->now->dims[v], sizeof t.dims);
    memcpy(t.strides, at->strides, sizeof t.strides);
    char *memory = root_memory(i, at->root);
    t.data = memory ? memory + at->offset * type_bytes(t.type) : NULL;
    return t;
}
