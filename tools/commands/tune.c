/* rondo tune: runs the programs of a preset (training step, evaluation, source and step of the decoder)
 * with each candidate kernel where there are several, so that the caches are in the state of a whole run,
 * and writes down which kernel was faster for which call (compiler/program/wisdom.h). */
#include "compiler/program/wisdom.h"
#include "core/file.h"
#include "tools/bench/bench.h"
#include <string.h>

enum { WARM_RUNS = 1, MOST_CANDIDATES = 8, EXTENTS = 5, CACHE = 64 };

/* A kind of call, and the seconds that each kernel took for it. */
typedef struct tuned {
    int op;
    const char *key;
    const kernel *kernels[MOST_CANDIDATES];
    double seconds[MOST_CANDIDATES];
    int count;
} tuned;
typedef struct tuning {
    bench b;
    workload w;
    leaves leaves;
    tuned *items;
    int count, capacity;
} tuning;

static tuned *find(tuning *t, const kernel_call *call, const char *key)
{
    for (int i = 0; i < t->count; i++)
        if (t->items[i].op == call->op && !strcmp(t->items[i].key, key))
            return &t->items[i];
    if (!ARENA_PUSH(&t->b.arena, t->items, t->count, t->capacity))
        return NULL;
    t->items[t->count] = (tuned){.op = call->op, .key = arena_copy_text(&t->b.arena, key, strlen(key))};
    return t->items[t->count].key ? &t->items[t->count++] : NULL;
}

/* Adds the seconds of one candidate's run. A kernel that took part before, because this candidate does not
 * apply, is left alone. */
static bool collect(tuning *t, const specialisation *s, const double *by_node, int candidate)
{
    char key[WISDOM_KEY_BYTES];
    for (int c = 0; c < s->call_count; c++) {
        const kernel_call *call = &s->calls[c];
        const kernel *const *candidates = op_table[call->op].kernels;
        if (!candidates[0] || !candidates[1] || !wisdom_key(call, key))
            continue;
        tuned *item = find(t, call, key);
        if (!item)
            return fail_memory(t->b.error, sizeof *item, "measurements");
        int k = 0;
        while (k < item->count && item->kernels[k] != call->kernel)
            k++;
        if (k == MOST_CANDIDATES || k < candidate)
            continue;
        if (k == item->count)
            item->kernels[item->count++] = call->kernel;
        item->seconds[k] += by_node[s->nodes[c]];
    }
    return true;
}

/* Binds leaves by name, ports to zeros, and the inputs of the preset. */
static bool bind(tuning *t, instance *i, const int64_t *bound)
{
    const rondo_graph *g = i->program->graph;
    if (!leaves_for(&t->leaves, g, bound, t->b.error))
        return false;
    leaf *tokens = leaves_find(&t->leaves, "count"); /* of the step of a decoder */
    for (int64_t k = 0; tokens && k < tokens->count; k++)
        tokens->exact[k] = 1;
    if (tokens)
        leaf_store(tokens);
    leaves_bind(&t->leaves, i);
    for (int k = 0; k < t->w.input_count; k++)
        instance_bind(i, graph_find_leaf(g, OP_input, t->w.inputs[k].name), t->w.inputs[k].data);
    for (int p = 0; p < g->port_count; p++) {
        const shape *dims = graph_shape_of(g, g->ports[p].in);
        int64_t count = 1;
        for (int a = 0; a < dims->rank; a++)
            count *= dim_value(dims->dims[a], bound);
        float *zeros = ARENA_NEW(&t->b.arena, float, count + 1);
        if (!zeros)
            return fail_memory(t->b.error, sizeof *zeros * (size_t)count, "a state");
        instance_bind(i, g->ports[p].in, zeros);
        if (i->program->in_place[p])
            instance_bind(i, g->ports[p].out, zeros);
    }
    return true;
}

