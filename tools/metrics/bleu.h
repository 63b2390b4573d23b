/* BLEU (Papineni et al. 2002) of a corpus exactly as sacreBLEU (Post 2018) computes it by default:
 * tokeniser 13a, mixed case, exponential smoothing; and chrF2 (Popović 2015) as sacreBLEU computes it.
 * Text is UTF-8 without line ends. */
#pragma once
#include "core/arena.h"

enum { BLEU_ORDER = 4, CHRF_ORDER = 6 };

typedef struct bleu {
    int64_t correct[BLEU_ORDER],
        total[BLEU_ORDER];            /* n-grams of the hypotheses: those that a reference has too, and all */
    int64_t length, reference_length; /* in tokens; see closest_length for several references */
    int references;                   /* number of references per line */
} bleu;
/* Adds one line and its references. False: RONDO_MEMORY, nothing was added. Start with an all-zero struct. */
bool bleu_add(bleu *b, const char *hypothesis, const char *const *references, int count, rondo_error *error);
typedef struct bleu_result {
    double score, precisions[BLEU_ORDER], brevity_penalty; /* score and precisions: 0 … 100 */
} bleu_result;
bleu_result bleu_score(const bleu *b);
/* "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:rondo-0.1.0" */
void bleu_signature(const bleu *b, char out[128]);
/* As sacreBLEU prints it: "BLEU = 35.12 66.0/41.0/28.1/19.5 (BP = 1.000 ratio = 1.001 hyp_len = 12345 ref_len
 * = 12333)". */
void bleu_format(const bleu *b, char out[256]);
/* The tokens of the line, separated by single spaces, as tokeniser 13a of mteval makes them. NULL: out of
 * memory. */
char *bleu_tokenize(arena *a, const char *line);

typedef struct chrf {
    int64_t in_hypothesis[CHRF_ORDER], in_reference[CHRF_ORDER], common[CHRF_ORDER];
    int references;
} chrf;
bool chrf_add(chrf *c, const char *hypothesis, const char *const *references, int count, rondo_error *error);
double chrf_score(const chrf *c);
void chrf_signature(const chrf *c, char out[128]);
