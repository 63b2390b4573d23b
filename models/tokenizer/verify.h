/* Checks a SentencePiece model before the library reads it, because the library trusts its files: the
 * offsets of a trie, the number of matches, the depth of a recursion. A model that passes cannot make it
 * access memory outside its own. */
#pragma once
#include "rondo.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A serialized model; RONDO_FILE names the first thing that is wrong. Its tables are allocated with malloc,
 * like those of the library. */
bool tokenizer_verify(const void *model, size_t bytes, rondo_error *error);
/* The compiled character map of a normalizer. Returns NULL if it is valid, else what is wrong, as the end
 * of a sentence; *error is set only to RONDO_MEMORY: it could not be checked. */
const char *charsmap_verify(const unsigned char *data, size_t bytes, rondo_error *error);

#ifdef __cplusplus
}
#endif
