/* explain, one attention: what was written, what runs, and what that costs as formulas in the lengths. */
#include "compiler/explain/explain.h"
#include <inttypes.h>
#include <stdio.h>
#include <math.h>
#include <string.h>

/* ---- text ---- */

void explain_number(text *t, int64_t number)
{
    if (number >= 1000) {
        explain_number(t, number / 1000);
        text_add(t, ",%03d", (int)(number % 1000));
    } else {
        text_add(t, "%d", (int)number);
    }
}

/* Blanks up to `column` of the line, at least one; a character counts one, however many bytes it has. */
void explain_tab(text *t, int column)
{
    int at = 0;
    const char *before = text_done(t);
    for (size_t i = t->length; before && i > 0 && before[i - 1] != '\n'; i--)
        at += ((unsigned char)before[i - 1] & 0xc0) != 0x80;
    text_add(t, "%*s", at < column ? column - at : 1, "");
}

/* 2·B as B·2 reads badly behind a number, so a monomial is its symbols, then its factor. */
void explain_dim(text *t, const rondo_graph *g, dim d, const char *times)
{
    for (int s = 0; s < g->symbol_count; s++)
        for (int i = 0; i < d.power[s]; i++, times = "·")
            text_add(t, "%s%s", times, g->symbols[s]);
    if (d.factor != 1 || dim_is_literal(d))
        text_add(t, "%s%" PRId64, times, d.factor);
}

static void batch_words(text *t, const rondo_graph *g, const shape *batch, const char *times)
{
    for (int i = 0; i < batch->rank; i++)
        if (!dim_is_number(batch->dims[i], 1)) {
            explain_dim(t, g, batch->dims[i], times);
            times = "·";
        }
}

/* "·T²" or "·T·S" */
static void lengths(text *t, const rondo_graph *g, const linearize_record *r)
{
    explain_dim(t, g, r->t, "·");
    if (dim_equal(r->t, r->s))
        text_add(t, "²");
    else
        explain_dim(t, g, r->s, "·");
}

/* ---- sizes ---- */

static int64_t features(const linearize_record *r)
{
    return r->features.factor;
}
static int64_t columns(const linearize_record *r)
{
    return (r->width.factor ? r->width.factor : 1) + (r->width.factor && r->normalised);
}
static int64_t widths(const linearize_record *r)
{
    return r->features.factor + (r->width.factor ? r->width.factor : 1);
}
static bool decodes(const explainer *e, const linearize_record *r)
{
    return dim_only_symbol(r->t) == e->time;
}

/* Heads of one sequence: the numbers among the batch axes. */
static int64_t heads(const linearize_record *r)
{
    int64_t product = 1;
    for (int i = 0; i < r->batch.rank; i++)
        product *= r->batch.dims[i].factor;
    return product;
}

int64_t explain_state_bytes(const explainer *e, const linearize_record *r)
{
    if (!decodes(e, r) || r->kind == LINEARIZE_REFUSED ||
        (r->kind == LINEARIZE_REASSOCIATED && dim_equal(r->t, r->s)))
        return 0;
    return 4 * heads(r) * features(r) * columns(r);
}

int64_t explain_cache_bytes(const explainer *e, const linearize_record *r)
{
    return r->kind == LINEARIZE_REFUSED && dim_only_symbol(r->s) == e->time ? 4 * heads(r) * widths(r) : 0;
}

/* The first T = S at which 2·T·S·(Dk + Dv) is more than what runs. */
static int64_t crossover(const linearize_record *r)
{
    return (int64_t)floor(2.0 * (double)features(r) * (double)columns(r) / (double)widths(r)) + 1;
}

/* ---- the parts of a block ---- */

enum { FORMULAS = 16, SIZES = 72, LEFT = 20, RIGHT = 46 };

