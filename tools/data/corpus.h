/* A tokenised corpus in memory. Side 0 is the source, side 1 the target; a language model has only side 1. */
#pragma once
#include "models/tokenizer/tokenizer.h"
#include "tools/data/lines.h"

typedef struct corpus_limits {
    int64_t max_words;  /* 0: no limit; a sequence with more words on either side is skipped */
    int64_t max_tokens; /* 0: no limit; counted with the token that begins or ends the sequence */
} corpus_limits;

typedef struct corpus_side {
    int32_t *tokens; /* all sequences, one after the other, without begin and end tokens */
    int64_t *start;  /* [count + 1] */
    size_t token_bytes, start_bytes;
    int64_t used; /* tokens so far */
} corpus_side;

typedef struct corpus {
    const rondo_allocator *allocator;
    corpus_side side[2];
    bool has_source;
    bool ends; /* sequences are followed by TOKEN_END: false for blocks cut from a stream */
    /* [count]: number of the line (or block) in the file, counting skipped ones; it seeds dropout */
    int32_t *id;
    int64_t count;
    int64_t lines, empty, long_in_words, long_in_tokens; /* lines of the files, and those left out */
    int64_t words;                                       /* of the targets that were kept */
    size_t id_bytes;
} corpus;

/* Pairs of lines, or target lines alone if source is NULL. Empty and too long ones are skipped and
 * counted. RONDO_FILE: nothing is left. The lines are not needed afterwards. */
bool corpus_make(corpus *c, const rondo_allocator *allocator, const lines *source, const lines *target,
                 const tokenizer *t, corpus_limits limits, rondo_error *error);
/* One text as a stream, each line followed by TOKEN_END, cut into blocks of `block` tokens; the last may
 * be shorter. */
bool corpus_make_blocks(corpus *c, const rondo_allocator *allocator, const lines *input, const tokenizer *t,
                        int64_t block, rondo_error *error);
void corpus_free(corpus *c);
/* "29,000 lines, 12 empty and 3 of more than 256 tokens skipped": for the log. */
void corpus_describe(const corpus *c, corpus_limits limits, char *out, size_t size);

/* Lengths as the model sees them, with begin or end. */
static inline int64_t corpus_length(const corpus *c, int side, int64_t i)
{
    return c->side[side].start[i + 1] - c->side[side].start[i] + c->ends;
}
