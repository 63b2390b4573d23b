/* Objectives and metrics: each sum is divided by its own count, once, however an update is split; all are
 * handed out by name; and a sum cannot lose its count. */
#include "autograd/differentiate.h"
#include "models/train/trainer_parts.h"
#include "ops/interpret.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 8, WIDTH = 7, IDS = 11, CHANNELS = 6 };
static const double activity_weight = 0.5, decay_weight = 0.01;

/* A tagger of tokens with three terms of different counts: tokens, sentences, and the update itself. */
typedef struct tagger {
    rondo_graph *graph;
    rondo_value loss, activity, sentences, decay;
} tagger;

static rondo_value sum_all(rondo_value x)
{
    while (rondo_rank(x) > 0)
        x = rondo_sum(x, -1);
    return x;
}

static tagger tagger_new(rondo *r, rondo_error *error)
{
    tagger t = {.graph = rondo_graph_new(r, error)};
    rondo_graph *g = t.graph;
    rondo_value table = rondo_parameter(g, "table", "f32[%d,%d]", IDS, CHANNELS),
                length = rondo_input(g, "length", "i32[B]");
    rondo_value h = rondo_tanh(
        rondo_linear(rondo_embed(table, rondo_input(g, "tokens", "i32[B,T]")), CHANNELS, .name = "hidden"));
    rondo_value logits = rondo_matmul(h, table, .transpose_b = true);
    t.loss = rondo_cross_entropy(logits, rondo_input(g, "targets", "i32[B,T]"), .ignore_padding = true);
    t.activity = sum_all(rondo_row_mask(rondo_mul(h, h), length));
    t.sentences = sum_all(rondo_constant(g, 1, "f32[B]"));
    t.decay = sum_all(rondo_mul(table, table));
    return t;
}

typedef struct batch {
    int32_t tokens[ROWS * WIDTH], targets[ROWS * WIDTH], length[ROWS];
    rondo_tensor tensors[3];
} batch;

/* Sentences first … first + rows − 1, of 1 to WIDTH tokens. */
static void batch_fill(batch *b, int first, int rows)
{
    memset(b, 0, sizeof *b);
    for (int r = 0; r < rows; r++) {
        b->length[r] = 1 + (3 * (first + r) + 2) % WIDTH;
        for (int i = 0; i < b->length[r]; i++) {
            b->tokens[r * WIDTH + i] = 1 + (5 * (first + r) + 7 * i) % (IDS - 1);
            b->targets[r * WIDTH + i] = 1 + (2 * (first + r) + 3 * i) % (IDS - 1);
        }
    }
    b->tensors[0] = (rondo_tensor){"tokens", RONDO_I32, 2, {rows, WIDTH}, b->tokens};
    b->tensors[1] = (rondo_tensor){"targets", RONDO_I32, 2, {rows, WIDTH}, b->targets};
    b->tensors[2] = (rondo_tensor){"length", RONDO_I32, 1, {rows}, b->length};
}

typedef struct run {
    rondo *context;
    tagger tagger;
    rondo_weights *weights;
    rondo_trainer *trainer;
} run;

/* All three terms are trained, and the tokens are a metric too. */
static run run_new(int threads)
{
    rondo_error error = {0};
    run r = {.context = rondo_new(threads)};
    r.tagger = tagger_new(r.context, &error);
    const tagger *t = &r.tagger;
    rondo_objective(t->activity, "activity", .count = t->sentences, .weight = (float)activity_weight);
    rondo_metric(rondo_count(t->loss), t->sentences, "length");
    rondo_objective(t->decay, "decay", .weight = (float)decay_weight);
    r.weights = rondo_weights_new(t->graph, 4, &error);
    r.trainer = rondo_trainer_new(t->loss, &error, r.weights);
    cr_assert(r.trainer, "%s", error.message);
    return r;
}

static void run_free(run *r)
{
    rondo_trainer_free(r->trainer);
    rondo_weights_free(r->weights);
    rondo_graph_free(r->tagger.graph);
    rondo_free(r->context);
}

