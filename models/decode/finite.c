/* finite: the error for logits that are not finite, which names the first weight that is not. */
#include "models/decode/decoder.h"
#include <math.h>

static bool is_finite(const float *numbers, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if (!isfinite(numbers[i]))
            return false;
    return true;
}

/* The first parameter bound to the instance that holds a NaN or an infinity; NULL: none. */
static const char *first_not_finite(const instance *i)
{
    const rondo_graph *g = i->program ? i->program->graph : NULL;
    for (node_id id = 0; g && id < g->node_count; id++) {
        value_id v = g->nodes[id].first_output;
        dim count;
        if (g->nodes[id].op == OP_parameter && i->roots[v] && g->values[v].type == RONDO_F32 &&
            shape_elements(graph_shape_of(g, v), &count) && !is_finite(i->roots[v], count.factor))
            return g->names[g->nodes[id].attributes[parameter_name].integer];
    }
    return NULL;
}

bool fail_not_finite(const rondo_session *s, int64_t sequence, int64_t token, rondo_error *error)
{
    const instance *const stages[] = {&s->load, &s->source, &s->step};
    for (int k = 0; k < 3; k++) {
        const char *name = first_not_finite(stages[k]);
        if (name)
            return fail(error, RONDO_DIVERGED,
                        "sequence %lld: the logits of token %lld are not finite, because the weights %s are "
                        "not; use a checkpoint from before training diverged",
                        (long long)sequence, (long long)token, name);
    }
    return fail(error, RONDO_DIVERGED,
                "sequence %lld: the logits of token %lld are not finite; all weights are, so the numbers "
                "overflow inside the model",
                (long long)sequence, (long long)token);
}
