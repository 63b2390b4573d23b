/* The trainer: the same bits for any number of threads and across a checkpoint; the same update however it is
 * split; gradients of the loss; dropout by sentence; and nothing changed on divergence. */
#include "models/train/trainer.h"
#include "models/transformer.h"
#include "models/weights.h"
#include "ops/interpret.h"
#include "compiler/pipeline.h"
#include "tests/models/small_model.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROWS = 4, WIDTH = 9, TENSORS = 5 };

typedef struct training_options {
    const char *encoder, *decoder, *cross;
    float dropout, clip;
    int threads;
    uint64_t seed;
} training_options;

static training training_new(training_options o)
{
    const transformer shape = {.language_model = !o.encoder,
                               .vocabulary = SMALL_VOCABULARY,
                               .dim = 12,
                               .ffn = 20,
                               .heads = 3,
                               .encoder_layers = 1,
                               .decoder_layers = 2,
                               .dropout = o.dropout,
                               .smoothing = 0.1f,
                               .encoder_self = o.encoder,
                               .decoder_self = o.decoder,
                               .cross = o.cross};
    return training_of(rondo_new(o.threads ? o.threads : 1), &shape, o.clip, o.seed);
}

/* Sentences first, first + 1, … of lengths that differ, padded to `width`. */
typedef struct batch {
    int32_t source[8 * 16], length[8], in[8 * 16], out[8 * 16], sentences[8];
    rondo_tensor tensors[TENSORS];
} batch;

static void batch_fill(batch *b, int64_t first, int64_t rows, int64_t width)
{
    memset(b, 0, sizeof *b);
    for (int64_t r = 0; r < rows; r++) {
        int64_t sentence = first + r, words = 2 + sentence % 5;
        b->length[r] = (int32_t)(1 + sentence % 4);
        b->sentences[r] = (int32_t)sentence;
        for (int64_t i = 0; i < b->length[r]; i++)
            b->source[r * width + i] = small_token(sentence + 500, i);
        for (int64_t i = 0; i < words; i++) {
            b->in[r * width + i] = i ? small_token(sentence, i) : TOKEN_BEGIN;
            b->out[r * width + i] = i + 1 < words ? small_token(sentence, i + 1) : TOKEN_END;
        }
    }
    const rondo_tensor tensors[TENSORS] = {{"source", RONDO_I32, 2, {rows, width}, b->source},
                                           {"source_length", RONDO_I32, 1, {rows}, b->length},
                                           {"target_in", RONDO_I32, 2, {rows, width}, b->in},
                                           {"target_out", RONDO_I32, 2, {rows, width}, b->out},
                                           {"sentences", RONDO_I32, 1, {rows}, b->sentences}};
    memcpy(b->tensors, tensors, sizeof tensors);
}

static rondo_step step(training *t, int64_t first, int64_t rows, int64_t width)
{
    batch b;
    rondo_step s;
    rondo_error error = {0};
    batch_fill(&b, first, rows, width);
    cr_assert(rondo_trainer_step(t->trainer, b.tensors, TENSORS, 1e-3f, &s, &error), "%s", error.message);
    return s;
}

static rondo_step accumulate(training *t, int64_t first, int64_t rows, int64_t width)
{
    batch b;
    rondo_step s;
    rondo_error error = {0};
    batch_fill(&b, first, rows, width);
    cr_assert(rondo_trainer_accumulate(t->trainer, b.tensors, TENSORS, &s, &error), "%s", error.message);
    return s;
}

static size_t block_bytes(const training *t)
{
    return sizeof(float) * (size_t)t->weights->size;
}

static const training_options every_kind[] = {{"softmax", "softmax", "softmax", 0.1f, 1},
                                              {"linear", "linear", "linear", 0.1f, 1},
                                              {NULL, "average", NULL, 0.1f, 1},
                                              {NULL, "linear", NULL, 0.1f, 1},
                                              {NULL, "performer:6", NULL, 0.1f, 1}};
enum { KINDS = 5 };

Test(trainer, same_bits_for_any_number_of_threads)
{
    static const int threads[] = {1, 2, 3, 7};
    for (int k = 0; k < KINDS; k++) {
        float *expected = NULL;
        for (int n = 0; n < 4; n++) {
            training_options o = every_kind[k];
            o.threads = threads[n];
            training t = training_new(o);
            for (int i = 0; i < 20; i++)
                step(&t, i * 3, 1 + i % ROWS, WIDTH + i % 3);
            if (!n)
                memcpy(expected = malloc(block_bytes(&t)), t.weights->block, block_bytes(&t));
            cr_expect(!memcmp(t.weights->block, expected, block_bytes(&t)), "model %d with %d threads", k,
                      threads[n]);
            training_free(&t);
        }
        free(expected);
    }
}

