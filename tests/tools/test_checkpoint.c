/* The checkpoints of a run: which state is kept when training diverges, and facts that cannot be. */
#include "tests/models/small_model.h"
#include "tests/tools/small_tokenizer.h"
#include "tools/run/checkpoint.h"
#include "tools/run/divergence.h"
#include <criterion/criterion.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static char folder[] = "/tmp/rondo-run-XXXXXX", names[3][64];
static run_folder files;
static training model;
static tokenizer *subwords;
static checkpoints kept;
static checkpoint_facts facts;

static void enter(void)
{
    const transformer shape = {.language_model = true,
                               .vocabulary = SMALL_VOCABULARY,
                               .dim = 12,
                               .ffn = 20,
                               .heads = 3,
                               .decoder_layers = 1,
                               .decoder_self = "linear"};
    rondo_error error = {0};
    cr_assert(mkdtemp(folder));
    snprintf(names[0], sizeof names[0], "%s/checkpoint.safetensors", folder);
    snprintf(names[1], sizeof names[1], "%s/previous.safetensors", folder);
    snprintf(names[2], sizeof names[2], "%s/diverged.safetensors", folder);
    files = (run_folder){.path = folder, .checkpoint = names[0], .previous = names[1], .diverged = names[2]};
    model = training_of(rondo_new(1), &shape, 0, 11);
    cr_assert(subwords = small_tokenizer(60, TOKENIZER_BPE, &error));
    kept = (checkpoints){&files, NULL, .saved = -1};
    facts = (checkpoint_facts){.best_nll = NAN, .lowest_nll = INFINITY, .epoch = 3, .index = 7, .data = 99};
}
static void leave(void)
{
    for (int i = 0; i < 3; i++)
        unlink(names[i]);
    rmdir(folder);
    tokenizer_free(subwords);
    training_free(&model);
}
TestSuite(checkpoints, .init = enter, .fini = leave);

/* One update of the trainer, and a checkpoint. */
static void update_and_save(int64_t update)
{
    rondo_error error = {0};
    int32_t tokens[6];
    for (int i = 0; i < 6; i++)
        tokens[i] = small_token(0, i);
    const rondo_tensor inputs[] = {{"target_in", RONDO_I32, 2, {1, 5}, tokens},
                                   {"target_out", RONDO_I32, 2, {1, 5}, tokens + 1}};
    cr_assert(rondo_trainer_step(model.trainer, inputs, 2, 1e-3f, NULL, &error), "%s", error.message);
    cr_assert(checkpoint_save(&kept, model.trainer, subwords, &facts, update, &error), "%s", error.message);
}

/* The update that a file holds; −1: it is not there. */
static int64_t update_in(const char *path)
{
    safetensors file;
    uint64_t update;
    rondo_error error = {0};
    if (access(path, F_OK))
        return -1;
    cr_assert(safetensors_open(&file, NULL, path, &error) && safetensors_check_all(&file, &error) &&
                  safetensors_number(&file, "rondo.updates", 1000, &update, &error),
              "%s", error.message);
    safetensors_close(&file);
    return (int64_t)update;
}
static void expect_files(int64_t checkpoint, int64_t previous, int64_t diverged)
{
    const int64_t wanted[] = {checkpoint, previous, diverged};
    for (int i = 0; i < 3; i++)
        cr_expect_eq(update_in(names[i]), wanted[i], "%s holds %d, not %d", names[i],
                     (int)update_in(names[i]), (int)wanted[i]);
}

Test(checkpoints, the_last_one_that_proved_good_is_kept)
{
    rondo_error error = {0};
    update_and_save(1);
    expect_files(1, -1, -1);
    checkpoint_judge(&kept, true);
    update_and_save(2);
    expect_files(2, 1, -1);
    update_and_save(3); /* nobody knows about 2 */
    expect_files(3, 1, -1);
    checkpoint_judge(&kept, false);
    update_and_save(4);
    expect_files(4, 1, -1);
    cr_expect(checkpoint_roll_back(&kept, &error) && kept.saved == 1, "%s", error.message);
    expect_files(1, -1, 4);
    cr_expect(checkpoint_roll_back(&kept, &error) && kept.saved == 1, "it is good, and stays");
    expect_files(1, -1, 4);
}