static void pair_words(text *t, const rondo_graph *g, const linearize_record *r)
{
    explain_dim(t, g, r->t, "");
    text_add(t, " × ");
    explain_dim(t, g, r->s, "");
}

/* Which attention it is, where, and what became of it, in one line. */
static void heading(const explainer *e, const explanation *item, int number)
{
    text *t = e->out;
    const linearize_record *r = &item->training;
    text_add(t, "\n%d. %s", number, r->scope);
    if (item->count > 1)
        text_add(t, " … %s, %d alike", item->last_scope, item->count);
    if (r->file)
        text_add(t, "%s%s:%d", *r->scope ? "   " : "", r->file, r->line);
    text_add(t, "\n   %s, ",
             r->causal               ? (r->exclusive ? "causal, strictly before" : "causal")
             : dim_equal(r->t, r->s) ? "both directions"
                                     : "cross");
    pair_words(t, e->g, r);
    text_add(t, ", %" PRId64 " head%s, %" PRId64 " feature%s", heads(r), heads(r) == 1 ? "" : "s",
             features(r), features(r) == 1 ? "" : "s");
    if (r->width.factor) {
        text_add(t, ", values of ");
        explain_dim(t, e->g, r->width, "");
    }
    r = &item->decoding;
    if (r->kind == LINEARIZE_REFUSED) {
        text_add(t, "\n   NOT REWRITTEN: %s\n", r->reason);
        return;
    }
    text_add(t, "\n   REWRITTEN%s: %s in place of ",
             item->training.kind == LINEARIZE_REFUSED ? " for decoding" : "",
             r->kind == LINEARIZE_SCAN ? "a scan" : "q (kᵀ v)");
    pair_words(t, e->g, r);
    text_add(t, "\n");
    if (item->training.kind == LINEARIZE_REFUSED)
        text_add(t, "   NOT in training: %s\n", item->training.reason);
}

void explain_formula(text *t, const char *label, const char *line)
{
    text_add(t, "   %s", label);
    explain_tab(t, FORMULAS);
    text_add(t, "%s\n", line);
}

/* Ends the formula line before with the size of what it makes. */
static void sized(const explainer *e, const linearize_record *r, bool pair)
{
    text *t = e->out;
    text_cut(t, t->length - 1); /* the end of the line */
    explain_tab(t, SIZES);
    text_add(t, "f32[");
    for (int i = 0; i < r->batch.rank; i++) {
        explain_dim(t, e->g, r->batch.dims[i], "");
        text_add(t, ",");
    }
    if (pair) {
        explain_dim(t, e->g, r->t, "");
        text_add(t, ",");
        explain_dim(t, e->g, r->s, "");
        text_add(t, "]\n");
    } else {
        text_add(t, "%" PRId64 ",%" PRId64 "]\n", features(r), columns(r));
    }
}

static void written(const explainer *e, const linearize_record *r)
{
    char line[100];
    snprintf(line, sizeof line, "a[t,s] = q[t]·k[s]%s%s",
             r->decay == DECAY_NONE       ? ""
             : r->decay == DECAY_CONSTANT ? " γ^(t−s)"
                                          : " e^(c[t]−c[s])",
             !r->causal     ? ""
             : r->exclusive ? "  for s < t, else 0"
                            : "  for s ≤ t, else 0");
    explain_formula(e->out, "as written", line);
}

/* what: 0 the state M alone, 1 M and the sum z, 2 z alone. */
static const char *update_words(const linearize_record *r, int what)
{
    static const char *const updates[3][3] = {
        {"M = Σ_s k[s] v[s]ᵀ", "M = Σ_s k[s] v[s]ᵀ,  z = Σ_s k[s]", "z = Σ_s k[s]"},
        {"M ← M + k[t] v[t]ᵀ", "M ← M + k[t] v[t]ᵀ,  z ← z + k[t]", "z ← z + k[t]"},
        {"M ← D∘M + k[t] v[t]ᵀ", "M ← D∘M + k[t] v[t]ᵀ,  z ← D∘z + k[t]", "z ← D∘z + k[t]"}};
    return updates[r->kind != LINEARIZE_SCAN ? 0 : r->decay == DECAY_NONE ? 1 : 2][what];
}