/* One update on eight sentences in `parts` batches. */
static rondo_step update(run *r, int parts)
{
    batch b;
    rondo_step s;
    rondo_error error = {0};
    for (int p = 0; p < parts; p++) {
        batch_fill(&b, p * (ROWS / parts), ROWS / parts);
        bool good = p + 1 < parts ? rondo_trainer_accumulate(r->trainer, b.tensors, 3, &s, &error)
                                  : rondo_trainer_step(r->trainer, b.tensors, 3, 1e-3f, &s, &error);
        cr_assert(good, "%s", error.message);
    }
    return s;
}

static double measure(const rondo_step *s, const char *name)
{
    for (size_t i = 0; i < s->measure_count; i++)
        if (!strcmp(s->measures[i].name, name))
            return s->measures[i].value;
    cr_assert(false, "there is no %s", name);
    return 0;
}

/* ---- the definition, in double precision ---- */

typedef struct definition {
    double loss, *gradient; /* as the trainer's block */
} definition;

static const double *in_double(arena *a, const void *data, rondo_type type, int64_t count)
{
    double *to = ARENA_NEW(a, double, count);
    for (int64_t i = 0; i < count; i++)
        to[i] = type == RONDO_I32 ? ((const int32_t *)data)[i] : (double)((const float *)data)[i];
    return to;
}

/* nll / tokens + weight · activity / sentences + weight · decay, with divisions written out. */
static definition define(rondo *context, const rondo_weights *weights, arena *a)
{
    rondo_error error = {0};
    tagger t = tagger_new(context, &error);
    rondo_value loss =
        rondo_add(rondo_add(rondo_div(t.loss, rondo_count(t.loss)),
                            rondo_mul_scalar(rondo_div(t.activity, t.sentences), activity_weight)),
                  rondo_mul_scalar(t.decay, decay_weight));
    rondo_value wrt[8], gradients[8];
    for (int k = 0; k < weights->item_count; k++)
        wrt[k] = (rondo_value){t.graph, graph_find_leaf(t.graph, OP_parameter, weights->items[k].name)};
    cr_assert(rondo_gradient(loss, wrt, (size_t)weights->item_count, gradients));
    value_id *map;
    rondo_graph *d = differentiate(t.graph, &map, &error);
    cr_assert(d, "%s", error.message);
    batch b;
    interpret_binding bindings[16];
    int count = 0;
    batch_fill(&b, 0, ROWS);
    for (; count < 3; count++)
        bindings[count] = (interpret_binding){
            graph_find_leaf(d, OP_input, b.tensors[count].name),
            in_double(a, b.tensors[count].data, RONDO_I32, count < 2 ? ROWS * WIDTH : ROWS)};
    for (int k = 0; k < weights->item_count; k++)
        bindings[count++] = (interpret_binding){
            graph_find_leaf(d, OP_parameter, weights->items[k].name),
            in_double(a, weights->block + weights->items[k].offset, RONDO_F32,
                      rondo_rank(wrt[k]) == 1 ? CHANNELS : rondo_extent(wrt[k], 0) * CHANNELS)};
    int64_t bound[MAX_SYMBOLS] = {0};
    bound[graph_find_symbol(d, "B")] = ROWS;
    bound[graph_find_symbol(d, "T")] = WIDTH;
    interpretation values;
    cr_assert(interpret(d, bound, bindings, count, &values, &error), "%s", error.message);
    definition out = {values.values[map[loss.id]].data[0], ARENA_NEW(a, double, weights->size)};
    for (int k = 0; k < weights->item_count; k++) {
        const reference_tensor *x = &values.values[map[gradients[k].id]];
        memcpy(out.gradient + weights->items[k].offset, x->data, sizeof(double) * (size_t)x->count);
    }
    interpret_end(&values);
    graph_free(d);
    rondo_graph_free(t.graph);
    return out;
}

