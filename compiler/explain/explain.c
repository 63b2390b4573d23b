/* explain, the page: runs linearize as training and as decoding do, pairs the records, groups what is alike,
 * sums up. */
#include "compiler/explain/explain.h"
#include "core/context.h"
#include <string.h>

/* ---- records of the two graphs ---- */

static bool is_softmax(const linearize_record *r)
{
    return r->reason && !strncmp(r->reason, "softmax", 7);
}

static bool same_dims(const shape *a, const shape *b)
{
    return shape_equal(a, b);
}

static bool alike(const linearize_record *a, const linearize_record *b)
{
    bool reasons = a->reason && b->reason ? !strcmp(a->reason, b->reason) : a->reason == b->reason;
    return a->kind == b->kind && same_dims(&a->batch, &b->batch) && dim_equal(a->t, b->t) &&
           dim_equal(a->s, b->s) && dim_equal(a->features, b->features) && dim_equal(a->width, b->width) &&
           a->causal == b->causal && a->exclusive == b->exclusive && a->normalised == b->normalised &&
           a->scaled == b->scaled && a->decay == b->decay && reasons;
}

/* A decoding record with the same origin; of several, the one that sums at the same place in the source. */
static const linearize_record *counterpart(const linearize_report *decoding, const linearize_record *training,
                                           node_id origin)
{
    const linearize_record *best = NULL;
    for (int i = 0; i < decoding->count; i++) {
        const linearize_record *r = &decoding->records[i];
        if (r->origin == origin && (!best || r->line == training->line))
            best = r;
    }
    return best;
}

static bool add_item(explainer *e, const linearize_record *training, const linearize_record *decoding)
{
    for (int i = 0; i < e->item_count; i++) {
        explanation *item = &e->items[i];
        if (*training->scope && alike(&item->training, training) && alike(&item->decoding, decoding)) {
            item->count++;
            item->last_scope = training->scope;
            item->last_line = training->line;
            return true;
        }
    }
    if (!ARENA_PUSH(e->out->arena, e->items, e->item_count, e->item_capacity))
        return false;
    e->items[e->item_count++] = (explanation){.training = *training, .decoding = *decoding, .count = 1};
    return true;
}

static bool collect(explainer *e, rondo_error *error)
{
    linearize_report training = {.arena = e->out->arena}, decoding = {.arena = e->out->arena};
    value_id *map = NULL;
    rondo_graph *evaluated = mode_evaluate(e->g, &map, error);
    rondo_graph *scans = linearize(e->g, &training, NULL, error),
                *decoder = linearize(evaluated, &decoding, NULL, error);
    bool good = scans && decoder;
    for (int i = 0; good && i < training.count; i++) {
        value_id origin = map[e->g->nodes[training.records[i].origin].first_output];
        const linearize_record *r =
            origin == NONE ? NULL
                           : counterpart(&decoding, &training.records[i], evaluated->values[origin].node);
        good = add_item(e, &training.records[i], r ? r : &training.records[i]) ||
               fail_memory(error, sizeof(explanation), "explain");
    }
    good = good && (explain_find_recurrences(e) || fail_memory(error, sizeof(recurrence_item), "explain"));
    graph_free(decoder);
    graph_free(scans);
    graph_free(evaluated);
    return good;
}

static bool choose_time(explainer *e, const char *time, rondo_error *error)
{
    e->time = graph_find_symbol(e->g, time ? time : "T");
    if (e->time < 0 && time) {
        text names = {.arena = e->out->arena};
        for (int s = 0; s < e->g->symbol_count; s++)
            text_add(&names, "%s%s", s ? ", " : "", e->g->symbols[s]);
        const char *known = text_done(&names);
        return known ? fail(error, RONDO_ARGUMENT, "the graph has no symbol %s to decode over; it has %s",
                            time, *known ? known : "none")
                     : fail_memory(error, names.length, "explain");
    }
    if (e->time < 0 && e->item_count)
        e->time = dim_only_symbol(e->items[0].training.t);
    else if (e->time < 0 && e->recurrence_count)
        e->time = explain_recurrence_time(e, &e->recurrences[0]);
    return true;
}

/* ---- the first lines ---- */

static void counted(text *t, int count, const char *one, const char *many, const char **comma)
{
    if (!count)
        return;
    text_add(t, "%s%d %s", *comma, count, count == 1 ? one : many);
    *comma = ", ";
}

static int count_recurrences(const explainer *e, const recurrence *kind)
{
    int count = 0;
    for (int i = 0; i < e->recurrence_count; i++)
        count += e->recurrences[i].kind == kind ? e->recurrences[i].count : 0;
    return count;
}

