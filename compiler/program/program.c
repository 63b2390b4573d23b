/* program: a verified graph, and a cache of its specialisations. */
#include "compiler/program/lower.h"
#include "compiler/program/schedule.h"
#include "compiler/program/wisdom.h"
#include "core/guard.h"
#include <pthread.h>
#include <string.h>

/* Programs of the loops' bodies, and what they read. */
static bool make_bodies(program *p, rondo_error *error)
{
    rondo_graph *g = p->graph;
    p->bodies = ARENA_NEW(&p->arena, program *, g->node_count + 1);
    p->dense = ARENA_NEW(&p->arena, bool, g->value_count + 1);
    if (!p->bodies || !p->dense)
        return fail_memory(error, sizeof *p, "a program");
    for (node_id id = 0; id < g->node_count; id++) {
        const node *n = &g->nodes[id];
        if (n->op != OP_loop)
            continue;
        for (int i = 0; i < n->input_count; i++)
            p->dense[n->inputs[i]] = true;
        rondo_graph *body = graph_body_of(g, n);
        atomic_fetch_add(&body->sharers, 1); /* program_new takes one */
        if (!(p->bodies[id] = program_new(body, &p->options, error)))
            return false;
    }
    return true;
}

static bool mark_kept(program *p)
{
    const rondo_graph *g = p->graph;
    p->kept = ARENA_NEW(&p->arena, bool, g->value_count + 1);
    p->in_place = ARENA_NEW(&p->arena, bool, g->port_count + 1);
    if (!p->kept || !p->in_place)
        return false;
    for (int o = 0; o < g->output_count; o++)
        p->kept[g->outputs[o].value] = !(op_table[graph_op_of(g, g->outputs[o].value)].flags & OP_LEAF);
    for (int k = 0; k < g->port_count; k++)
        if (g->ports[k].out != NONE)
            p->kept[g->ports[k].out] = !(op_table[graph_op_of(g, g->ports[k].out)].flags & OP_LEAF);
    arena scratch;
    arena_begin(&scratch, &p->context->allocator);
    bool good = schedule_ports(g, p->in_place, &scratch);
    arena_end(&scratch);
    return good;
}

program *program_new(rondo_graph *g, const program_options *options, rondo_error *error)
{
    if (!g)
        return NULL;
    program *p = memory_new(&g->context->allocator, sizeof *p);
    if (!p) {
        graph_free(g);
        fail_memory(error, sizeof *p, "a program");
        return NULL;
    }
    p->context = g->context;
    p->graph = g;
    if (options)
        p->options = *options;
    p->options.poison = p->options.poison || RONDO_GUARDS;
    arena_begin(&p->arena, &g->context->allocator);
    p->lock = memory_new(&g->context->allocator, sizeof(pthread_mutex_t));
    if (!graph_check(g, error) || !wisdom_load(p->context, error))
        ; /* the error is set: a wisdom file that was asked for must be readable */
    else if (!p->lock || !mark_kept(p))
        fail_memory(error, sizeof *p, "a program");
    else if (make_bodies(p, error)) {
        p->wisdom = p->context->known;
        pthread_mutex_init(p->lock, NULL);
        return p;
    }
    program_free(p);
    return NULL;
}

static void specialisations_free(program *p, specialisation *s)
{
    for (specialisation *next; s; s = next) {
        next = s->next;
        for (int i = 0; i < s->loop_count; i++)
            program_release(s->loops[i].program, s->loops[i].body);
        arena_end(&s->arena);
        memory_free(&p->context->allocator, s, sizeof *s);
    }
}

void program_free(program *p)
{
    if (!p)
        return;
    const rondo_allocator allocator = p->context->allocator;
    specialisations_free(p, p->specialisations);
    for (node_id id = 0; p->bodies && id < p->graph->node_count; id++)
        program_free(p->bodies[id]);
    memory_free(&allocator, p->lock, sizeof(pthread_mutex_t));
    arena_end(&p->arena);
    graph_free(p->graph);
    memory_free(&allocator, p, sizeof *p);
}

/* All specialisations use the order of the first: only sizes differ, and a new search costs more than it
 * saves. */
