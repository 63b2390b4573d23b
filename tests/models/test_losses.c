/* The losses in float: extremes, garbage in what does not count, and CTC in a trainer. */
#include "rondo.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- functions of one loss ---- */

typedef rondo_value write_loss(rondo_graph *g, rondo_value x);
typedef struct numbers {
    float loss, count, gradient[512];
} numbers;

/* The loss and its gradient to x, the first of the inputs. */
static numbers run(write_loss *write, const char *type, const rondo_tensor *inputs, size_t count, int threads)
{
    static const char *const names[] = {"loss", "count", "gradient"};
    rondo_error error = {0};
    numbers n = {0};
    rondo_tensor view;
    rondo *r = rondo_new(threads);
    rondo_graph *g = rondo_graph_new(r, &error);
    rondo_value x = rondo_input(g, "x", "%s", type), out[3];
    out[0] = write(g, x);
    out[1] = rondo_count(out[0]);
    rondo_gradient(out[0], &x, 1, &out[2]);
    rondo_function *f = rondo_function_new(out, names, 3, &error);
    rondo_results *results = rondo_function_run(f, NULL, inputs, count, &error);
    cr_assert(results, "%s", error.message);
    cr_assert(rondo_results_get(results, "loss", &view));
    n.loss = *(float *)view.data;
    cr_assert(rondo_results_get(results, "count", &view));
    n.count = *(float *)view.data;
    cr_assert(rondo_results_get(results, "gradient", &view));
    size_t elements = 1;
    for (int a = 0; a < view.rank; a++)
        elements *= (size_t)view.dims[a];
    cr_assert_leq(elements, 512);
    memcpy(n.gradient, view.data, sizeof(float) * elements);
    rondo_results_free(results);
    rondo_function_free(f);
    rondo_graph_free(g);
    rondo_free(r);
    return n;
}

static rondo_value binary(rondo_graph *g, rondo_value x)
{
    return rondo_binary_cross_entropy(x, rondo_input(g, "y", "i32[N]"));
}

Test(losses, binary_cross_entropy_neither_overflows_nor_cancels)
{
    float x[] = {0, 20, 20, -30, -30, 1e30f, -1e30f};
    int32_t y[] = {1, 1, 0, 0, 1, 1, 0};
    const double expected[] = {0.6931471805599453, 2.0611536e-9, 20, 9.3576229e-14, 30, 0, 0};
    for (int i = 0; i < 7; i++) {
        const rondo_tensor inputs[] = {{"x", RONDO_F32, 1, {1}, x + i}, {"y", RONDO_I32, 1, {1}, y + i}};
        numbers n = run(binary, "f32[N]", inputs, 2, 1);
        cr_expect_leq(fabs(n.loss - expected[i]), 2e-6 * expected[i], "x = %g, y = %d: %g", x[i], y[i],
                      n.loss);
        cr_expect_leq(fabs(n.gradient[0] - (1 / (1 + exp(-x[i])) - y[i])), 1e-6);
    }
}

static rondo_value by_length(rondo_graph *g, rondo_value x)
{
    return rondo_squared_error(x, rondo_input(g, "y", "f32[B,T,2]"), .length = rondo_input(g, "n", "i32[B]"));
}
static rondo_value by_mask(rondo_graph *g, rondo_value x)
{
    return rondo_binary_cross_entropy(x, rondo_input(g, "y", "f32[B,T,2]"),
                                      .mask = rondo_input(g, "mask", "f32[B,T,1]"));
}
static rondo_value of_teacher_rows(rondo_graph *g, rondo_value x)
{
    return rondo_divergence(x, rondo_input(g, "y", "f32[B,T,2]"), .length = rondo_input(g, "n", "i32[B]"));
}

