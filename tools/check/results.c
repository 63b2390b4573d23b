/* Running a graph, in double precision or on kernels, and keeping its outputs as doubles. */
#include "tools/check/results.h"
#include <string.h>

static bool results_begin(contract *k, const rondo_graph *g, results *out)
{
    *out = (results){0};
    arena_begin(&out->arena, &k->context->allocator);
    out->names = ARENA_NEW(&out->arena, const char *, g->output_count + 1);
    out->data = ARENA_NEW(&out->arena, double *, g->output_count + 1);
    out->counts = ARENA_NEW(&out->arena, int64_t, g->output_count + 1);
    return (out->names && out->data && out->counts) ||
           fail_memory(k->error, sizeof(double *) * (size_t)g->output_count, "results");
}

void results_end(results *r)
{
    if (r->arena.allocator)
        arena_end(&r->arena);
    *r = (results){0};
}

static double *results_room(results *out, const char *name, int64_t count)
{
    double *data = ARENA_NEW(&out->arena, double, count + 1);
    const char *copy = arena_copy_text(&out->arena, name, strlen(name));
    if (!data || !copy)
        return NULL;
    out->names[out->count] = copy;
    out->counts[out->count] = count;
    return out->data[out->count++] = data;
}

const double *results_find(const results *r, const char *name, int64_t *count)
{
    for (int i = 0; i < r->count; i++)
        if (!strcmp(r->names[i], name)) {
            *count = r->counts[i];
            return r->data[i];
        }
    return NULL;
}

static bool exact_results(contract *k, const rondo_graph *g, const contract_case *x, results *out)
{
    int count;
    int64_t bound[MAX_SYMBOLS];
    interpretation values;
    interpret_binding *all = leaves_exact(&x->leaves, g, &out->arena, 0, &count);
    extents_bind(g, x->extents, 3, bound);
    if (!all)
        return fail_memory(k->error, sizeof *all * (size_t)g->node_count, "bindings");
    if (!interpret(g, bound, all, count, &values, k->error))
        return false;
    bool good = true;
    for (int o = 0; good && o < g->output_count; o++) {
        const reference_tensor *t = &values.values[g->outputs[o].value];
        double *data = results_room(out, g->names[g->outputs[o].name], t->count);
        good = data || fail_memory(k->error, sizeof *data * (size_t)t->count, "results");
        if (good)
            memcpy(data, t->data, sizeof *data * (size_t)t->count);
    }
    interpret_end(&values);
    return good;
}

bool run_exact(contract *k, rondo_graph *g, const contract_case *x, results *out)
{
    *out = (results){0};
    if (!g)
        return false;
    bool good = results_begin(k, g, out) && exact_results(k, g, x, out);
    graph_free(g);
    if (!good)
        results_end(out);
    return good;
}

/* In row-major order, for any strides. */
static void copy_tensor(const tensor *t, double *out)
{
    int64_t index[MAX_RANK] = {0}, at = 0;
    for (int a = 0; a < t->rank; a++)
        if (!t->dims[a])
            return;
    for (;;) {
        int64_t from = 0;
        for (int a = 0; a < t->rank; a++)
            from += index[a] * t->strides[a];
        out[at++] =
            t->type == RONDO_I32 ? ((const int32_t *)t->data)[from] : (double)((const float *)t->data)[from];
        int a = t->rank - 1;
        for (; a >= 0 && ++index[a] == t->dims[a]; a--)
            index[a] = 0;
        if (a < 0)
            return;
    }
}

static bool kernel_results(contract *k, program *p, const contract_case *x, team *t, results *out)
{
    instance i;
    int64_t bound[MAX_SYMBOLS];
    const rondo_graph *g = p->graph;
    extents_bind(g, x->extents, 3, bound);
    if (!instance_begin(&i, p, k->error))
        return false;
    leaves_bind(&x->leaves, &i);
    bool good = instance_run(&i, t, bound, k->error);
    for (int o = 0; good && o < g->output_count; o++) {
        tensor made = instance_tensor(&i, g->outputs[o].value);
        int64_t count = 1;
        for (int a = 0; a < made.rank; a++)
            count *= made.dims[a];
        double *data = results_room(out, g->names[g->outputs[o].name], count);
        good = data || fail_memory(k->error, sizeof *data * (size_t)count, "results");
        if (good)
            copy_tensor(&made, data);
    }
    instance_end(&i);
    return good;
}

bool run_kernels(contract *k, rondo_graph *g, const contract_case *x, team *t, results *out)
{
    *out = (results){0};
    program *p = program_new(g, NULL, k->error);
    if (!p)
        return false;
    bool good = results_begin(k, p->graph, out) && kernel_results(k, p, x, t, out);
    program_free(p);
    if (!good)
        results_end(out);
    return good;
}
