/* BLEU and chrF compared with what sacreBLEU 2.6.0 gives for the same lines. */
#include "tools/metrics/bleu.h"
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static const char *const hypotheses[] = {"The theme of the rondo comes back again.",
                                         "A state is carried from step to step, not the whole past.",
                                         "Es kostet 3,50 Euro - mehr nicht!", "short"};
static const char *const references[] = {"The theme of a rondo always comes back.",
                                         "A state is carried from step to step and not the whole past.",
                                         "Es kostet 3,50 Euro, mehr nicht!", "a short line"};
static const char *const others[] = {"The theme of the rondo returns again.",
                                     "The state is carried on from one step to the next.",
                                     "Das kostet 3,50 Euro - nicht mehr.", "short text"};

static void tokens(const char *line, const char *expected)
{
    arena a;
    arena_begin(&a, NULL);
    cr_expect_str_eq(bleu_tokenize(&a, line), expected);
    arena_end(&a);
}

Test(bleu, tokeniser_13a)
{
    tokens("Hello, world!", "Hello , world !");
    tokens("3.14 and 1,000: that's it...", "3.14 and 1,000 : that's it . . .");
    tokens("\"a&quot;b\" &amp;lt; x-y 5-4 e.g., 1.", "\" a \" b \" < x-y 5 - 4 e . g . , 1 .");
    tokens("„Größe“ — 漢字. ok", "„Größe“ — 漢字 . ok");
    tokens("a\u00a0b\u2009c <skipped>d", "a b c d");
    tokens("", "");
}

static bleu scored(const char *const *lines, const char *const *first, const char *const *second, int count)
{
    bleu b = {0};
    for (int i = 0; i < count; i++)
        cr_assert(bleu_add(&b, lines[i], (const char *const[]){first[i], second ? second[i] : NULL},
                           second ? 2 : 1, NULL));
    return b;
}

static double one(const char *hypothesis, const char *reference)
{
    bleu b = scored(&hypothesis, &reference, NULL, 1);
    return bleu_score(&b).score;
}

Test(bleu, a_corpus_scores_as_sacrebleu_scores_it)
{
    bleu b = scored(hypotheses, references, NULL, 4);
    char line[256], signature[128];
    bleu_format(&b, line);
    bleu_signature(&b, signature);
    cr_expect(fabs(bleu_score(&b).score - 54.37824198306171) < 1e-9);
    cr_expect_str_eq(line,
                     "BLEU = 54.38 87.5/67.9/52.0/36.4 (BP = 0.939 ratio = 0.941 hyp_len = 32 ref_len = 34)");
    cr_expect(strncmp(signature, "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:", 53) == 0);
}

Test(bleu, several_references_clip_together_and_the_closest_length_counts)
{
    bleu b = scored(hypotheses, references, others, 4);
    char line[256];
    bleu_format(&b, line);
    cr_expect(fabs(bleu_score(&b).score - 68.85114580270897) < 1e-9);
    cr_expect_str_eq(line,
                     "BLEU = 68.85 96.9/82.1/64.0/50.0 (BP = 0.969 ratio = 0.970 hyp_len = 32 ref_len = 33)");
}

Test(bleu, edges)
{
    cr_expect(one("short", "a short line") < 1e-9);
    cr_expect(one("x y z", "a b c") == 0);
    cr_expect(fabs(one("a b c d e", "a b c d e") - 100) < 1e-9);
    cr_expect(one("a b x", "a b c d e f g") < 1e-9);
    cr_expect(one("", "a b") == 0 && one("a", "") == 0 && one("", "") == 0);
}

Test(bleu, smoothing_halves_from_order_to_order)
{
    /* no trigram of 3 and no 4-gram of 2 matches: they count as 1/2 and 1/4 of a match */
    bleu b = {.correct = {3, 1, 0, 0}, .total = {5, 4, 3, 2}, .length = 5, .reference_length = 5};
    bleu_result r = bleu_score(&b);
    cr_expect(r.precisions[2] == 100. / (2 * 3) && r.precisions[3] == 100. / (4 * 2));
    cr_expect(fabs(r.score - pow(60. * 25 * r.precisions[2] * r.precisions[3], 0.25)) < 1e-9);
}

Test(chrf, scores_as_sacrebleu_scores_it)
{
    chrf c = {0}, two = {0}, last = {0};
    for (int i = 0; i < 4; i++) {
        cr_assert(chrf_add(&c, hypotheses[i], &references[i], 1, NULL));
        cr_assert(chrf_add(&two, hypotheses[i], (const char *const[]){references[i], others[i]}, 2, NULL));
    }
    cr_assert(chrf_add(&last, hypotheses[3], &references[3], 1, NULL));
    cr_expect(fabs(chrf_score(&c) - 75.52397020124879) < 1e-9);
    cr_expect(fabs(chrf_score(&two) - 79.0516786415668) < 1e-9);
    cr_expect(fabs(chrf_score(&last) - 40.69078647589538) < 1e-9);
}
