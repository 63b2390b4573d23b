/* Misspelt names: distances between words, and when a suggestion is made. */
#include "core/text/words.h"
#include <criterion/criterion.h>
#include <string.h>

Test(words, distance_counts_insertions_removals_changes_and_swaps)
{
    static const struct {
        const char *a, *b;
        int distance;
    } cases[] = {{"", "", 0},       {"", "abc", 3},      {"abc", "", 3},
                 {"abc", "abc", 0}, {"abcd", "abdc", 1}, {"kitten", "sitting", 3},
                 {"log", "foo", 2}, {"ca", "abc", 3},    {"matmull", "matmul", 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cr_expect_eq(word_distance(cases[i].a, cases[i].b), cases[i].distance, "%s, %s", cases[i].a,
                     cases[i].b);
        cr_expect_eq(word_distance(cases[i].b, cases[i].a), cases[i].distance, "%s, %s", cases[i].b,
                     cases[i].a);
    }
    char long_word[200];
    memset(long_word, 'x', sizeof long_word);
    long_word[199] = 0;
    cr_expect_eq(word_distance(long_word, "x"), 127);
    cr_expect_eq(word_distance("x", long_word), 127);
}

static const char *suggested(const char *word)
{
    static const char *const names[] = {"log", "exp", "matmul", "causal_mask", "sum", "sum_to"};
    suggestion s = {.word = word};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        suggestion_offer(&s, names[i]);
    return s.closest ? s.closest : "";
}

Test(words, a_suggestion_is_near_for_the_length_of_the_word)
{
    cr_expect_str_eq(suggested("foo"), "", "two of three letters differ from log");
    cr_expect_str_eq(suggested("lgo"), "log");
    cr_expect_str_eq(suggested("lo"), "log");
    cr_expect_str_eq(suggested("matmull"), "matmul");
    cr_expect_str_eq(suggested("mtamlu"), "matmul");
    cr_expect_str_eq(suggested("casual_musk"), "causal_mask");
    cr_expect_str_eq(suggested("casul_mask"), "causal_mask");
    cr_expect_str_eq(suggested("qwertyuiop"), "");
    cr_expect_str_eq(suggested("sums"), "sum", "of two names the nearer one");
}
