/* explain, recurrences: ops that are one from the start, so that there is nothing to rewrite. What they carry, and what a
 * token costs. */
#include "compiler/explain/explain.h"
#include <inttypes.h>
#include <string.h>

enum { FORMULAS = 16, SIZES = 72 };

/* ---- what there is to know of one ---- */

static bool is_recurrence(int op)
{
    return op == OP_delta || op == OP_convolve;
}

/* What it carries from row to row: [B, H, Dk, Dv], [B, K − 1, D]. */
static const shape *state_of(const explainer *e, const recurrence_item *r)
{
    return graph_shape_of(e->g, e->g->nodes[r->node].first_output + 1);
}
static const shape *operand_of(const explainer *e, const recurrence_item *r, int i)
{
    return graph_shape_of(e->g, e->g->nodes[r->node].inputs[i]);
}
static dim time_of(const explainer *e, const recurrence_item *r)
{
    return operand_of(e, r, 0)->dims[r->op == OP_delta ? 2 : 1];
}

int explain_recurrence_time(const explainer *e, const recurrence_item *r)
{
    return dim_only_symbol(time_of(e, r));
}

/* Numbers of the state of one sequence. */
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

/* Predict, write and read each meet all of the delta rule's state; a convolution multiplies and adds K rows. */
static int64_t flops_a_token(const explainer *e, const recurrence_item *r)
{
    const shape *weight = operand_of(e, r, 1);
    return r->op == OP_delta ? 6 * elements(e, r) : 2 * weight->dims[0].factor * weight->dims[1].factor;
}

static bool decays(const explainer *e, const recurrence_item *r)
{
    const node *n = &e->g->nodes[r->node];
    return r->op == OP_delta && n->input_count > 4 && n->inputs[4] != NONE;
}

/* ---- collecting ---- */

static bool alike(const explainer *e, const recurrence_item *a, const recurrence_item *b)
{
    return a->op == b->op && shape_equal(state_of(e, a), state_of(e, b)) && decays(e, a) == decays(e, b) &&
           shape_equal(operand_of(e, a, 0), operand_of(e, b, 0));
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
        if (is_recurrence(n->op))
            good = add(
                e, &(recurrence_item){.node = id, .op = n->op, .scope = e->g->names[n->scope], .count = 1});
    }
    return good;
}

/* ---- the block ---- */

static void heading(const explainer *e, const recurrence_item *r, int number)
{
    text *t = e->out;
    const node *n = &e->g->nodes[r->node];
    const shape *s = state_of(e, r);
    text_add(t, "\n%d. %s", number, r->scope);
    if (r->count > 1)
        text_add(t, " … %s, %d alike", r->last_scope, r->count);
    if (n->file)
        text_add(t, "%s%s:%d", *r->scope ? "   " : "", n->file, n->line);
    if (r->op == OP_delta)
        text_add(t, "\n   causal, %" PRId64 " head%s, %" PRId64 " feature%s, values of %" PRId64,
                 s->dims[1].factor, s->dims[1].factor == 1 ? "" : "s", s->dims[2].factor,
                 s->dims[2].factor == 1 ? "" : "s", s->dims[3].factor);
    else
        text_add(t, "\n   causal, %" PRId64 " rows of %" PRId64 " channels", s->dims[1].factor + 1,
                 s->dims[2].factor);
    text_add(t, "\n   a recurrence of its own: %s\n\n", r->op == OP_delta ? "delta rule" : "convolution");
}

/* Ends the formula line before with the size of the state. */
static void sized(const explainer *e, const recurrence_item *r)
{
    text *t = e->out;
    t->data[--t->length] = 0; /* the end of the line */
    explain_tab(t, SIZES);
    text_add(t, "f32");
    shape_text(t, e->g, state_of(e, r));
    text_add(t, "\n");
}

static void formulas(const explainer *e, const recurrence_item *r)
{
    text *t = e->out;
    if (r->op == OP_convolve) {
        explain_formula(t, "as run", "y[t] = Σ_{j<K} w[K−1−j] ∘ x[t−j]");
        sized(e, r);
        return;
    }
    bool decay = decays(e, r);
    explain_formula(t, "as run", decay ? "u[t] = β[t] (v[t] − (D·M)ᵀ k[t])" : "u[t] = β[t] (v[t] − Mᵀ k[t])");
    explain_formula(t, "", decay ? "M ← D·M + k[t] u[t]ᵀ" : "M ← M + k[t] u[t]ᵀ");
    sized(e, r);
    explain_formula(t, "", "y[t] = Mᵀ q[t]");
    if (decay)
        explain_formula(t, "", "D = e^g[t], a number for each head and token");
}

/* "6·B·2·T·16·16" */
static void costs(const explainer *e, const recurrence_item *r)
{
    text *t = e->out;
    const shape *s = state_of(e, r);
    text_add(t, "\n   flops forward");
    explain_tab(t, FORMULAS + 4);
    text_add(t, "%d", r->op == OP_delta ? 6 : 2);
    explain_dim(t, e->g, s->dims[0], "·");
    explain_dim(t, e->g, time_of(e, r), "·");
    for (int i = 1; i < s->rank; i++)
        text_add(t, "·%" PRId64, s->dims[i].factor + (r->op == OP_convolve && i == 1));
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
