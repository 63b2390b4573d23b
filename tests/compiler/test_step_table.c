/* The step rule of every op against the op itself: its samples with a time axis, advanced in pieces, give at
 * each token what the parallel form gives for the tokens up to it. In double, through the interpreter; covers
 * every row of the op table. */
#include "compiler/passes/passes.h"
#include "compiler/passes/stream.h"
#include "ops/interpret.h"
#include "ops/rules.h"
#include "tests/compiler/symbolic_sample.h"
#include <criterion/alloc.h>
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 3, TIME = 7, CAPACITY = 16, MOST_PIECES = TIME };
static const double bound_double = 1e-11;

/* The number of new tokens there is room for, and how many of them are valid in each sequence. */
typedef struct piece {
    int64_t room, count[BATCH];
} piece;
static const piece schedules[][MOST_PIECES] = {
    {{1, {1, 1, 1}},
     {1, {1, 1, 1}},
     {1, {1, 1, 1}},
     {1, {1, 1, 1}},
     {1, {1, 1, 1}},
     {1, {1, 1, 1}},
     {1, {1, 1, 1}}},
    {{7, {7, 7, 7}}},
    {{3, {3, 1, 2}}, {1, {0, 1, 1}}, {2, {2, 0, 1}}, {4, {2, 4, 3}}},
};

typedef struct trial {
    const symbolic_sample *sample;
    rondo_graph *parallel, *advance;
    double *numbers[SYMBOLIC_LEAVES]; /* of all TIME tokens */
    interpretation prefixes[TIME + 1];
    int64_t most[BATCH]; /* the valid tokens of a sequence */
    const char *op;
    int index;
} trial;

static void bind(const rondo_graph *g, int64_t time, int64_t room, int64_t *bound)
{
    for (int s = 0; s < MAX_SYMBOLS; s++)
        bound[s] = 0;
    for (int s = 0; s < g->symbol_count; s++)
        bound[s] = !strcmp(g->symbols[s], "B")               ? BATCH
                   : !strcmp(g->symbols[s], "T")             ? time
                   : !strcmp(g->symbols[s], STEP_SYMBOL)     ? room
                   : !strcmp(g->symbols[s], CAPACITY_SYMBOL) ? CAPACITY
                                                             : 0;
}

/* ---- numbers ---- */

/* A leaf as [outer, time, inner], where outer begins with the batch; without time [outer, 1, 1]. */
typedef struct leaf_extents {
    int64_t outer, inner;
} leaf_extents;

static leaf_extents extents_of(const symbolic_sample *s, const symbolic_leaf *leaf)
{
    const shape *dims = graph_shape_of(s->graph, leaf->value);
    leaf_extents e = {1, 1};
    int64_t bound[MAX_SYMBOLS];
    bind(s->graph, TIME, 0, bound);
    for (int a = 0; a < dims->rank; a++)
        if (a != leaf->time_axis)
            *(leaf->time_axis < 0 || a < leaf->time_axis ? &e.outer : &e.inner) *=
                dim_value(dims->dims[a], bound);
    return e;
}

static double leaf_number(sampler *random, const symbolic_sample *s, const symbolic_leaf *leaf, int64_t index)
{
    double high = leaf->lengths && leaf->high == (double)s->time_extent ? TIME : leaf->high;
    if (leaf->lengths && index < 2)
        return index ? floor((high + 1) / 2) : high;
    if (leaf->integer)
        return (double)sample_between(random, (int64_t)leaf->low, (int64_t)high);
    return leaf->low +
           (leaf->high - leaf->low) * (double)sample_between(random, 1, (1 << 30) - 1) / (1 << 30);
}

static void make_numbers(trial *t)
{
    sampler random = {.state = 99};
    for (int b = 0; b < BATCH; b++)
        t->most[b] = TIME;
    for (int k = 0; k < t->sample->leaf_count; k++) {
        const symbolic_leaf *leaf = &t->sample->leaves[k];
        leaf_extents e = extents_of(t->sample, leaf);
        int64_t count = e.outer * e.inner * (leaf->time_axis < 0 ? 1 : TIME);
        t->numbers[k] = malloc(sizeof(double) * (size_t)(count + 1));
        for (int64_t i = 0; i < count; i++)
            t->numbers[k][i] = leaf_number(&random, t->sample, leaf, i);
        for (int b = 0; leaf->lengths && b < BATCH; b++)
            t->most[b] = t->numbers[k][b] < (double)t->most[b] ? (int64_t)t->numbers[k][b] : t->most[b];
    }
}

/* The tokens of the leaf from at[b] on: `room` of them, of which `count[b]` are valid and the rest
 * padding. */
