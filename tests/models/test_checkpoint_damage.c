/* A damaged checkpoint is refused, wherever the damage is, and leaves the trainer as it was. */
#include "core/safetensors.h"
#include "models/train/trainer.h"
#include "models/weights.h"
#include "tests/models/small_model.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[] = "/tmp/rondo-checkpoint-XXXXXX";
static const transformer small = {.language_model = true,
                                  .vocabulary = SMALL_VOCABULARY,
                                  .dim = 12,
                                  .ffn = 20,
                                  .heads = 3,
                                  .decoder_layers = 1,
                                  .decoder_self = "linear"};
static training t;
static float *before; /* the weights */

static void enter(void)
{
    close(mkstemp(path));
    t = training_of(rondo_new(1), &small, 0, 11);
    before = malloc(sizeof(float) * (size_t)t.weights->size);
    memcpy(before, t.weights->block, sizeof(float) * (size_t)t.weights->size);
}
static void leave(void)
{
    unlink(path);
    free(before);
    training_free(&t);
}
TestSuite(checkpoint, .init = enter, .fini = leave);

static char *read_file(size_t *size)
{
    char *bytes = malloc(1 << 20);
    FILE *f = fopen(path, "rb");
    *size = fread(bytes, 1, 1 << 20, f);
    fclose(f);
    return bytes;
}
static void write_file(const char *bytes, size_t size)
{
    FILE *f = fopen(path, "wb");
    fwrite(bytes, 1, size, f);
    fclose(f);
}
static void expect_refused(const char *what, size_t where)
{
    rondo_error error = {0};
    cr_expect(!rondo_trainer_load(t.trainer, path, &error) &&
                  (error.code == RONDO_FILE || error.code == RONDO_MISMATCH) && strstr(error.message, path),
              "%s at %zu: %s", what, where, error.message);
    cr_expect(!memcmp(before, t.weights->block, sizeof(float) * (size_t)t.weights->size), "%s at %zu", what,
              where);
}

Test(checkpoint, damaged_anywhere_is_refused_and_changes_nothing)
{
    enum { RANGE = 61 };
    rondo_error error = {0};
    size_t size;
    cr_assert(rondo_trainer_save(t.trainer, path, &error), "%s", error.message);
    char *bytes = read_file(&size), *damaged = malloc(size);
    for (size_t from = 0; from < size; from += RANGE) {
        size_t count = from + RANGE < size ? RANGE : size - from;
        memcpy(damaged, bytes, size);
        damaged[from + from % count] ^= (char)(1 << from % 8);
        write_file(damaged, size);
        expect_refused("flipped", from);
        memcpy(damaged, bytes, size);
        memset(damaged + from, 0, count);
        if (memcmp(damaged, bytes, size)) {
            write_file(damaged, size);
            expect_refused("zeroed", from);
        }
        write_file(bytes, from);
        expect_refused("cut", from);
        memcpy(damaged, bytes, size); /* a page of another place */
        memcpy(damaged + from, bytes + (size - count - from), count);
        if (memcmp(damaged, bytes, size)) {
            write_file(damaged, size);
            expect_refused("overwritten", from);
        }
    }
    write_file(bytes, size);
    cr_expect(rondo_trainer_load(t.trainer, path, &error), "%s", error.message);
    free(bytes);
    free(damaged);
}

/* What checksums cannot detect, because the file was written like that. */
Test(checkpoint, numbers_are_checked)
{
    static const struct {
        const char *key, *value;
        rondo_code code;
        const char *why;
    } cases[] = {{"rondo.format", "7", RONDO_MISMATCH,
                  "checkpoint format 7, but this version of Rondo reads format 1"},
                 {"rondo.format", "", RONDO_MISMATCH, "format"},
                 {"rondo.updates", "", RONDO_FILE, "not a whole number from 0 to 9007199254740992"},
                 {"rondo.updates", "-1", RONDO_FILE, "rondo.updates is \"-1\""},
                 {"rondo.updates", "1e3", RONDO_FILE, "not a whole number"},
                 {"rondo.updates", " 1", RONDO_FILE, "not a whole number"},
                 {"rondo.updates", "1", RONDO_FILE, "rondo.batches is less than rondo.updates"},
                 {"rondo.batches", "9007199254740993", RONDO_FILE, "not a whole number"},
                 {"rondo.batches", "100000000000000000000", RONDO_FILE, "not a whole number"},
                 {"rondo.seed", "18446744073709551616", RONDO_FILE, "not a whole number"},
                 {"rondo.kernels", "matmul with nothing\n", RONDO_FILE, "rondo.kernels"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rondo_error error = {0};
        cr_assert(trainer_save(t.trainer, path, (const char *[]){cases[i].key, cases[i].value}, 1, &error));
        cr_expect(!rondo_trainer_load(t.trainer, path, &error) && error.code == cases[i].code &&
                      strstr(error.message, cases[i].why),
                  "%s %s: %s", cases[i].key, cases[i].value, error.message);
    }
    rondo_error error = {0};
    cr_assert(
        trainer_save(t.trainer, path, (const char *[]){"rondo.seed", "18446744073709551615"}, 1, &error));
    cr_expect(rondo_trainer_load(t.trainer, path, &error), "%s", error.message);
}

static int said;
static void listen(void *user, int level, const char *line)
{
    (void)user, (void)level;
    said += strstr(line, "without checksums") != NULL;
}

Test(checkpoint, one_of_before_there_were_checksums_is_taken_and_it_is_said_once)
{
    rondo_error error = {0};
    size_t size;
    training old = training_of(rondo_new(1, .log = listen), &small, 0, 12);
    cr_assert(rondo_trainer_save(t.trainer, path, &error) && rondo_trainer_load(old.trainer, path, &error));
    cr_expect_eq(said, 0);
    char *bytes = read_file(&size), *at;
    while ((at = memmem(bytes, size, "rondo.checksum.", 15)))
        memcpy(at, "other", 5);
    write_file(bytes, size);
    cr_expect(rondo_trainer_load(old.trainer, path, &error), "%s", error.message);
    cr_expect_eq(said, 1);
    cr_expect(!memcmp(old.weights->block, t.weights->block, sizeof(float) * (size_t)t.weights->size));
    free(bytes);
    training_free(&old);
}
