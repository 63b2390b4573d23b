/* The losses of the DSL against their definitions, in double precision: values, gradients, bins that sum
 * to one, and CTC against all of its paths. */
#include "tests/autograd/differences.h"
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static double *leaf_data(model *m, const char *name)
{
    for (int i = 0; i < m->count; i++) {
        const node *n = graph_node_of(m->g, m->leaves[i]);
        if (!strcmp(m->g->names[n->attributes[0].integer], name))
            return m->data[i];
    }
    cr_assert(false, "no leaf %s", name);
    return NULL;
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* Checks the gradients, then the value and the count. */
static void expect_loss(model *m, rondo_value loss, double value, double count)
{
    cr_expect_float_eq(model_number(m, m->g, loss.id), value, 1e-12 * (1 + fabs(value)));
    cr_expect_float_eq(model_number(m, m->g, rondo_count(loss).id), count, 0);
}

Test(losses, of_elements)
{
    model m;
    model_begin(&m);
    rondo_value x = rondo_parameter(m.g, "x", "f32[3,5,2]"), y = rondo_parameter(m.g, "y", "f32[5,1]"),
                length = rondo_input(m.g, "length", "i32[3]"), mask = rondo_input(m.g, "mask", "i32[2]");
    mask = rondo_less(rondo_apply(m.g, "cast", "type=f32", 1, mask), rondo_constant(m.g, 3, "f32[]"));
    rondo_value both = rondo_binary_cross_entropy(x, rondo_sigmoid(y), .length = length, .mask = mask);
    rondo_value squares = rondo_squared_error(x, y, .length = length), all = rondo_total(x, .mask = mask);
    rondo_graph_free(model_check(&m, rondo_add(rondo_mul_scalar(both, 3), rondo_add(squares, all))));
    double entropy = 0, square = 0, sum = 0, of_both = 0, of_square = 0, of_sum = 0;
    const double *xs = leaf_data(&m, "x"), *ys = leaf_data(&m, "y"), *lengths = leaf_data(&m, "length"),
                 *masks = leaf_data(&m, "mask");
    for (int i = 0; i < 3 * 5 * 2; i++) {
        int b = i / 10, t = i / 2 % 5, c = i % 2;
        double p = sigmoid(xs[i]), q = sigmoid(ys[t]);
        if (masks[c] < 3)
            sum += xs[i], of_sum++;
        if (t >= lengths[b])
            continue;
        square += (xs[i] - ys[t]) * (xs[i] - ys[t]), of_square++;
        if (masks[c] < 3)
            entropy -= q * log(p) + (1 - q) * log(1 - p), of_both++;
    }
    expect_loss(&m, both, entropy, of_both);
    expect_loss(&m, squares, square, of_square);
    expect_loss(&m, all, sum, of_sum);
    model_end(&m);
}

/* From logits with a temperature, and from probabilities of which some are 0. */
Test(losses, divergence_from_a_teacher)
{
    enum { ROWS = 6, V = 4 };
    model m;
    model_begin(&m);
    rondo_value x = rondo_parameter(m.g, "x", "f32[2,3,4]"), z = rondo_input(m.g, "z", "f32[2,3,4]"),
                mask = rondo_input(m.g, "mask", "i32[3]");
    mask = rondo_less(rondo_apply(m.g, "cast", "type=f32", 1, mask), rondo_constant(m.g, 4, "f32[]"));
    rondo_value p = rondo_relu(z);
    rondo_value shares = rondo_div(p, rondo_add_scalar(rondo_sum(p, -1, .keep = true), 1e-9));
    rondo_value heated = rondo_divergence(x, z, .temperature = 2, .mask = mask);
    rondo_value given = rondo_divergence(x, shares, .probabilities = true);
    rondo_graph_free(model_check(&m, rondo_add(heated, given)));
    const double *xs = leaf_data(&m, "x"), *zs = leaf_data(&m, "z"), *masks = leaf_data(&m, "mask");
    double hot = 0, cold = 0, counted = 0;
    for (int r = 0; r < ROWS; r++) {
        double x_hot = 0, z_hot = 0, x_cold = 0, z_cold = 1e-9;
        for (int v = r * V; v < r * V + V; v++) {
            x_hot += exp(xs[v] / 2), z_hot += exp(zs[v] / 2), x_cold += exp(xs[v]);
            z_cold += fmax(zs[v], 0);
        }
        for (int v = r * V; v < r * V + V; v++) {
            double q = exp(zs[v] / 2) / z_hot, share = fmax(zs[v], 0) / z_cold;
            if (masks[r % 3] < 4)
                hot += 4 * q * (log(q) - log(exp(xs[v] / 2) / x_hot));
            if (share > 0)
                cold += share * (log(share) - log(exp(xs[v]) / x_cold));
        }
        counted += masks[r % 3] < 4;
    }
    expect_loss(&m, heated, hot, counted);
    expect_loss(&m, given, cold, ROWS);
    model_end(&m);
}

Test(losses, divergence_moves_the_pupil_alone)
{
    model m;
    model_begin(&m);
    rondo_value x = rondo_parameter(m.g, "x", "f32[3,4]"), z = rondo_input(m.g, "z", "f32[3,4]");
    rondo_graph_free(model_check(&m, rondo_divergence(x, z, .temperature = 3)));
    rondo_value gradient;
    cr_assert(rondo_gradient(rondo_divergence(x, z, .temperature = 3), &z, 1, &gradient));
    rondo_error error = {0};
    value_id *map;
    rondo_graph *d = differentiate(m.g, &map, &error);
    interpretation values = model_run(&m, d);
    for (int i = 0; i < 12; i++)
        cr_expect_float_eq(values.values[map[gradient.id]].data[i], 0, 0);
    interpret_end(&values);
    rondo_graph_free(d);
    model_end(&m);
}

/* ---- the logistic mixture ---- */

Test(losses, logistic_mixture_has_gradients)
{
    model m;
    model_begin(&m);
    rondo_value grey = rondo_parameter(m.g, "grey", "f32[3,5,6]"),
                colour = rondo_parameter(m.g, "rgb", "f32[2,20]"),
                length = rondo_input(m.g, "length", "i32[3]");
    rondo_value one = rondo_logistic_mixture(
        rondo_mul_scalar(grey, 2), rondo_input(m.g, "pixels", "i32[3,5]"), .levels = 6, .length = length);
    rondo_value three =
        rondo_logistic_mixture(colour, rondo_input(m.g, "colours", "i32[2,3]"), .channels = 3, .levels = 6);
    rondo_graph_free(model_check(&m, rondo_add(one, three)));
    model_end(&m);
}

/* The loss of each pixel: what the op `total` adds up. */
static value_id of_pixels(rondo_value loss)
{
    return graph_node_of(loss.graph, loss.id)->inputs[0];
}

/* Means inside, at the edges and beyond, scales from far below a bin to far above the range. */
Test(losses, bins_of_a_logistic_mixture_sum_to_one)
{
    enum { LEVELS = 256, CASES = 5 };
    static const double cases[CASES][6] = {{0, 0, -0.5, 0.5, -3, -2},
                                           {1, -1, -1, 1, -7, -9},
                                           {0, 2, 3, -4, 0, 1},
                                           {0, 0, 0.003, 0.9, 5, 8},
                                           {-30, 0, 0, 0.1, -7, -6.5}};
    model m;
    model_begin(&m);
    rondo_value loss = rondo_logistic_mixture(rondo_input(m.g, "parameters", "f32[5,256,6]"),
                                              rondo_input(m.g, "pixels", "i32[5,256]"));
    model_fill(&m);
    double *parameters = leaf_data(&m, "parameters"), *pixels = leaf_data(&m, "pixels");
    for (int i = 0; i < CASES * LEVELS; i++) {
        pixels[i] = i % LEVELS;
        memcpy(parameters + (size_t)i * 6, cases[i / LEVELS], sizeof cases[0]);
    }
    interpretation values = model_run(&m, m.g);
    const double *nll = values.values[of_pixels(loss)].data;
    for (int k = 0; k < CASES; k++) {
        double sum = 0;
        for (int i = 0; i < LEVELS; i++) {
            cr_expect(isfinite(nll[k * LEVELS + i]), "case %d, pixel %d: %g", k, i, nll[k * LEVELS + i]);
            sum += exp(-nll[k * LEVELS + i]);
        }
        cr_expect_float_eq(sum, 1, 1e-11, "case %d: %.15g", k, sum);
    }
    interpret_end(&values);
    model_end(&m);
}

/* Three channels of few levels: all colours together, so that the coefficients matter. */
Test(losses, colours_of_a_logistic_mixture_sum_to_one)
{
    enum { LEVELS = 5, COLOURS = LEVELS * LEVELS * LEVELS };
    model m;
    model_begin(&m);
    rondo_value parameters = rondo_broadcast(rondo_parameter(m.g, "p", "f32[20]"), "[125,20]");
    rondo_value loss = rondo_logistic_mixture(parameters, rondo_input(m.g, "pixels", "i32[125,3]"),
                                              .channels = 3, .levels = LEVELS);
    model_fill(&m);
    double *pixels = leaf_data(&m, "pixels"), sum = 0;
    for (int i = 0; i < COLOURS; i++) {
        pixels[3 * i] = i % LEVELS;
        pixels[3 * i + 1] = i / LEVELS % LEVELS;
        pixels[3 * i + 2] = i / LEVELS / LEVELS;
    }
    interpretation values = model_run(&m, m.g);
    for (int i = 0; i < COLOURS; i++)
        sum += exp(-values.values[of_pixels(loss)].data[i]);
    cr_expect_float_eq(sum, 1, 1e-12);
    interpret_end(&values);
    model_end(&m);
}

/* ---- CTC ---- */

enum { BATCH = 4, FRAMES = 5, CLASSES = 3, LABELS = 2, BLANK = 1 };

/* Does the path, a class for each frame, spell the labels? */
static bool spells(const int *path, int frames, const double *labels, int length)
{
    int found = 0;
    for (int t = 0; t < frames; t++) {
        if (path[t] == BLANK || (t && path[t] == path[t - 1]))
            continue;
        if (found == length || path[t] != (int)labels[found])
            return false;
        found++;
    }
    return found == length;
}

static double path_probability(const int *path, int frames, const double *logits)
{
    double product = 1;
    for (int t = 0; t < frames; t++) {
        double sum = 0;
        for (int v = 0; v < CLASSES; v++)
            sum += exp(logits[t * CLASSES + v]);
        product *= exp(logits[t * CLASSES + path[t]]) / sum;
    }
    return product;
}

static double all_paths(const double *logits, int frames, const double *labels, int length)
{
    int path[FRAMES] = {0}, paths = 1;
    double sum = 0;
    for (int t = 0; t < frames; t++)
        paths *= CLASSES;
    for (int number = 0; number < paths; number++) {
        for (int t = 0, left = number; t < frames; t++, left /= CLASSES)
            path[t] = left % CLASSES;
        if (spells(path, frames, labels, length))
            sum += path_probability(path, frames, logits);
    }
    return sum;
}

/* All labels of each length in any number of frames, those that do not fit among them. */
Test(losses, ctc_is_the_sum_over_all_paths)
{
    static const int classes[] = {0, 2};
    model m;
    model_begin(&m);
    rondo_value x = rondo_parameter(m.g, "x", "f32[4,5,3]");
    rondo_value loss =
        rondo_ctc(x, rondo_input(m.g, "labels", "i32[4,2]"), .frames = rondo_input(m.g, "frames", "i32[4]"),
                  .label_lengths = rondo_input(m.g, "lengths", "i32[4]"), .blank = BLANK);
    model_fill(&m);
    double *xs = leaf_data(&m, "x"), *labels = leaf_data(&m, "labels"), *frames = leaf_data(&m, "frames"),
           *lengths = leaf_data(&m, "lengths");
    for (int k = 0; k <= FRAMES; k++) {
        double expected = 0, count = 0;
        for (int b = 0; b < BATCH; b++) {
            labels[b * LABELS] = classes[b / 2];
            labels[b * LABELS + 1] = classes[b % 2];
            frames[b] = k;
            lengths[b] = (b + k) % (LABELS + 1);
            double p = all_paths(xs + b * FRAMES * CLASSES, k, labels + b * LABELS, (int)lengths[b]);
            expected -= p > 0 ? log(p) : 0;
            count += p > 0;
        }
        expect_loss(&m, loss, expected, count);
        value_id impossible = build_output(m.g, loss.id, 2);
        cr_expect_float_eq(model_number(&m, m.g, impossible), BATCH - count, 0);
    }
    model_end(&m);
}
