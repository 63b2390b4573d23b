/* Cases, running them, and comparing. */
#include "tools/check/contract.h"
#include <math.h>
#include <string.h>

/* ---- rows ---- */

bool contract_add(contract *k, const char *what, double measured, double bound)
{
    const char *copy = arena_copy_text(k->arena, what, strlen(what));
    if (!copy || !ARENA_PUSH(k->arena, k->rows, k->count, k->capacity))
        return fail_memory(k->error, sizeof(contract_row), "the contract");
    k->rows[k->count++] =
        (contract_row){place_names[k->place], copy, measured, bound, measured <= bound, NULL};
    return true;
}

bool contract_remark(contract *k, const char *remark)
{
    k->rows[k->count - 1].remark = arena_copy_text(k->arena, remark, strlen(remark));
    return k->rows[k->count - 1].remark || fail_memory(k->error, strlen(remark), "the contract");
}

double f32_bound(int64_t time)
{
    return 1e-6 * fmax(1, sqrt((double)time / 1000));
}

/* ---- cases ---- */

bool case_begin(contract *k, case_shape size, bool trained, contract_case *x)
{
    *x = (contract_case){.shape = size, .extents = {{"B", size.batch}, {"T", size.time}, {"S", size.source}}};
    arena_begin(&x->arena, &k->context->allocator);
    x->leaves = (leaves){.arena = &x->arena, .seed = k->seed};
    if (!layer_build(k->context, k->mixer, k->place, size.width, size.heads, trained, &x->layer, k->error)) {
        arena_end(&x->arena);
        return false;
    }
    int64_t bound[MAX_SYMBOLS];
    extents_bind(x->layer.graph, x->extents, 3, bound);
    if (leaves_for(&x->leaves, x->layer.graph, bound, k->error)) {
        case_lengths(x, false);
        return true;
    }
    case_end(x);
    return false;
}

void case_end(contract_case *x)
{
    rondo_graph_free(x->layer.graph);
    arena_end(&x->arena);
}

static void set_lengths(contract_case *x, const char *name, int64_t most, bool ragged)
{
    leaf *l = leaves_find(&x->leaves, name);
    if (!l)
        return;
    for (int64_t b = 0; b < l->count; b++)
        l->exact[b] = (double)(ragged ? most - (most * (b + 1)) / (l->count + 1) : most);
    leaf_store(l);
}

void case_lengths(contract_case *x, bool ragged)
{
    bool cross = leaves_find(&x->leaves, "memory") != NULL;
    set_lengths(x, "length", cross ? x->shape.source : x->shape.time, ragged);
    set_lengths(x, "rows", x->shape.time, ragged && !cross);
}

int64_t case_length(const contract_case *x, int64_t sentence)
{
    return (int64_t)leaves_find(&x->leaves, "rows")->exact[sentence];
}

/* ---- running ---- */

static bool results_begin(contract *k, const rondo_graph *g, results *out)
{
    *out = (results){0};
    arena_begin(&out->arena, &k->context->allocator);
    out->names = ARENA_NEW(&out->arena, const char *, g->output_count + 1);
    out->data = ARENA_NEW(&out->arena, double *, g->output_count + 1);
    out->counts = ARENA_NEW(&out->arena, int64_t, g->output_count + 1);
    return (out->names && out->data && out->counts) ||
           fail_memory(k->error, sizeof(double *) * (size_t)g->output_count, "results");
}

void results_end(results *r)
{
    if (r->arena.allocator)
        arena_end(&r->arena);
    *r = (results){0};
}

static double *results_room(results *out, const char *name, int64_t count)
{
    double *data = ARENA_NEW(&out->arena, double, count + 1);
    const char *copy = arena_copy_text(&out->arena, name, strlen(name));
    if (!data || !copy)
        return NULL;
    out->names[out->count] = copy;
    out->counts[out->count] = count;
    return out->data[out->count++] = data;
}

const double *results_find(const results *r, const char *name, int64_t *count)
{
    for (int i = 0; i < r->count; i++)
        if (!strcmp(r->names[i], name)) {
            *count = r->counts[i];
            return r->data[i];
        }
    return NULL;
}

static bool exact_results(contract *k, const rondo_graph *g, const contract_case *x, results *out)
{
    int count;
    int64_t bound[MAX_SYMBOLS];
    interpretation values;
    interpret_binding *all = leaves_exact(&x->leaves, g, &out->arena, 0, &count);
    extents_bind(g, x->extents, 3, bound);
    if (!all)
        return fail_memory(k->error, sizeof *all * (size_t)g->node_count, "bindings");
    if (!interpret(g, bound, all, count, &values, k->error))
        return false;
    bool good = true;
    for (int o = 0; good && o < g->output_count; o++) {
        const reference_tensor *t = &values.values[g->outputs[o].value];
        double *data = results_room(out, g->names[g->outputs[o].name], t->count);
        good = data || fail_memory(k->error, sizeof *data * (size_t)t->count, "results");
        if (good)
            memcpy(data, t->data, sizeof *data * (size_t)t->count);
    }
    interpret_end(&values);
    return good;
}

bool run_exact(contract *k, rondo_graph *g, const contract_case *x, results *out)
{
    *out = (results){0};
    if (!g)
        return false;
    bool good = results_begin(k, g, out) && exact_results(k, g, x, out);
    graph_free(g);
    if (!good)
        results_end(out);
    return good;
}

