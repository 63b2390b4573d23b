/* A corpus in batches of few shapes, in an order that is a function of (seed, epoch), so that training can
 * stop after any batch and resume with the next one. Sequences of similar length share a batch; which
 * ones, changes from epoch to epoch. */
#pragma once
#include "tools/data/corpus.h"

enum { BATCH_SHAPES = 16 };

typedef struct batch_shape {
    int32_t source, target; /* S, T: extents, padding included; S is 0 for a language model */
    int32_t rows;           /* B of a full batch */
    int64_t count;          /* number of sequences for which this is the tightest shape */
} batch_shape;

typedef struct batch {
    int64_t rows, source_extent, target_extent; /* B, S, T */
    int32_t *source;                      /* [B, S] tokens, TOKEN_END, padding; NULL for a language model */
    int32_t *source_length;               /* [B] number of tokens, with TOKEN_END */
    /* [B, T] target_in begins with TOKEN_BEGIN, target_out ends with TOKEN_END */
    int32_t *target_in, *target_out;
    int32_t *target_length;               /* [B] */
    int32_t *sentence;                    /* [B] number of the line in the corpus files */
    int64_t source_tokens, target_tokens; /* sums of the lengths */
} batch;

typedef struct batches {
    const corpus *corpus;
    uint64_t seed;
    batch_shape shapes[BATCH_SHAPES];
    int shape_count;
    int64_t count;                 /* batches of the planned epoch */
    struct batch_entry *entries;   /* [count] */
    int32_t *order, *next;         /* [corpus->count] */
    uint8_t *shape_of;             /* [corpus->count] */
    int32_t *buffer;               /* what batches_get fills */
    int64_t most_rows, most_cells; /* of any batch: B, and B times the larger of S and T */
    size_t memory_bytes, buffer_bytes;
    void *memory;
} batches;

/* batch_tokens bounds B · max(S, T); a longer sequence makes a batch of one row. The corpus outlives the
 * batches. */
bool batches_begin(batches *b, const corpus *c, int64_t batch_tokens, uint64_t seed, rondo_error *error);
void batches_plan(batches *b,
                  int64_t epoch); /* chooses the batches of the epoch and their order; allocates nothing */
void batches_get(batches *b, int64_t index,
                 batch *out); /* index in [0, count); arrays are valid until the next call */
void batches_free(batches *b);
/* Padded cells per token, both sides, in the planned epoch; 1: no padding. */
double batches_padding(const batches *b);
