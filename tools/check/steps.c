/* Checks that the derived decoder may advance by any number of tokens: one at a time, by every composition
 * of 7, by a different number in each sentence. It gives what the parallel form gives and ends in the same
 * state. Ports are carried by hand here. */
#include "compiler/pipeline.h"
#include "tools/check/distance.h"
#include <math.h>
#include <string.h>

enum { TOKENS = 7, COMPOSITIONS = 1 << (TOKENS - 1), LONG_TIME = 100, MOST_AT_ONCE = 5 };

typedef struct stepper {
    contract *k;
    const contract_case *x;
    rondo_graph *graph; /* the graph that advances; owned by the program if there is one */
    program *program;   /* NULL: double precision */
    instance instance;
    team *team;
    int64_t capacity;
    double **ports; /* by port, its content */
    int64_t *counts;
    arena arena;
} stepper;

static void bind_extents(const stepper *s, int64_t tokens, int64_t bound[MAX_SYMBOLS])
{
    const extent extents[] = {
        {"B", s->x->shape.batch}, {STEP_SYMBOL, tokens}, {CAPACITY_SYMBOL, s->capacity}};
    extents_bind(s->graph, extents, 3, bound);
}

static bool allocate_ports(stepper *s)
{
    int64_t bound[MAX_SYMBOLS];
    const rondo_graph *g = s->graph;
    s->ports = ARENA_NEW(&s->arena, double *, g->port_count + 1);
    s->counts = ARENA_NEW(&s->arena, int64_t, g->port_count + 1);
    bind_extents(s, 1, bound);
    for (int p = 0; s->ports && s->counts && p < g->port_count; p++) {
        const shape *dims = graph_shape_of(g, g->ports[p].in);
        s->counts[p] = 1;
        for (int a = 0; a < dims->rank; a++)
            s->counts[p] *= dim_value(dims->dims[a], bound);
        s->ports[p] = ARENA_NEW(&s->arena, double, s->counts[p] + 1);
    }
    return !s->arena.failed || fail_memory(s->k->error, 0, "a state");
}

static void reset(stepper *s)
{
    for (int p = 0; p < s->graph->port_count; p++)
        for (int64_t i = 0; i < s->counts[p]; i++)
            s->ports[p][i] = s->graph->ports[p].initial;
}

/* t: kernels on that team; NULL: double precision. stepper_end is needed also after a failure. */
static bool stepper_begin(stepper *s, contract *k, const contract_case *x, team *t)
{
    *s = (stepper){.k = k, .x = x, .team = t, .capacity = 1};
    arena_begin(&s->arena, &k->context->allocator);
    while (s->capacity < x->shape.time)
        s->capacity *= 2;
    s->graph = pipeline_advance(x->layer.y, "T", NULL, k->error);
    if (!s->graph)
        return false;
    if (t) {
        s->program = program_new(s->graph, NULL, k->error);
        s->graph = s->program ? s->program->graph : NULL;
        if (!s->program || !instance_begin(&s->instance, s->program, k->error))
            return false;
        leaves_bind(&x->leaves, &s->instance);
    }
    if (!allocate_ports(s))
        return false;
    reset(s);
    return true;
}

static void stepper_end(stepper *s)
{
    instance_end(&s->instance);
    if (s->program)
        program_free(s->program);
    else
        graph_free(s->graph);
    arena_end(&s->arena);
}

/* ---- one advance ---- */

