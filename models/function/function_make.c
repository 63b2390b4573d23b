/* Making a function from values of a graph, and writing it to a file. */
#include "compiler/explain/explain.h"
#include "compiler/pipeline.h"
#include "models/function/function.h"
#include <stdio.h>
#include <string.h>

/* Inputs on which no result depends stay inputs: callers may give them, and their shapes give symbols
 * their values. */
static bool keep_inputs(rondo_graph *to, const rondo_graph *from, rondo_error *error)
{
    value_id *map = graph_map_new(to, from);
    for (node_id id = 0; map && id < from->node_count; id++) {
        const node *n = &from->nodes[id];
        if (n->op == OP_input &&
            graph_find_leaf(to, OP_input, from->names[n->attributes[input_name].integer]) == NONE)
            graph_copy_node(to, from, id, map);
    }
    return graph_check(to, error);
}

static bool compile(rondo_function *f, const rondo_graph *g, const value_id *values, const char *const *names,
                    int count, rondo_error *error)
{
    text report = {.arena = &f->arena};
    rondo_graph *written = extract(g, values, names, count, true, NULL, error);
    rondo_graph *done = written && explain_graph(written, NULL, &report, error)
                            ? pipeline_function(g, values, names, count, NULL, error)
                            : NULL;
    if (done && !keep_inputs(done, written, error)) {
        graph_free(done);
        done = NULL;
    }
    graph_free(written);
    f->report = text_done(&report);
    if (done && !f->report) {
        graph_free(done);
        return fail_memory(error, report.length, "a report");
    }
    return done && function_set_graph(f, done, NULL, error);
}

static rondo_function *function_new(const rondo_graph *g, const value_id *values, const char *const *names,
                                    int count, rondo_error *error)
{
    if (!count) {
        fail(error, RONDO_ARGUMENT, "a function needs an output; name one with rondo_output");
        return NULL;
    }
    rondo_function *f = function_begin(g->context, error);
    if (f && compile(f, g, values, names, count, error))
        return f;
    rondo_function_free(f);
    return NULL;
}

/* The name from the caller, else from rondo_output, else "y0", "y1", … */
static const char *output_name(arena *a, const rondo_graph *g, value_id v, const char *const *names,
                               size_t index)
{
    if (names)
        return names[index];
    for (int o = 0; o < g->output_count; o++)
        if (g->outputs[o].value == v)
            return g->names[g->outputs[o].name];
    return arena_text(a, "y%zu", index);
}

static bool read_outputs(const rondo_value *outputs, const char *const *names, size_t count, arena *a,
                         value_id *values, const char **out, rondo_error *error)
{
    const rondo_graph *g = outputs[0].graph;
    for (size_t i = 0; i < count; i++) {
        if (outputs[i].graph != g || outputs[i].id < 0 || outputs[i].id >= g->value_count)
            return fail(error, RONDO_ARGUMENT, "output %zu is not a value of the graph of the first one", i);
        values[i] = outputs[i].id;
        out[i] = output_name(a, g, values[i], names, i);
        if (!out[i])
            return fail(error, names ? RONDO_ARGUMENT : RONDO_MEMORY, "output %zu has no name", i);
        for (size_t before = 0; before < i; before++)
            if (!strcmp(out[before], out[i]))
                return fail(error, RONDO_ARGUMENT, "two outputs are called %.80s", out[i]);
    }
    return true;
}

rondo_function *rondo_function_new(const rondo_value *outputs, const char *const *names, size_t count,
                                   rondo_error *error)
{
    error_begin(error);
    if (!count) {
        fail(error, RONDO_ARGUMENT, "a function needs an output");
        return NULL;
    }
    const rondo_graph *g = outputs[0].graph;
    if (!graph_check(g, error))
        return NULL;
    arena a;
    arena_begin(&a, &g->context->allocator);
    value_id *values = ARENA_NEW(&a, value_id, count);
    const char **all = ARENA_NEW(&a, const char *, count);
    bool good = values && all ? read_outputs(outputs, names, count, &a, values, all, error)
                              : fail_memory(error, sizeof *values * count, "a function");
    rondo_function *f = good ? function_new(g, values, all, (int)count, error) : NULL;
    arena_end(&a);
    return f;
}

rondo_function *rondo_function_of(const rondo_graph *g, rondo_error *error)
{
    error_begin(error);
    if (!graph_check(g, error))
        return NULL;
    arena a;
    arena_begin(&a, &g->context->allocator);
    value_id *values = ARENA_NEW(&a, value_id, g->output_count + 1);
    const char **names = ARENA_NEW(&a, const char *, g->output_count + 1);
    rondo_function *f = NULL;
    for (int o = 0; values && names && o < g->output_count; o++) {
        values[o] = g->outputs[o].value;
        names[o] = g->names[g->outputs[o].name];
    }
    if (values && names)
        f = function_new(g, values, names, g->output_count, error);
    else
        fail_memory(error, sizeof *values * (size_t)g->output_count, "a function");
    arena_end(&a);
    return f;
}

/* ---- writing ---- */

static bool collect_parameters(const rondo_function *f, const rondo_weights *w, rondo_tensor *tensors,
                               int *count, rondo_error *error)
{
    const rondo_graph *g = f->program->graph;
    for (node_id id = 0; id < g->node_count; id++) {
        const node *n = &g->nodes[id];
        if (n->op != OP_parameter)
            continue;
        const char *name = g->names[n->attributes[parameter_name].integer];
        const weight *item = weights_find(w, name);
        const shape *s = graph_shape_of(g, n->first_output);
        bool same = item && item->rank == s->rank;
        for (int a = 0; same && a < s->rank; a++)
            same = dim_is_number(s->dims[a], item->dims[a]);
        if (!same)
            return fail(error, w ? RONDO_MISMATCH : RONDO_ARGUMENT,
                        "the weights have no parameter %s of this shape", name);
        tensors[*count] = (rondo_tensor){
            .name = name, .type = RONDO_F32, .rank = item->rank, .data = w->block + item->offset};
        memcpy(tensors[(*count)++].dims, item->dims, sizeof item->dims);
    }
    return true;
}

bool rondo_function_save(const rondo_function *f, const rondo_weights *weights, const char *path,
                         rondo_error *error)
{
    error_begin(error);
    if (!f)
        return false;
    arena a;
    arena_begin(&a, &f->context->allocator);
    text graph = {.arena = &a};
    rondo_tensor *tensors = ARENA_NEW(&a, rondo_tensor, f->program->graph->node_count + 1);
    int count = 0;
    graph_print(f->program->graph, &graph);
    const char *printed = text_done(&graph);
    bool good = (tensors && printed) || fail_memory(error, graph.capacity, "a saved function");
    const char *metadata[] = {"format",           "pt",
                              "rondo.format",     "1",
                              "rondo.kind",       "function",
                              FUNCTION_GRAPH_KEY, printed,
                              "rondo.report",     f->report ? f->report : ""};
    good = good && collect_parameters(f, weights, tensors, &count, error) &&
           safetensors_save(&f->context->allocator, path, tensors, count, metadata, 5, error);
    arena_end(&a);
    return good;
}
