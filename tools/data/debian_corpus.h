/* A parallel corpus out of Debian's own package descriptions: English and their translation. */
#pragma once
#include "tools/data/lines.h"

typedef struct debian_counts {
    int64_t descriptions;            /* with a translation of exactly this text */
    int64_t segments;                /* of those whose parts correspond */
    int64_t same, uneven, long_ones; /* dropped: left in English, odd length ratio, more words than asked */
    int64_t repeated; /* dropped: the same pair again, or one side of a test pair seen in training */
    int64_t kept[3];  /* train, valid, test */
} debian_counts;

/* Reads *_Packages, *_i18n_Translation-en and *_i18n_Translation-LANGUAGE in the folder of lists, and writes
 * train, valid and test .en and .LANGUAGE to `folder`: pairs of segments of at most max_words words a side,
 * split by source package. The same lists give the same files. */
bool debian_corpus_make(const rondo_allocator *allocator, const char *lists, const char *folder,
                        const char *language, int64_t max_words, debian_counts *counts, rondo_error *error);
