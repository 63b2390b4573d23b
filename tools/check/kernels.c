/* Checks the kernels, in f32: as close to f64 as docs/NUMERICS.md says, the same bits for any team, and
 * not influenced by the future or by padding, even if that is NaN. */
#include "compiler/pipeline.h"
#include "core/random.h"
#include "tools/check/distance.h"
#include <math.h>
#include <stdio.h>

enum { WIDTH = 32, HEADS = 2, BATCH = 2, GRADIENT_TIME = 100, CAUSAL_TIME = 37 };
static const int64_t lengths[] = {16, 100, 257, 1000};

static rondo_graph *forward(contract *k, const contract_case *x, bool plain)
{
    return pipeline_forward(x->layer.y, "y", &(pipeline_options){.no_linearize = plain}, k->error);
}

static bool begin(contract *k, int64_t time, bool trained, contract_case *x)
{
    return case_begin(k, (case_shape){BATCH, time, time / 2 + 3, WIDTH, HEADS}, trained, x);
}

static const double *y_of(const results *r)
{
    int64_t count;
    return results_find(r, "y", &count);
}

/* ---- f32 against f64 ---- */

/* Where the graph is rewritten: its error relative to the error of the plain parallel form. */
static bool compare_plain(contract *k, const contract_case *x, team *t, const results *exact, distance ours)
{
    char what[96];
    results plain = {0};
    rondo_graph *a = forward(k, x, false), *b = forward(k, x, true);
    bool same = a && b && graph_same(a, b);
    graph_free(a);
    if (!b || same) {
        graph_free(b);
        return b != NULL;
    }
    if (!run_kernels(k, b, x, t, &plain))
        return false;
    distance theirs = distance_rows(x, y_of(&plain), y_of(exact));
    snprintf(what, sizeof what, "f32 rewritten, T %lld: error in errors of the plain form",
             (long long)x->shape.time);
    bool good = contract_add(k, what,
                             theirs.rms > 0 ? ours.rms / theirs.rms
                             : ours.rms > 0 ? INFINITY
                                            : 0,
                             2);
    results_end(&plain);
    return good;
}

static bool compare_forward(contract *k, int64_t time, team *t)
{
    char what[96];
    contract_case x;
    results exact = {0}, ours = {0};
    if (!begin(k, time, false, &x))
        return false;
    case_lengths(&x, k->place != PLACE_DECODER);
    bool good = run_exact(k, forward(k, &x, false), &x, &exact) &&
                run_kernels(k, forward(k, &x, false), &x, t, &ours);
    if (good) {
        distance d = distance_rows(&x, y_of(&ours), y_of(&exact));
        snprintf(what, sizeof what, "f32 against f64, T %lld", (long long)time);
        good = contract_add(k, what, distance_f32(d), f32_bound(time)) &&
               (time < 200 || compare_plain(k, &x, t, &exact, d));
    }
    results_end(&exact);
    results_end(&ours);
    case_end(&x);
    return good;
}

/* ---- gradients, and the same bits on every team ---- */

static bool compare_teams(contract *k, const contract_case *x, const results *one)
{
    static const int sizes[] = {2, 3, 7};
    int64_t different = 0;
    for (int i = 0; i < 3; i++) {
        results other = {0};
        team *t = team_new(&k->context->allocator, sizes[i], k->error);
        bool good = t && run_kernels(k, pipeline_train(x->layer.loss, NULL, k->error), x, t, &other);
        for (int o = 0; good && o < one->count; o++)
            different += count_different(other.data[o], one->data[o], one->counts[o]);
        results_end(&other);
        if (t)
            team_free(t);
        if (!good)
            return false;
    }
    return contract_add(k, "1, 2, 3, 7 threads: numbers that differ", (double)different, 0);
}

static bool compare_gradients(contract *k, team *t)
{
    contract_case x;
    results exact = {0}, ours = {0};
    if (!begin(k, GRADIENT_TIME, true, &x))
        return false;
    case_lengths(&x, true);
    bool good = run_exact(k, pipeline_train(x.layer.loss, NULL, k->error), &x, &exact) &&
                run_kernels(k, pipeline_train(x.layer.loss, NULL, k->error), &x, t, &ours) &&
                contract_add(k, "gradients f32 against f64, T 100",
                             distance_f32(distance_gradients(&ours, &exact)), 5e-6) &&
                compare_teams(k, &x, &ours);
    results_end(&exact);
    results_end(&ours);
    case_end(&x);
    return good;
}

/* ---- causality ---- */

/* Replaces rows from `first` on in every sentence. */
static void replace_rows(contract_case *x, const char *name, int64_t rows, int64_t first, double number)
{
    leaf *l = leaves_find(&x->leaves, name);
    int64_t width = x->shape.width;
    for (int64_t b = 0; b < x->shape.batch; b++)
        for (int64_t i = first * width; i < rows * width; i++) {
            uint32_t bits[4];
            random_block(x->leaves.seed, 1, (uint64_t)b, (uint32_t)i, 0, bits);
            l->exact[b * rows * width + i] = number == 0 ? 4 * random_uniform(bits[0]) - 2 : number;
        }
    leaf_store(l);
}

