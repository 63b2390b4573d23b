/* A classifier, from its definition to a prediction: which of three letters occurs most often in a line of
 * letters of any length. The loss is the cross entropy of the class, a penalty on the weights is a second
 * objective, and accuracy is a metric; each is divided by its own count.
 *
 *   cc classifier.c $(pkg-config --cflags --libs rondo) -lm -o classifier && ./classifier
 */
#include <rondo.h>
#include <stdio.h>
#include <stdlib.h>

enum { CLASSES = 3, LETTERS = 8, WIDTH = 32, BATCH = 64, MOST = 15, UPDATES = 300 };

/* [B, T] letters, of which length[b] count → [B, 3] logits: the mean of their vectors through a layer. */
static rondo_value classify(rondo_graph *g)
{
    rondo_value letters = rondo_input(g, "letters", "i32[B,T]"), length = rondo_input(g, "length", "i32[B]");
    rondo_value table = rondo_parameter(g, "embed.weight", "f32[%d,%d]", LETTERS, WIDTH);
    rondo_value sum = rondo_sum(rondo_row_mask(rondo_embed(table, letters), length), 1);
    rondo_value count = rondo_reshape(rondo_apply(g, "cast", "type=f32", 1, length), "[B,1]");
    rondo_value h = rondo_relu(rondo_linear(rondo_div(sum, count), WIDTH, .name = "hidden"));
    return rondo_linear(h, CLASSES, .name = "output");
}

static void add_objectives(rondo_graph *g, rondo_value logits, rondo_value loss, rondo_value classes)
{
    rondo_value guess = rondo_apply(g, "cast", "type=f32", 1, rondo_argmax(logits, -1));
    rondo_value hits = rondo_equal(guess, rondo_apply(g, "cast", "type=f32", 1, classes));
    rondo_metric(rondo_sum(hits, 0), rondo_count(loss), "accuracy");
    rondo_value w = rondo_parameter(g, "output.weight", "f32[%d,%d]", CLASSES, WIDTH);
    rondo_objective(rondo_sum(rondo_sum(rondo_mul(w, w), -1), -1), "decay", .weight = 1e-3f);
}

typedef struct batch {
    int32_t letters[BATCH * MOST], length[BATCH], classes[BATCH];
    rondo_tensor tensors[3];
} batch;

/* A line of letters a to h; whether one of a, b, c leads. */
static bool make_line(int32_t *letters, int32_t length, int32_t *leader)
{
    int counts[LETTERS] = {0}, leaders = 0;
    for (int t = 0; t < MOST; t++)
        letters[t] = t < length ? rand() % LETTERS : 0;
    for (int t = 0; t < length; t++)
        counts[letters[t]]++;
    *leader = 0;
    for (int c = 1; c < CLASSES; c++)
        *leader = counts[c] > counts[*leader] ? c : *leader;
    for (int c = 0; c < CLASSES; c++)
        leaders += counts[c] == counts[*leader];
    return leaders == 1;
}

static void make_batch(batch *b)
{
    for (int i = 0; i < BATCH; i++) {
        b->length[i] = 3 + rand() % (MOST - 2);
        while (!make_line(b->letters + i * MOST, b->length[i], &b->classes[i]))
            continue;
    }
    b->tensors[0] = (rondo_tensor){"letters", RONDO_I32, 2, {BATCH, MOST}, b->letters};
    b->tensors[1] = (rondo_tensor){"length", RONDO_I32, 1, {BATCH}, b->length};
    b->tensors[2] = (rondo_tensor){"classes", RONDO_I32, 1, {BATCH}, b->classes};
}

static void print_measures(const char *when, int update, const rondo_step *step)
{
    printf("%s %3d:", when, update);
    for (size_t i = 0; i < step->measure_count; i++)
        printf("  %s %.3f", step->measures[i].name, step->measures[i].value);
    printf("\n");
}

/* The share of lines of a new batch that are classified right; −1: failed. */
static double train(rondo_trainer *trainer, rondo_error *error)
{
    static batch b;
    rondo_step step;
    for (int i = 1; i <= UPDATES; i++) {
        make_batch(&b);
        if (!rondo_trainer_step(trainer, b.tensors, 3, 1e-2f, &step, error))
            return -1;
        if (i % 100 == 0)
            print_measures("update", i, &step);
    }
    make_batch(&b);
    if (!rondo_trainer_evaluate(trainer, b.tensors, 3, &step, error))
        return -1;
    print_measures("new lines", BATCH, &step);
    return step.measures[1].value;
}

/* Prints the class of one line. */
static bool predict(const rondo_function *f, const rondo_weights *weights, const char *line,
                    rondo_error *error)
{
    int32_t letters[MOST], length = 0;
    for (; line[length] && length < MOST; length++)
        letters[length] = line[length] - 'a';
    const rondo_tensor inputs[] = {{"letters", RONDO_I32, 2, {1, length}, letters},
                                   {"length", RONDO_I32, 1, {1}, &length}};
    rondo_tensor shares;
    rondo_results *results = rondo_function_run(f, weights, inputs, 2, error);
    bool good = results && rondo_results_get(results, "shares", &shares);
    printf("%s:", line);
    for (int c = 0; good && c < CLASSES; c++)
        printf("  %c %.2f", 'a' + c, ((const float *)shares.data)[c]);
    printf("\n");
    rondo_results_free(results);
    return good;
}

int main(void)
{
    static const char *const name = "shares";
    rondo_error error = {RONDO_OK, ""};
    rondo *r = rondo_new(2);
    rondo_graph *g = rondo_graph_new(r, &error);
    rondo_value logits = classify(g), classes = rondo_input(g, "classes", "i32[B]");
    rondo_value loss = rondo_cross_entropy(logits, classes), shares = rondo_softmax(logits);
    add_objectives(g, logits, loss, classes);
    rondo_weights *weights = rondo_weights_new(g, 1, &error);
    rondo_trainer *trainer = rondo_trainer_new(loss, &error, weights);
    double right = trainer ? train(trainer, &error) : -1;
    rondo_function *f = right >= 0 ? rondo_function_new(&shares, &name, 1, &error) : NULL;
    bool good = f && predict(f, weights, "abacadea", &error) && predict(f, weights, "hcgcfb", &error);
    if (!good)
        fprintf(stderr, "%s\n", error.message);
    rondo_function_free(f);
    rondo_trainer_free(trainer);
    rondo_weights_free(weights);
    rondo_graph_free(g);
    rondo_free(r);
    return good && right > 0.9 ? 0 : 1;
}