static bool run_candidate(tuning *t, const rondo_graph *g, int candidate)
{
    bench *b = &t->b;
    instance i = {0};
    int64_t bound[MAX_SYMBOLS];
    const workload *w = &t->w;
    const extent extents[EXTENTS] = {
        w->extents[0], w->extents[1], w->extents[2], {STEP_SYMBOL, 1}, {CAPACITY_SYMBOL, CACHE}};
    const program_options pinned = {.kernel_choice = candidate};
    program *p = program_new(graph_clean(g, NULL, b->error), &pinned, b->error);
    if (!p)
        return false;
    extents_bind(p->graph, extents, EXTENTS, bound);
    double *by_node = ARENA_NEW(&b->arena, double, p->graph->node_count + 1);
    bool good = (by_node || fail_memory(b->error, sizeof *by_node, "measurements")) &&
                instance_begin(&i, p, b->error) && bind(t, &i, bound);
    for (int64_t run = -WARM_RUNS; good && run < b->o->runs; run++) {
        i.seconds = run < 0 ? NULL : by_node;
        good = instance_run(&i, b->team, bound, b->error);
    }
    good = good && collect(t, i.now, by_node, candidate);
    instance_end(&i);
    program_free(p);
    return good;
}

static int most_candidates(const rondo_graph *g)
{
    int most = 0;
    for (node_id id = 0; id < g->node_count; id++) {
        const kernel *const *candidates = op_table[g->nodes[id].op].kernels;
        int count = 0;
        while (candidates && candidates[count])
            count++;
        most = count > most ? count : most;
    }
    return most < MOST_CANDIDATES ? most : MOST_CANDIDATES;
}

static bool measure_program(tuning *t, const rondo_graph *g)
{
    bool good = true;
    for (int candidate = 0, most = g ? most_candidates(g) : 0; good && candidate < most; candidate++)
        good = run_candidate(t, g, candidate);
    return good;
}

static bool measure(tuning *t)
{
    staged stages = {0};
    rondo_error *error = t->b.error;
    rondo_graph *train = pipeline_train(t->w.graph.loss, NULL, error), *evaluate = NULL;
    bool good = train && measure_program(t, train) &&
                (evaluate = pipeline_evaluate(t->w.graph.loss, NULL, error)) &&
                measure_program(t, evaluate) &&
                pipeline_decode(t->w.graph.logits, TRANSFORMER_TIME, NULL, &stages, error) &&
                measure_program(t, stages.source) && measure_program(t, stages.step);
    graph_free(train);
    graph_free(evaluate);
    staged_free(&stages);
    return good;
}

static int best_of(const tuned *item)
{
    int best = 0;
    for (int k = 1; k < item->count; k++)
        if (item->seconds[k] < item->seconds[best])
            best = k;
    return best;
}

static bool write_choices(const tuning *t, const char *path, int *choices, int *changed)
{
    text out = {.arena = (arena *)&t->b.arena};
    text_add(&out, "%s\n", WISDOM_HEADER);
    for (int i = 0; i < t->count; i++) {
        const tuned *item = &t->items[i];
        int best = best_of(item);
        if (item->count < 2)
            continue;
        text_add(&out, "%s %s %s\n", op_table[item->op].signature.name, item->key, item->kernels[best]->name);
        ++*choices;
        *changed += best != 0;
    }
    const char *content = text_done(&out);
    if (!content)
        return fail_memory(t->b.error, out.capacity, "wisdom");
    return file_store(&t->b.c->context->allocator, path, content, out.length, t->b.error);
}

int command_tune(command *c)
{
    rondo *context = c->context;
    const char *path = c->options->operands.items[0];
    if (!context_team(context, &c->error))
        return command_failed(c, EXIT_MACHINE);
    tuning t = {.b = {.c = c, .o = c->options, .team = context->team, .error = &c->error}};
    int choices = 0, changed = 0;
    arena_begin(&t.b.arena, &context->allocator);
    t.leaves = (leaves){.arena = &t.b.arena, .seed = 1};
    bool good = file_check_target(&context->allocator, path, &c->error) && workload_begin(&t.b, &t.w) &&
                measure(&t) && write_choices(&t, path, &choices, &changed);
    workload_end(&t.w);
    arena_end(&t.b.arena);
    if (!good)
        return command_failed(c, EXIT_MACHINE);
    message(
        c->name,
        "%s: %d kinds of calls have several kernels; for %d of them another one than the default is faster",
        path, choices, changed);
    return EXIT_DONE;
}
