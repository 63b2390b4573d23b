/* Counting common n-grams of two sequences of numbers: what BLEU and chrF are made of. */
#pragma once
#include "core/memory.h"

enum { NGRAM_ORDER = 6 };
typedef struct ngram {
    int32_t id[NGRAM_ORDER]; /* the first `order` count; the rest is 0 */
} ngram;

/* The sorted n-grams of ids; *count of them. NULL: memory was refused. */
ngram *ngrams_sorted(arena *a, const int32_t *ids, int64_t length, int order, int64_t *count);
/* Σ over n-grams of min(times in a, times in b). */
int64_t ngrams_common(const ngram *a, int64_t in_a, const ngram *b, int64_t in_b);
/* The larger count of each n-gram of a and b, as one sorted list. */
ngram *ngrams_union(arena *memory, const ngram *a, int64_t in_a, const ngram *b, int64_t in_b,
                    int64_t *count);

/* Is this character white space to Unicode (and to Python's str.split)? */
bool is_white_space(int32_t code);