/* rows: [B, tokens, width]; counts: [B]; out: like rows. */
static bool advance_exact(stepper *s, const double *rows, const double *counts, int64_t tokens, double *out,
                          arena *a)
{
    int count;
    int64_t bound[MAX_SYMBOLS];
    interpretation values;
    const rondo_graph *g = s->graph;
    interpret_binding *all = leaves_exact(&s->x->leaves, g, a, g->port_count + 2, &count);
    bind_extents(s, tokens, bound);
    if (!all)
        return fail_memory(s->k->error, 0, "bindings");
    value_id x = graph_find_leaf(g, OP_input, "x"), n = graph_find_leaf(g, OP_input, "count");
    if (x != NONE)
        all[count++] = (interpret_binding){x, rows};
    if (n != NONE)
        all[count++] = (interpret_binding){n, counts};
    for (int p = 0; p < g->port_count; p++)
        all[count++] = (interpret_binding){g->ports[p].in, s->ports[p]};
    if (!interpret(g, bound, all, count, &values, s->k->error))
        return false;
    const reference_tensor *y = &values.values[graph_find_output(g, "logits")];
    memcpy(out, y->data, sizeof *out * (size_t)y->count);
    for (int p = 0; p < g->port_count; p++)
        if (g->ports[p].out != NONE)
            memcpy(s->ports[p], values.values[g->ports[p].out].data,
                   sizeof **s->ports * (size_t)s->counts[p]);
    interpret_end(&values);
    return true;
}

/* Converts doubles to the type of the leaf. */
static void *stored(arena *a, rondo_type type, const double *exact, int64_t count)
{
    void *out = ARENA_NEW(a, float, count + 1);
    for (int64_t i = 0; out && i < count; i++) {
        if (type == RONDO_I32)
            ((int32_t *)out)[i] = (int32_t)exact[i];
        else
            ((float *)out)[i] = (float)exact[i];
    }
    return out;
}

static void exact_again(const tensor *t, double *out, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        out[i] = t->type == RONDO_I32 ? ((const int32_t *)t->data)[i] : (double)((const float *)t->data)[i];
}

static bool advance_kernels(stepper *s, const double *rows, const double *counts, int64_t tokens, double *out,
                            arena *a)
{
    int64_t bound[MAX_SYMBOLS], count = s->x->shape.batch * tokens * s->x->shape.width;
    const rondo_graph *g = s->graph;
    bind_extents(s, tokens, bound);
    instance_bind(&s->instance, graph_find_leaf(g, OP_input, "x"), stored(a, RONDO_F32, rows, count));
    instance_bind(&s->instance, graph_find_leaf(g, OP_input, "count"),
                  stored(a, RONDO_I32, counts, s->x->shape.batch));
    for (int p = 0; p < g->port_count; p++)
        instance_bind(&s->instance, g->ports[p].in,
                      stored(a, g->values[g->ports[p].in].type, s->ports[p], s->counts[p]));
    if (a->failed)
        return fail_memory(s->k->error, 0, "a state");
    if (!instance_run(&s->instance, s->team, bound, s->k->error))
        return false;
    tensor y = instance_tensor(&s->instance, graph_find_output(g, "logits"));
    exact_again(&y, out, count);
    for (int p = 0; p < g->port_count; p++) {
        tensor now = g->ports[p].out == NONE ? (tensor){0} : instance_tensor(&s->instance, g->ports[p].out);
        if (now.data)
            exact_again(&now, s->ports[p], s->counts[p]);
    }
    return true;
}

static bool advance(stepper *s, const double *rows, const double *counts, int64_t tokens, double *out)
{
    arena a;
    arena_begin(&a, &s->k->context->allocator);
    bool good = (s->program ? advance_kernels : advance_exact)(s, rows, counts, tokens, out, &a);
    arena_end(&a);
    return good;
}

/* ---- whole sequences ---- */

/* How many tokens sentence b takes in advance number `step`: all it can, or any number from 0. */
typedef int64_t share_rule(int64_t step, int64_t b, int64_t at_once);
static int64_t share_all(int64_t step, int64_t b, int64_t at_once)
{
    return (void)step, (void)b, at_once;
}
static int64_t share_ragged(int64_t step, int64_t b, int64_t at_once)
{
    return (step * 5 + b * 3 + step * b) % (at_once + 1);
}