/* NaN where nothing counts changes no bit of the loss or of a gradient. */
Test(losses, what_does_not_count_is_not_looked_at)
{
    static write_loss *const losses[] = {by_length, by_mask, of_teacher_rows};
    for (int k = 0; k < 3; k++) {
        float x[2 * 3 * 2], y[2 * 3 * 2], mask[] = {1, 0, 1, 1, 1, 0}, row_mask[6];
        int32_t n[] = {1, 3};
        for (int i = 0; i < 6; i++)
            row_mask[i] = k == 1 ? mask[i] : i % 3 < n[i / 3];
        const rondo_tensor inputs[] = {{"x", RONDO_F32, 3, {2, 3, 2}, x},
                                       {"y", RONDO_F32, 3, {2, 3, 2}, y},
                                       k == 1 ? (rondo_tensor){"mask", RONDO_F32, 3, {2, 3, 1}, mask}
                                              : (rondo_tensor){"n", RONDO_I32, 1, {2}, n}};
        numbers found[2];
        for (int garbage = 0; garbage < 2; garbage++) {
            for (int i = 0; i < 12; i++) {
                bool counts = row_mask[i / 2] != 0;
                x[i] = counts ? 0.1f * (float)i - 0.5f : garbage ? NAN : 0;
                y[i] = counts ? (float)(i % 3) / 2 : garbage ? INFINITY : 0;
            }
            found[garbage] = run(losses[k], "f32[B,T,2]", inputs, 3, 1);
        }
        cr_expect(isfinite(found[1].loss));
        cr_expect(!memcmp(&found[0], &found[1], sizeof found[0]), "loss %d: %g and %g", k, found[0].loss,
                  found[1].loss);
        cr_expect_float_eq(found[1].count, k == 2 ? 4 : 8, 0);
    }
}

static rondo_value mixture(rondo_graph *g, rondo_value x)
{
    return rondo_logistic_mixture(x, rondo_input(g, "pixels", "i32[N]"));
}

/* Edges and scales of PixelCNN++ and beyond, in float: finite, with finite gradients. */
Test(losses, logistic_mixture_is_stable_at_the_edges)
{
    static const float scales[] = {-20, -7, -3, 0, 5, 12}, means[] = {-50, -1, 0, 0.999f, 1, 50};
    for (int s = 0; s < 6; s++)
        for (int k = 0; k < 6; k++) {
            int32_t pixels[] = {0, 1, 127, 254, 255};
            float x[5 * 6];
            for (int i = 0; i < 5; i++)
                memcpy(x + 6 * i, (float[]){0, -3, means[k], -means[k], scales[s], scales[s]}, 6 * sizeof *x);
            const rondo_tensor inputs[] = {{"x", RONDO_F32, 2, {5, 6}, x},
                                           {"pixels", RONDO_I32, 1, {5}, pixels}};
            numbers n = run(mixture, "f32[N,6]", inputs, 2, 1);
            cr_expect(isfinite(n.loss) && n.loss >= 0, "scale %g, mean %g: %g", scales[s], means[k], n.loss);
            for (int i = 0; i < 30; i++)
                cr_expect(isfinite(n.gradient[i]), "scale %g, mean %g: gradient %d", scales[s], means[k], i);
        }
}

/* ---- CTC ---- */

enum { B = 7, T = 6, V = 5, L = 3, BLANK = 4 };
typedef struct speech {
    float x[B * T * V];
    int32_t labels[B * L], frames[B], lengths[B];
    rondo_tensor tensors[4];
} speech;

/* Sequence 2 has more labels than frames, sequence 4 a repeat that needs one frame more; the others fit. */
static void speech_fill(speech *s)
{
    memset(s, 0, sizeof *s);
    for (int i = 0; i < B * T * V; i++)
        s->x[i] = sinf((float)i) * 2;
    for (int b = 0; b < B; b++) {
        s->frames[b] = b == 2 ? 2 : b == 4 ? 3 : T - b % 3;
        s->lengths[b] = b == 6 ? 0 : b == 0 ? 2 : L;
        for (int i = 0; i < L; i++)
            s->labels[b * L + i] = b == 4 ? (i ? 2 : 1) : (b + i) % 4;
    }
    const rondo_tensor tensors[] = {{"x", RONDO_F32, 3, {B, T, V}, s->x},
                                    {"labels", RONDO_I32, 2, {B, L}, s->labels},
                                    {"frames", RONDO_I32, 1, {B}, s->frames},
                                    {"lengths", RONDO_I32, 1, {B}, s->lengths}};
    memcpy(s->tensors, tensors, sizeof tensors);
}

