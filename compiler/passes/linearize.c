/* linearize: products over (t, s) become scans.
 *
 *   needs: a verified graph, before differentiate
 *   gives: scans, and q (kᵀ v), in place of values over (t, s) that are separable and are only summed over s;
 *          a report
 *   breaks: nothing, but sums over s are rounded in another order
 *
 * One walk copies the nodes, and the column `form` of each op says what becomes of products over (t, s) that
 * it reads. Where such a product is summed over s, a scan is built instead of the copy. The products are
 * copied as well: those that have no reader left are dropped when the graph is cleaned, and a reader that
 * cannot be rewritten keeps its own. A row sum and the product with the values become two scans at first,
 * because either may come first in the graph; join makes them one. */
#include "compiler/passes/linearize.h"
#include "compiler/passes/heads.h"
#include "compiler/passes/lift.h"
#include "compiler/passes/linearize_report.h"

typedef struct site {
    node_id scan;
    bool denominator; /* its values are ones: it is the denominator of another scan */
} site;

typedef struct linearizer {
    rewriter r;
    form_context c;
    pair_form *forms; /* by old value */
    linearize_report *report;
    bool batch_symbols[MAX_SYMBOLS]; /* count sentences, not tokens */
    site *sites;
    int site_count, site_capacity;
} linearizer;

/* ---- what takes the place of a sum over s ---- */

static value_id times(rondo_graph *g, value_id a, value_id b) /* NONE is 1 */
{
    return b == NONE ? a : build_mul(g, a, b);
}

static value_id build_scan(linearizer *l, const pair_form *p, value_id key, value_id values,
                           const shape *batch, bool denominator)
{
    rondo_graph *g = l->r.to;
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[scan_exclusive] = integer_attribute(p->exclusive);
    value_id inputs[4] = {heads_in(g, p->query, batch), heads_in(g, key, batch), heads_in(g, values, batch),
                          heads_in(g, p->log_decay, batch)};
    int count = p->log_decay == NONE ? 3 : 4;
    for (int i = 0; i < count; i++)
        if (inputs[i] == NONE)
            return NONE;
    value_id scan = build_node(g, OP_scan, count, inputs, attributes);
    if (scan == NONE)
        return NONE;
    if (!ARENA_PUSH(&g->arena, l->sites, l->site_count, l->site_capacity))
        return graph_fail(g, RONDO_MEMORY, "out of memory for a scan");
    l->sites[l->site_count++] = (site){g->values[scan].node, denominator};
    return heads_out(g, scan, batch);
}

/* Σ_s p[t, s] · operand[s], in the layout and shape of the old result. */
static value_id build_numerator(linearizer *l, const pair_form *p, const shape *old)
{
    rondo_graph *g = l->r.to;
    shape batch = heads_batch(old);
    value_id key = times(g, p->key, p->column), y;
    if (p->causal)
        y = build_scan(l, p, key, p->operand, &batch, false);
    else
        y = build_matmul(g, p->query, build_matmul(g, key, p->operand, true, false), false, false);
    y = times(g, y, p->row);
    return build_broadcast(g, p->transposed ? build_swap(g, y, -2, -1) : y, old);
}

/* Σ_s p[t, s]: [batch…, T, 1], then the axes as they were. */
static value_id build_row_sum(linearizer *l, const pair_form *p, const shape *pair, const shape *old)
{
    rondo_graph *g = l->r.to;
    shape batch = {0}, result, ones = {.rank = 2, .dims = {pair->dims[p->s_axis], dim_number(1)}};
    int order[MAX_RANK];
    for (int i = 0; i < pair->rank; i++) {
        order[i] = i == p->t_axis ? pair->rank - 2 : i == p->s_axis ? pair->rank - 1 : batch.rank;
        if (i != p->t_axis && i != p->s_axis)
            batch.dims[batch.rank++] = pair->dims[i];
    }
    result = batch;
    result.dims[result.rank++] = pair->dims[p->t_axis];
    result.dims[result.rank++] = dim_number(1);
    value_id key = times(g, p->key, p->column), n;
    if (p->causal)
        n = build_scan(l, p, key, build_constant(g, 1, g->values[p->query].type, &ones), &batch, true);
    else
        n = build_matmul(g, p->query, build_reduce(g, p->mean ? OP_mean : OP_sum, key, -2, true), false,
                         true);
    n = build_broadcast(g, times(g, n, p->row), &result);
    return build_reshape(g, build_transpose(g, n, order), old);
}

/* ---- the walk ---- */

