/* What is checked of a SentencePiece model before the library sees it. It trusts its files: offsets of a trie, the number of
 * matches, the depth of a recursion. A file that passes cannot lead it outside its memory. */
#pragma once
#include "rondo.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A serialized model; RONDO_FILE names the first thing that is wrong. Tables live on malloc, as those of the library do. */
bool tokenizer_verify(const void *model, size_t bytes, rondo_error *error);
/* Its compiled table of characters and their normal forms: NULL if it is sound, else what is wrong, as the end of a sentence.
 * RONDO_MEMORY in *error: it could not be checked. */
const char *charsmap_verify(const unsigned char *data, size_t bytes, rondo_error *error);

#ifdef __cplusplus
}
#endif
