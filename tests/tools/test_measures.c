/* What a mixer adds to the loss, in the messages of `rondo train` and in its checkpoint. */
#include "core/safetensors.h"
#include "rondo.h"
#include "tools/run/measures.h"
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

Test(measures, add_up_sums_and_counts)
{
    const rondo_measure first[] = {{.name = "loss", .sum = 9, .count = 1},
                                   {.name = "decay", .sum = 1, .count = 2, .weight = 1},
                                   {.name = "accuracy", .sum = 3, .count = 3}};
    const rondo_measure second[] = {{.name = "loss", .sum = 9, .count = 1},
                                    {.name = "decay", .sum = 2, .count = 2, .weight = 1},
                                    {.name = "accuracy", .sum = 0, .count = 1}};
    measures m = {0};
    char out[MEASURES_BYTES];
    cr_expect_str_eq(measures_format(out, &m), "");
    measures_add(&m, &(rondo_step){.measures = first, .measure_count = 3});
    measures_add(&m, &(rondo_step){.measures = second, .measure_count = 3});
    cr_expect_str_eq(measures_format(out, &m), "decay 0.75, accuracy 0.75, ");
}

/* Six are shown, and only whole ones. */
Test(measures, that_do_not_fit_are_left_out)
{
    char names[10][100], out[MEASURES_BYTES];
    rondo_measure all[10];
    measures m = {0};
    for (int i = 0; i < 10; i++) {
        memset(names[i], 'a' + i, 90);
        names[i][90] = 0;
        all[i] = (rondo_measure){.name = names[i], .sum = i, .count = 1};
    }
    measures_add(&m, &(rondo_step){.measures = all, .measure_count = 10});
    cr_expect_eq(m.count, MEASURES_SHOWN);
    measures_format(out, &m);
    cr_expect_eq(strlen(out), 2 * strlen(" 1, ") + 180);
}

/* The mean of what is said, with a penalty on the values of each layer. */
static rondo_value penalised(void *user, rondo_value x, rondo_value y, rondo_value length, bool causal,
                             int64_t heads)
{
    (void)user, (void)y, (void)length, (void)causal, (void)heads;
    rondo_value w = rondo_parameter(x.graph, "w.weight", "f32[%lld]", (long long)rondo_extent(x, -1));
    rondo_objective(rondo_sum(rondo_mul(w, w), -1), "penalty", .weight = 0.1f);
    return rondo_mul(x, w);
}

static void write_lines(const char *path, const char *words, int count)
{
    FILE *file = fopen(path, "w");
    for (int i = 0; i < count; i++)
        fprintf(file, "%s %c%c\n", words, 'a' + i % 26, 'a' + i / 26);
    fclose(file);
}

Test(measures, of_a_mixer_are_printed_and_saved, .init = cr_redirect_stderr)
{
    char folder[] = "/tmp/rondo-measures-XXXXXX", said[20000] = "";
    cr_assert(mkdtemp(folder) && chdir(folder) == 0);
    write_lines("train.txt", "the quick brown fox jumps over the lazy dog", 300);
    write_lines("valid.txt", "the lazy dog", 20);
    rondo *r = rondo_new(1);
    rondo_error error = {0};
    cr_assert(rondo_mixer_add(r, "penalised", penalised, NULL, &error), "%s", error.message);
    const char *words[] = {"rondo",          "train",     "--type",           "language",
                           "--train",        "train.txt", "--valid",          "valid.txt",
                           "--dim",          "16",        "--heads",          "2",
                           "--ffn",          "16",        "--decoder-layers", "1",
                           "--vocabulary",   "60",        "--updates",        "3",
                           "--decoder-self", "penalised", "--output-folder",  "run",
                           "--report-every", "1"};
    int code = rondo_main(r, sizeof words / sizeof *words, (char **)words);
    fflush(stderr);
    FILE *err = cr_get_redirected_stderr();
    size_t length = fread(said, 1, sizeof said - 1, err);
    said[length] = 0;
    cr_assert_eq(code, 0, "%s", said);
    cr_expect(strstr(said, "penalty "), "%s", said);
    cr_expect(strstr(said, "penalty 16, perplexity"), "%s", said);
    safetensors file;
    cr_assert(safetensors_open(&file, NULL, "run/checkpoint.safetensors", &error), "%s", error.message);
    cr_expect_not_null(safetensors_metadata(&file, "rondo.measure.decoder.layers.0.self_attn.penalty"));
    safetensors_close(&file);
    rondo_free(r);
}