static void count_kinds(const explainer *e, bool decoding)
{
    int scans = 0, products = 0, softmaxes = 0, others = 0;
    for (int i = 0; i < e->item_count; i++) {
        const linearize_record *r = decoding ? &e->items[i].decoding : &e->items[i].training;
        int *count = r->kind == LINEARIZE_SCAN           ? &scans
                     : r->kind == LINEARIZE_REASSOCIATED ? &products
                     : is_softmax(r)                     ? &softmaxes
                                                         : &others;
        *count += e->items[i].count;
    }
    const char *comma = "";
    counted(e->out, scans, "scan", "scans", &comma);
    counted(e->out, products, "reassociated product", "reassociated products", &comma);
    counted(e->out, softmaxes, "softmax attention", "softmax attentions", &comma);
    counted(e->out, others, "as written", "as written", &comma);
    for (int op = 0; op < OP_COUNT; op++) {
        const recurrence *r = op_table[op].recurrence;
        if (r && r->name)
            counted(e->out, count_recurrences(e, r), r->name, r->plural, &comma);
    }
}

static void summary(const explainer *e)
{
    text *t = e->out;
    int count = 0;
    int64_t state = 0, cache = 0;
    for (int i = 0; i < e->recurrence_count; i++) {
        count += e->recurrences[i].kind->attention ? e->recurrences[i].count : 0;
        state += e->recurrences[i].count * explain_recurrence_bytes(e, &e->recurrences[i]);
    }
    for (int i = 0; i < e->item_count; i++) {
        count += e->items[i].count;
        state += e->items[i].count * explain_state_bytes(e, &e->items[i].decoding);
        cache += e->items[i].count * explain_cache_bytes(e, &e->items[i].decoding);
    }
    text_add(t, "%d attention%s\n  training   ", count, count == 1 ? "" : "s");
    count_kinds(e, false);
    text_add(t, "\n  decoding   ");
    count_kinds(e, true);
    text_add(t, "\n");
    if (state || cache)
        text_add(t, "  memory     ");
    if (state) {
        explain_number(t, state);
        text_add(t, " bytes of state a sequence at any length%s", cache ? "; " : "");
    }
    if (cache) {
        explain_number(t, cache);
        text_add(t, " bytes of cache a token");
    }
    text_add(t, state || cache ? "\n" : "");
}

/* What the tables assume. */
static void notes(const explainer *e)
{
    bool scans = false, rewritten = false;
    for (int i = 0; i < e->item_count; i++) {
        scans = scans || e->items[i].decoding.kind == LINEARIZE_SCAN;
        rewritten = rewritten || e->items[i].decoding.kind != LINEARIZE_REFUSED;
    }
    text_add(e->out, "\nA multiply and an add are 2 flops; numbers are f32; bytes are what is held between "
                     "q, k, v and y.\n");
    if (scans)
        text_add(e->out, "A scan trains in chunks of C tokens, as matrix products: C·T of the T × T product "
                         "comes on top of\n"
                         "its flops. C is chosen for the shape; where C = T is cheapest, that is the product "
                         "as written.\n");
    if (rewritten)
        text_add(e->out, "`rondo inspect %s --after linearize` prints the graph that runs.\n",
                 e->g->source ? e->g->source : "MODEL");
}

static bool has_gradients(const rondo_graph *g)
{
    for (node_id id = 0; id < g->node_count; id++)
        if (g->nodes[id].op == OP_gradient)
            return true;
    return false;
}

static bool explain_passes(const rondo_graph *g, const char *time, text *out, rondo_error *error)
{
    explainer e = {.g = g, .out = out};
    if (!collect(&e, error) || !choose_time(&e, time, error))
        return false;
    if (!e.item_count && !e.recurrence_count)
        text_add(out, "no attention: nothing here has two time axes, so there is nothing to rewrite\n");
    else
        summary(&e);
    for (int i = 0; i < e.item_count; i++)
        explain_item(&e, &e.items[i], i + 1);
    for (int i = 0; i < e.recurrence_count; i++)
        explain_recurrence(&e, &e.recurrences[i], e.item_count + i + 1);
    if (e.item_count || e.recurrence_count)
        notes(&e);
    return !out->arena->failed || fail_memory(error, out->capacity, "explain");
}

bool explain_graph(const rondo_graph *g, const char *time, text *out, rondo_error *error)
{
    if (!g || !out)
        return false;
    if (!has_gradients(g))
        return explain_passes(g, time, out, error);
    rondo_graph *watched = watch(g, NULL, error);
    bool good = watched && explain_passes(watched, time, out, error);
    graph_free(watched);
    return good;
}

char *rondo_graph_explain(const rondo_graph *graph, const char *time, rondo_error *error)
{
    error_begin(error);
    if (!graph_check(graph, error))
        return NULL;
    arena scratch;
    arena_begin(&scratch, &graph->context->allocator);
    text t = {.arena = &scratch};
    char *copy = explain_graph(graph, time, &t, error) ? text_hand_over(&t, graph->context, error) : NULL;
    arena_end(&scratch);
    return copy;
}