static rondo_value ctc(rondo_graph *g, rondo_value x)
{
    return rondo_ctc(x, rondo_input(g, "labels", "i32[B,L]"), .frames = rondo_input(g, "frames", "i32[B]"),
                     .label_lengths = rondo_input(g, "lengths", "i32[B]"), .blank = BLANK);
}

static bool all_zero(const float *x, int count)
{
    for (int i = 0; i < count; i++)
        if (x[i] != 0)
            return false;
    return true;
}

Test(losses, ctc_leaves_impossible_labels_out)
{
    speech s;
    speech_fill(&s);
    numbers n = run(ctc, "f32[B,T,5]", s.tensors, 4, 1);
    cr_expect(isfinite(n.loss) && n.loss > 0, "%g", n.loss);
    cr_expect_float_eq(n.count, B - 2, 0);
    for (int b = 0; b < B; b++)
        for (int t = 0; t < T; t++)
            cr_expect_eq(all_zero(n.gradient + (b * T + t) * V, V), b == 2 || b == 4 || t >= s.frames[b],
                         "sequence %d, frame %d", b, t);
    for (int t = 0; t < T; t++) /* no path of sequence 1 is possible */
        s.x[(1 * T + t) * V + s.labels[L]] = -INFINITY;
    numbers without = run(ctc, "f32[B,T,5]", s.tensors, 4, 1);
    cr_expect_float_eq(without.count, B - 3, 0);
    cr_expect_lt(without.loss, n.loss);
    cr_expect(all_zero(without.gradient + T * V, T * V));
}

Test(losses, ctc_looks_at_nothing_beyond_its_lengths)
{
    speech s;
    speech_fill(&s);
    numbers n = run(ctc, "f32[B,T,5]", s.tensors, 4, 1);
    for (int b = 0; b < B; b++) {
        for (int i = s.frames[b] * V; i < T * V; i++)
            s.x[b * T * V + i] = NAN;
        for (int i = s.lengths[b]; i < L; i++)
            s.labels[b * L + i] = -1000000;
    }
    static const int threads[] = {1, 2, 3, 7};
    for (int k = 0; k < 4; k++) {
        numbers garbage = run(ctc, "f32[B,T,5]", s.tensors, 4, threads[k]);
        cr_expect(!memcmp(&n, &garbage, sizeof n), "%g and %g", n.loss, garbage.loss);
    }
    s.x[3] = NAN; /* but what counts is */
    cr_expect(isnan(run(ctc, "f32[B,T,5]", s.tensors, 4, 1).loss));
}

typedef struct recognizer {
    rondo *context;
    rondo_graph *graph;
    rondo_weights *weights;
    rondo_trainer *trainer;
} recognizer;

static recognizer recognizer_new(void)
{
    rondo_error error = {0};
    recognizer r = {.context = rondo_new(1)};
    r.graph = rondo_graph_new(r.context, &error);
    rondo_value x = rondo_linear(rondo_input(r.graph, "x", "f32[B,T,5]"), V, .name = "output");
    rondo_value loss = ctc(r.graph, x);
    r.weights = rondo_weights_new(r.graph, 1, &error);
    r.trainer = rondo_trainer_new(loss, &error, r.weights);
    cr_assert(r.trainer, "%s", error.message);
    return r;
}

static void recognizer_free(recognizer *r)
{
    rondo_trainer_free(r->trainer);
    rondo_weights_free(r->weights);
    rondo_graph_free(r->graph);
    rondo_free(r->context);
}

