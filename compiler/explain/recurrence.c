/* explain, recurrences: ops that are recurrences as they are written, so that linearize has nothing to
 * rewrite. Their state, and the cost of a token. */
#include "compiler/explain/explain.h"
#include <inttypes.h>
#include <string.h>

enum { FORMULAS = 16, SIZES = 72 };

/* ---- what there is to know of one ---- */

static const node *node_of(const explainer *e, const recurrence_item *r)
{
    return &e->g->nodes[r->node];
}

/* What it carries from row to row: [B, H, Dk, Dv], [B, K − 1, D]. */
static const shape *state_of(const explainer *e, const recurrence_item *r)
{
    const node *n = node_of(e, r);
    return graph_shape_of(e->g, n->first_output + op_table[n->op].state.result);
}

/* The operand that carries time. */
static const shape *rows_of(const explainer *e, const recurrence_item *r)
{
    return graph_shape_of(e->g, node_of(e, r)->inputs[0]);
}
static dim time_of(const explainer *e, const recurrence_item *r)
{
    return rows_of(e, r)->dims[r->kind->time_axis];
}

int explain_recurrence_time(const explainer *e, const recurrence_item *r)
{
    return dim_only_symbol(time_of(e, r));
}

/* Elements of the state of one sequence. */
static int64_t elements(const explainer *e, const recurrence_item *r)
{
    const shape *s = state_of(e, r);
    int64_t product = 1;
    for (int i = 1; i < s->rank; i++)
        product *= s->dims[i].factor;
    return product;
}

int64_t explain_recurrence_bytes(const explainer *e, const recurrence_item *r)
{
    return explain_recurrence_time(e, r) == e->time ? 4 * elements(e, r) : 0;
}

/* Extent of axis a of the elements that a token is combined with. */
static int64_t met(const explainer *e, const recurrence_item *r, int a)
{
    return state_of(e, r)->dims[a].factor + (a == 1 ? r->kind->rows_more : 0);
}

static int64_t flops_a_token(const explainer *e, const recurrence_item *r)
{
    int64_t flops = r->kind->flops;
    for (int a = 1; a < state_of(e, r)->rank; a++)
        flops *= met(e, r, a);
    return flops;
}

static bool decays(const explainer *e, const recurrence_item *r)
{
    const node *n = node_of(e, r);
    int decay = r->kind->decay;
    return decay >= 0 && n->input_count > decay && n->inputs[decay] != NONE;
}

/* ---- collecting ---- */

static bool alike(const explainer *e, const recurrence_item *a, const recurrence_item *b)
{
    return a->kind == b->kind && shape_equal(state_of(e, a), state_of(e, b)) &&
           decays(e, a) == decays(e, b) && shape_equal(rows_of(e, a), rows_of(e, b));
}

static bool add(explainer *e, const recurrence_item *found)
{
    for (int i = 0; i < e->recurrence_count; i++) {
        recurrence_item *r = &e->recurrences[i];
        if (*found->scope && alike(e, r, found)) {
            r->count++;
            r->last_scope = found->scope;
            return true;
        }
    }
    if (!ARENA_PUSH(e->out->arena, e->recurrences, e->recurrence_count, e->recurrence_capacity))
        return false;
    e->recurrences[e->recurrence_count++] = *found;
    return true;
}

bool explain_find_recurrences(explainer *e)
{
    bool good = true;
    for (node_id id = 0; good && id < e->g->node_count; id++) {
        const node *n = &e->g->nodes[id];
        recurrence_item item = {id, op_table[n->op].recurrence, .scope = e->g->names[n->scope], .count = 1};
        good = !item.kind || !item.kind->name || add(e, &item);
    }
    return good;
}

/* ---- the block ---- */

static void heading(const explainer *e, const recurrence_item *r, int number)
{
    text *t = e->out;
    const node *n = node_of(e, r);
    text_add(t, "\n%d. %s", number, r->scope);
    if (r->count > 1)
        text_add(t, " … %s, %d alike", r->last_scope, r->count);
    if (n->file)
        text_add(t, "%s%s:%d", *r->scope ? "   " : "", n->file, n->line);
    text_add(t, "\n   causal, ");
    r->kind->sizes(t, state_of(e, r));
    text_add(t, "\n   a recurrence of its own: %s\n\n", r->kind->name);
}

/* Ends the formula line before with the size of the state. */
static void sized(const explainer *e, const recurrence_item *r)
{
    text *t = e->out;
    text_cut(t, t->length - 1); /* the end of the line */
    explain_tab(t, SIZES);
    text_add(t, "f32");
    shape_text(t, e->g, state_of(e, r));
    text_add(t, "\n");
}

static void formulas(const explainer *e, const recurrence_item *r)
{
    const char *const *lines = decays(e, r) ? r->kind->fading : r->kind->formulas;
    for (int i = 0; lines[i]; i++) {
        explain_formula(e->out, i ? "" : "as run", lines[i]);
        if (i == r->kind->state_formula)
            sized(e, r);
    }
}

/* "6·B·2·T·16·16" */
static void costs(const explainer *e, const recurrence_item *r)
{
    text *t = e->out;
    const shape *s = state_of(e, r);
    text_add(t, "\n   flops forward");
    explain_tab(t, FORMULAS + 4);
    text_add(t, "%d", r->kind->flops);
    explain_dim(t, e->g, s->dims[0], "·");
    explain_dim(t, e->g, time_of(e, r), "·");
    for (int i = 1; i < s->rank; i++)
        text_add(t, "·%" PRId64, met(e, r, i));
    text_add(t, "\n   bytes held");
    explain_tab(t, FORMULAS + 4);
    text_add(t, "4");
    for (int i = 0; i < s->rank; i++)
        explain_dim(t, e->g, s->dims[i], "·");
    text_add(t, "\n\n   decoding");
    explain_tab(t, FORMULAS);
    int64_t bytes = explain_recurrence_bytes(e, r);
    if (explain_recurrence_time(e, r) != e->time) {
        text_add(t, "runs once, before it begins: it does not depend on %s\n", e->g->symbols[e->time]);
        return;
    }
    text_add(t, "a state of ");
    explain_number(t, bytes);
    text_add(t, " bytes a sequence at any length, ");
    explain_number(t, flops_a_token(e, r));
    text_add(t, " flops a token\n");
}

void explain_recurrence(explainer *e, const recurrence_item *r, int number)
{
    heading(e, r, number);
    formulas(e, r);
    costs(e, r);
}
