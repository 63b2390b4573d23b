/* The trainer clips the norm of the mean gradient: Adam gets a gradient that is scaled by one factor, and a
 * gradient that is short enough does not change. */
#include "core/safetensors.h"
#include "models/weights.h"
#include "tests/models/small_model.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

enum { ROWS = 2, LENGTH = 5 };

/* One update from the same weights; gives the norm, and |moment1|², which is ((1 − β1) · norm)² unless it was
 * clipped. */
static double squares_after_step(const small_model *m, float clip, double *norm)
{
    char path[100];
    rondo_error error = {0};
    rondo_step s;
    int32_t in[ROWS * LENGTH], out[ROWS * LENGTH];
    for (int i = 0; i < ROWS * LENGTH; i++) {
        in[i] = small_token(i / LENGTH, i % LENGTH);
        out[i] = small_token(i / LENGTH, i % LENGTH + 1);
    }
    const rondo_tensor inputs[] = {{"target_in", RONDO_I32, 2, {ROWS, LENGTH}, in},
                                   {"target_out", RONDO_I32, 2, {ROWS, LENGTH}, out}};
    rondo_weights *weights = rondo_weights_new(m->built.graph, 3, &error);
    rondo_trainer *t = rondo_trainer_new(m->built.loss, &error, weights, .clip_norm = clip, .beta1 = 0.5f);
    cr_assert(t, "%s", error.message);
    cr_assert(rondo_trainer_step(t, inputs, 2, 1e-3f, &s, &error), "%s", error.message);
    snprintf(path, sizeof path, "/tmp/rondo-test-%d-clip.safetensors", (int)getpid());
    safetensors file;
    cr_assert(rondo_trainer_save(t, path, &error) &&
                  safetensors_open(&file, &m->context->allocator, path, &error),
              "%s", error.message);
    double squares = 0;
    for (int i = 0; i < weights->item_count; i++) {
        char name[200];
        snprintf(name, sizeof name, "optimizer.moment1.%s", weights->items[i].name);
        const stored_tensor *stored = safetensors_find(&file, name);
        cr_assert(stored, "no %s", name);
        const float *moment = safetensors_data(&file, stored);
        for (int64_t k = 0; k < weights->items[i].count; k++)
            squares += (double)moment[k] * moment[k];
    }
    safetensors_close(&file);
    unlink(path);
    rondo_trainer_free(t);
    rondo_weights_free(weights);
    *norm = s.gradient_norm;
    return squares;
}

Test(clipping, shortens_what_is_too_long_and_nothing_else)
{
    double norm, again;
    small_model m = small_model_new(NULL, "linear", NULL, 1);
    double free_of_it = sqrt(squares_after_step(&m, 0, &norm)),
           wide = sqrt(squares_after_step(&m, (float)(2 * norm), &again));
    cr_expect_float_eq(free_of_it, 0.5 * norm, 1e-5 * norm);
    cr_expect_eq(wide, free_of_it, "a norm of %g was clipped at %g", norm, 2 * norm);
    double half = sqrt(squares_after_step(&m, (float)(norm / 2), &again));
    cr_expect_float_eq(half, 0.25 * norm, 1e-5 * norm, "%g became %g", 0.5 * norm, half);
    cr_expect_eq(again, norm, "what is reported is the norm before");
    small_model_free(&m);
}