static bool rewrite_site(linearizer *l, const node *n, const pair_form *p)
{
    const rondo_graph *from = l->r.from;
    const shape *old = graph_shape_of(from, n->first_output);
    shape batch = {0};
    value_id y;
    if (p->kind == FORM_CONTRACTED) {
        batch = heads_batch(old);
        y = build_numerator(l, p, old);
    } else {
        const shape *pair = graph_shape_of(from, n->inputs[0]);
        for (int i = 0; i < pair->rank; i++)
            if (i != p->t_axis && i != p->s_axis)
                batch.dims[batch.rank++] = pair->dims[i];
        y = build_row_sum(l, p, pair, old);
    }
    if (y == NONE)
        return false;
    l->r.map[n->first_output] = y;
    dim width = p->kind == FORM_CONTRACTED ? old->dims[old->rank - (p->transposed ? 2 : 1)] : dim_number(0);
    return report_site(l->report, &l->c, n, p, &batch, width) ||
           graph_refuse(l->r.to, RONDO_MEMORY, "out of memory for a record");
}

/* An outer product of shape [B, T] is not an attention. */
static bool over_sentences(const linearizer *l, const node *n, const pair_form *p)
{
    const shape *s = graph_shape_of(l->r.from, n->first_output);
    return l->batch_symbols[dim_only_symbol(s->dims[p->t_axis])] ||
           l->batch_symbols[dim_only_symbol(s->dims[p->s_axis])];
}

static bool linearize_node(linearizer *l, node_id id)
{
    const node *n = &l->r.from->nodes[id];
    pair_form outputs[MAX_OUTPUTS] = {0};
    bool continues = false;
    for (int i = 0; i < n->input_count; i++)
        continues = continues || (n->inputs[i] != NONE && l->forms[n->inputs[i]].kind == FORM_PAIR);
    graph_at(l->r.to, l->r.from, id);
    if (!op_table[n->op].form(&l->c, n, outputs))
        return false;
    if (outputs[0].kind == FORM_PAIR && !continues && over_sentences(l, n, &outputs[0]))
        outputs[0].kind = FORM_NONE;
    bool summed = outputs[0].kind == FORM_CONTRACTED || outputs[0].kind == FORM_NORMALISER;
    if (summed ? !rewrite_site(l, n, &outputs[0]) : !graph_copy_node(l->r.to, l->r.from, id, l->r.map))
        return false;
    if (!report_ended(l->report, &l->c, n, outputs))
        return graph_refuse(l->r.to, RONDO_MEMORY, "out of memory for a record");
    for (int p = 0; !summed && p < n->output_count; p++) { /* a sum is an ordinary value */
        const shape *s = graph_shape_of(l->r.from, n->first_output + p);
        if (outputs[p].kind == FORM_PAIR || outputs[p].kind == FORM_DIFFERENCE ||
            (outputs[p].kind == FORM_ENDED && report_carries(&l->c, &outputs[p], s)))
            l->forms[n->first_output + p] = outputs[p];
    }
    return true;
}

static void find_batch_symbols(linearizer *l)
{
    const rondo_graph *g = l->r.from;
    for (node_id id = 0; id < g->node_count; id++) {
        const value *v = &g->values[g->nodes[id].first_output];
        if (g->nodes[id].op != OP_input || v->shape.rank < (v->type == RONDO_I32 ? 2 : 3))
            continue;
        int symbol = dim_only_symbol(v->shape.dims[0]);
        if (symbol >= 0)
            l->batch_symbols[symbol] = true;
    }
}

/* ---- one scan for numerator and denominator ---- */

/* Whether value v depends on node `needed`. seen: by node, all false. */
static bool needs(const rondo_graph *g, value_id v, node_id needed, bool *seen, node_id *stack)
{
    int depth = 0;
    stack[depth++] = g->values[v].node;
    seen[stack[0]] = true;
    while (depth) {
        const node *n = &g->nodes[stack[--depth]];
        if (n == &g->nodes[needed])
            return true;
        for (int i = 0; i < n->input_count; i++) {
            node_id maker = n->inputs[i] == NONE ? NONE : g->values[n->inputs[i]].node;
            if (maker != NONE && !seen[maker]) {
                seen[maker] = true;
                stack[depth++] = maker;
            }
        }
    }
    return false;
}

/* A scan that the old graph had already may have a reader of its state, whose shape would change. */
static bool is_ours(const linearizer *l, node_id scan)
{
    for (node_id id = 0; id < l->r.from->node_count; id++)
        if (l->r.from->nodes[id].op == OP_scan) {
            value_id now = l->r.map[l->r.from->nodes[id].first_output];
            if (now != NONE && l->r.to->values[now].node == scan)
                return false;
        }
    return true;
}

static bool same_decay(const node *a, const node *b)
{
    return a->input_count == b->input_count && (a->input_count < 4 || a->inputs[3] == b->inputs[3]);
}