Test(losses, ctc_reports_how_many_are_impossible)
{
    rondo_error error = {0};
    rondo_step first, step;
    speech s;
    speech_fill(&s);
    recognizer r = recognizer_new();
    cr_assert(rondo_trainer_step(r.trainer, s.tensors, 4, 1e-2f, &first, &error), "%s", error.message);
    cr_expect_eq(first.targets, B - 2);
    cr_assert_eq(first.measure_count, 2);
    cr_expect_str_eq(first.measures[1].name, "ctc.impossible");
    cr_expect_float_eq(first.measures[1].sum, 2, 0);
    cr_expect_float_eq(first.measures[1].count, B, 0);
    for (int i = 0; i < 50; i++)
        cr_assert(rondo_trainer_step(r.trainer, s.tensors, 4, 1e-2f, &step, &error), "%s", error.message);
    cr_expect_lt(step.loss, 0.9 * first.loss);
    for (int b = 0; b < B; b++)
        s.frames[b] = 0;
    s.lengths[6] = 1;
    cr_expect(rondo_trainer_step(r.trainer, s.tensors, 4, 1e-2f, &step, &error), "%s", error.message);
    cr_expect_float_eq(step.loss, 0, 0, "nothing counts");
    cr_expect_float_eq(step.gradient_norm, 0, 0);
    recognizer_free(&r);
}

Test(losses, labels_that_are_no_classes_are_named)
{
    static const struct {
        int32_t label, length;
        const char *words;
    } cases[] = {{V, L, "tensor labels: label 1 of sequence 3 is 5; labels are 0 to 4 without the blank, 4"},
                 {BLANK, L, "label 1 of sequence 3 is 4"},
                 {-1, L, "label 1 of sequence 3 is -1"},
                 {0, L + 1, "tensor lengths: sequence 3 has 4 labels, there is room for 3"}};
    recognizer r = recognizer_new();
    for (int k = 0; k < 4; k++) {
        rondo_error error = {0};
        speech s;
        speech_fill(&s);
        s.labels[3 * L + 1] = cases[k].label;
        s.lengths[3] = cases[k].length;
        cr_expect_not(rondo_trainer_step(r.trainer, s.tensors, 4, 1e-2f, NULL, &error));
        cr_expect(strstr(error.message, cases[k].words), "%s", error.message);
        cr_expect(strstr(error.message, "test_losses.c:"), "no line in: %s", error.message);
    }
    recognizer_free(&r);
}

/* ---- mistakes ---- */

Test(losses, mistakes_are_named_with_their_line)
{
    static const char *const words[] = {"the targets are [3], which does not repeat",
                                        "2 channels of 3 levels",
                                        "a multiple of 3",
                                        "the pixels are [3]; for parameters [4,6]",
                                        "the blank 9 is not one of the 6 classes",
                                        "ctc of [4,6] and [4]",
                                        "the mask is [3], which does not repeat to [4,6]",
                                        "ctc.impossible is already the name",
                                        "the temperature -1"};
    for (int k = 0; k < 9; k++) {
        rondo_error error = {0};
        rondo *r = rondo_new(1);
        rondo_graph *g = rondo_graph_new(r, &error);
        rondo_value x = rondo_input(g, "x", "f32[4,6]"), y = rondo_input(g, "y", "f32[3]"),
                    ids = rondo_input(g, "ids", "i32[4]"), logits = rondo_reshape(x, "[4,1,6]"),
                    labels = rondo_reshape(ids, "[4,1]");
        switch (k) {
        case 0:
            rondo_squared_error(x, y);
            break;
        case 1:
            rondo_logistic_mixture(x, y, .channels = 2, .levels = 3);
            break;
        case 2:
            rondo_logistic_mixture(rondo_slice(x, 1, 0, 5), ids);
            break;
        case 3:
            rondo_logistic_mixture(x, y);
            break;
        case 4:
            rondo_ctc(logits, labels, .blank = 9);
            break;
        case 5:
            rondo_ctc(x, ids);
            break;
        case 6:
            rondo_total(x, .mask = y);
            break;
        case 7:
            rondo_ctc(logits, labels), rondo_ctc(logits, labels, .blank = 1);
            break;
        case 8:
            rondo_divergence(x, x, .temperature = -1);
            break;
        }
        cr_expect_not(rondo_graph_check(g, &error), "%s", words[k]);
        cr_expect(strstr(error.message, words[k]), "%d: %s", k, error.message);
        cr_expect(strstr(error.message, "test_losses.c:"), "no line in: %s", error.message);
        rondo_graph_free(g);
        rondo_free(r);
    }
}
