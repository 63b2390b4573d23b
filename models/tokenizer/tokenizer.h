/* Subwords: a thin layer over SentencePiece, which is C++. No exception leaves it, and it prints nothing. Ids
 * 0 to 3 are fixed. */
#pragma once
#include "rondo.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { TOKEN_PADDING = 0, TOKEN_BEGIN = 1, TOKEN_END = 2, TOKEN_UNKNOWN = 3 };

typedef struct tokenizer tokenizer; /* immutable after loading: any number of threads */

/* Loads a serialized SentencePiece model, which is checked first (verify.h) and copied. RONDO_FILE:
 * damaged, or with other ids for padding, begin, end and unknown. */
tokenizer *tokenizer_load(const void *model, size_t bytes, rondo_error *error);
void tokenizer_free(tokenizer *t);
int64_t tokenizer_size(const tokenizer *t); /* the number of ids */
/* The serialized model, owned by the tokenizer. */
const void *tokenizer_model(const tokenizer *t, size_t *bytes);

/* Text of `length` bytes to ids, without begin and end. Writes at most `capacity` of them. *count is their
 * number: if it is larger, call again with more room. */
bool tokenizer_encode(const tokenizer *t, const char *text, size_t length, int32_t *ids, int64_t capacity,
                      int64_t *count, rondo_error *error);
/* Ids to text of *length bytes; padding, begin and end are skipped. Writes at most capacity − 1 bytes and a
 * NUL. */
bool tokenizer_decode(const tokenizer *t, const int32_t *ids, int64_t count, char *text, size_t capacity,
                      size_t *length, rondo_error *error);

/* ---- Training one (models/tokenizer/tokenizer_train.cc, not in librondo-run) ---- */

typedef enum tokenizer_kind { TOKENIZER_BPE, TOKENIZER_UNIGRAM } tokenizer_kind;
typedef struct tokenizer_lines {
    const char *text;
    const int64_t *start; /* [count + 1]; line i ends before its terminator, text[start[i + 1] - 1] */
    int64_t count;
} tokenizer_lines;
/* Trains one vocabulary on all texts together, in one thread and deterministically. If the texts do not
 * have that many subwords, the vocabulary is as large as possible (see tokenizer_size). Lines longer than
 * 4192 bytes are ignored. */
tokenizer *tokenizer_train(const tokenizer_lines *texts, int count, int64_t vocabulary, tokenizer_kind kind,
                           rondo_error *error);

#ifdef __cplusplus
}
#endif