Test(trainer, learns)
{
    for (int k = 0; k < KINDS; k++) {
        training_options o = every_kind[k];
        o.dropout = 0;
        training t = training_new(o);
        double first = step(&t, 0, ROWS, WIDTH).loss, last = 0;
        for (int i = 0; i < 150; i++)
            last = step(&t, 0, ROWS, WIDTH).loss;
        cr_expect_lt(last, 0.6 * first, "model %d: %g, then %g", k, first, last);
        training_free(&t);
    }
}

/* Two accumulated halves give the whole, up to the order of sums; with dropout too, since masks depend on
 * sentences. */
Test(trainer, an_update_may_be_split)
{
    for (int k = 0; k < KINDS; k++) {
        training whole = training_new(every_kind[k]), halves = training_new(every_kind[k]);
        for (int i = 0; i < 3; i++) {
            rondo_step a = step(&whole, 10 * i, 4, WIDTH), first = accumulate(&halves, 10 * i, 2, WIDTH);
            rondo_step b = step(&halves, 10 * i + 2, 2, WIDTH - 1);
            cr_expect_eq(a.targets, b.targets);
            cr_expect_leq(first.targets, a.targets);
            cr_expect_leq(fabs(a.loss - b.loss), 2e-6 * fabs(a.loss), "model %d: loss %.9g and %.9g", k,
                          a.loss, b.loss);
            cr_expect_leq(fabs(a.gradient_norm - b.gradient_norm), 5e-6 * a.gradient_norm,
                          "model %d: norm %.9g and %.9g", k, a.gradient_norm, b.gradient_norm);
            cr_expect_eq(a.number, i + 1);
            cr_expect_eq(b.number, i + 1);
        }
        training_free(&whole);
        training_free(&halves);
    }
}

/* The loss of a sentence is the same alone, in a batch and with more padding, also with dropout. */
Test(trainer, dropout_belongs_to_the_sentence)
{
    for (int k = 0; k < KINDS; k++) {
        training_options o = every_kind[k];
        o.dropout = 0.3f;
        training t = training_new(o);
        double together = accumulate(&t, 7, 4, WIDTH).loss, targets = 0, sum = 0,
               wide = accumulate(&t, 7, 4, WIDTH + 4).loss;
        for (int r = 0; r < 4; r++) {
            rondo_step alone = accumulate(&t, 7 + r, 1, WIDTH - 2);
            sum += alone.loss * (double)alone.targets;
            targets += (double)alone.targets;
        }
        cr_expect_leq(fabs(sum / targets - together), 2e-6 * together, "model %d: alone %.9g, together %.9g",
                      k, sum / targets, together);
        cr_expect_leq(fabs(wide - together), 2e-6 * together, "model %d: padded %.9g, not %.9g", k, wide,
                      together);
        training_options other = o;
        other.seed = 99;
        training u = training_new(other);
        cr_expect_gt(fabs(accumulate(&u, 7, 4, WIDTH).loss - together), 1e-4,
                     "model %d: another seed, the same masks", k);
        step(&t, 7, 4, WIDTH);
        training_free(&u);
        u = training_new(o);
        double before = accumulate(&u, 7, 4, WIDTH).loss;
        cr_expect_float_eq(before, together, 2e-6);
        training_free(&t);
        training_free(&u);
    }
}

static const char *temporary(char *path, size_t bytes, const char *name)
{
    snprintf(path, bytes, "/tmp/rondo-test-%d-%s.safetensors", (int)getpid(), name);
    return path;
}

Test(trainer, goes_on_from_a_checkpoint_bit_for_bit)
{
    char path[100];
    temporary(path, sizeof path, "checkpoint");
    for (int k = 0; k < KINDS; k++) {
        rondo_error error = {0};
        training through = training_new(every_kind[k]), stopped = training_new(every_kind[k]);
        for (int i = 0; i < 5; i++) {
            step(&through, 3 * i, ROWS, WIDTH);
            step(&stopped, 3 * i, ROWS, WIDTH);
        }
        cr_assert(rondo_trainer_save(stopped.trainer, path, &error), "%s", error.message);
        training_free(&stopped);
        training_options o = every_kind[k];
        o.seed = 123; /* the checkpoint has another one */
        training resumed = training_new(o);
        cr_assert(rondo_trainer_load(resumed.trainer, path, &error), "%s", error.message);
        unlink(path);
        for (int i = 5; i < 9; i++) {
            rondo_step a = step(&through, 3 * i, ROWS, WIDTH), b = step(&resumed, 3 * i, ROWS, WIDTH);
            cr_expect(a.loss == b.loss && a.number == b.number && a.gradient_norm == b.gradient_norm,
                      "model %d, update %d", k, i);
        }
        cr_expect(!memcmp(through.weights->block, resumed.weights->block, block_bytes(&through)), "model %d",
                  k);
        training_free(&through);
        training_free(&resumed);
    }
}

