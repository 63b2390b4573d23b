/* Labels without their places in time: a recogniser of frames that is trained with CTC. Each label sounds for
 * two to four frames, with noise; the model is told which labels a line has, but not when they begin.
 *
 *   cc ctc.c $(pkg-config --cflags --libs rondo) -lm -o ctc && ./ctc
 */
#include <math.h>
#include <rondo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SOUNDS = 5,
    BLANK = SOUNDS,
    CHANNELS = 8,
    WIDTH = 32,
    BATCH = 16,
    LABELS = 6,
    FRAMES = 28,
    UPDATES = 250
};

/* [B, T, 8] frames → [B, T, 6] logits of the labels and the blank. */
static rondo_value recognise(rondo_graph *g, rondo_value frames)
{
    rondo_value x = rondo_linear(rondo_input(g, "x", "f32[B,T,%d]", CHANNELS), WIDTH, .name = "input");
    rondo_value near = rondo_relu(rondo_convolve(x, 4, .name = "near", .length = frames));
    rondo_value h = rondo_relu(rondo_linear(rondo_add(x, near), WIDTH, .name = "hidden"));
    return rondo_linear(h, SOUNDS + 1, .name = "output");
}

typedef struct batch {
    float x[BATCH * FRAMES * CHANNELS];
    int32_t frames[BATCH], labels[BATCH * LABELS], label_lengths[BATCH];
    rondo_tensor tensors[4];
} batch;

static float noise(void)
{
    return (float)rand() / (float)RAND_MAX - 0.5f;
}

/* Frames of one label, from *frame on: a pattern of its own that is silent in its last frame. */
static void say(float *x, int label, int *frame)
{
    int length = 2 + rand() % 3;
    for (int i = 0; i < length; i++, ++*frame)
        for (int c = 0; c < CHANNELS; c++)
            x[*frame * CHANNELS + c] =
                (i + 1 < length ? sinf((float)(label * 7 + c * 3 + 1)) : 0) + 0.5f * noise();
}

static void make_batch(batch *b)
{
    memset(b, 0, sizeof *b);
    for (int i = 0; i < BATCH; i++) {
        b->label_lengths[i] = 2 + rand() % (LABELS - 1);
        for (int k = 0; k < b->label_lengths[i]; k++) {
            b->labels[i * LABELS + k] = rand() % SOUNDS;
            say(b->x + i * FRAMES * CHANNELS, b->labels[i * LABELS + k], &b->frames[i]);
        }
    }
    const rondo_tensor tensors[] = {{"x", RONDO_F32, 3, {BATCH, FRAMES, CHANNELS}, b->x},
                                    {"frames", RONDO_I32, 1, {BATCH}, b->frames},
                                    {"labels", RONDO_I32, 2, {BATCH, LABELS}, b->labels},
                                    {"label_lengths", RONDO_I32, 1, {BATCH}, b->label_lengths}};
    memcpy(b->tensors, tensors, sizeof tensors);
}

static bool train(rondo_trainer *trainer, batch *b, rondo_error *error)
{
    for (int i = 1; i <= UPDATES; i++) {
        rondo_step step;
        make_batch(b);
        if (!rondo_trainer_step(trainer, b->tensors, 4, 5e-3f, &step, error))
            return false;
        if (i % 50 == 0)
            printf("update %d: %.3f nats a line, %s %.2f\n", i, step.loss, step.measures[1].name,
                   step.measures[1].value);
    }
    return true;
}

/* The best class of each frame with repeats merged and blanks left out; returns how many labels there are. */
static int spell(const int32_t *best, int frames, int32_t *labels)
{
    int count = 0;
    for (int t = 0; t < frames; t++)
        if (best[t] != BLANK && (!t || best[t] != best[t - 1]))
            labels[count++] = best[t];
    return count;
}

/* Recognises a new batch; how many lines are right, −1: failed. */
static int recognise_batch(const rondo_function *f, const rondo_weights *weights, batch *b,
                           rondo_error *error)
{
    rondo_tensor best;
    int right = 0;
    make_batch(b);
    rondo_results *results = rondo_function_run(f, weights, b->tensors, 2, error);
    if (!results || !rondo_results_get(results, "best", &best))
        return -1;
    for (int i = 0; i < BATCH; i++) {
        int32_t found[FRAMES], *said = b->labels + i * LABELS;
        int count = spell((const int32_t *)best.data + i * FRAMES, b->frames[i], found);
        right += count == b->label_lengths[i] && !memcmp(found, said, sizeof *said * (size_t)count);
        for (int k = 0; i < 3 && k < b->label_lengths[i]; k++)
            putchar('a' + said[k]);
        for (int k = 0; i < 3 && k < count; k++)
            printf("%s%c%s", k ? "" : " heard as ", 'a' + found[k], k + 1 < count ? "" : "\n");
    }
    rondo_results_free(results);
    return right;
}

int main(void)
{
    static const char *const name = "best";
    static batch b;
    rondo_error error = {RONDO_OK, ""};
    rondo *r = rondo_new(2);
    rondo_graph *g = rondo_graph_new(r, &error);
    rondo_value frames = rondo_input(g, "frames", "i32[B]"), logits = recognise(g, frames);
    rondo_value loss = rondo_ctc(logits, rondo_input(g, "labels", "i32[B,%d]", LABELS), .frames = frames,
                                 .label_lengths = rondo_input(g, "label_lengths", "i32[B]"), .blank = BLANK);
    rondo_value best = rondo_argmax(logits, -1);
    rondo_weights *weights = rondo_weights_new(g, 1, &error);
    rondo_trainer *trainer = rondo_trainer_new(loss, &error, weights);
    bool trained = trainer && train(trainer, &b, &error);
    rondo_function *f = trained ? rondo_function_new(&best, &name, 1, &error) : NULL;
    int right = f ? recognise_batch(f, weights, &b, &error) : -1;
    if (right < 0)
        fprintf(stderr, "%s\n", error.message);
    else
        printf("%d of %d lines are right\n", right, BATCH);
    rondo_function_free(f);
    rondo_trainer_free(trainer);
    rondo_weights_free(weights);
    rondo_graph_free(g);
    rondo_free(r);
    return right >= BATCH * 3 / 4 ? 0 : 1;
}