static const char *decay_words(const linearize_record *r)
{
    static const char *const words[] = {
        [DECAY_NONE] = "",
        [DECAY_CONSTANT] = "D = γ, a number for each head",
        [DECAY_TOKEN] = "D = e^(c[t]−c[t−1]), a number for each head and token",
        [DECAY_FEATURE] = "D = e^(c[t]−c[t−1]), a number for each head, token and feature"};
    return words[r->decay];
}

static void formulas(const explainer *e, const linearize_record *r)
{
    text *t = e->out;
    bool values = r->width.factor != 0, sums = r->normalised || !values, scan = r->kind == LINEARIZE_SCAN;
    text_add(t, "\n");
    written(e, r);
    sized(e, r, true);
    if (sums)
        explain_formula(t, "", "n[t]   = Σ_s a[t,s]");
    if (values)
        explain_formula(t, "", "y[t]   = Σ_s a[t,s] v[s]");
    int what = !values ? 2 : sums; /* M alone, M and z, z alone */
    static const char *const reads[2][3] = {
        {"y[t] = Mᵀ q[t]", "n[t] = z·q[t],  y[t] = Mᵀ q[t]", "n[t] = z·q[t]"},
        {"y[t] = (D∘M)ᵀ q[t]", "n[t] = (D∘z)·q[t],  y[t] = (D∘M)ᵀ q[t]", "n[t] = (D∘z)·q[t]"}};
    bool decays_first = r->exclusive && r->decay != DECAY_NONE;
    const char *update = update_words(r, what), *read = reads[decays_first][what];
    explain_formula(t, "as run", r->exclusive ? read : update);
    if (!r->exclusive)
        sized(e, r, false);
    explain_formula(t, "", r->exclusive ? update : read);
    if (r->exclusive)
        sized(e, r, false);
    if (r->decay != DECAY_NONE)
        explain_formula(t, "", decay_words(r));
    if (r->scaled)
        explain_formula(t, "",
                        scan ? "factors of t are applied to y and n, factors of s to k"
                             : "factors of t are applied after, factors of s before");
}

static void cell(const explainer *e, const linearize_record *r, int column, int64_t factor, bool pair)
{
    text *t = e->out;
    explain_tab(t, column);
    text_add(t, "%" PRId64, factor);
    batch_words(t, e->g, &r->batch, "·");
    if (pair) {
        lengths(t, e->g, r);
    }
}

/* 15.8 times, 16 times, 1,024 times */
static void gain(text *t, const linearize_record *r, double length)
{
    double ratio = length * (double)widths(r) / (2.0 * (double)features(r) * (double)columns(r));
    if (ratio < 10)
        text_add(t, "%d.%d", (int)ratio, (int)(ratio * 10) % 10);
    else
        explain_number(t, (int64_t)ratio);
}

