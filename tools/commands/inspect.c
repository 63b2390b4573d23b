/* rondo inspect: the graph after any pass, as text that can be parsed again, or as a drawing. */
#include "tools/commands/command.h"
#include "tools/graphs/graph_dot.h"
#include "tools/graphs/layer.h"
#include <string.h>

enum { MOST_NAMES = 256 };

typedef struct inspection {
    command *c;
    const options *o;
    arena arena;
    text out;
} inspection;

static bool show(inspection *s, const rondo_graph *g, const char *title)
{
    if (!strcmp(s->o->format, "dot")) {
        graph_dot(g, title, &s->out);
    } else {
        text_add(&s->out, "# %s\n", title);
        graph_print(g, &s->out);
    }
    return text_done(&s->out) || fail_memory(&s->c->error, s->out.capacity, "a text");
}

/* detail: what tells this graph from others after the same pass, "" where there is one. */
static bool show_after(inspection *s, const rondo_graph *g, const char *detail)
{
    const char *title = arena_text(&s->arena, "%s after %s%s", s->o->operands.items[0], s->o->after, detail);
    return g && (title || fail_memory(&s->c->error, 0, "a title")) && show(s, g, title);
}

static bool known_pass(inspection *s)
{
    char names[MOST_NAMES] = "";
    for (int i = 0; pipeline_passes[i]; i++) {
        if (!strcmp(pipeline_passes[i], s->o->after))
            return true;
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", i ? ", " : "",
                 pipeline_passes[i]);
    }
    return fail(&s->c->error, RONDO_ARGUMENT, "--after %s: there is no such pass; there are %s", s->o->after,
                names);
}

/* ---- the pipeline that has the pass ---- */

static bool is_scalar(const rondo_graph *g, value_id v)
{
    dim all;
    return shape_elements(graph_shape_of(g, v), &all) && dim_is_number(all, 1);
}

/* The loss of a graph file: its output "loss", else its first output if that has one element, else the sum
 * of the first output. */
static rondo_value loss_of(inspection *s, rondo_graph *g, bool *spelled)
{
    value_id v = graph_find_output(g, "loss");
    v = v == NONE ? g->outputs[0].value : v;
    *spelled = is_scalar(g, v);
    rondo_value loss = {g, v};
    if (*spelled || strcmp(s->o->after, "differentiate"))
        return loss;
    message(s->c->name, "there is no loss; the sum of output %s is used instead",
            g->names[g->outputs[0].name]);
    while (rondo_rank(loss) > 0)
        loss = rondo_sum(loss, -1);
    return loss;
}

static bool is_after(const inspection *s, const char *pass)
{
    return !strcmp(s->o->after, pass);
}

/* A decoder has up to three graphs from hoist on. */
static bool show_hoisted(inspection *s, rondo_value logits)
{
    const pipeline_options until = {.after = s->o->after};
    staged stages;
    if (!pipeline_decode(logits, TRANSFORMER_TIME, &until, &stages, &s->c->error))
        return false;
    bool good = (!stages.load || show_after(s, stages.load, ": load")) &&
                (!stages.source || show_after(s, stages.source, ": source")) &&
                show_after(s, stages.step, ": step");
    staged_free(&stages);
    return good;
}

static bool show_passed(inspection *s, rondo_value loss, bool spelled, rondo_value result)
{
    const pipeline_options until = {.after = s->o->after};
    rondo_error *error = &s->c->error;
    rondo_graph *g;
    if (is_after(s, "hoist"))
        return show_hoisted(s, result);
    if (is_after(s, "stream") || is_after(s, "compose"))
        g = pipeline_advance(result, TRANSFORMER_TIME, &until, error);
    else if (is_after(s, "mode"))
        g = pipeline_forward(result, "y", &until, error);
    else if (spelled || is_after(s, "differentiate"))
        g = pipeline_train(loss, &until, error);
    else
        g = pipeline_forward(result, result.graph->names[result.graph->outputs[0].name], &until, error);
    bool good = show_after(s, g, "");
    graph_free(g);
    return good;
}

/* In a file without parameters the inputs become parameters, so that there is something to differentiate
 * with respect to. */
static void need_parameters(inspection *s, rondo_graph *g)
{
    for (node_id id = 0; id < g->node_count; id++)
        if (g->nodes[id].op == OP_parameter)
            return;
    message(s->c->name, "there are no parameters; the gradients are those of the inputs");
    train_inputs(g, NULL);
}

static bool inspect_file(inspection *s, const char *path)
{
    rondo_error *error = &s->c->error;
    rondo_graph *g = read_graph(s->c, &s->arena, path);
    bool good = g && graph_verify(g, error), spelled;
    if (good && !s->o->after)
        good = show(s, g, path);
    else if (good && !g->output_count)
        good = fail(error, RONDO_MISMATCH,
                    "%s has no output, so no pass has anything to do; add a line `output NAME = ...`", path);
    else if (good) {
        if (!strcmp(s->o->after, "differentiate"))
            need_parameters(s, g);
        rondo_value result = {g, g->outputs[0].value}, loss = loss_of(s, g, &spelled);
        good = show_passed(s, loss, spelled, result);
    }
    rondo_graph_free(g);
    return good;
}

/* ---- models ---- */

/* An exported file has only the compiled stages. */
static bool inspect_stages(inspection *s, const model *m)
{
    const program *const stages[] = {m->program->load, m->program->source, m->program->step};
    static const char *const names[] = {"load: once", "source: once a source sentence",
                                        "step: for the next tokens"};
    if (s->o->after)
        return fail(&s->c->error, RONDO_MISMATCH,
                    "%s has compiled stages only; leave out --after to see them, or name the run it was "
                    "exported from",
                    s->o->operands.items[0]);
    for (int k = 0; k < 3; k++)
        if (stages[k] && !show(s, stages[k]->graph, names[k]))
            return false;
    return true;
}

static bool inspect_model(inspection *s, const char *path)
{
    model m;
    if (!model_open(&m, s->c, &s->arena, path))
        return false;
    bool good;
    if (!m.graph.graph)
        good = inspect_stages(s, &m);
    else if (!s->o->after)
        good = show(s, m.graph.graph, path);
    else
        good = show_passed(s, m.graph.loss, true, m.graph.logits);
    model_close(&m);
    return good;
}

int command_inspect(command *c)
{
    inspection s = {.c = c, .o = c->options};
    const char *path = s.o->operands.items[0];
    arena_begin(&s.arena, &c->context->allocator);
    s.out.arena = &s.arena;
    bool good = (!s.o->after || known_pass(&s)) &&
                (is_graph_file(path) ? inspect_file(&s, path) : inspect_model(&s, path));
    const char *out = good ? text_done(&s.out) : NULL;
    if (out)
        fputs(out, stdout);
    int code = good ? message_finish_output(c->name) : command_failed(c, EXIT_MODEL);
    arena_end(&s.arena);
    return code;
}
