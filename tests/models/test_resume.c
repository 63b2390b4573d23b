/* Where nobody names the sentences, dropout is drawn by the number of the batch: a checkpoint knows it,
 * accumulated batches included. */
#include "models/weights.h"
#include "tests/models/small_model.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { ROWS = 2, LENGTH = 6 };

typedef struct training {
    rondo *context;
    transformer_graph built;
    rondo_weights *weights;
    rondo_trainer *trainer;
} training;

static training training_new(void)
{
    rondo_error error = {0};
    training t = {.context = rondo_new(1)};
    const transformer shape = {.language_model = true,
                               .vocabulary = SMALL_VOCABULARY,
                               .dim = 12,
                               .ffn = 20,
                               .heads = 3,
                               .decoder_layers = 1,
                               .dropout = 0.4f,
                               .decoder_self = "linear"};
    cr_assert(transformer_build(t.context, &shape, &t.built, &error), "%s", error.message);
    t.weights = rondo_weights_new(t.built.graph, 5, &error);
    t.trainer = rondo_trainer_new(t.built.loss, &error, t.weights, .seed = 11);
    cr_assert(t.trainer, "%s", error.message);
    return t;
}

static void training_free(training *t)
{
    rondo_trainer_free(t->trainer);
    rondo_weights_free(t->weights);
    rondo_graph_free(t->built.graph);
    rondo_free(t->context);
}

static double run(training *t, bool update)
{
    rondo_error error = {0};
    rondo_step s;
    int32_t in[ROWS * LENGTH], out[ROWS * LENGTH];
    for (int i = 0; i < ROWS * LENGTH; i++) {
        in[i] = small_token(i / LENGTH, i % LENGTH);
        out[i] = small_token(i / LENGTH, i % LENGTH + 1);
    }
    const rondo_tensor inputs[] = {{"target_in", RONDO_I32, 2, {ROWS, LENGTH}, in},
                                   {"target_out", RONDO_I32, 2, {ROWS, LENGTH}, out}};
    bool good = update ? rondo_trainer_step(t->trainer, inputs, 2, 1e-3f, &s, &error)
                       : rondo_trainer_accumulate(t->trainer, inputs, 2, &s, &error);
    cr_assert(good, "%s", error.message);
    return s.loss;
}

Test(resume, dropout_goes_on_with_the_next_batch)
{
    char path[100];
    rondo_error error = {0};
    training through = training_new(), resumed = training_new();
    double first = run(&through, false), second = run(&through, true);
    cr_expect_neq(first, second, "two batches were given the same masks");
    snprintf(path, sizeof path, "/tmp/rondo-test-%d-resume.safetensors", (int)getpid());
    cr_assert(rondo_trainer_save(through.trainer, path, &error) &&
                  rondo_trainer_load(resumed.trainer, path, &error),
              "%s", error.message);
    for (int i = 0; i < 3; i++) {
        double a = run(&through, i != 1), b = run(&resumed, i != 1);
        cr_expect_eq(a, b, "batch %d: %.9g, after a resume %.9g", i, a, b);
    }
    unlink(path);
    training_free(&through);
    training_free(&resumed);
}
