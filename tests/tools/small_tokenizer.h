/* A tokenizer learned in a few milliseconds from sentences of twenty words, with the charsmap of nmt_nfkc. */
#pragma once
#include "models/tokenizer/tokenizer.h"

tokenizer *small_tokenizer(int64_t vocabulary, tokenizer_kind kind, rondo_error *error);