/* |a − b| / |b| */
static double distance(const float *a, const double *b, int64_t count)
{
    double difference = 0, norm = 0;
    for (int64_t i = 0; i < count; i++) {
        difference += (a[i] - b[i]) * (a[i] - b[i]);
        norm += b[i] * b[i];
    }
    return sqrt(difference / norm);
}

Test(objectives, each_is_divided_by_its_own_count_once)
{
    static const int parts[] = {1, 2, 4, 8};
    for (int k = 0; k < 4; k++) {
        arena a;
        arena_begin(&a, NULL);
        run r = run_new(2);
        definition d = define(r.context, r.weights, &a);
        rondo_step s = update(&r, parts[k]);
        cr_expect_eq(r.trainer->objectives.group_count, 3);
        double off = distance(r.trainer->gradients[0], d.gradient, r.weights->trained_size);
        cr_expect_leq(off, 1e-6, "%d batches: the gradient is off by %g", parts[k], off);
        cr_expect_leq(fabs(s.loss - d.loss), 1e-6 * d.loss, "%d batches: loss %.9g, not %.9g", parts[k],
                      s.loss, d.loss);
        double norm = 0;
        for (int64_t i = 0; i < r.weights->trained_size; i++)
            norm += d.gradient[i] * d.gradient[i];
        cr_expect_leq(fabs(s.gradient_norm - sqrt(norm)), 2e-6 * sqrt(norm));
        arena_end(&a);
        run_free(&r);
    }
}

Test(objectives, have_the_same_bits_on_any_number_of_threads)
{
    static const int threads[] = {1, 2, 3, 7};
    float *expected = NULL;
    for (int n = 0; n < 4; n++) {
        run r = run_new(threads[n]);
        for (int i = 0; i < 3; i++)
            update(&r, 2);
        size_t bytes = sizeof(float) * (size_t)r.weights->size;
        if (!n)
            memcpy(expected = malloc(bytes), r.weights->block, bytes);
        cr_expect(!memcmp(expected, r.weights->block, bytes), "%d threads", threads[n]);
        run_free(&r);
    }
    free(expected);
}

Test(objectives, are_handed_out_by_name_with_their_counts)
{
    run r = run_new(1);
    batch b;
    rondo_step s;
    rondo_error error = {0};
    batch_fill(&b, 0, ROWS);
    double tokens = 0;
    for (int i = 0; i < ROWS; i++)
        tokens += b.length[i];
    cr_assert(rondo_trainer_evaluate(r.trainer, b.tensors, 3, &s, &error), "%s", error.message);
    static const char *const names[] = {"loss", "activity", "length", "decay"};
    static const double weights[] = {1, 0.5, 0, 0.01};
    const double counts[] = {tokens, ROWS, ROWS, 1};
    cr_assert_eq(s.measure_count, 4);
    double loss = 0;
    for (int i = 0; i < 4; i++) {
        const rondo_measure *m = &s.measures[i];
        cr_expect_str_eq(m->name, names[i]);
        cr_expect_float_eq(m->weight, weights[i], 0);
        cr_expect_float_eq(m->count, counts[i], 0, "%s counts %g", m->name, m->count);
        cr_expect_float_eq(m->value, m->sum / m->count, 0);
        loss += m->weight * m->value;
    }
    cr_expect_float_eq(s.loss, loss, 1e-12);
    cr_expect_float_eq(s.nll, measure(&s, "loss"), 0);
    cr_expect_eq(s.targets, (int64_t)tokens);
    cr_expect_float_eq(measure(&s, "length"), tokens / ROWS, 1e-12);
    rondo_step split = update(&r, 4);
    cr_expect_float_eq(measure(&split, "length"), tokens / ROWS, 1e-12, "over all batches of the update");
    cr_expect_float_eq(split.measures[3].count, 4, 0, "a mean counts once in each batch");
    cr_expect_float_eq(measure(&split, "decay"), measure(&s, "decay"), 1e-6);
    run_free(&r);
}