static bool can_join(linearizer *l, node_id denominator, node_id scan)
{
    rondo_graph *g = l->r.to;
    const node *d = &g->nodes[denominator], *s = &g->nodes[scan];
    if (d == s || d->inputs[0] != s->inputs[0] || d->inputs[1] != s->inputs[1] || !same_decay(d, s) ||
        d->attributes[scan_exclusive].integer != s->attributes[scan_exclusive].integer || !is_ours(l, scan))
        return false;
    bool *seen = ARENA_NEW(&g->arena, bool, g->node_count);
    node_id *stack = ARENA_NEW(&g->arena, node_id, g->node_count);
    if (!seen || !stack)
        return graph_refuse(g, RONDO_MEMORY, "out of memory to join two scans");
    return !needs(g, s->first_output, denominator, seen, stack);
}

/* Readers of the scan of ones now read the second result of `scan`; graph_clean restores the order. */
static void join(linearizer *l, node_id denominator, node_id scan)
{
    rondo_graph *g = l->r.to;
    value_id before = g->nodes[denominator].first_output, after = g->nodes[scan].first_output + 1;
    g->nodes[scan].attributes[scan_denominator].integer = 1;
    for (node_id id = 0; id < g->node_count; id++)
        for (int i = 0; i < g->nodes[id].input_count; i++)
            if (g->nodes[id].inputs[i] == before)
                g->nodes[id].inputs[i] = after;
    for (value_id v = 0; v < l->r.from->value_count; v++)
        if (l->r.map[v] == before)
            l->r.map[v] = after;
}

static void join_all(linearizer *l)
{
    for (int i = 0; i < l->site_count; i++)
        for (int j = 0; l->sites[i].denominator && j < l->site_count; j++)
            if (!l->sites[j].denominator && can_join(l, l->sites[i].scan, l->sites[j].scan)) {
                join(l, l->sites[i].scan, l->sites[j].scan);
                break;
            }
}

/* ---- the pass ---- */

static rondo_graph *linearize_lifted(const rondo_graph *g, linearize_report *report, value_id **map,
                                     rondo_error *error)
{
    linearizer l = {0};
    if (!rewrite_begin(&l.r, g, error))
        return NULL;
    linearize_report unread = {.arena = &l.r.to->arena};
    l.report = report ? report : &unread;
    l.forms = ARENA_NEW(&l.r.to->arena, pair_form, g->value_count + 1);
    l.c = (form_context){.from = g, .to = l.r.to, .map = l.r.map, .forms = l.forms};
    bool good = l.forms != NULL;
    find_batch_symbols(&l);
    for (node_id id = 0; good && id < g->node_count; id++)
        good = linearize_node(&l, id);
    for (int i = 0; good && i < g->output_count; i++)
        good = report_output(l.report, &l.c, g->outputs[i].value);
    for (int i = 0; good && i < g->port_count; i++)
        good = g->ports[i].out == NONE || report_output(l.report, &l.c, g->ports[i].out);
    good = good && report_finish(l.report, g);
    if (good)
        join_all(&l);
    else /* unless it failed before, for another reason */
        graph_fail(l.r.to, RONDO_MEMORY, "out of memory for linearize");
    return rewrite_end(&l.r, map, error);
}

/* Records are about g, not about its lifted copy. lift: g's values → the copy's. */
static void translate(const rondo_graph *g, const rondo_graph *lifted, const value_id *lift,
                      linearize_report *report)
{
    for (int i = 0; report && i < report->count; i++) {
        linearize_record *r = &report->records[i];
        value_id origin = lifted->nodes[r->origin].first_output, at = lifted->nodes[r->node].first_output;
        for (value_id v = g->value_count - 1; v >= 0; v--) { /* the first that became it */
            r->origin = lift[v] == origin ? g->values[v].node : r->origin;
            r->node = lift[v] == at ? g->values[v].node : r->node;
        }
    }
}

rondo_graph *linearize(const rondo_graph *g, linearize_report *report, value_id **map, rondo_error *error)
{
    bool is_lifted;
    value_id *lift = NULL, *second = NULL;
    rondo_error local = {0};
    rondo_graph *lifted = lift_constants(g, &is_lifted, &lift, &local);
    if (local.code) {
        fail(error, local.code, "%s", local.message);
        return NULL;
    }
    if (!lifted)
        return linearize_lifted(g, report, map, error);
    rondo_graph *result = linearize_lifted(lifted, report, &second, error);
    if (result)
        translate(g, lifted, lift, report);
    compose_maps(g, lift, second, &result, map, error);
    graph_free(lifted);
    return result;
}
