/* A layer of one mixer, and a loss whose gradient reaches all of it. */
#include "tools/graphs/layer.h"
#include "ops/op.h"
#include <string.h>

const char *const place_names[PLACE_COUNT] = {"decoder", "encoder", "cross"};

void train_inputs(rondo_graph *g, const char *name)
{
    for (node_id id = 0; id < g->node_count; id++) {
        node *n = &g->nodes[id];
        bool chosen = n->op == OP_input && g->values[n->first_output].type == RONDO_F32;
        if (chosen && (!name || !strcmp(g->names[n->attributes[input_name].integer], name)))
            n->op = OP_parameter; /* its attributes are the same */
    }
}

static rondo_value tokens(rondo_graph *g, const char *name, const char *time, int64_t width)
{
    return rondo_input(g, name, "f32[B,%s,%lld]", time, (long long)width);
}

bool layer_build(rondo *context, const mixer *m, mixer_place place, int64_t width, int64_t heads,
                 bool trained, layer *out, rondo_error *error)
{
    rondo_graph *g = rondo_graph_new(context, error);
    *out = (layer){.graph = g};
    if (!g)
        return false;
    rondo_value length = {NULL, -1}, x = tokens(g, "x", "T", width), y = x;
    if (place != PLACE_DECODER)
        length = rondo_input(g, "length", "i32[B]");
    if (place == PLACE_CROSS)
        y = tokens(g, "memory", "S", width);
    rondo_enter(g, "mixer");
    out->y = mixer_make(m, x, y, length, place == PLACE_DECODER, heads);
    rondo_leave(g);
    rondo_value kept = rondo_row_mask(out->y, rondo_input(g, "rows", "i32[B]"));
    rondo_value weighed = rondo_mul(kept, rondo_input(g, "direction", "f32[B,T,%lld]", (long long)width));
    out->loss = rondo_sum(rondo_sum(rondo_sum(weighed, -1), -1), -1);
    if (rondo_graph_check(g, error)) {
        if (trained) {
            train_inputs(g, "x");
            train_inputs(g, "memory");
        }
        return true;
    }
    rondo_graph_free(g);
    out->graph = NULL;
    return false;
}
