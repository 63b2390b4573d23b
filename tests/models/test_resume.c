/* What a checkpoint keeps besides the numbers. Without the input `sentences`, dropout depends on the number
 * of the batch, accumulated batches included; and the kernels are those that the run began with. */
#include "compiler/program/wisdom.h"
#include "models/train/trainer.h"
#include "models/weights.h"
#include "tests/models/small_model.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { ROWS = 2, LENGTH = 6, LONGER = 9 };

static training training_new(const char *wisdom)
{
    const transformer shape = {.language_model = true,
                               .vocabulary = SMALL_VOCABULARY,
                               .dim = 12,
                               .ffn = 20,
                               .heads = 3,
                               .decoder_layers = 1,
                               .dropout = 0.4f,
                               .decoder_self = "linear"};
    return training_of(rondo_new(1, .wisdom = wisdom), &shape, 0, 11);
}

static double run(training *t, bool update, int64_t length)
{
    rondo_error error = {0};
    rondo_step s;
    int32_t in[ROWS * LONGER], out[ROWS * LONGER];
    for (int i = 0; i < ROWS * length; i++) {
        in[i] = small_token(i / length, i % length);
        out[i] = small_token(i / length, i % length + 1);
    }
    const rondo_tensor inputs[] = {{"target_in", RONDO_I32, 2, {ROWS, length}, in},
                                   {"target_out", RONDO_I32, 2, {ROWS, length}, out}};
    bool good = update ? rondo_trainer_step(t->trainer, inputs, 2, 1e-3f, &s, &error)
                       : rondo_trainer_accumulate(t->trainer, inputs, 2, &s, &error);
    cr_assert(good, "%s", error.message);
    return s.loss;
}

Test(resume, dropout_goes_on_with_the_next_batch)
{
    char path[100];
    rondo_error error = {0};
    training through = training_new(NULL), resumed = training_new(NULL);
    double first = run(&through, false, LENGTH), second = run(&through, true, LENGTH);
    cr_expect_neq(first, second, "two batches were given the same masks");
    snprintf(path, sizeof path, "/tmp/rondo-test-%d-resume.safetensors", (int)getpid());
    cr_assert(rondo_trainer_save(through.trainer, path, &error) &&
                  rondo_trainer_load(resumed.trainer, path, &error),
              "%s", error.message);
    for (int i = 0; i < 3; i++) {
        double a = run(&through, i != 1, LENGTH), b = run(&resumed, i != 1, LENGTH);
        cr_expect_eq(a, b, "batch %d: %.9g, after a resume %.9g", i, a, b);
    }
    unlink(path);
    training_free(&through);
    training_free(&resumed);
}

/* Wisdom that takes the last candidate for each call of these lengths, as on a machine where it is faster. */
static void write_wisdom(const char *path)
{
    rondo_error error = {0};
    training t = training_new(NULL);
    FILE *file = fopen(path, "w");
    fprintf(file, WISDOM_HEADER "\n");
    for (int64_t length = LENGTH; length <= LONGER; length += LONGER - LENGTH) {
        run(&t, true, length);
        const program *p = trainer_program(t.trainer);
        for (int c = 0; c < p->specialisations->call_count; c++) {
            const kernel_call *call = &p->specialisations->calls[c];
            const kernel *const *last = op_table[call->op].kernels;
            char key[WISDOM_KEY_BYTES];
            while (last[1])
                last++;
            if (wisdom_key(call, key))
                fprintf(file, "%s %s %s\n", op_table[call->op].signature.name, key, (*last)->name);
        }
    }
    cr_assert(!fclose(file) && !error.code);
    training_free(&t);
}

static bool same_kernels(const training *a, const training *b)
{
    const specialisation *x = trainer_program(a->trainer)->specialisations,
                         *y = trainer_program(b->trainer)->specialisations;
    for (int c = 0; c < x->call_count; c++)
        if (x->calls[c].kernel != y->calls[c].kernel)
            return false;
    return x->call_count == y->call_count;
}

/* Whatever wisdom there is on resuming, and also for lengths that did not occur before. */
Test(resume, kernels_are_those_that_the_run_began_with)
{
    char path[100], checkpoint[100];
    rondo_error error = {0};
    snprintf(path, sizeof path, "/tmp/rondo-test-%d.wisdom", (int)getpid());
    snprintf(checkpoint, sizeof checkpoint, "/tmp/rondo-test-%d-kernels.safetensors", (int)getpid());
    write_wisdom(path);
    training wise = training_new(path), plain = training_new(NULL), resumed = training_new(NULL),
             other = training_new(path);
    run(&wise, true, LENGTH);
    run(&plain, true, LENGTH);
    run(&resumed, true, LENGTH); /* its programs have chosen kernels before it loads */
    cr_assert_not(same_kernels(&wise, &plain), "no call has a second kernel: this test sees nothing");
    cr_assert(rondo_trainer_save(wise.trainer, checkpoint, &error) &&
                  rondo_trainer_load(resumed.trainer, checkpoint, &error) &&
                  rondo_trainer_save(plain.trainer, checkpoint, &error) &&
                  rondo_trainer_load(other.trainer, checkpoint, &error),
              "%s", error.message);
    for (int64_t length = LENGTH; length <= LONGER; length += LONGER - LENGTH) {
        cr_expect_eq(run(&wise, true, length), run(&resumed, true, length));
        cr_expect(same_kernels(&wise, &resumed), "with wisdom before: other kernels for length %d",
                  (int)length);
        cr_expect_eq(run(&plain, true, length), run(&other, true, length));
        cr_expect(same_kernels(&plain, &other), "with wisdom behind: other kernels for length %d",
                  (int)length);
    }
    unlink(path);
    unlink(checkpoint);
    training_free(&wise);
    training_free(&plain);
    training_free(&resumed);
    training_free(&other);
}
