/* Reading a function from its file, which is hostile until its graph is verified and its parameters are
 * found to fit. */
#include "models/function/function.h"
#include "models/parameters.h"
#include <string.h>

/* Compares the data of all parameters with their checksums. */
static bool check_data(const rondo_function *f, const rondo_graph *g, rondo_error *error)
{
    for (node_id id = 0; id < g->node_count; id++) {
        const node *n = &g->nodes[id];
        if (n->op == OP_parameter &&
            !safetensors_check_data(
                &f->file, safetensors_find(&f->file, g->names[n->attributes[parameter_name].integer]), error))
            return false;
    }
    return true;
}

static bool read_graph(rondo_function *f, const char *source, rondo_error *error)
{
    rondo_error reason = {0}; /* gets the name of the file in front */
    rondo_graph *g = graph_parse(f->context, source, FUNCTION_GRAPH_KEY, &reason);
    if (g &&
        (!graph_verify(g, &reason) || !parameters_fit(&f->file, g, &reason) || !check_data(f, g, &reason))) {
        graph_free(g);
        g = NULL;
    }
    if (g && function_set_graph(f, g, NULL, &reason))
        return true;
    rondo_code code = reason.code == RONDO_MEMORY || reason.code == RONDO_MISMATCH ? reason.code : RONDO_FILE;
    return fail(error, code, "%s: %s", f->file.path, reason.message);
}

static bool read_function(rondo_function *f, rondo_error *error)
{
    const char *format = safetensors_metadata(&f->file, "rondo.format"),
               *kind = safetensors_metadata(&f->file, "rondo.kind"),
               *source = safetensors_metadata(&f->file, FUNCTION_GRAPH_KEY),
               *report = safetensors_metadata(&f->file, "rondo.report");
    if (!format || !kind || strcmp(kind, "function"))
        return fail(error, RONDO_MISMATCH, "%s holds no function; rondo_function_save writes one",
                    f->file.path);
    if (strcmp(format, "1"))
        return fail(error, RONDO_MISMATCH, "%s has format %.20s, this version reads format 1", f->file.path,
                    format);
    if (!source)
        return fail(error, RONDO_FILE, "%s has no " FUNCTION_GRAPH_KEY, f->file.path);
    f->report = report ? arena_copy_text(&f->arena, report, strlen(report)) : NULL;
    return read_graph(f, source, error);
}

rondo_function *rondo_function_load_with(rondo *context, const char *path, rondo_error *error,
                                         const rondo_load_options *options)
{
    error_begin(error);
    rondo_function *f = context ? function_begin(context, error) : NULL;
    if (f && parameters_open(&f->file, &context->allocator, path, options, error) && read_function(f, error))
        return f;
    rondo_function_free(f);
    return NULL;
}

rondo_function *rondo_function_load(rondo *context, const char *path, rondo_error *error)
{
    error_begin(error);
    return rondo_function_load_with(context, path, error, NULL);
}