Test(checkpoints, one_that_proved_good_stays)
{
    rondo_error error = {0};
    update_and_save(1);
    checkpoint_judge(&kept, false);
    checkpoint_judge(&kept, true);
    checkpoint_judge(&kept, false);
    cr_expect(checkpoint_roll_back(&kept, &error) && kept.saved == 1);
    expect_files(1, -1, -1);
}

Test(checkpoints, without_a_good_one_there_is_none)
{
    rondo_error error = {0};
    cr_expect(checkpoint_roll_back(&kept, &error) && kept.saved == -1);
    update_and_save(1);
    cr_expect(checkpoint_roll_back(&kept, &error) && kept.saved == -1);
    expect_files(-1, -1, 1);
}

Test(checkpoints, one_that_cannot_be_written_leaves_the_last)
{
    rondo_error error = {0};
    update_and_save(1);
    checkpoint_judge(&kept, true);
    struct rlimit before;
    getrlimit(RLIMIT_FSIZE, &before);
    const struct rlimit small = {1000, before.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    cr_expect_not(checkpoint_save(&kept, model.trainer, subwords, &facts, 2, &error));
    setrlimit(RLIMIT_FSIZE, &before);
    cr_expect(error.code == RONDO_IO && kept.saved == 1, "%s", error.message);
    expect_files(1, -1, -1);
}

Test(checkpoints, what_was_saved_comes_back)
{
    rondo_error error = {0};
    facts.seconds = 12.5;
    facts.best_nll = 2.25;
    facts.best_update = 1;
    facts.lowest_nll = 2;
    update_and_save(1);
    checkpoints again = {&files, NULL, .saved = -1};
    checkpoint_facts found = {.epoch = -1, .index = -1};
    cr_assert(checkpoint_load(&again, model.trainer, subwords, &found, &error), "%s", error.message);
    cr_expect(again.saved == 1 && !again.proven);
    cr_expect(found.seconds == 12.5 && found.best_nll == 2.25 && found.best_update == 1 &&
              found.lowest_nll == 2);
    cr_expect(found.epoch == 3 && found.index == 7 && found.data == 99);
    tokenizer *other = small_tokenizer(59, TOKENIZER_BPE, &error);
    cr_expect_not(checkpoint_load(&again, model.trainer, other, &found, &error));
    cr_expect(error.code == RONDO_MISMATCH && strstr(error.message, "another tokenizer"), "%s",
              error.message);
    tokenizer_free(other);
}

Test(checkpoints, facts_that_cannot_be_are_refused)
{
    static const struct {
        const char *key, *value;
    } bad[] = {{"rondo.seconds", "-1"},
               {"rondo.seconds", "nan"},
               {"rondo.seconds", "1e12"},
               {"rondo.seconds", "1 "},
               {"rondo.best_nll", ""},
               {"rondo.best_nll", "-inf"},
               {"rondo.lowest_nll", "-1"},
               {"rondo.best_update", "1"},
               {"rondo.best_update", "-1"},
               {"rondo.epoch", "1e11"},
               {"rondo.index", "9007199254740993"},
               {"rondo.data", "4294967296"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        rondo_error error = {0};
        cr_assert(
            trainer_save(model.trainer, names[0], (const char *[]){bad[i].key, bad[i].value}, 1, &error));
        cr_expect(!checkpoint_load(&kept, model.trainer, subwords, &facts, &error) &&
                      error.code == RONDO_FILE && strstr(error.message, bad[i].key),
                  "%s %s: %s", bad[i].key, bad[i].value, error.message);
    }
}

Test(checkpoints, losses_are_judged_by_those_before)
{
    divergence d;
    rondo_error error = {0};
    divergence_begin(&d, log(100), INFINITY);
    cr_expect(divergence_add(&d, 7)); /* worse than chance, as a model may begin */
    for (int i = 0; i < 100; i++)
        cr_expect(divergence_add(&d, 5 - 0.03 * i) && divergence_check(&d, &error));
    cr_expect(divergence_add(&d, 2.9) && !divergence_add(&d, 3.5) && divergence_add(&d, 2));
    for (int i = 0; i < 1000; i++)
        cr_expect(!divergence_add(&d, 13) && divergence_check(&d, &error),
                  "twice the first loss is still taken");
    cr_expect(!divergence_add(&d, 100) && !divergence_check(&d, &error) && error.code == RONDO_DIVERGED);
    divergence_begin(&d, log(100), 2); /* a run that continues */
    cr_expect(!divergence_add(&d, 3.1) && divergence_add(&d, 2.9));
}