/* Row-major, whatever the strides. */
static void copy_tensor(const tensor *t, double *out)
{
    int64_t index[MAX_RANK] = {0}, at = 0;
    for (int a = 0; a < t->rank; a++)
        if (!t->dims[a])
            return;
    for (;;) {
        int64_t from = 0;
        for (int a = 0; a < t->rank; a++)
            from += index[a] * t->strides[a];
        out[at++] =
            t->type == RONDO_I32 ? ((const int32_t *)t->data)[from] : (double)((const float *)t->data)[from];
        int a = t->rank - 1;
        for (; a >= 0 && ++index[a] == t->dims[a]; a--)
            index[a] = 0;
        if (a < 0)
            return;
    }
}

static bool kernel_results(contract *k, program *p, const contract_case *x, team *t, results *out)
{
    instance i;
    int64_t bound[MAX_SYMBOLS];
    const rondo_graph *g = p->graph;
    extents_bind(g, x->extents, 3, bound);
    if (!instance_begin(&i, p, k->error))
        return false;
    leaves_bind(&x->leaves, &i);
    bool good = instance_run(&i, t, bound, k->error);
    for (int o = 0; good && o < g->output_count; o++) {
        tensor made = instance_tensor(&i, g->outputs[o].value);
        int64_t count = 1;
        for (int a = 0; a < made.rank; a++)
            count *= made.dims[a];
        double *data = results_room(out, g->names[g->outputs[o].name], count);
        good = data || fail_memory(k->error, sizeof *data * (size_t)count, "results");
        if (good)
            copy_tensor(&made, data);
    }
    instance_end(&i);
    return good;
}

bool run_kernels(contract *k, rondo_graph *g, const contract_case *x, team *t, results *out)
{
    *out = (results){0};
    program *p = program_new(g, NULL, k->error);
    if (!p)
        return false;
    bool good = results_begin(k, p->graph, out) && kernel_results(k, p, x, t, out);
    program_free(p);
    if (!good)
        results_end(out);
    return good;
}

/* ---- comparing ---- */

typedef struct sums {
    double square, difference, most;
} sums;

static void add_numbers(sums *s, const double *a, const double *b, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        double d = fabs(a[i] - b[i]);
        s->square += b[i] * b[i];
        s->difference += d * d;
        s->most = d <= s->most ? s->most : d; /* a NaN stays */
    }
}

static distance finish(const sums *s, int64_t count)
{
    if (!count || (s->most == 0 && s->difference == 0))
        return (distance){0, 0};
    double rms = sqrt(s->square / (double)count);
    distance d = {sqrt(s->difference / (double)count) / rms, s->most / rms};
    return isnan(d.rms) || isnan(d.most) ? (distance){INFINITY, INFINITY} : d;
}

distance distance_of(const double *a, const double *b, int64_t count)
{
    sums s = {0};
    add_numbers(&s, a, b, count);
    return finish(&s, count);
}

distance distance_rows(const contract_case *x, const double *a, const double *b)
{
    sums s = {0};
    int64_t rows = 0, row = x->shape.width;
    for (int64_t sentence = 0; sentence < x->shape.batch; sentence++) {
        int64_t at = sentence * x->shape.time * row, length = case_length(x, sentence);
        add_numbers(&s, a + at, b + at, length * row);
        rows += length;
    }
    return finish(&s, rows * row);
}

static double rms_of(const double *a, int64_t count)
{
    double square = 0;
    for (int64_t i = 0; i < count; i++)
        square += a[i] * a[i];
    return count ? sqrt(square / (double)count) : 0;
}

distance distance_gradients(const results *a, const results *b)
{
    double largest = 0;
    distance worst = {0, 0};
    for (int i = 0; i < b->count; i++)
        if (!strncmp(b->names[i], "gradient.", 9))
            largest = fmax(largest, rms_of(b->data[i], b->counts[i]));
    for (int i = 0; i < b->count; i++) {
        int64_t count = 0;
        const double *other =
            strncmp(b->names[i], "gradient.", 9) ? NULL : results_find(a, b->names[i], &count);
        if (strncmp(b->names[i], "gradient.", 9))
            continue;
        if (!other || count != b->counts[i])
            return (distance){INFINITY, INFINITY};
        distance now = distance_of(other, b->data[i], count);
        double rms = rms_of(b->data[i], count);
        if (rms < 1e-6 * largest)
            now = (distance){now.rms * rms / largest, now.most * rms / largest};
        worst = distance_worse(worst, now);
    }
    return worst;
}

int64_t count_different(const double *a, const double *b, int64_t count)
{
    int64_t different = 0;
    for (int64_t i = 0; i < count; i++)
        different += memcmp(&a[i], &b[i], sizeof *a) != 0;
    return different;
}

/* ---- the whole ---- */

bool contract_check(contract *k)
{
    for (int place = 0; place < PLACE_COUNT; place++) {
        k->place = (mixer_place)place;
        if (!mixer_fits(k->mixer, k->place))
            continue;
        if (!check_exact(k) || !check_kernels(k))
            return false;
        if (k->place == PLACE_DECODER && (!check_steps(k) || !check_sessions(k)))
            return false;
    }
    return true;
}