/* The hot path: objectives with one count are one sum with one walk of gradients. */
Test(objectives, with_the_same_count_share_their_gradients)
{
    rondo_error error = {0};
    rondo *r = rondo_new(1);
    tagger t = tagger_new(r, &error);
    rondo_value first = rondo_objective(t.loss, "tags");
    rondo_objective(t.activity, "activity", .count = rondo_count(t.loss), .weight = 0.25f);
    rondo_metric(t.decay, rondo_constant(t.graph, 1, "i32[]"), "decay");
    rondo_weights *weights = rondo_weights_new(t.graph, 4, &error);
    rondo_trainer *trainer = rondo_trainer_new(first, &error, weights);
    cr_assert(trainer, "%s", error.message);
    cr_expect_eq(trainer->objectives.count, 3);
    cr_expect_eq(trainer->objectives.group_count, 1);
    cr_expect_str_eq(trainer->objectives.items[0].name, "tags");
    batch b;
    rondo_step s;
    batch_fill(&b, 0, ROWS);
    cr_assert(rondo_trainer_step(trainer, b.tensors, 3, 1e-3f, &s, &error), "%s", error.message);
    cr_expect_float_eq(s.measures[0].count, s.measures[1].count, 0);
    cr_expect_float_eq(s.measures[2].count, 1, 0, "an i32 is a count too");
    cr_expect_float_eq(s.loss, measure(&s, "tags") + 0.25 * measure(&s, "activity"), 1e-12);
    rondo_trainer_free(trainer);
    rondo_weights_free(weights);
    rondo_graph_free(t.graph);
    rondo_free(r);
}

/* A parsed graph trains as the one that was printed. */
Test(objectives, are_part_of_the_text_form)
{
    rondo_error error = {0};
    run r = run_new(1);
    rondo_output(r.tagger.loss, "loss");
    char *text = rondo_graph_print(r.tagger.graph, &error);
    rondo_graph *g = rondo_graph_parse(r.context, text, "tagger.graph", &error);
    cr_assert(g, "%s", error.message);
    rondo_weights *weights = rondo_weights_new(g, 4, &error);
    rondo_trainer *trainer =
        rondo_trainer_new(((rondo_value){g, graph_find_output(g, "loss")}), &error, weights);
    cr_assert(trainer, "%s", error.message);
    batch b;
    batch_fill(&b, 0, ROWS);
    cr_assert(rondo_trainer_step(trainer, b.tensors, 3, 1e-3f, NULL, &error), "%s", error.message);
    update(&r, 1);
    cr_expect(!memcmp(weights->block, r.weights->block, sizeof(float) * (size_t)weights->size));
    rondo_trainer_free(trainer);
    rondo_weights_free(weights);
    rondo_graph_free(g);
    rondo_text_free(r.context, text);
    run_free(&r);
}

/* Without `ignore` class 0 counts as any other. */
Test(objectives, cross_entropy_ignores_what_it_is_told_to)
{
    static const struct {
        bool padding;
        int32_t ignore;
        int64_t count;
    } cases[] = {{false, 0, 4}, {true, 0, 3}, {false, 2, 2}, {false, -100, 3}, {false, -1, 4}};
    for (int k = 0; k < 5; k++) {
        rondo_error error = {0};
        float x[4 * 3] = {0};
        int32_t y[4] = {0, 2, cases[k].ignore == -100 ? -100 : 1, 2};
        const rondo_tensor inputs[] = {{"x", RONDO_F32, 2, {4, 3}, x}, {"y", RONDO_I32, 1, {4}, y}};
        rondo *r = rondo_new(1);
        rondo_graph *g = rondo_graph_new(r, &error);
        rondo_value logits =
            rondo_add(rondo_input(g, "x", "f32[N,3]"), rondo_parameter(g, "b.bias", "f32[3]"));
        rondo_value loss = rondo_cross_entropy(logits, rondo_input(g, "y", "i32[N]"),
                                               .ignore = cases[k].ignore, .ignore_padding = cases[k].padding);
        rondo_weights *weights = rondo_weights_new(g, 1, &error);
        rondo_trainer *trainer = rondo_trainer_new(loss, &error, weights);
        rondo_step s;
        cr_assert(rondo_trainer_evaluate(trainer, inputs, 2, &s, &error), "%s", error.message);
        cr_expect_eq(s.targets, cases[k].count, "case %d", k);
        cr_expect_float_eq(s.loss, log(3), 1e-6);
        rondo_trainer_free(trainer);
        rondo_weights_free(weights);
        rondo_graph_free(g);
        rondo_free(r);
    }
}

