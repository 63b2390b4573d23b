/* Checks in double precision, where nothing may be lost: the rewritten layer equals the written one, its
 * gradients equal those of the written one and finite differences, and padding has no influence. */
#include "compiler/pipeline.h"
#include "tools/check/distance.h"
#include <math.h>
#include <string.h>

#define EXACT 1e-11
enum { DIFFERENCES = 24 }; /* elements of each tensor that are varied */

/* All extents different, all the same, and all 1. */
static const case_shape shapes[] = {{2, 7, 5, 12, 2}, {4, 4, 4, 16, 4}, {1, 1, 1, 4, 1}, {3, 13, 11, 10, 5}};

static rondo_graph *written(contract *k, const contract_case *x)
{
    return pipeline_forward(x->layer.y, "y", &(pipeline_options){.after = "mode"}, k->error);
}
static rondo_graph *rewritten(contract *k, const contract_case *x)
{
    return pipeline_forward(x->layer.y, "y", NULL, k->error);
}

/* ---- outputs ---- */

static bool compare_outputs(contract *k, case_shape size, distance *worst)
{
    contract_case x;
    results a = {0}, b = {0};
    int64_t count;
    if (!case_begin(k, size, false, &x))
        return false;
    case_lengths(&x, true);
    bool good = run_exact(k, rewritten(k, &x), &x, &a) && run_exact(k, written(k, &x), &x, &b);
    if (good)
        *worst = distance_worse(
            *worst, distance_rows(&x, results_find(&a, "y", &count), results_find(&b, "y", &count)));
    results_end(&a);
    results_end(&b);
    case_end(&x);
    return good;
}

static bool check_outputs(contract *k)
{
    distance worst = {0, 0};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (!compare_outputs(k, shapes[i], &worst))
            return false;
    return contract_add(k, "rewritten = as written, f64", distance_exact(worst), EXACT);
}

/* ---- gradients ---- */

typedef struct differences {
    contract *k;
    contract_case *x;
    rondo_graph *loss;
    interpret_binding *bindings;
    int count;
    int64_t bound[MAX_SYMBOLS];
} differences;

static bool loss_now(const differences *d, double *loss)
{
    interpretation values;
    if (!interpret(d->loss, d->bound, d->bindings, d->count, &values, d->k->error))
        return false;
    *loss = values.values[graph_find_output(d->loss, "loss")].data[0];
    interpret_end(&values);
    return true;
}

/* The slope by five points. *kink: it differs on the two sides (a relu at 0), so that it cannot be
 * compared. */
static bool slope(const differences *d, double *at, double scale, double *found, bool *kink)
{
    static const double steps[] = {-2, -1, 0, 1, 2};
    double before = *at, h = 1e-5, f[5];
    for (int i = 0; i < 5; i++) {
        *at = before + steps[i] * h;
        bool good = loss_now(d, &f[i]);
        *at = before;
        if (!good)
            return false;
    }
    *found = (f[0] - 8 * f[1] + 8 * f[3] - f[4]) / (12 * h);
    *kink = fabs((f[4] - f[2]) - (f[2] - f[0])) / (2 * h) > 1e-3 * scale;
    return true;
}

/* Compares some elements of one tensor. */
static bool compare_tensor(differences *d, const char *name, const double *gradient, int64_t count,
                           double scale, distance *worst)
{
    leaf *l = leaves_find(&d->x->leaves, name);
    double found[DIFFERENCES], expected[DIFFERENCES];
    int64_t step = count / DIFFERENCES + 1;
    int compared = 0;
    if (!l || l->count != count)
        return fail(d->k->error, RONDO_MISMATCH, "the gradient of %s belongs to no parameter", name);
    for (int64_t i = 0; i < count; i += step) {
        bool kink;
        if (!slope(d, &l->exact[i], scale, &found[compared], &kink))
            return false;
        expected[compared] = gradient[i];
        compared += !kink;
    }
    distance now = distance_of(expected, found, compared);
    *worst = distance_worse(*worst, distance_beside(now, rms_of(found, compared), scale));
    return true;
}

static bool compare_differences(contract *k, contract_case *x, const results *gradients)
{
    distance worst = {0, 0};
    differences d = {.k = k, .x = x};
    d.loss = pipeline_evaluate(x->layer.loss, &(pipeline_options){.after = "mode"}, k->error);
    if (!d.loss)
        return false;
    extents_bind(d.loss, x->extents, 3, d.bound);
    d.bindings = leaves_exact(&x->leaves, d.loss, &x->arena, 0, &d.count);
    bool good = d.bindings || fail_memory(k->error, 0, "bindings");
    double scale = largest_gradient(gradients);
    for (int i = 0; good && i < gradients->count; i++)
        if (!strncmp(gradients->names[i], "gradient.", 9))
            good = compare_tensor(&d, gradients->names[i] + 9, gradients->data[i], gradients->counts[i],
                                  scale, &worst);
    graph_free(d.loss);
    return good && contract_add(k, "gradients = finite differences, f64", worst.rms, 1e-6);
}

/* Fills the padding of x (or of memory) with numbers of this size. */
static void fill_padding(contract_case *x, double size)
{
    bool cross = leaves_find(&x->leaves, "memory") != NULL;
    leaf *l = leaves_find(&x->leaves, cross ? "memory" : "x"),
         *length = leaves_find(&x->leaves, cross ? "length" : "rows");
    int64_t rows = cross ? x->shape.source : x->shape.time, width = x->shape.width;
    for (int64_t b = 0; b < x->shape.batch; b++)
        for (int64_t i = (int64_t)length->exact[b] * width; i < rows * width; i++)
            l->exact[b * rows * width + i] = size * (1 + (double)(i % 7) / 8);
    leaf_store(l);
}

static rondo_graph *gradient_graph(contract *k, const contract_case *x)
{
    return pipeline_train(x->layer.loss, NULL, k->error);
}

static bool compare_padding(contract *k, contract_case *x)
{
    results zeros = {0}, large = {0};
    fill_padding(x, 0);
    bool good = run_exact(k, gradient_graph(k, x), x, &zeros);
    fill_padding(x, 1e3);
    good = good && run_exact(k, gradient_graph(k, x), x, &large);
    if (good)
        good = contract_add(k, "padding 0 or 1000: same gradients, f64",
                            distance_exact(distance_gradients(&large, &zeros)), EXACT);
    results_end(&zeros);
    results_end(&large);
    return good;
}

static bool check_gradients(contract *k)
{
    contract_case x;
    results a = {0}, b = {0};
    const pipeline_options plain = {.no_linearize = true, .after = "differentiate"};
    if (!case_begin(k, shapes[0], true, &x))
        return false;
    case_lengths(&x, true);
    bool good = run_exact(k, gradient_graph(k, &x), &x, &a) &&
                run_exact(k, pipeline_train(x.layer.loss, &plain, k->error), &x, &b) &&
                contract_add(k, "gradients rewritten = as written, f64",
                             distance_exact(distance_gradients(&a, &b)), EXACT) &&
                compare_differences(k, &x, &a) && compare_padding(k, &x);
    results_end(&a);
    results_end(&b);
    case_end(&x);
    return good;
}

bool check_exact(contract *k)
{
    return check_outputs(k) && check_gradients(k);
}
