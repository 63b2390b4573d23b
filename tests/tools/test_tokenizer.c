/* The shim over SentencePiece: ids, round trips, determinism, and nothing but rondo_error when it fails. */
#include "tests/tools/small_tokenizer.h"
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <string.h>

static void round_trip(const tokenizer *t, const char *line)
{
    int32_t ids[256];
    int64_t count = -1;
    rondo_error error = {0};
    cr_assert(tokenizer_encode(t, line, strlen(line), ids, 256, &count, &error), "%s", error.message);
    for (int64_t i = 0; i < count; i++)
        cr_expect(ids[i] > TOKEN_UNKNOWN && ids[i] < tokenizer_size(t));
    char text[512];
    size_t length;
    cr_assert(tokenizer_decode(t, ids, count, text, sizeof text, &length, &error), "%s", error.message);
    cr_expect_str_eq(text, line);
    cr_expect(length == strlen(line));
}

Test(tokenizer, what_is_split_joins_again)
{
    for (int kind = TOKENIZER_BPE; kind <= TOKENIZER_UNIGRAM; kind++) {
        rondo_error error = {0};
        tokenizer *t = small_tokenizer(80, (tokenizer_kind)kind, &error);
        cr_assert(t, "%s", error.message);
        cr_expect(kind == TOKENIZER_BPE ? tokenizer_size(t) == 80 : tokenizer_size(t) <= 80);
        round_trip(t, "the größer theme kehrt back");
        round_trip(t, "zurück “so”");
        round_trip(t, "");
        tokenizer_free(t);
    }
}

Test(tokenizer, padding_begin_and_end_leave_no_text_and_unknown_does)
{
    rondo_error error = {0};
    tokenizer *t = small_tokenizer(80, TOKENIZER_BPE, &error);
    int32_t ids[32] = {TOKEN_BEGIN};
    int64_t count;
    cr_assert(tokenizer_encode(t, "the theme", 9, ids + 1, 20, &count, &error));
    ids[count + 1] = TOKEN_END;
    ids[count + 2] = TOKEN_PADDING;
    char text[64];
    size_t length;
    cr_assert(tokenizer_decode(t, ids, count + 3, text, sizeof text, &length, &error));
    cr_expect_str_eq(text, "the theme");
    cr_assert(tokenizer_encode(t, "the 漢", 7, ids, 32, &count, &error));
    cr_expect(ids[count - 1] == TOKEN_UNKNOWN);
    tokenizer_free(t);
}

Test(tokenizer, little_room_is_reported_not_overrun)
{
    rondo_error error = {0};
    tokenizer *t = small_tokenizer(80, TOKENIZER_BPE, &error);
    int32_t ids[3] = {-1, -1, -1};
    int64_t count;
    cr_assert(tokenizer_encode(t, "wandering zustand", 17, ids, 2, &count, &error));
    cr_expect(count > 2 && ids[2] == -1);
    char text[4];
    size_t length;
    cr_assert(tokenizer_decode(t, ids, 2, text, sizeof text, &length, &error));
    cr_expect(strlen(text) < 4);
    tokenizer_free(t);
}

Test(tokenizer, the_same_text_gives_the_same_model_and_a_loaded_model_is_the_same)
{
    rondo_error error = {0};
    tokenizer *a = small_tokenizer(100, TOKENIZER_BPE, &error),
              *b = small_tokenizer(100, TOKENIZER_BPE, &error);
    size_t size_a, size_b;
    const void *model_a = tokenizer_model(a, &size_a), *model_b = tokenizer_model(b, &size_b);
    cr_assert(size_a == size_b && memcmp(model_a, model_b, size_a) == 0);
    tokenizer *c = tokenizer_load(model_a, size_a, &error);
    cr_assert(c && tokenizer_size(c) == tokenizer_size(a));
    round_trip(c, "a state grows not");
    tokenizer_free(a);
    tokenizer_free(b);
    tokenizer_free(c);
}

Test(tokenizer, a_small_text_gives_a_small_vocabulary_silently, .init = cr_redirect_stderr)
{
    for (int kind = TOKENIZER_BPE; kind <= TOKENIZER_UNIGRAM; kind++) {
        rondo_error error = {0};
        tokenizer *t = small_tokenizer(8000, (tokenizer_kind)kind, &error);
        cr_assert(t, "%s", error.message);
        cr_expect(tokenizer_size(t) > 40 && tokenizer_size(t) < 1000);
        tokenizer_free(t);
    }
    fputc('.', stderr);
    fflush(stderr);
    cr_expect_stderr_eq_str(".");
}

Test(tokenizer, impossible_wishes_are_refused_in_words)
{
    rondo_error error = {0};
    cr_expect(!small_tokenizer(10, TOKENIZER_BPE, &error));
    cr_expect(error.code == RONDO_ARGUMENT && strstr(error.message, "different characters"), "%s",
              error.message);
    error = (rondo_error){0};
    tokenizer_lines blank = {"  \0\0", (const int64_t[]){0, 3, 4}, 2};
    cr_expect(!tokenizer_train(&blank, 1, 100, TOKENIZER_BPE, &error));
    cr_expect(strstr(error.message, "no text"), "%s", error.message);
}

Test(tokenizer, damaged_models_are_refused)
{
    rondo_error error = {0};
    tokenizer *t = small_tokenizer(80, TOKENIZER_BPE, &error);
    size_t size;
    const char *model = tokenizer_model(t, &size);
    cr_expect(!tokenizer_load("", 0, &error) && error.code == RONDO_FILE);
    error = (rondo_error){0};
    cr_expect(!tokenizer_load("not a model at all", 18, &error) && error.code == RONDO_FILE);
    error = (rondo_error){0};
    cr_expect(!tokenizer_load(model, size / 2, &error) && error.code == RONDO_FILE);
    tokenizer_free(t);
}

Test(tokenizer, ids_outside_the_vocabulary_are_refused)
{
    rondo_error error = {0};
    tokenizer *t = small_tokenizer(80, TOKENIZER_BPE, &error);
    char text[8];
    size_t length;
    cr_expect(!tokenizer_decode(t, (const int32_t[]){80}, 1, text, sizeof text, &length, &error));
    cr_expect(error.code == RONDO_ARGUMENT);
    tokenizer_free(t);
}
