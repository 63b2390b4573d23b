/* A parallel corpus from the package descriptions of Debian: English and a translation. */
#pragma once
#include "tools/data/lines.h"

typedef struct debian_counts {
    int64_t descriptions;            /* that have a translation of exactly this text */
    int64_t segments;                /* of descriptions whose segments correspond */
    int64_t same, uneven, long_ones; /* dropped: left in English; too different in length; too many words */
    int64_t repeated; /* dropped: repeated pairs, and test pairs of which a side occurs in training */
    int64_t kept[3];  /* train, valid, test */
} debian_counts;

/* Reads *_Packages, *_i18n_Translation-en and *_i18n_Translation-LANGUAGE in the folder of lists, and writes
 * train, valid and test .en and .LANGUAGE to `folder`: pairs of segments of at most max_words words per side,
 * split by source package. The same lists give the same files. */
bool debian_corpus_make(const rondo_allocator *allocator, const char *lists, const char *folder,
                        const char *language, int64_t max_words, debian_counts *counts, rondo_error *error);
