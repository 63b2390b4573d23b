/* The baseline that looks up the most similar sentence, and --expect. */
#include "tests/tools/text_files.h"
#include "tools/report/expect.h"
#include "tools/metrics/translation_memory.h"
#include <criterion/criterion.h>
#include <criterion/redirect.h>

Test(translation_memory, finds_the_line_that_shares_most, .fini = remove_files)
{
    lines source =
        read_lines(FILE_WITH("the red house\na small red car\nthe house by the sea\n\nThe Red House!\n"));
    rondo_error error = {0};
    translation_memory *m = translation_memory_new(NULL, &source, &error);
    cr_assert(m, "%s", error.message);
    static const struct {
        const char *line;
        int64_t found;
    } cases[] = {{"the red house", 0},
                 {"THE RED HOUSE", 0},
                 {"the red house !", 4},
                 {"a red car", 1},
                 {"a house by the sea", 2},
                 {"nothing of all this", 0},
                 {"", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t found;
        double similarity;
        cr_assert(translation_memory_find(m, cases[i].line, &found, &similarity, &error));
        cr_expect(found == cases[i].found, "'%s' gives line %d", cases[i].line, (int)found);
        cr_expect(similarity >= 0 && similarity <= 1 && (similarity == 1) == (i < 3));
    }
    translation_memory_free(m);
    lines_free(&source);
}

static int expectation(const char *wish)
{
    const measured numbers[] = {{"bleu", 16.5}, {"copy", 10.7}, {"tokens_per_second", 1e4}};
    const char *items[] = {wish};
    const option_list wishes = {items, 1, 1};
    return expect_check("test", &wishes, numbers, 3);
}

Test(expect, compares_with_numbers_and_with_each_other, .init = cr_redirect_stderr)
{
    cr_expect(expectation("bleu>=16.5") == EXIT_DONE && expectation("bleu>16.5") == EXIT_EXPECTED);
    cr_expect(expectation("bleu <= 16.5") == EXIT_DONE && expectation("bleu<16") == EXIT_EXPECTED);
    cr_expect(expectation("bleu>copy") == EXIT_DONE && expectation("copy>=bleu") == EXIT_EXPECTED);
    cr_expect(expectation("tokens_per_second>=1e4") == EXIT_DONE);
    for (size_t i = 0; i < 7; i++) {
        static const char *const wrong[] = {"bleu",   "bleu=16", "blue>3", "bleu>",
                                            "bleu>x", "bleu>3x", "bleu=>3"};
        cr_expect(expectation(wrong[i]) == EXIT_USE, "%s", wrong[i]);
    }
}