/* A checkpoint of another model is refused and changes nothing. */
Test(trainer, a_checkpoint_that_does_not_fit_changes_nothing)
{
    char path[100];
    rondo_error error = {0};
    temporary(path, sizeof path, "other");
    training other = training_new(every_kind[2]), t = training_new(every_kind[0]),
             twin = training_new(every_kind[0]);
    step(&t, 0, ROWS, WIDTH);
    step(&twin, 0, ROWS, WIDTH);
    cr_assert(rondo_trainer_save(other.trainer, path, &error), "%s", error.message);
    cr_expect_not(rondo_trainer_load(t.trainer, path, &error));
    cr_expect_eq(error.code, RONDO_MISMATCH, "%s", error.message);
    error = (rondo_error){0};
    cr_assert(rondo_weights_save(t.weights, path, &error), "%s", error.message);
    cr_expect_not(rondo_trainer_load(t.trainer, path, &error));
    cr_expect(strstr(error.message, "no training state"), "%s", error.message);
    cr_expect_eq(step(&t, 4, ROWS, WIDTH).loss, step(&twin, 4, ROWS, WIDTH).loss);
    cr_expect(!memcmp(t.weights->block, twin.weights->block, block_bytes(&t)));
    training_free(&other);
    training_free(&t);
    training_free(&twin);
    unlink(path);
}

Test(trainer, divergence_changes_nothing)
{
    for (int k = 0; k < KINDS; k++) {
        batch b;
        rondo_error error = {0};
        rondo_tensor gain;
        training t = training_new(every_kind[k]), twin = training_new(every_kind[k]);
        step(&t, 0, ROWS, WIDTH);
        step(&twin, 0, ROWS, WIDTH);
        cr_assert(rondo_weights_get(t.weights, "decoder.norm.weight", &gain));
        float was = *(float *)gain.data;
        *(float *)gain.data = NAN;
        float *before = malloc(block_bytes(&t));
        memcpy(before, t.weights->block, block_bytes(&t));
        batch_fill(&b, 4, ROWS, WIDTH);
        cr_expect_not(rondo_trainer_step(t.trainer, b.tensors, TENSORS, 1e-3f, NULL, &error));
        cr_expect(error.code == RONDO_DIVERGED && strstr(error.message, "update 2"), "%s", error.message);
        cr_expect(!memcmp(before, t.weights->block, block_bytes(&t)), "model %d: weights changed", k);
        *(float *)gain.data = was;
        cr_expect_eq(step(&t, 4, ROWS, WIDTH).loss, step(&twin, 4, ROWS, WIDTH).loss, "model %d", k);
        cr_expect(!memcmp(t.weights->block, twin.weights->block, block_bytes(&t)),
                  "model %d: not as if nothing had been", k);
        free(before);
        training_free(&t);
        training_free(&twin);
    }
}

Test(trainer, evaluates_without_dropout_and_without_change)
{
    batch b;
    rondo_error error = {0};
    rondo_step a, c;
    training t = training_new((training_options){"softmax", "linear", "softmax", 0.5f, 0}),
             plain = training_new((training_options){"softmax", "linear", "softmax", 0, 0});
    batch_fill(&b, 4, ROWS, WIDTH);
    cr_assert(rondo_trainer_evaluate(t.trainer, b.tensors, TENSORS, &a, &error), "%s", error.message);
    cr_assert(rondo_trainer_evaluate(t.trainer, b.tensors, TENSORS, &c, &error), "%s", error.message);
    cr_expect(a.loss == c.loss && a.number == 0);
    double loss = accumulate(&plain, 4, ROWS, WIDTH).loss;
    cr_expect_leq(fabs(a.loss - loss), 2e-6 * loss);
    cr_expect_lt(a.nll, a.loss + 1);
    batch_fill(&b, 4, ROWS, WIDTH);
    b.tensors[1].name = "a typing error";
    cr_expect_not(rondo_trainer_evaluate(t.trainer, b.tensors, TENSORS, &a,
                                         &error)); /* not what an earlier call gave */
    cr_expect(strstr(error.message, "\"source_length\" was given no data"), "%s", error.message);
    training_free(&t);
    training_free(&plain);
}

/* ---- the gradient against differences of the loss in double ---- */

enum { MOST = 128 };
typedef struct probe {
    const rondo_graph *graph;
    const batch *inputs;
    double *data[MOST]; /* by parameter of the weights */
    const rondo_weights *weights;
} probe;

