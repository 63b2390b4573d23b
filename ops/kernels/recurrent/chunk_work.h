/* The work of a chunked recurrence, for its flops: pairs of tokens inside chunks, and rows multiplied by a
 * state. */
#pragma once
#include "ops/vector/tile.h"

/* Pairs (t, s) of one head: the triangles, each row up to the end of its diagonal block. */
static inline double chunk_pairs(int64_t time, int64_t chunk)
{
    int64_t rest = time % chunk;
    double whole = (double)(time / chunk) * (double)(chunk * (chunk + TILE_LANES));
    return (whole + (double)(rest * (rest + TILE_LANES))) / 2;
}

/* Rows that read a state from before their chunk: all, or all but the first chunk's. */
static inline double chunk_rows_before(int64_t time, int64_t chunk, bool given)
{
    return (double)(given ? time : time < chunk ? 0 : time - chunk);
}

/* Rows that are added to a state that is read later: all, or all but the last chunk's. */
static inline double chunk_rows_after(int64_t time, int64_t chunk, bool wanted)
{
    return (double)(wanted || time == 0 ? time : (time - 1) / chunk * chunk);
}