static void costs(const explainer *e, const linearize_record *r)
{
    text *t = e->out;
    text_add(t, "\n");
    explain_tab(t, LEFT);
    text_add(t, "as written");
    explain_tab(t, RIGHT);
    text_add(t, "as run\n   flops forward");
    cell(e, r, LEFT, 2, true);
    text_add(t, "·(%" PRId64 "+%" PRId64 ")", features(r), widths(r) - features(r));
    cell(e, r, RIGHT, r->kind == LINEARIZE_SCAN ? 4 : 2, false);
    if (r->kind == LINEARIZE_SCAN || dim_equal(r->t, r->s)) {
        text_add(t, r->kind == LINEARIZE_SCAN ? "" : "·2");
        explain_dim(t, e->g, r->t, "·");
    } else {
        explain_dim(t, e->g, r->t, "·(");
        explain_dim(t, e->g, r->s, "+");
        text_add(t, ")");
    }
    text_add(t, "·%" PRId64 "·%" PRId64 "\n   bytes held", features(r), columns(r));
    cell(e, r, LEFT, 4, true);
    cell(e, r, RIGHT, 4, false);
    text_add(t, "·%" PRId64 "·%" PRId64 "\n", features(r), columns(r));
    text_add(t, "   fewer flops from ");
    explain_dim(t, e->g, r->t, "");
    if (!dim_equal(r->t, r->s))
        explain_dim(t, e->g, r->s, " = ");
    text_add(t, " = ");
    explain_number(t, crossover(r));
    text_add(t, " on: ");
    gain(t, r, 1024);
    text_add(t, "× fewer at 1,024, ");
    gain(t, r, 16384);
    text_add(t, "× at 16,384\n");
}

/* One step of decoding. */
static void decoding(const explainer *e, const linearize_record *r)
{
    text *t = e->out;
    int64_t state = explain_state_bytes(e, r), cache = explain_cache_bytes(e, r);
    text_add(t, "   decoding");
    explain_tab(t, FORMULAS);
    if (!decodes(e, r)) {
        text_add(t, "%s before it begins: it does not depend on ",
                 r->kind == LINEARIZE_REFUSED ? "runs once," : "rewritten; runs once,");
        text_add(t, "%s\n", e->g->symbols[e->time]);
    } else if (state && r->kind == LINEARIZE_SCAN) {
        text_add(t, "a scan: a state of ");
        explain_number(t, state);
        text_add(t, " bytes a sequence at any length, ");
        explain_number(t, state);
        text_add(t, " flops a token\n");
        explain_tab(t, FORMULAS);
        text_add(t, "as written it would be a cache that grows by ");
        explain_number(t, 4 * heads(r) * widths(r));
        text_add(t, " bytes with every token:\n");
        explain_tab(t, FORMULAS);
        text_add(t, "the state is the smaller one from token ");
        explain_number(t, features(r) * columns(r) / widths(r) + 1);
        text_add(t, " on\n");
    } else if (state) {
        text_add(t, "a fixed state of ");
        explain_number(t, state);
        text_add(t, " bytes a sequence, made once of all %s\n", e->g->symbols[dim_only_symbol(r->s)]);
    } else if (r->kind != LINEARIZE_REFUSED) {
        text_add(t, "cannot advance step by step: without a causal mask each t needs the tokens after it\n");
    } else if (cache) {
        text_add(t, "key-value cache: ");
        explain_number(t, cache);
        text_add(t, " bytes a token, 2·%" PRId64 "·t·(%" PRId64 "+%" PRId64 ") flops for token t\n", heads(r),
                 features(r), widths(r) - features(r));
    } else {
        text_add(t, "keys and values kept: ");
        explain_number(t, 4 * heads(r) * widths(r));
        text_add(t, " bytes for each of %s, made once\n", e->g->symbols[dim_only_symbol(r->s)]);
    }
}

static void quadratic(const explainer *e, const linearize_record *r)
{
    text *t = e->out;
    text_add(t, "   training");
    explain_tab(t, FORMULAS);
    text_add(t, "quadratic: 2");
    batch_words(t, e->g, &r->batch, "·");
    lengths(t, e->g, r);
    text_add(t, "·(%" PRId64 "+%" PRId64 ") flops forward\n", features(r), widths(r) - features(r));
}

void explain_item(explainer *e, const explanation *item, int number)
{
    heading(e, item, number);
    if (item->decoding.kind != LINEARIZE_REFUSED) {
        formulas(e, &item->decoding);
        costs(e, &item->decoding);
    }
    text_add(e->out, "\n");
    if (item->training.kind == LINEARIZE_REFUSED)
        quadratic(e, &item->training);
    decoding(e, &item->decoding);
}