static bool feed_once(stepper *s, int64_t step, int64_t at_once, share_rule *rule, int64_t *at, double *rows,
                      double *out, double *y)
{
    const case_shape *n = &s->x->shape;
    const double *x = leaves_find(&s->x->leaves, "x")->exact;
    double counts[16];
    for (int64_t b = 0; b < n->batch; b++) {
        int64_t left = case_length(s->x, b) - at[b], take = rule(step, b, at_once);
        take = take < left ? take : left;
        counts[b] = (double)take;
        for (int64_t i = 0; i < at_once * n->width; i++) /* padding is NaN */
            rows[b * at_once * n->width + i] =
                i < take * n->width ? x[(b * n->time + at[b]) * n->width + i] : NAN;
    }
    if (!advance(s, rows, counts, at_once, out))
        return false;
    for (int64_t b = 0; b < n->batch; b++) {
        memcpy(y + (b * n->time + at[b]) * n->width, out + b * at_once * n->width,
               sizeof *y * (size_t)((int64_t)counts[b] * n->width));
        at[b] += (int64_t)counts[b];
    }
    return true;
}

static bool all_fed(const stepper *s, const int64_t *at)
{
    for (int64_t b = 0; b < s->x->shape.batch; b++)
        if (at[b] < case_length(s->x, b))
            return false;
    return true;
}

/* Feeds whole sequences from the beginning; widths: how many tokens each advance has room for, the last
 * one repeated. */
static bool feed(stepper *s, const int *widths, int width_count, share_rule *rule, double *y)
{
    arena a;
    int64_t at[16] = {0}, room = s->x->shape.batch * s->x->shape.time * s->x->shape.width;
    arena_begin(&a, &s->k->context->allocator);
    double *rows = ARENA_NEW(&a, double, room), *out = ARENA_NEW(&a, double, room);
    bool good = (rows && out) || fail_memory(s->k->error, sizeof *rows * (size_t)room, "rows");
    reset(s);
    for (int64_t step = 0; good && !all_fed(s, at); step++)
        good =
            feed_once(s, step, widths[step < width_count ? step : width_count - 1], rule, at, rows, out, y);
    arena_end(&a);
    return good;
}

/* The composition of TOKENS that the bits of `cuts` describe. */
static int composition(int cuts, int widths[TOKENS])
{
    int count = 0;
    widths[0] = 1;
    for (int i = 0; i + 1 < TOKENS; i++)
        if (cuts >> i & 1)
            widths[++count] = 1;
        else
            widths[count]++;
    return count + 1;
}

/* ---- states ---- */

/* Only the filled part of an append port is compared. */
static distance port_distance(const stepper *s, int p, const double *a, const double *b)
{
    const rondo_graph *g = s->graph;
    if (g->ports[p].kind != PORT_APPEND)
        return distance_of(a, b, s->counts[p]);
    int64_t bound[MAX_SYMBOLS], inner = 1, extent_here = 1;
    const shape *dims = graph_shape_of(g, g->ports[p].in);
    bind_extents(s, 1, bound);
    for (int i = 0; i < dims->rank; i++)
        if (i >= g->ports[p].append_axis)
            *(i == g->ports[p].append_axis ? &extent_here : &inner) *= dim_value(dims->dims[i], bound);
    distance worst = {0, 0};
    int64_t filled = s->x->shape.time < extent_here ? s->x->shape.time : extent_here;
    for (int64_t at = 0; at < s->counts[p]; at += extent_here * inner)
        worst = distance_worse(worst, distance_of(a + at, b + at, filled * inner));
    return worst;
}

static double **copy_ports(const stepper *s, arena *a)
{
    double **copy = ARENA_NEW(a, double *, s->graph->port_count + 1);
    for (int p = 0; copy && p < s->graph->port_count; p++) {
        copy[p] = ARENA_NEW(a, double, s->counts[p] + 1);
        if (!copy[p])
            return NULL;
        memcpy(copy[p], s->ports[p], sizeof **copy * (size_t)s->counts[p]);
    }
    return copy;
}

/* ---- the checks ---- */

static bool parallel(contract *k, const contract_case *x, results *out)
{
    return run_exact(k, pipeline_forward(x->layer.y, "y", &(pipeline_options){.after = "mode"}, k->error), x,
                     out);
}