static double *cut(const trial *t, int k, int64_t room, const int64_t *at, const int64_t *count)
{
    const symbolic_leaf *leaf = &t->sample->leaves[k];
    leaf_extents e = extents_of(t->sample, leaf);
    int64_t rows = leaf->time_axis < 0 ? 1 : room, all = leaf->time_axis < 0 ? 1 : TIME;
    double *out = malloc(sizeof *out * (size_t)(e.outer * rows * e.inner + 1));
    for (int64_t o = 0; o < e.outer; o++)
        for (int64_t r = 0; r < rows; r++)
            for (int64_t i = 0; i < e.inner; i++) {
                int64_t b = o * BATCH / e.outer, from = leaf->time_axis < 0 ? 0 : at[b] + r;
                bool counts = leaf->time_axis < 0 || r < count[b];
                out[(o * rows + r) * e.inner + i] =
                    counts ? t->numbers[k][(o * all + from) * e.inner + i] : leaf->high;
            }
    return out;
}

/* Runs g, whose ports hold `ports` (NULL: as at the beginning). */
static void run(const trial *t, const rondo_graph *g, const piece *p, const int64_t *at, double *const *ports,
                interpretation *out)
{
    interpret_binding bindings[SYMBOLIC_LEAVES + 1 + MAX_INPUTS];
    double *owned[SYMBOLIC_LEAVES], counts[BATCH];
    int64_t bound[MAX_SYMBOLS];
    rondo_error error = {0};
    int used = 0;
    bind(g, p->room, p->room, bound);
    for (int k = 0; k < t->sample->leaf_count; k++) {
        const node *n = graph_node_of(t->sample->graph, t->sample->leaves[k].value);
        value_id leaf =
            graph_find_leaf(g, OP_input, t->sample->graph->names[n->attributes[input_name].integer]);
        owned[k] = cut(t, k, p->room, at, p->count);
        if (leaf != NONE)
            bindings[used++] = (interpret_binding){leaf, owned[k]};
    }
    for (int b = 0; b < BATCH; b++)
        counts[b] = (double)p->count[b];
    if (g == t->advance)
        bindings[used++] = (interpret_binding){graph_find_leaf(g, OP_input, "count"), counts};
    for (int k = 0; k < g->port_count; k++)
        if (ports[k])
            bindings[used++] = (interpret_binding){g->ports[k].in, ports[k]};
    cr_assert(interpret(g, bound, bindings, used, out, &error), "%s, sample %d: %s", t->op, t->index,
              error.message);
    for (int k = 0; k < t->sample->leaf_count; k++)
        free(owned[k]);
}

/* ---- comparing ---- */

/* The position of an element of a result as digits, one for each axis: B, T, or a number. */
typedef struct digits {
    int count;
    char kind[3 * MAX_RANK];
    int64_t extent[3 * MAX_RANK]; /* of numbers */
} digits;

static bool digits_of(const symbolic_sample *s, const shape *dims, digits *d)
{
    *d = (digits){0};
    for (int a = 0; a < dims->rank; a++) {
        if (dims->dims[a].power[s->batch] > 1 || dims->dims[a].power[s->time] > 1)
            return false;
        if (dims->dims[a].power[s->batch])
            d->kind[d->count++] = 'B';
        if (dims->dims[a].power[s->time])
            d->kind[d->count++] = 'T';
        d->extent[d->count] = dims->dims[a].factor;
        d->kind[d->count++] = 'n';
    }
    return true;
}

/* Element i of `room` rows: its sequence, its row, and its place among `rows` rows after moving by at[b]. */
typedef struct place {
    int64_t sequence, row, index;
} place;

static place place_of(const digits *d, int64_t i, int64_t room, int64_t rows, const int64_t *at)
{
    int64_t digit[3 * MAX_RANK];
    place p = {0, -1, 0};
    for (int k = d->count - 1; k >= 0; k--) {
        int64_t extent = d->kind[k] == 'B' ? BATCH : d->kind[k] == 'T' ? room : d->extent[k];
        digit[k] = i % extent;
        i /= extent;
        if (d->kind[k] == 'B')
            p.sequence = digit[k];
        if (d->kind[k] == 'T')
            p.row = digit[k];
    }
    for (int k = 0; k < d->count; k++) {
        bool time = d->kind[k] == 'T';
        int64_t extent = d->kind[k] == 'B' ? BATCH : time ? rows : d->extent[k];
        p.index = p.index * extent + digit[k] + (time ? at[p.sequence] : 0);
    }
    return p;
}

static int64_t after(const piece *p, const int64_t *at, int64_t sequence)
{
    return at[sequence] + p->count[sequence];
}