/* ---- mistakes ---- */

/* The message that the model gives when a trainer of `loss` is made, or before. */
static void expect_refused(tagger t, rondo_value loss, rondo_code code, const char *words)
{
    rondo_error error = {0};
    rondo_weights *weights = rondo_weights_new(t.graph, 4, &error);
    rondo_trainer *trainer = error.code ? NULL : rondo_trainer_new(loss, &error, weights);
    cr_expect_null(trainer, "%s", words);
    cr_expect_eq(error.code, code, "%s: %s", words, error.message);
    cr_expect(strstr(error.message, words), "no “%s” in: %s", words, error.message);
    cr_expect(strstr(error.message, "test_objectives.c:"), "no line in: %s", error.message);
    rondo_trainer_free(trainer);
    rondo_weights_free(weights);
    rondo_graph_free(t.graph);
}

Test(objectives, mistakes_are_named_with_their_line)
{
    rondo_error error = {0};
    rondo *r = rondo_new(1);
    tagger t = tagger_new(r, &error);
    expect_refused(t, rondo_add(t.loss, rondo_mul_scalar(t.decay, 0.01)), RONDO_ARGUMENT,
                   "adds or scales the sum of cross_entropy");
    t = tagger_new(r, &error);
    expect_refused(t, rondo_mul_scalar(t.loss, 0.01), RONDO_ARGUMENT, "so that its count is lost");
    t = tagger_new(r, &error);
    expect_refused(t, rondo_objective(rondo_sub(t.decay, t.loss), "both"), RONDO_ARGUMENT,
                   "objective both adds or scales the sum of cross_entropy");
    t = tagger_new(r, &error);
    rondo_value parts[] = {rondo_objective(t.activity, "activity", .count = t.sentences),
                           rondo_objective(t.decay, "decay")};
    expect_refused(t, rondo_add(parts[0], parts[1]), RONDO_ARGUMENT, "adds or scales the sum of objective");
    t = tagger_new(r, &error);
    expect_refused(t, rondo_metric(t.decay, ((rondo_value){NULL, -1}), "decay"), RONDO_ARGUMENT,
                   "metric decay has no count");
    t = tagger_new(r, &error);
    expect_refused(t, rondo_objective(rondo_constant(t.graph, 1, "f32[B]"), "rows"), RONDO_SHAPE,
                   "objective rows: the sum is f32[B], it must be one f32");
    t = tagger_new(r, &error);
    expect_refused(t, rondo_constant(t.graph, 1, "f32[B]"), RONDO_SHAPE,
                   "the loss is f32[B], it must be one f32");
    t = tagger_new(r, &error);
    expect_refused(t, rondo_objective(t.decay, "rows", .count = rondo_constant(t.graph, 1, "f32[2]")),
                   RONDO_SHAPE, "objective rows: the count is f32[2]");
    t = tagger_new(r, &error);
    rondo_objective(t.decay, "decay");
    expect_refused(t, rondo_metric(t.decay, t.sentences, "decay"), RONDO_ARGUMENT,
                   "decay is already the name");
    t = tagger_new(r, &error);
    expect_refused(t, rondo_objective(t.decay, "decay", .weight = INFINITY), RONDO_ARGUMENT,
                   "the weight inf is not finite");
    t = tagger_new(r, &error);
    expect_refused(t, rondo_count(t.decay), RONDO_ARGUMENT, "rondo_count: sum counts nothing");
    t = tagger_new(r, &error);
    expect_refused(t,
                   rondo_cross_entropy(rondo_constant(t.graph, 1, "f32[B,3]"),
                                       rondo_input(t.graph, "y", "i32[B]"), .ignore = 3,
                                       .ignore_padding = true),
                   RONDO_ARGUMENT, "only one id can be ignored");
    rondo_free(r);
}

