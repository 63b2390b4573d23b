/* The pipelines. Read each from top to bottom; the drawing is in pipeline.h. */
#include "compiler/pipeline.h"
#include "autograd/differentiate.h"
#include "compiler/objectives.h"
#include "compiler/passes/contract.h"
#include "compiler/passes/linearize.h"
#include "ops/op.h"
#include <stdio.h>
#include <string.h>

const char *const pipeline_passes[] = {"verify",        "watch",  "mode",    "linearize", "contract",
                                       "differentiate", "stream", "compose", "hoist",     "simplify",
                                       "prune",         "fuse",   NULL};

/* A graph on its way through a pipeline. Each step frees what it replaces; after a failure, or after the pass
 * `after`, steps do nothing. */
typedef struct passage {
    rondo_graph *graph;
    const pipeline_options *options;
    rondo_error *error;
    bool ended;
} passage;

static bool goes_on(const passage *p)
{
    return p->graph && !p->ended;
}

static bool ends_after(const pipeline_options *options, const char *pass)
{
    return options && options->after && !strcmp(options->after, pass);
}

/* A pass that is the same for a graph and for the bodies in it. */
typedef rondo_graph *plain_pass(const rondo_graph *g, rondo_error *error);

/* The pass over the bodies of g, from the innermost on; g is not shared yet. */
static bool pass_bodies(rondo_graph *g, plain_pass *pass, rondo_error *error)
{
    for (int i = 0; i < g->body_count; i++) {
        rondo_graph *next = pass(g->bodies[i].graph, error);
        if (!next || !pass_bodies(next, pass, error)) {
            graph_free(next);
            return false;
        }
        graph_free(g->bodies[i].graph);
        g->bodies[i].graph = next;
    }
    return true;
}

static void step_to(passage *p, rondo_graph *next, const char *pass)
{
    graph_free(p->graph);
    p->graph = next;
    if (next && p->options && p->options->check && !p->options->check(next, p->error)) {
        graph_free(next);
        p->graph = NULL;
    }
    if (ends_after(p->options, pass))
        p->ended = true;
}

static void step_by(passage *p, plain_pass *pass, const char *name)
{
    if (!goes_on(p))
        return;
    rondo_graph *next = pass(p->graph, p->error);
    if (next && !pass_bodies(next, pass, p->error)) {
        graph_free(next);
        next = NULL;
    }
    step_to(p, next, name);
}

static void do_verify(passage *p)
{
    if (goes_on(p) && !graph_verify(p->graph, p->error))
        step_to(p, NULL, "verify");
    else if (goes_on(p) && ends_after(p->options, "verify"))
        p->ended = true;
}

static rondo_graph *plain_watch(const rondo_graph *g, rondo_error *error)
{
    return watch(g, NULL, error);
}

static void do_watch(passage *p)
{
    step_by(p, plain_watch, "watch");
}

static rondo_graph *plain_mode(const rondo_graph *g, rondo_error *error)
{
    return mode_evaluate(g, NULL, error);
}

static void do_mode(passage *p)
{
    step_by(p, plain_mode, "mode");
}

static rondo_graph *plain_linearize(const rondo_graph *g, rondo_error *error)
{
    return linearize(g, NULL, NULL, error);
}

static void do_linearize(passage *p)
{
    if (!(p->options && p->options->no_linearize))
        step_by(p, plain_linearize, "linearize");
}

static rondo_graph *plain_contract(const rondo_graph *g, rondo_error *error)
{
    return contract(g, NULL, error);
}

static void do_contract(passage *p)
{
    step_by(p, plain_contract, "contract");
}

static rondo_graph *plain_differentiate(const rondo_graph *g, rondo_error *error)
{
    return differentiate(g, NULL, error);
}

static void do_differentiate(passage *p)
{
    step_by(p, plain_differentiate, "differentiate");
}

static void do_stream(passage *p, const char *time)
{
    if (goes_on(p))
        step_to(p, stream(p->graph, time, p->error), "stream");
}

