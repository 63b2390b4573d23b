/* core is complete by itself: this program is linked with its objects alone, and has two ops of its own. */
#include "core/graph.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static bool infer_point(rondo_graph *g, node *n, value *outputs)
{
    outputs[0].type = (rondo_type)n->attributes[1].integer;
    outputs[0].shape = g->shapes[n->attributes[2].integer];
    return true;
}

static bool infer_twice(rondo_graph *g, node *n, value *outputs)
{
    outputs[0] = g->values[n->inputs[0]];
    return true;
}

static const attribute_field none[] = {{NULL, ATTRIBUTE_END, 0}};
static const attribute_field leaf[] = {{"name", ATTRIBUTE_NAME, NAN},
                                       {"type", ATTRIBUTE_TYPE, NAN},
                                       {"dims", ATTRIBUTE_DIMS, NAN},
                                       {NULL, ATTRIBUTE_END, 0}};
static const op_signature point = {"point", 0, 0, 1, leaf, false, infer_point},
                          twice = {"twice", 1, 1, 1, none, true, infer_twice};
static const op_signature *const signatures[] = {&point, &twice};
static const op_list ops = {signatures, 2};

static bool prints_as(rondo *context, const char *source, const char *expected)
{
    rondo_error error = {0};
    rondo_graph *g = graph_parse(context, source, "alone", &error);
    text t = {.arena = g ? &g->arena : NULL};
    if (g)
        graph_print(g, &t);
    const char *printed = text_done(&t);
    bool good = g && printed && !strcmp(printed, expected);
    if (!good)
        printf("%s\nbecame\n%s%s\n", source, printed ? printed : "", error.message);
    graph_free(g);
    return good;
}

static bool refuses(rondo *context, const char *source, const char *reason)
{
    rondo_error error = {0};
    rondo_graph *g = graph_parse(context, source, "alone", &error);
    bool good = !g && strstr(error.message, reason);
    if (!good)
        printf("%s\nwas not refused with \"%s\": %s\n", source, reason, error.message);
    graph_free(g);
    return good;
}

int main(void)
{
    rondo_options options = {.size = sizeof options};
    rondo *context = context_new(&options, &ops);
    bool good =
        context &&
        prints_as(context,
                  "p = point(name=\"p\", type=f32[B,3])\nq = twice(twice(p))\nr = twice(twice(p))\n"
                  "output o = r\n",
                  "symbols B\np = point(name=\"p\", type=f32[B,3]) : f32[B,3]\n"
                  "%1 = twice(p) : f32[B,3]\nq = twice(%1) : f32[B,3]\noutput o = q\n") &&
        refuses(context, "p = input(name=\"p\", type=f32[B,3])", "there is no op input") &&
        refuses(context, "p = point(name=\"p\", type=f32[])\nq = twice(1)", "there is no op constant");
    rondo_free(context);
    return !good;
}