static bool all_compositions(contract *k, stepper *s, const double *expected, double *y, arena *a)
{
    int widths[TOKENS];
    double **states = NULL;
    distance outputs = {0, 0}, ends = {0, 0}, ones = {0, 0};
    for (int cuts = COMPOSITIONS - 1; cuts >= 0; cuts--) { /* one at a time comes first */
        if (!feed(s, widths, composition(cuts, widths), share_all, y))
            return false;
        outputs = distance_worse(outputs, distance_rows(s->x, y, expected));
        if (cuts == COMPOSITIONS - 1) {
            ones = outputs;
            states = copy_ports(s, a);
        }
        if (!states)
            return fail_memory(k->error, 0, "a state");
        for (int p = 0; p < s->graph->port_count; p++)
            ends = distance_worse(ends, port_distance(s, p, s->ports[p], states[p]));
    }
    return contract_add(k, "by ones = parallel, f64", distance_exact(ones), 1e-11) &&
           contract_add(k, "all 64 compositions of 7 = parallel, f64", distance_exact(outputs), 1e-11) &&
           contract_add(k, "states after all 64 compositions, f64", distance_exact(ends), 1e-11);
}

/* A case, what steps through it, and what they are compared with. */
typedef struct comparison {
    contract_case x;
    stepper s;
    results parallel;
    const double *expected;
    double *y;
} comparison;

static bool comparison_begin(comparison *c, contract *k, case_shape size, bool ragged, team *t)
{
    int64_t count;
    *c = (comparison){.y = NULL};
    if (!case_begin(k, size, false, &c->x))
        return false;
    case_lengths(&c->x, ragged);
    c->y = ARENA_NEW(&c->x.arena, double, size.batch *size.time *size.width);
    if (!stepper_begin(&c->s, k, &c->x, t) || !parallel(k, &c->x, &c->parallel))
        return false;
    c->expected = results_find(&c->parallel, "y", &count);
    return c->y || fail_memory(k->error, 0, "rows");
}

/* Also after a failure. */
static void comparison_end(comparison *c)
{
    if (!c->x.layer.graph)
        return;
    stepper_end(&c->s);
    results_end(&c->parallel);
    case_end(&c->x);
}

static bool check_compositions(contract *k, case_shape size)
{
    comparison c;
    bool good =
        comparison_begin(&c, k, size, false, NULL) && all_compositions(k, &c.s, c.expected, c.y, &c.x.arena);
    comparison_end(&c);
    return good;
}

/* Each sentence takes a different number of tokens at each advance, sometimes none; padding is NaN. */
static bool check_feed(contract *k, case_shape size, team *t, share_rule *rule, int at_once, const char *what,
                       double bound)
{
    comparison c;
    bool good = comparison_begin(&c, k, size, rule == share_ragged, t) && feed(&c.s, &at_once, 1, rule, c.y);
    if (good) {
        distance d = distance_rows(&c.x, c.y, c.expected);
        good = contract_add(k, what, t ? distance_f32(d) : distance_exact(d), bound);
    }
    comparison_end(&c);
    return good;
}

bool check_steps(contract *k)
{
    const case_shape small = {3, TOKENS, 1, 12, 2}, even = {4, 4, 1, 16, 4}, large = {2, LONG_TIME, 1, 32, 2};
    team *t = team_new(&k->context->allocator, 1, k->error);
    bool good =
        t && check_compositions(k, small) &&
        check_feed(k, even, NULL, share_all, 2, "by twos, all extents 4, f64", 1e-11) &&
        check_feed(k, small, NULL, share_ragged, MOST_AT_ONCE, "ragged, NaN where no token counts, f64",
                   1e-11) &&
        check_feed(k, large, t, share_all, 1, "f32 by ones against f64, T 100", f32_bound(LONG_TIME)) &&
        check_feed(k, large, t, share_ragged, MOST_AT_ONCE, "f32 ragged with NaN against f64, T 100",
                   f32_bound(LONG_TIME));
    if (t)
        team_free(t);
    return good;
}
