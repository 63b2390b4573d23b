/* function: a compiled graph with its inputs and outputs by name; the part that made and loaded functions
 * share. */
#include "models/function/function.h"
#include <string.h>

rondo_function *function_begin(rondo *context, rondo_error *error)
{
    rondo_function *f = memory_new(&context->allocator, sizeof *f);
    if (!f) {
        fail_memory(error, sizeof *f, "a function");
        return NULL;
    }
    f->context = context;
    arena_begin(&f->arena, &context->allocator);
    pthread_mutex_init(&f->lock, NULL);
    return f;
}

static void results_release(rondo_results *r)
{
    const rondo_allocator *allocator = &r->function->context->allocator;
    int outputs = r->function->program->graph->output_count;
    instance_end(&r->instance);
    for (int o = 0; r->copies && o < outputs; o++)
        memory_free(allocator, r->copies[o].data, r->copies[o].bytes);
    if (r->copies)
        memory_free(allocator, r->copies, sizeof *r->copies * ((size_t)outputs + 1));
    memory_free(allocator, r, sizeof *r);
}

void rondo_function_free(rondo_function *f)
{
    if (!f)
        return;
    const rondo_allocator allocator = f->context->allocator;
    for (rondo_results *r = f->idle, *next; r; r = next) {
        next = r->next;
        results_release(r);
    }
    program_free(f->program);
    safetensors_close(&f->file);
    pthread_mutex_destroy(&f->lock);
    arena_end(&f->arena);
    memory_free(&allocator, f, sizeof *f);
}

/* ---- the signature ---- */

static const char *type_of(rondo_function *f, const rondo_graph *g, value_id v)
{
    text t = {.arena = &f->arena};
    text_add(&t, "%s", type_name(g->values[v].type));
    shape_text(&t, g, graph_shape_of(g, v));
    return text_done(&t);
}

static bool read_signature(rondo_function *f, const rondo_graph *g)
{
    f->read = ARENA_NEW(&f->arena, bool, g->value_count + 1);
    f->inputs = ARENA_NEW(&f->arena, signature_entry, g->node_count + 1);
    f->outputs = ARENA_NEW(&f->arena, signature_entry, g->output_count + 1);
    if (!f->read || !f->inputs || !f->outputs)
        return false;
    for (node_id id = 0; id < g->node_count; id++)
        for (int i = 0; i < g->nodes[id].input_count; i++)
            if (g->nodes[id].inputs[i] != NONE)
                f->read[g->nodes[id].inputs[i]] = true;
    for (int o = 0; o < g->output_count; o++) {
        value_id v = g->outputs[o].value;
        f->read[v] = true;
        f->outputs[f->output_count++] = (signature_entry){g->names[g->outputs[o].name], type_of(f, g, v)};
    }
    for (node_id id = 0; id < g->node_count; id++) {
        const node *n = &g->nodes[id];
        if (n->op == OP_input && f->read[n->first_output])
            f->inputs[f->input_count++] = (signature_entry){g->names[n->attributes[input_name].integer],
                                                            type_of(f, g, n->first_output)};
    }
    return !f->arena.failed;
}

/* Whether this library runs every op, in bodies too; a program runs loops itself. */
static bool has_kernels(const rondo_graph *g, rondo_error *error)
{
    for (node_id id = 0; id < g->node_count; id++) {
        const op_row *row = &op_table[g->nodes[id].op];
        if (!(row->flags & OP_LEAF) && !row->kernels[0] && g->nodes[id].op != OP_loop)
            return fail(error, RONDO_MISMATCH, "this library cannot run %s; librondo can",
                        row->signature.name);
    }
    for (int i = 0; i < g->body_count; i++)
        if (!has_kernels(g->bodies[i].graph, error))
            return false;
    return true;
}

bool function_check_graph(const rondo_graph *g, rondo_error *error)
{
    if (!g->output_count)
        return fail(error, RONDO_ARGUMENT, "a function needs an output; name one with rondo_output");
    if (g->port_count)
        return fail(error, RONDO_ARGUMENT, "the graph keeps state from run to run, a function does not");
    for (node_id id = 0; id < g->node_count; id++) {
        const node *n = &g->nodes[id];
        if (n->op == OP_state)
            return fail(error, RONDO_ARGUMENT, "the graph keeps state from run to run, a function does not");
    }
    return has_kernels(g, error);
}

bool function_set_graph(rondo_function *f, rondo_graph *g, const program_options *options, rondo_error *error)
{
    if (g && (!function_check_graph(g, error) ||
              !(read_signature(f, g) || fail_memory(error, sizeof *f, "a function")))) {
        graph_free(g);
        return false;
    }
    f->program = program_new(g, options, error);
    return f->program != NULL;
}

const char *rondo_function_report(const rondo_function *f)
{
    return f ? f->report : NULL;
}

static const char *entry(const signature_entry *entries, int count, size_t index, const char **type)
{
    if (index >= (size_t)count)
        return NULL;
    if (type)
        *type = entries[index].type;
    return entries[index].name;
}

const char *rondo_function_input(const rondo_function *f, size_t index, const char **type)
{
    return f ? entry(f->inputs, f->input_count, index, type) : NULL;
}

const char *rondo_function_output(const rondo_function *f, size_t index, const char **type)
{
    return f ? entry(f->outputs, f->output_count, index, type) : NULL;
}