static double loss_of(const probe *p, int64_t width)
{
    const rondo_graph *g = p->graph;
    int64_t bound[MAX_SYMBOLS] = {0};
    interpret_binding bindings[MOST + TENSORS];
    double *inputs[TENSORS];
    int count = 0;
    for (int s = 0; s < g->symbol_count; s++)
        bound[s] = !strcmp(g->symbols[s], "B") ? 2 : width;
    for (int k = 0; k < TENSORS; k++) {
        const rondo_tensor *t = &p->inputs->tensors[k];
        int64_t elements = t->dims[0] * (t->rank > 1 ? t->dims[1] : 1);
        inputs[k] = malloc(sizeof(double) * (size_t)elements);
        for (int64_t i = 0; i < elements; i++)
            inputs[k][i] = ((const int32_t *)t->data)[i];
        value_id leaf = graph_find_leaf(g, OP_input, t->name);
        if (leaf != NONE)
            bindings[count++] = (interpret_binding){leaf, inputs[k]};
    }
    for (int i = 0; i < p->weights->item_count; i++)
        bindings[count++] =
            (interpret_binding){graph_find_leaf(g, OP_parameter, p->weights->items[i].name), p->data[i]};
    interpretation result;
    rondo_error error = {0};
    cr_assert(interpret(g, bound, bindings, count, &result, &error), "%s", error.message);
    double loss = result.values[graph_find_output(g, "loss")].data[0];
    interpret_end(&result);
    for (int k = 0; k < TENSORS; k++)
        free(inputs[k]);
    return loss;
}

/* The gradient is taken from one step of Adam: with β1 = 0, m is the gradient divided by the count. */
static void check_gradient_of(training_options o)
{
    enum { SPAN = 6 };
    rondo_error error = {0};
    batch b;
    char path[100];
    training t = training_new(o);
    rondo_trainer_free(t.trainer);
    float tiny = 1e-30f;
    t.trainer = rondo_trainer_new(t.built.loss, &error, t.weights, .beta1 = tiny);
    cr_assert(t.trainer, "%s", error.message);
    static const char *const name = "loss";
    probe p = {.graph = extract(t.built.graph, &t.built.loss.id, &name, 1, false, NULL, &error),
               .inputs = &b,
               .weights = t.weights};
    batch_fill(&b, 2, 2, SPAN);
    double *numeric[MOST], squares = 0, differences = 0;
    for (int i = 0; i < t.weights->item_count; i++) {
        const weight *w = &t.weights->items[i];
        p.data[i] = malloc(sizeof(double) * (size_t)w->count);
        for (int64_t k = 0; k < w->count; k++)
            p.data[i][k] = t.weights->block[w->offset + k];
    }
    for (int i = 0; i < t.weights->item_count; i++) {
        const weight *w = &t.weights->items[i];
        numeric[i] = malloc(sizeof(double) * (size_t)w->count);
        for (int64_t k = 0; k < w->count; k += 1 + w->count / 9) {
            double was = p.data[i][k], h = 1e-5;
            p.data[i][k] = was + h;
            double above = loss_of(&p, SPAN);
            p.data[i][k] = was - h;
            numeric[i][k] = (above - loss_of(&p, SPAN)) / (2 * h);
            p.data[i][k] = was;
        }
    }
    rondo_step s;
    cr_assert(rondo_trainer_step(t.trainer, b.tensors, TENSORS, 0, &s, &error), "%s", error.message);
    temporary(path, sizeof path, "gradient");
    safetensors file;
    cr_assert(rondo_trainer_save(t.trainer, path, &error) &&
                  safetensors_open(&file, &t.context->allocator, path, &error),
              "%s", error.message);
    for (int i = 0; i < t.weights->item_count; i++) {
        const weight *w = &t.weights->items[i];
        char key[200];
        snprintf(key, sizeof key, "optimizer.moment1.%s", w->name);
        const float *moment = safetensors_data(&file, safetensors_find(&file, key));
        for (int64_t k = 0; k < w->count; k += 1 + w->count / 9) {
            double gradient = (double)moment[k] * (double)s.targets, d = gradient - numeric[i][k];
            squares += numeric[i][k] * numeric[i][k];
            differences += d * d;
            cr_expect_leq(fabs(d), 2e-4 * (fabs(numeric[i][k]) + 0.1), "%s[%d]: %g, differences say %g",
                          w->name, (int)k, gradient, numeric[i][k]);
        }
        free(numeric[i]);
        free(p.data[i]);
    }
    cr_expect_leq(sqrt(differences), 5e-6 * sqrt(squares), "rms %g", sqrt(differences / squares));
    safetensors_close(&file);
    unlink(path);
    graph_free((rondo_graph *)p.graph);
    training_free(&t);
}

Test(trainer, gradient_is_what_differences_say)
{
    check_gradient_of((training_options){"softmax", "softmax", "softmax"});
    check_gradient_of((training_options){"linear", "linear", "softmax"});
    check_gradient_of((training_options){NULL, "average", NULL});
}
