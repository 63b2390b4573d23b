/* prune: loops lose what nobody reads: rows and stacks without a reader, carries that only themselves are
 * made from, and the operands that the rest of the body does not need. The gradient of a loop is built for
 * every operand, and most need only some of it.
 *
 *   needs: a verified graph     gives: loops with fewer operands and results     breaks: nothing */
#include "compiler/passes/passes.h"
#include "ops/loop.h"

/* A loop at work. */
typedef struct pruning {
    loop_parts p;
    bool live[MAX_OUTPUTS]; /* by result */
    bool reads[MAX_INPUTS]; /* by operand */
    bool *needed;           /* by value of the body */
} pruning;

static void mark(const rondo_graph *body, bool *needed)
{
    for (value_id v = body->value_count - 1; v >= 0; v--)
        if (needed[v]) {
            const node *n = graph_node_of(body, v);
            for (int i = 0; i < n->input_count; i++)
                if (n->inputs[i] != NONE)
                    needed[n->inputs[i]] = true;
        }
}

/* A carry is live if its last value is read, or if what is live reads it. */
static void find_live(pruning *w)
{
    for (bool changed = true; changed;) {
        changed = false;
        for (int i = 0; i < loop_output_count(&w->p); i++)
            if (w->live[i])
                w->needed[loop_made(&w->p, i)] = true;
        mark(w->p.body, w->needed);
        for (int k = 0; k < w->p.carries; k++)
            if (!w->live[k] && w->needed[loop_leaf(&w->p, k)])
                w->live[k] = changed = true;
    }
    bool rows = false;
    for (int i = 0; i < loop_input_count(&w->p); i++) {
        value_id leaf = loop_leaf(&w->p, i);
        loop_kind kind = loop_operand(&w->p, i).kind;
        w->reads[i] = kind == LOOP_CARRY ? w->live[i] : leaf != NONE && w->needed[leaf];
        rows = rows || (w->reads[i] && (kind == LOOP_ROW || kind == LOOP_STACK));
    }
    if (!rows) /* one of them says how many steps there are */
        w->reads[w->p.carries] = true;
}

static int count(const bool *flags, int begin, int end)
{
    int all = 0;
    for (int i = begin; i < end; i++)
        all += flags[i];
    return all;
}

/* The leaf of operand i under its new number. */
static bool copy_leaf(const pruning *w, rondo_graph *to, value_id *map, int i, int number)
{
    const rondo_graph *body = w->p.body;
    value_id leaf = loop_leaf(&w->p, i);
    if (leaf == NONE)
        return true;
    shape s = *graph_shape_of(body, leaf);
    loop_place at = {loop_operand(&w->p, i).kind, number};
    graph_at(to, body, body->values[leaf].node);
    if (graph_map_shape(to, body, &s))
        map[leaf] = loop_add_leaf(to, at, body->values[leaf].type, &s);
    return graph_good(to);
}

static rondo_graph *prune_body(const pruning *w, rondo_error *error)
{
    const rondo_graph *body = w->p.body;
    rondo_graph *to = graph_new_like(body, error);
    value_id *map = to ? graph_map_new(to, body) : NULL;
    int numbers[4] = {0};
    for (int i = 0; map && i < loop_input_count(&w->p); i++)
        if (w->reads[i] && !copy_leaf(w, to, map, i, numbers[loop_operand(&w->p, i).kind]++))
            break;
    for (node_id id = 0; map && id < body->node_count; id++) {
        const node *n = &body->nodes[id];
        bool any = false;
        for (int o = 0; o < n->output_count; o++)
            any = any || w->needed[n->first_output + o];
        if (any && !(op_table[n->op].flags & OP_LEAF))
            graph_copy_node(to, body, id, map);
    }
    int made[4] = {0};
    for (int i = 0; map && i < loop_output_count(&w->p); i++)
        if (w->live[i]) {
            loop_kind kind = loop_result(&w->p, i).kind;
            loop_add_output(to, (loop_place){kind, made[kind]++}, map[loop_made(&w->p, i)]);
        }
    return to;
}

static bool build_pruned(rewriter *r, const node *n, const pruning *w)
{
    const loop_parts *p = &w->p;
    rondo_error error = {0};
    value_id inputs[MAX_INPUTS];
    int first = p->carries, second = first + p->sequences, third = second + p->stacks, at = 0;
    loop_parts fewer = {.carries = count(w->reads, 0, first),
                        .sequences = count(w->reads, first, second),
                        .stacks = count(w->reads, second, third),
                        .constants = count(w->reads, third, n->input_count),
                        .rows = count(w->live, p->carries, p->carries + p->rows),
                        .block = p->block,
                        .reverse = p->reverse};
    for (int i = 0; i < n->input_count; i++)
        if (w->reads[i])
            inputs[at++] = r->map[n->inputs[i]];
    const char *name = r->from->names[n->attributes[loop_body].integer];
    value_id v = loop_build(r->to, name, prune_body(w, &error), &fewer, inputs);
    if (v == NONE)
        return graph_refuse(r->to, RONDO_MEMORY, "out of memory for a loop");
    for (int i = 0; i < n->output_count; i++)
        if (w->live[i])
            r->map[n->first_output + i] = v++;
    return true;
}

static bool prune_loop(rewriter *r, node_id id, const int *readers)
{
    const node *n = &r->from->nodes[id];
    pruning w = {{0}, {0}, {0}, NULL};
    loop_parts_of(r->from, n->attributes, n->input_count, &w.p);
    for (int i = 0; i < n->output_count; i++)
        w.live[i] = readers[n->first_output + i] > 0;
    if (!count(w.live, 0, n->output_count))
        return true; /* dead */
    w.needed = ARENA_NEW(&r->to->arena, bool, w.p.body->value_count + 1);
    if (!w.needed)
        return graph_refuse(r->to, RONDO_MEMORY, "out of memory for a loop");
    find_live(&w);
    bool whole = count(w.live, 0, n->output_count) == n->output_count &&
                 count(w.reads, 0, n->input_count) == n->input_count;
    graph_at(r->to, r->from, id);
    return whole ? graph_copy_node(r->to, r->from, id, r->map) : build_pruned(r, n, &w);
}

rondo_graph *prune(const rondo_graph *g, value_id **map, rondo_error *error)
{
    rewriter r;
    if (!rewrite_begin(&r, g, error))
        return NULL;
    const int *readers = count_readers(&r.to->arena, g);
    bool good = readers || graph_refuse(r.to, RONDO_MEMORY, "out of memory for prune");
    for (node_id id = 0; good && id < g->node_count; id++)
        good = g->nodes[id].op == OP_loop ? prune_loop(&r, id, readers) : graph_copy_node(r.to, g, id, r.map);
    return rewrite_end(&r, map, error);
}