/* Counts differences in the rows up to and including `last` of every sentence. */
static int64_t different_rows(const contract_case *x, const double *a, const double *b, int64_t last)
{
    int64_t different = 0, sentence = x->shape.time * x->shape.width;
    for (int64_t s = 0; s < x->shape.batch; s++)
        different += count_different(a + s * sentence, b + s * sentence, (last + 1) * x->shape.width);
    return different;
}

static bool check_future(contract *k, team *t)
{
    static const struct {
        double number; /* 0: random numbers */
        const char *what;
    } futures[] = {{0, "another future: bits of the past that change"},
                   {1e30, "a future of 1e30: bits of the past that change"}};
    for (int f = 0; f < 2; f++) {
        int64_t different = 0;
        for (int64_t at = 0; at < CAUSAL_TIME - 1; at += at < 3 ? 1 : 11) {
            contract_case x;
            results before = {0}, after = {0};
            if (!begin(k, CAUSAL_TIME, false, &x))
                return false;
            bool good = run_kernels(k, forward(k, &x, false), &x, t, &before);
            replace_rows(&x, "x", CAUSAL_TIME, at + 1, futures[f].number);
            good = good && run_kernels(k, forward(k, &x, false), &x, t, &after);
            if (good)
                different += different_rows(&x, y_of(&after), y_of(&before), at);
            results_end(&before);
            results_end(&after);
            case_end(&x);
            if (!good)
                return false;
        }
        if (!contract_add(k, futures[f].what, (double)different, 0))
            return false;
    }
    return true;
}

/* The loss depends on rows up to `at`; the gradient of later ones must be exactly 0. */
static bool check_future_gradient(contract *k, team *t)
{
    int64_t wrong = 0, count;
    for (int64_t at = 0; at < CAUSAL_TIME - 1; at += 12) {
        contract_case x;
        results r = {0};
        if (!begin(k, CAUSAL_TIME, true, &x))
            return false;
        leaf *rows = leaves_find(&x.leaves, "rows");
        for (int64_t b = 0; b < rows->count; b++)
            rows->exact[b] = (double)(at + 1);
        leaf_store(rows);
        bool good = run_kernels(k, pipeline_train(x.layer.loss, NULL, k->error), &x, t, &r);
        const double *g = good ? results_find(&r, "gradient.x", &count) : NULL;
        for (int64_t i = 0; g && i < count; i++)
            wrong += i / WIDTH % CAUSAL_TIME > at && g[i] != 0;
        wrong += good && !g;
        results_end(&r);
        case_end(&x);
        if (!good)
            return false;
    }
    return contract_add(k, "gradients into the future that are not 0", (double)wrong, 0);
}

/* ---- padding ---- */

static bool check_poison(contract *k, team *t)
{
    contract_case x;
    results before = {0}, after = {0};
    int64_t different = 0, width = WIDTH;
    bool cross = k->place == PLACE_CROSS;
    if (!begin(k, CAUSAL_TIME, false, &x))
        return false;
    case_lengths(&x, true);
    bool good = run_kernels(k, forward(k, &x, false), &x, t, &before);
    leaf *l = leaves_find(&x.leaves, cross ? "memory" : "x"), *length = leaves_find(&x.leaves, "length");
    int64_t rows = cross ? x.shape.source : x.shape.time;
    for (int64_t b = 0; b < BATCH; b++)
        for (int64_t i = (int64_t)length->exact[b] * width; i < rows * width; i++)
            l->exact[b * rows * width + i] = NAN;
    leaf_store(l);
    good = good && run_kernels(k, forward(k, &x, false), &x, t, &after);
    for (int64_t b = 0; good && b < BATCH; b++) {
        int64_t at = b * x.shape.time * width;
        different += count_different(y_of(&after) + at, y_of(&before) + at, case_length(&x, b) * width);
    }
    results_end(&before);
    results_end(&after);
    case_end(&x);
    return good && contract_add(k, "padding of NaN: bits that change", (double)different, 0);
}

bool check_kernels(contract *k)
{
    team *t = team_new(&k->context->allocator, 1, k->error);
    bool good = t != NULL;
    for (size_t i = 0; good && i < sizeof lengths / sizeof *lengths; i++)
        good = compare_forward(k, lengths[i], t);
    good = good && compare_gradients(k, t);
    if (k->place == PLACE_DECODER)
        good = good && check_future(k, t) && check_future_gradient(k, t);
    else
        good = good && check_poison(k, t);
    if (t)
        team_free(t);
    return good;
}
