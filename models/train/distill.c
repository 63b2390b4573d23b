/* Builds the graph in which feature maps (the student) learn from softmax attention (the teacher). */
#include "models/train/distill.h"
#include "core/status.h"
#include <string.h>

typedef struct mean {
    rondo_value sum, count;
} mean;
typedef struct lessons {
    const bool *taught;
    const mixer *teacher;
    mean loss, zeros;
} lessons;

/* ---- one attention ---- */

/* −Σ_s p log q, mean over heads: two of [B, H, T, S] → [B, T]. q is at least 1e-9; below that it has no
 * gradient. */
static rondo_value divergence(rondo_value p, const weighing *pupil)
{
    rondo_value least = rondo_constant(p.graph, 1e-9, "f32[]");
    rondo_value q = pupil->sum.graph ? rondo_div(pupil->weights, pupil->sum) : pupil->weights;
    return rondo_neg(rondo_mean(rondo_sum(rondo_mul(p, rondo_log(rondo_maximum(q, least))), -1), 1));
}

/* 1 where all features of a token are 0, averaged over heads: [B, H, T, F] → [B, T]. */
static rondo_value all_zero(rondo_value features)
{
    rondo_value size = rondo_sum(rondo_abs(features), -1);
    return rondo_mean(rondo_less_equal(size, rondo_constant(features.graph, 0, "f32[]")), 1);
}

/* Adds the rows [B, T] that are not padding. ids: the input whose tokens tell. */
static void add_rows(mean *m, rondo_value rows, const char *ids)
{
    rondo_graph *g = rows.graph;
    rondo_value zero = rondo_constant(g, 0, "f32[]"), one = rondo_constant(g, 1, "f32[]");
    rondo_value tokens = {g, graph_find_leaf(g, OP_input, ids)};
    rondo_value counts =
        rondo_minimum(rondo_apply(g, "cast", "type=f32", 1, tokens), one); /* padding is id 0 */
    rondo_value sum = rondo_sum(rondo_sum(rondo_select(counts, rows, zero), -1), -1);
    rondo_value count = rondo_sum(rondo_sum(counts, -1), -1);
    m->sum = m->sum.graph ? rondo_add(m->sum, sum) : sum;
    m->count = m->count.graph ? rondo_add(m->count, count) : count;
}

static rondo_value mean_of(const mean *m)
{
    return rondo_div(m->sum, rondo_maximum(m->count, rondo_constant(m->sum.graph, 1, "f32[]")));
}

static rondo_value teach(void *user, const mixer *m, mixer_place place, rondo_value x, rondo_value y,
                         rondo_value length, int64_t heads)
{
    lessons *l = user;
    bool causal = place == PLACE_DECODER;
    if (!l->taught[place])
        return mixer_make(m, x, y, length, causal, heads);
    const char *queries = place == PLACE_ENCODER ? "source" : "target_in";
    const char *keys = place == PLACE_DECODER ? "target_in" : "source";
    attention a = attention_of(x, y, length, causal, heads);
    weighing pupil = m->weigh(&a, m), teacher = l->teacher->weigh(&a, l->teacher);
    add_rows(&l->loss, divergence(teacher.weights, &pupil), queries);
    if (pupil.query.graph) {
        add_rows(&l->zeros, all_zero(pupil.query), queries);
        add_rows(&l->zeros, all_zero(pupil.key), keys);
    }
    return attention_result(&a, &teacher);
}

/* ---- the graph ---- */

/* Returns the number of parameters that remain trainable. */
static int freeze_all_but_feature_maps(rondo_graph *g)
{
    int left = 0;
    for (node_id id = 0; id < g->node_count; id++) {
        node *n = &g->nodes[id];
        if (n->op != OP_parameter)
            continue;
        const char *name = g->names[n->attributes[parameter_name].integer];
        if (!strstr(name, ".feature_map."))
            n->attributes[parameter_frozen].integer = 1;
        left += !n->attributes[parameter_frozen].integer;
    }
    return left;
}

static bool check_pupils(const rondo *context, const transformer *s, const bool *taught, rondo_error *error)
{
    const char *const names[] = {s->decoder_self, s->encoder_self, s->cross};
    for (int place = 0; place < PLACE_COUNT; place++) {
        mixer m;
        if (!taught[place])
            continue;
        if (!mixer_find(context, names[place], &m, error))
            return false;
        if (!m.weigh)
            return fail(error, RONDO_ARGUMENT, "%s does not weigh keys by queries, so it cannot learn to",
                        names[place]);
    }
    return true;
}

bool lesson_build(rondo *context, const transformer *shape, const bool taught[PLACE_COUNT], lesson *out,
                  rondo_error *error)
{
    mixer softmax;
    transformer_graph built;
    transformer still = *shape;
    lessons l = {.taught = taught, .teacher = &softmax};
    still.dropout = 0;
    *out = (lesson){0};
    if (!mixer_find(context, "softmax", &softmax, error) || !check_pupils(context, shape, taught, error) ||
        !transformer_build_with(context, &still, teach, &l, &built, error))
        return false;
    if (!l.loss.sum.graph) {
        rondo_graph_free(built.graph);
        return fail(error, RONDO_ARGUMENT,
                    "none of the attentions of this model was selected for distillation");
    }
    *out =
        (lesson){built.graph, mean_of(&l.loss), mean_of(&l.zeros), freeze_all_but_feature_maps(built.graph)};
    if (graph_check(out->graph, error))
        return true;
    rondo_graph_free(out->graph);
    *out = (lesson){0};
    return false;
}

bool weights_copy(rondo_weights *to, const rondo_weights *from, rondo_error *error)
{
    for (int i = 0; i < to->item_count; i++) {
        const weight *item = &to->items[i], *other = weights_find(from, item->name);
        if (!other)
            continue;
        if (other->rank != item->rank || memcmp(other->dims, item->dims, sizeof item->dims))
            return fail(error, RONDO_MISMATCH, "parameter %s has another shape in the other model",
                        item->name);
        memcpy(to->block + item->offset, from->block + other->offset, sizeof(float) * (size_t)item->count);
    }
    return true;
}
