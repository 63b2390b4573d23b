/* results: one run of a function, and the memory of its outputs, which they keep until they are freed. */
#include "models/function/function.h"
#include <string.h>

static rondo_results *results_new(rondo_function *f, rondo_error *error)
{
    const rondo_allocator *allocator = &f->context->allocator;
    rondo_results *r = memory_new(allocator, sizeof *r);
    size_t bytes = sizeof *r->copies * ((size_t)f->program->graph->output_count + 1);
    output_copy *copies = memory_new(allocator, bytes);
    if (r && copies && instance_begin(&r->instance, f->program, error)) {
        r->function = f;
        r->copies = copies;
        return r;
    }
    if (!r || !copies)
        fail_memory(error, bytes, "the results of a function");
    memory_free(allocator, r, sizeof *r);
    memory_free(allocator, copies, bytes);
    return NULL;
}

static rondo_results *take_idle(rondo_function *f)
{
    pthread_mutex_lock(&f->lock);
    rondo_results *r = f->idle;
    if (r)
        f->idle = r->next;
    pthread_mutex_unlock(&f->lock);
    return r;
}

void rondo_results_free(rondo_results *r)
{
    if (!r)
        return;
    rondo_function *f = r->function;
    pthread_mutex_lock(&f->lock);
    r->next = f->idle;
    f->idle = r;
    pthread_mutex_unlock(&f->lock);
}

/* ---- parameters ---- */

static bool same_dims(const shape *s, int rank, const int64_t *dims)
{
    bool same = s->rank == rank;
    for (int a = 0; same && a < rank; a++)
        same = dim_is_number(s->dims[a], dims[a]);
    return same;
}

/* The data of a parameter; that of a file was checked when it was loaded. NULL: the error says what is
 * missing. */
static void *parameter_data(const rondo_function *f, const rondo_weights *w, const node *n,
                            rondo_error *error)
{
    const rondo_graph *g = f->program->graph;
    const char *name = g->names[n->attributes[parameter_name].integer];
    const stored_tensor *stored = w || !f->file.map.data ? NULL : safetensors_find(&f->file, name);
    const weight *item = w ? weights_find(w, name) : NULL;
    if (stored) /* mapped read-only; programs never write parameters */
        return (void *)safetensors_data(&f->file, stored);
    if (item && same_dims(graph_shape_of(g, n->first_output), item->rank, item->dims))
        return w->block + item->offset;
    fail(error, w ? RONDO_MISMATCH : RONDO_ARGUMENT,
         w ? "the weights have no parameter %s of this shape; they were made for another graph"
           : "the function has parameters, such as %s: give it their weights",
         name);
    return NULL;
}

static bool bind_parameters(rondo_results *r, const rondo_weights *w, rondo_error *error)
{
    const rondo_graph *g = r->function->program->graph;
    for (node_id id = 0; id < g->node_count; id++) {
        const node *n = &g->nodes[id];
        if (n->op != OP_parameter || !r->function->read[n->first_output])
            continue;
        void *data = parameter_data(r->function, w, n, error);
        if (!data)
            return false;
        instance_bind(&r->instance, n->first_output, data);
    }
    return true;
}

/* ---- a run ---- */

static bool keep_output(rondo_results *r, int o, rondo_error *error)
{
    const rondo_graph *g = r->function->program->graph;
    const rondo_allocator *allocator = &r->function->context->allocator;
    if (!(op_table[graph_op_of(g, g->outputs[o].value)].flags & OP_LEAF))
        return true;
    tensor x = instance_tensor(&r->instance, g->outputs[o].value);
    output_copy *copy = &r->copies[o];
    size_t bytes = (size_t)type_bytes(x.type);
    for (int a = 0; a < x.rank; a++)
        bytes *= (size_t)x.dims[a];
    if (!copy->data || copy->bytes < bytes) {
        memory_free(allocator, copy->data, copy->bytes);
        copy->data = memory_new(allocator, bytes ? bytes : 1);
        copy->bytes = copy->data ? bytes ? bytes : 1 : 0;
    }
    if (!copy->data)
        return fail_memory(error, bytes, "a result");
    memcpy(copy->data, x.data, bytes);
    return true;
}

static bool run(rondo_results *r, const rondo_weights *w, const rondo_tensor *inputs, size_t count,
                rondo_error *error)
{
    int64_t bound[MAX_SYMBOLS];
    rondo *context = r->function->context;
    if (!arguments_bind(&r->instance, r->function->read, inputs, count, bound, error) ||
        !bind_parameters(r, w, error) || !context_team(context, error) ||
        !instance_run(&r->instance, context->team, bound, error))
        return false;
    for (int o = 0; o < r->function->program->graph->output_count; o++)
        if (!keep_output(r, o, error))
            return false;
    return true;
}

rondo_results *rondo_function_run(const rondo_function *function, const rondo_weights *weights,
                                  const rondo_tensor *inputs, size_t count, rondo_error *error)
{
    error_begin(error);
    rondo_function *f = (rondo_function *)function; /* only its pool changes, under its lock */
    rondo_results *r = f ? take_idle(f) : NULL;
    if (f && !r)
        r = results_new(f, error);
    if (!r || run(r, weights, inputs, count, error))
        return r;
    rondo_results_free(r);
    return NULL;
}

bool rondo_results_get(const rondo_results *r, const char *name, rondo_tensor *view)
{
    const rondo_graph *g = r ? r->function->program->graph : NULL;
    for (int o = 0; g && name && o < g->output_count; o++) {
        if (strcmp(g->names[g->outputs[o].name], name))
            continue;
        tensor x = instance_tensor(&r->instance, g->outputs[o].value);
        *view = (rondo_tensor){.name = g->names[g->outputs[o].name],
                               .type = x.type,
                               .rank = x.rank,
                               .data = r->copies[o].data ? r->copies[o].data : x.data};
        memcpy(view->dims, x.dims, sizeof view->dims);
        return true;
    }
    return false;
}
