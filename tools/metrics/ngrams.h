/* Counting common n-grams of two sequences of numbers, for BLEU and chrF. */
#pragma once
#include "core/arena.h"

enum { NGRAM_ORDER = 6 };
typedef struct ngram {
    int32_t id[NGRAM_ORDER]; /* the first `order` numbers; the rest are 0 */
} ngram;

/* The sorted n-grams of ids, *count of them. NULL: out of memory. */
ngram *ngrams_sorted(arena *a, const int32_t *ids, int64_t length, int order, int64_t *count);
/* Σ over n-grams of min(count in a, count in b). */
int64_t ngrams_common(const ngram *a, int64_t in_a, const ngram *b, int64_t in_b);
/* A sorted list with each n-gram as often as in the one of a and b that has it more often. */
ngram *ngrams_union(arena *memory, const ngram *a, int64_t in_a, const ngram *b, int64_t in_b,
                    int64_t *count);

/* Whether Unicode (and str.split of Python) takes this character for white space. */
bool is_white_space(int32_t code);
