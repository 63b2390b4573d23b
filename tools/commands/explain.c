/* rondo explain: which attentions were rewritten, why or why not, and what that saves. FILE.graph is
 * enough to try a formula. */
#include "tools/commands/command.h"
#include "compiler/explain/explain.h"

static int explain_file(command *c, arena *a, const char *path)
{
    text report = {.arena = a};
    rondo_graph *g = read_graph(c, a, path);
    const char *words = g && explain_graph(g, NULL, &report, &c->error) ? text_done(&report) : NULL;
    if (words)
        fputs(words, stdout);
    rondo_graph_free(g);
    return words ? message_finish_output(c->name) : command_failed(c, EXIT_MODEL);
}

int command_explain(command *c)
{
    arena a;
    model m;
    const char *path = c->options->operands.items[0];
    arena_begin(&a, &c->context->allocator);
    int code;
    if (is_graph_file(path))
        code = explain_file(c, &a, path);
    else if (!model_open(&m, c, &a, path))
        code = command_failed(c, EXIT_MODEL);
    else {
        const char *report = rondo_program_report(m.program);
        fputs(report ? report : "this file has no report\n", stdout);
        code = message_finish_output(c->name);
        model_close(&m);
    }
    arena_end(&a);
    return code;
}
