/* compiler/passes/linearize_report.h. */
#include "compiler/passes/linearize_report.h"
#include <string.h>

static linearize_record *find(linearize_report *report, node_id origin, node_id at)
{
    for (int i = 0; i < report->count; i++)
        if (report->records[i].origin == origin && report->records[i].node == at)
            return &report->records[i];
    return NULL;
}

static linearize_decay decay_of(const form_context *c, const pair_form *p)
{
    if (p->log_decay == NONE)
        return DECAY_NONE;
    const shape *s = graph_shape_of(c->to, p->log_decay);
    bool every_token = !dim_is_number(s->dims[s->rank - 2], 1),
         every_feature = !dim_is_number(s->dims[s->rank - 1], 1);
    return every_feature ? DECAY_FEATURE : every_token ? DECAY_TOKEN : DECAY_CONSTANT;
}

static linearize_record *push(linearize_report *report, const form_context *c, const pair_form *p, node_id at)
{
    if (!ARENA_PUSH(report->arena, report->records, report->count, report->capacity))
        return NULL;
    value_id first = c->from->nodes[p->origin].first_output;
    const pair_form *begun = &c->forms[first];
    const shape *s = graph_shape_of(c->from, first), *q = graph_shape_of(c->to, p->query);
    linearize_record *r = &report->records[report->count++];
    *r = (linearize_record){.origin = p->origin,
                            .node = at,
                            .features = q->dims[q->rank - 1],
                            .causal = p->causal,
                            .exclusive = p->exclusive,
                            .scaled = p->row != NONE || p->column != NONE,
                            .decay = decay_of(c, p)};
    r->t = s->dims[p->causal || p->t_axis < p->s_axis ? begun->t_axis : begun->s_axis];
    r->s = s->dims[p->causal || p->t_axis < p->s_axis ? begun->s_axis : begun->t_axis];
    return r;
}

bool report_site(linearize_report *report, const form_context *c, const node *n, const pair_form *p,
                 const shape *batch, dim width)
{
    linearize_record *r = push(report, c, p, (node_id)(n - c->from->nodes));
    if (!r)
        return false;
    r->kind = p->causal ? LINEARIZE_SCAN : LINEARIZE_REASSOCIATED;
    r->batch = *batch;
    r->width = width;
    r->contracted = true;
    return true;
}

bool report_carries(const form_context *c, const pair_form *p, const shape *s)
{
    value_id first_value = c->from->nodes[p->origin].first_output;
    const pair_form *begun = &c->forms[first_value];
    dim t = graph_shape_of(c->from, first_value)->dims[begun->t_axis];
    dim other = graph_shape_of(c->from, first_value)->dims[begun->s_axis];
    int first = -1;
    for (int i = 0; i < s->rank && first < 0; i++)
        if (dim_equal(s->dims[i], t))
            first = i;
    for (int i = 0; first >= 0 && i < s->rank; i++)
        if (i != first && dim_equal(s->dims[i], other))
            return true;
    return false;
}

/* The batch axes of a value over (t, s) that p describes. */
static shape batch_of(const shape *s, const pair_form *p)
{
    shape batch = {0};
    for (int i = 0; i < s->rank; i++)
        if (i != p->t_axis && i != p->s_axis)
            batch.dims[batch.rank++] = s->dims[i];
    return batch;
}

/* The operand of n that has the origin of p. */
static int operand_of_origin(const form_context *c, const node *n, const pair_form *p)
{
    for (int i = 0; i < n->input_count; i++)
        if (n->inputs[i] != NONE && c->forms[n->inputs[i]].kind != FORM_NONE &&
            c->forms[n->inputs[i]].origin == p->origin)
            return i;
    return 0;
}

bool report_ended(linearize_report *report, const form_context *c, const node *n, const pair_form *outputs)
{
    if (outputs[0].kind != FORM_ENDED)
        return true;
    const pair_form *p = &outputs[0];
    int which = operand_of_origin(c, n, p);
    const pair_form *before = &c->forms[n->inputs[which]];
    linearize_record *r = find(report, p->origin, before->kind == FORM_ENDED ? before->at : p->at);
    if (!r) {
        r = push(report, c, p, p->at);
        if (!r)
            return false;
        r->kind = LINEARIZE_REFUSED;
        r->batch = batch_of(graph_shape_of(c->from, n->inputs[which]), before);
    }
    r->node = p->at;
    r->reason = p->reason;
    r->causal = r->causal || p->causal;
    const shape *s = graph_shape_of(c->from, n->first_output);
    if (report_carries(c, p, s))
        return true;
    r->contracted = r->contracted || n->op == OP_matmul || n->op == OP_sum || n->op == OP_mean;
    if (n->op == OP_matmul)
        r->width = s->dims[s->rank - (which == 0 ? 1 : 2)];
    return true;
}

bool report_output(linearize_report *report, const form_context *c, value_id v)
{
    const pair_form *p = &c->forms[v];
    if (p->kind != FORM_PAIR || find(report, p->origin, c->from->values[v].node))
        return true;
    linearize_record *r = push(report, c, p, c->from->values[v].node);
    if (!r)
        return false;
    r->kind = LINEARIZE_REFUSED;
    r->batch = batch_of(graph_shape_of(c->from, v), p);
    r->reason = "the product over t and s is itself an output";
    r->contracted = true;
    return true;
}

/* A row sum of a product that is also multiplied by values is the normaliser of that attention. */
static bool joins(linearize_report *report, const linearize_record *r)
{
    bool joined = false;
    for (int i = 0; i < report->count; i++) {
        linearize_record *other = &report->records[i];
        if (r->kind != LINEARIZE_REFUSED && !r->width.factor && other->origin == r->origin &&
            other->width.factor && other->kind == r->kind)
            other->normalised = joined = true;
    }
    return joined;
}

bool report_finish(linearize_report *report, const rondo_graph *from)
{
    int kept = 0;
    for (int i = 0; i < report->count; i++) {
        const linearize_record *r = &report->records[i];
        int origin = from->nodes[r->origin].op;
        bool mask = (origin == OP_constant || origin == OP_broadcast) && r->kind == LINEARIZE_REFUSED &&
                    !r->contracted;
        if (!mask && !joins(report, r))
            report->records[kept++] = *r;
    }
    report->count = kept;
    for (int i = 0; i < kept; i++) {
        linearize_record *r = &report->records[i];
        const node *n = &from->nodes[r->node];
        r->line = n->line;
        r->scope = arena_text(report->arena, "%s", from->names[n->scope]);
        r->file = n->file ? arena_text(report->arena, "%s", n->file) : NULL;
        r->reason = r->reason ? arena_text(report->arena, "%s", r->reason) : NULL;
    }
    return !report->arena->failed;
}