static void compare_output(const trial *t, int o, const piece *p, const int64_t *at,
                           const interpretation *got)
{
    digits d;
    value_id y = t->parallel->outputs[o].value;
    const char *name = t->parallel->names[t->parallel->outputs[o].name];
    const reference_tensor *a = &got->values[graph_find_output(t->advance, name)];
    cr_assert(digits_of(t->sample, graph_shape_of(t->parallel, y), &d));
    for (int64_t i = 0; i < a->count; i++) {
        int64_t b = place_of(&d, i, p->room, 1, at).sequence, tokens = after(p, at, b);
        place where = place_of(&d, i, p->room, tokens, at);
        if (where.row >= p->count[b] || tokens > t->most[b] || !tokens)
            continue;
        double is = a->data[i], wanted = t->prefixes[tokens].values[y].data[where.index];
        bool same = is == wanted || (isnan(is) && isnan(wanted)) ||
                    fabs(is - wanted) <= bound_double * (1 + fabs(wanted));
        cr_assert(same, "%s, sample %d: %s of sequence %d after %d tokens, row %d, is %.17g, not %.17g",
                  t->op, t->index, name, (int)b, (int)tokens, (int)where.row, is, wanted);
    }
}

static void check_schedule(const trial *t, const piece *pieces)
{
    int64_t at[BATCH] = {0};
    double *ports[2 * MAX_INPUTS] = {0};
    const rondo_graph *g = t->advance;
    cr_assert_leq(g->port_count, 2 * MAX_INPUTS);
    for (const piece *p = pieces; p < pieces + MOST_PIECES && p->room; p++) {
        interpretation got;
        run(t, g, p, at, ports, &got);
        for (int o = 0; o < t->parallel->output_count; o++)
            compare_output(t, o, p, at, &got);
        for (int k = 0; k < g->port_count; k++) {
            const reference_tensor *out = &got.values[g->ports[k].out];
            ports[k] = realloc(ports[k], sizeof(double) * (size_t)(out->count + 1));
            memcpy(ports[k], out->data, sizeof(double) * (size_t)out->count);
        }
        for (int b = 0; b < BATCH; b++)
            at[b] += p->count[b];
        interpret_end(&got);
    }
    for (int k = 0; k < g->port_count; k++)
        free(ports[k]);
}

/* ---- every op ---- */

typedef struct tally {
    op_id op;
    int index, moving; /* forms with an operand over time that have a step form */
} tally;

static bool moves(const symbolic_sample *s)
{
    const node *n = graph_node_of(s->graph, s->result);
    for (int i = 0; i < n->input_count + n->output_count; i++) {
        value_id v = i < n->input_count ? n->inputs[i] : n->first_output + i - n->input_count;
        for (int a = 0; v != NONE && a < graph_shape_of(s->graph, v)->rank; a++)
            if (dim_has(graph_shape_of(s->graph, v)->dims[a], s->time))
                return true;
    }
    return false;
}

static void check_form(const symbolic_sample *s, void *data)
{
    static const int64_t beginning[BATCH] = {0};
    tally *n = data;
    rondo_error error = {0};
    trial t = {.sample = s, .op = op_table[n->op].signature.name, .index = n->index};
    if (!moves(s))
        return;
    t.parallel = mode_evaluate(s->graph, NULL, &error);
    t.advance = t.parallel ? stream(t.parallel, "T", &error) : NULL;
    cr_assert(t.advance || error.code == RONDO_NOT_CAUSAL, "%s, sample %d: %s", t.op, t.index, error.message);
    if (t.advance) {
        cr_assert(graph_verify(t.advance, &error), "%s, sample %d: %s", t.op, t.index, error.message);
        n->moving++;
        make_numbers(&t);
        for (int64_t tokens = 1; tokens <= TIME; tokens++)
            run(&t, t.parallel, &(piece){tokens, {tokens, tokens, tokens}}, beginning, NULL,
                &t.prefixes[tokens]);
        for (size_t k = 0; k < sizeof schedules / sizeof *schedules; k++)
            check_schedule(&t, schedules[k]);
        for (int64_t tokens = 1; tokens <= TIME; tokens++)
            interpret_end(&t.prefixes[tokens]);
        for (int k = 0; k < s->leaf_count; k++)
            free(t.numbers[k]);
    }
    graph_free(t.parallel);
    graph_free(t.advance);
}

ParameterizedTestParameters(step_table, every_step_form_is_the_op_on_the_prefix)
{
    /* Placings here have the batch first, and a loop has it behind time: tests/models checks the step form
     * of loops with the mixer lstm, as that of every mixer. */
    int *every_op = cr_malloc(sizeof(int) * OP_COUNT), count = 0;
    for (int op = 0; op < OP_COUNT; op++)
        if (op_table[op].step != step_refuse && op_table[op].samples && op != OP_loop)
            every_op[count++] = op;
    return cr_make_param_array(int, every_op, count);
}
ParameterizedTest(int *parameter, step_table, every_step_form_is_the_op_on_the_prefix)
{
    tally n = {.op = (op_id)*parameter};
    while (symbolic_samples(n.op, n.index, check_form, &n))
        n.index++;
    cr_expect_gt(n.moving, 0, "%s: no sample of it has a step form that moves with time",
                 op_table[n.op].signature.name);
}
