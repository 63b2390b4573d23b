/* Random numbers: their distributions, and that each belongs to its site, seed, sentence, position and
 * channel, whatever else is in the tensor. */
#include "kernel_bench.h"
#include "ops/rules.h"
#include <criterion/criterion.h>

enum { SENTENCES = 4, TIME = 8, CHANNELS = 2048, COUNT = SENTENCES * TIME * CHANNELS };

static const int32_t some_sentences[SENTENCES] = {3, 11, 4, 0};

/* [sentences, TIME, CHANNELS] with `offset` tokens before. */
static void draw(int op, int64_t site, const int32_t seed[2], const int32_t *sentences, int64_t count,
                 int32_t offset, float *out)
{
    int32_t offsets[SENTENCES], seeds[2] = {seed[0], seed[1]}, ids[SENTENCES];
    for (int b = 0; b < count; b++) {
        offsets[b] = offset;
        ids[b] = sentences[b];
    }
    tensor in[] = {{seeds, RONDO_I32, 1, {2}, {1}},
                   {ids, RONDO_I32, 1, {count}, {1}},
                   {offsets, RONDO_I32, 1, {count}, {1}}};
    tensor y = {out, RONDO_F32, 3, {count, TIME, CHANNELS}, {TIME * CHANNELS, CHANNELS, 1}};
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[random_uniform_site].integer = site;
    attributes[random_uniform_axis].integer = 1;
    kernel_call call = bench_call(op, attributes, 3, in, 1, &y);
    cr_assert(bench_run(&kernel_random, &call, false));
}

static float numbers[COUNT], others[COUNT];
static const int32_t seed[2] = {7, -2};

/* The mean of the first four powers, within five standard errors. */
static void expect_moments(int op, const double mean[4], const double deviation[4])
{
    draw(op, 5, seed, some_sentences, SENTENCES, 0, numbers);
    for (int power = 0; power < 4; power++) {
        double sum = 0;
        for (int i = 0; i < COUNT; i++)
            sum += pow(numbers[i], power + 1);
        double off = sum / COUNT - mean[power], error = deviation[power] / sqrt(COUNT);
        cr_expect_lt(fabs(off), 5 * error, "power %d: the mean is off by %g standard errors", power + 1,
                     off / error);
    }
}

Test(random_kernel, uniform_numbers_have_its_moments)
{
    expect_moments(OP_random_uniform, (double[]){1. / 2, 1. / 3, 1. / 4, 1. / 5},
                   (double[]){0.289, 0.299, 0.284, 0.267});
    for (int i = 0; i < COUNT; i++)
        cr_assert(numbers[i] >= 0 && numbers[i] < 1);
}
Test(random_kernel, normal_numbers_have_its_moments)
{
    expect_moments(OP_random_normal, (double[]){0, 1, 0, 3}, (double[]){1, 1.42, 3.88, 9.8});
}
/* Its mean is Euler's constant γ, its variance π² / 6. */
Test(random_kernel, gumbel_numbers_have_its_moments)
{
    expect_moments(OP_random_gumbel, (double[]){0.577216, 1.978112, 5.444874, 23.561474},
                   (double[]){1.2826, 4.43, 17.4, 83});
}

/* Whatever changes, the numbers have nothing to do with the old ones. */
static void expect_unrelated(int64_t site, const int32_t other_seed[2], int32_t offset)
{
    double products = 0;
    draw(OP_random_normal, 5, seed, some_sentences, SENTENCES, 0, numbers);
    draw(OP_random_normal, site, other_seed, some_sentences, SENTENCES, offset, others);
    for (int i = 0; i < COUNT; i++)
        products += (double)numbers[i] * others[i];
    cr_expect_lt(fabs(products) / COUNT, 5 / sqrt(COUNT));
}

Test(random_kernel, every_site_seed_and_position_has_its_own)
{
    expect_unrelated(6, seed, 0);
    expect_unrelated(5, (int32_t[]){7, -1}, 0);
    expect_unrelated(5, (int32_t[]){8, -2}, 0);
    expect_unrelated(5, seed, 1);
}

Test(random_kernel, neighbours_are_unrelated)
{
    double across = 0, along = 0;
    draw(OP_random_normal, 5, seed, some_sentences, SENTENCES, 0, numbers);
    for (int i = CHANNELS; i < COUNT; i++) {
        across += (double)numbers[i] * numbers[i - 1];
        along += (double)numbers[i] * numbers[i - CHANNELS];
    }
    cr_expect_lt(fabs(across) / COUNT, 5 / sqrt(COUNT));
    cr_expect_lt(fabs(along) / COUNT, 5 / sqrt(COUNT));
}

Test(random_kernel, a_sentence_has_its_numbers_in_any_batch_and_from_any_position)
{
    draw(OP_random_gumbel, 5, seed, some_sentences, SENTENCES, 0, numbers);
    for (int b = 0; b < SENTENCES; b++) {
        draw(OP_random_gumbel, 5, seed, some_sentences + b, 1, 0, others);
        cr_expect(!memcmp(others, numbers + b * TIME * CHANNELS, sizeof(float) * TIME * CHANNELS));
        draw(OP_random_gumbel, 5, seed, some_sentences + b, 1, 3, others);
        cr_expect(
            !memcmp(others, numbers + (b * TIME + 3) * CHANNELS, sizeof(float) * (TIME - 3) * CHANNELS));
    }
}