static bool find_order(program *p, const specialisation *s, rondo_error *error)
{
    const rondo_graph *g = p->graph;
    if (p->order)
        return true;
    node_id *order = ARENA_NEW(&p->arena, node_id, g->node_count + 1);
    arena scratch;
    arena_begin(&scratch, &p->context->allocator);
    value_id *root = ARENA_NEW(&scratch, value_id, g->value_count + 1);
    int64_t *bytes = ARENA_NEW(&scratch, int64_t, g->value_count + 1);
    bool good = order && root && bytes;
    for (value_id v = 0; good && v < g->value_count; v++) {
        root[v] = s->placements[v].root;
        bytes[v] = type_bytes(g->values[v].type);
        for (int a = 0; a < g->values[v].shape.rank; a++)
            bytes[v] *= s->dims[v][a];
        if (op_table[graph_op_of(g, v)].flags & OP_LEAF || graph_op_of(g, v) == OP_constant)
            bytes[v] = 0;
    }
    if (!good)
        fail_memory(error, sizeof *order * (size_t)g->node_count, "a schedule");
    schedule_problem problem = {g, root, bytes, p->in_place, p->options.schedule_seed, &scratch};
    good = good && schedule(&problem, order, error);
    arena_end(&scratch);
    if (good)
        p->order = order;
    return good;
}

static specialisation *specialise(program *p, const int64_t *bound, rondo_error *error)
{
    const rondo_graph *g = p->graph;
    specialisation *s = memory_new(&p->context->allocator, sizeof *s);
    if (!s) {
        fail_memory(error, sizeof *s, "a program");
        return NULL;
    }
    arena_begin(&s->arena, &p->context->allocator);
    memcpy(s->bound, bound, sizeof *bound * (size_t)g->symbol_count);
    s->wisdom = p->wisdom;
    s->placements = ARENA_NEW(&s->arena, placement, g->value_count + 1);
    s->dims = arena_array(&s->arena, sizeof *s->dims, (size_t)g->value_count + 1);
    bool good = s->placements && s->dims;
    if (!good)
        fail_memory(error, sizeof *s->dims * (size_t)g->value_count, "a program");
    good = good && lower_placements(s, p, error) && find_order(p, s, error) &&
           lower_calls(s, p, p->order, g->node_count, error);
    s->bytes = sizeof *s + s->arena.bytes;
    if (good && !s->arena.failed)
        return s;
    if (good)
        fail_memory(error, s->bytes, "a program");
    specialisations_free(p, s);
    return NULL;
}

void program_choose(program *p, const struct wisdom *wisdom)
{
    for (node_id id = 0; id < p->graph->node_count; id++)
        if (p->bodies[id])
            program_choose(p->bodies[id], wisdom);
    pthread_mutex_lock(p->lock);
    p->wisdom = wisdom;
    pthread_mutex_unlock(p->lock);
}

/* ---- the cache; all of it under the lock ---- */

static void put_first(program *p, specialisation *s)
{
    s->next = p->specialisations;
    p->specialisations = s;
}

static specialisation *find(program *p, const int64_t *bound)
{
    size_t bytes = sizeof *bound * (size_t)p->graph->symbol_count;
    specialisation **at = &p->specialisations;
    while (*at && ((*at)->wisdom != p->wisdom || memcmp((*at)->bound, bound, bytes)))
        at = &(*at)->next;
    specialisation *s = *at;
    if (s) {
        *at = s->next;
        put_first(p, s);
    }
    return s;
}

/* Unlinks what has to go from the cache and returns it for specialisations_free, which needs no lock. */
static specialisation *evict(program *p)
{
    specialisation *gone = NULL;
    while (p->specialised_bytes > p->context->compiled_bytes) {
        specialisation **oldest = NULL;
        for (specialisation **at = &p->specialisations; *at; at = &(*at)->next)
            if (!(*at)->users)
                oldest = at;
        if (!oldest)
            break;
        specialisation *s = *oldest;
        *oldest = s->next;
        p->specialised_bytes -= s->bytes;
        s->next = gone;
        gone = s;
    }
    return gone;
}

const specialisation *program_specialise(program *p, const int64_t *bound, rondo_error *error)
{
    specialisation *gone = NULL;
    pthread_mutex_lock(p->lock);
    specialisation *s = find(p, bound);
    if (!s && (s = specialise(p, bound, error))) {
        put_first(p, s);
        p->specialised_bytes += s->bytes;
    }
    if (s) {
        s->users++;
        gone = evict(p);
    }
    pthread_mutex_unlock(p->lock);
    specialisations_free(p, gone);
    return s;
}

void program_release(program *p, const specialisation *s)
{
    if (!s)
        return;
    pthread_mutex_lock(p->lock);
    ((specialisation *)s)->users--;
    specialisation *gone = evict(p);
    pthread_mutex_unlock(p->lock);
    specialisations_free(p, gone);
}