/* Names that no line can be blamed for: one is the trainer's own. */
Test(objectives, a_trainer_needs_an_objective_and_names_that_differ)
{
    rondo_error error = {0};
    rondo *r = rondo_new(1);
    tagger t = tagger_new(r, &error);
    rondo_value metric = rondo_metric(t.decay, t.sentences, "norm");
    rondo_enter(t.graph, "layers.%d", 3);
    rondo_objective(t.decay, "balance");
    rondo_leave(t.graph);
    rondo_weights *weights = rondo_weights_new(t.graph, 4, &error);
    cr_expect_null(rondo_trainer_new(metric, &error, weights));
    cr_expect(strstr(error.message, "norm is a metric"), "%s", error.message);
    rondo_trainer *trainer = rondo_trainer_new(t.loss, &error, weights);
    cr_assert(trainer, "%s", error.message);
    cr_expect_str_eq(trainer->objectives.items[2].name, "layers.3.balance");
    rondo_trainer_free(trainer);
    rondo_objective(t.decay, "loss");
    cr_expect_null(rondo_trainer_new(t.loss, &error, weights));
    cr_expect(strstr(error.message, "two objectives are named loss"), "%s", error.message);
    rondo_weights_free(weights);
    rondo_graph_free(t.graph);
    rondo_free(r);
}

/* One that is not finite is named, as is a count that is none, and nothing changes. */
Test(objectives, that_are_no_numbers_change_nothing)
{
    static const struct {
        const char *input, *words;
        rondo_code code;
        float bad;
    } cases[] = {{"scale", "the objective extra is not finite at update 1", RONDO_DIVERGED, NAN},
                 {"count", "the count of extra is -2", RONDO_ARGUMENT, -2}};
    for (int k = 0; k < 2; k++) {
        rondo_error error = {0};
        rondo *r = rondo_new(1);
        tagger t = tagger_new(r, &error);
        rondo_objective(rondo_mul(t.decay, rondo_input(t.graph, "scale", "f32[]")), "extra",
                        .count = rondo_input(t.graph, "count", "f32[]"));
        rondo_weights *weights = rondo_weights_new(t.graph, 4, &error);
        rondo_trainer *trainer = rondo_trainer_new(t.loss, &error, weights);
        cr_assert(trainer, "%s", error.message);
        batch b;
        batch_fill(&b, 0, ROWS);
        float scale = 1, count = 1;
        rondo_tensor inputs[5] = {b.tensors[0],
                                  b.tensors[1],
                                  b.tensors[2],
                                  {"scale", RONDO_F32, 0, {0}, k ? &scale : (void *)&cases[k].bad},
                                  {"count", RONDO_F32, 0, {0}, k ? (void *)&cases[k].bad : &count}};
        size_t bytes = sizeof(float) * (size_t)weights->size;
        float *before = malloc(bytes);
        memcpy(before, weights->block, bytes);
        cr_expect_not(rondo_trainer_step(trainer, inputs, 5, 1e-3f, NULL, &error));
        cr_expect_eq(error.code, cases[k].code);
        cr_expect(strstr(error.message, cases[k].words), "%s", error.message);
        cr_expect(!memcmp(before, weights->block, bytes));
        free(before);
        rondo_trainer_free(trainer);
        rondo_weights_free(weights);
        rondo_graph_free(t.graph);
        rondo_free(r);
    }
}