static void do_compose(passage *p)
{
    if (goes_on(p))
        step_to(p, compose(p->graph, NULL, p->error), "compose");
}

static rondo_graph *plain_simplify(const rondo_graph *g, rondo_error *error)
{
    return simplify(g, NULL, error);
}

static void do_simplify(passage *p)
{
    step_by(p, plain_simplify, "simplify");
}

static rondo_graph *plain_prune(const rondo_graph *g, rondo_error *error)
{
    return prune(g, NULL, error);
}

static void do_prune(passage *p)
{
    step_by(p, plain_prune, "prune");
}

static rondo_graph *plain_fuse(const rondo_graph *g, rondo_error *error)
{
    return fuse(g, NULL, error);
}

static void do_fuse(passage *p)
{
    step_by(p, plain_fuse, "fuse");
}

rondo_graph *pipeline_train(rondo_value loss, const pipeline_options *options, rondo_error *error)
{
    passage p = {objectives_graph(loss, true, error), options, error, false};
    do_verify(&p);
    do_watch(&p);
    do_linearize(&p);
    do_contract(&p);
    do_differentiate(&p);
    do_simplify(&p);
    do_prune(&p);
    do_fuse(&p);
    return p.graph;
}

rondo_graph *pipeline_evaluate(rondo_value loss, const pipeline_options *options, rondo_error *error)
{
    passage p = {objectives_graph(loss, false, error), options, error, false};
    do_verify(&p);
    do_watch(&p);
    do_mode(&p);
    do_linearize(&p);
    do_contract(&p);
    do_differentiate(&p);
    do_simplify(&p);
    do_prune(&p);
    do_fuse(&p);
    return p.graph;
}

rondo_graph *pipeline_function(const rondo_graph *g, const value_id *results, const char *const *names,
                               int count, const pipeline_options *options, rondo_error *error)
{
    if (!graph_check(g, error))
        return NULL;
    passage p = {extract(g, results, names, count, true, NULL, error), options, error, false};
    do_verify(&p);
    do_watch(&p);
    do_mode(&p);
    do_linearize(&p);
    do_contract(&p);
    do_differentiate(&p);
    do_simplify(&p);
    do_prune(&p);
    do_fuse(&p);
    return p.graph;
}

rondo_graph *pipeline_forward(rondo_value result, const char *name, const pipeline_options *options,
                              rondo_error *error)
{
    return pipeline_function(result.graph, &result.id, &name, 1, options, error);
}

rondo_graph *pipeline_advance(rondo_value logits, const char *time, const pipeline_options *options,
                              rondo_error *error)
{
    static const char *const name = "logits";
    if (!logits.graph || !graph_check(logits.graph, error))
        return NULL;
    passage p = {extract(logits.graph, &logits.id, &name, 1, true, NULL, error), options, error, false};
    do_verify(&p);
    do_mode(&p);
    do_linearize(&p);
    do_contract(&p);
    do_stream(&p, time);
    do_compose(&p);
    do_simplify(&p);
    return p.graph;
}

/* simplify and fuse one stage; the graph is replaced. */
static bool finish_stage(rondo_graph **g, const pipeline_options *options, rondo_error *error)
{
    if (!*g)
        return true;
    passage p = {*g, options, error, false};
    do_simplify(&p);
    do_prune(&p);
    do_fuse(&p);
    *g = p.graph;
    return p.graph != NULL;
}

bool pipeline_decode(rondo_value logits, const char *time, const pipeline_options *options, staged *stages,
                     rondo_error *error)
{
    *stages = (staged){0};
    rondo_graph *advance = pipeline_advance(logits, time, options, error);
    rondo_graph *last = advance ? last_only(advance, "logits", error) : NULL;
    bool good = last && hoist(last, stages, error);
    if (good && !ends_after(options, "hoist"))
        good = finish_stage(&stages->load, options, error) && finish_stage(&stages->source, options, error) &&
               finish_stage(&stages->step, options, error);
    graph_free(advance);
    graph_free(last);
    if (!good)
        staged_free(stages);
    return good;
}
