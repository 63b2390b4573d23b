/* Small products and the copies that prepare them, for kernels that keep everything a task needs in its
 * scratch. Tiles are row-major with a row pitch of whole TILE_LANES, so that no product has a tail in its
 * columns: what lies beyond the last column is finite, and results there are not read. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum { TILE_LANES = 16 }; /* the widest vector; the pitch is the same for every instruction set */

static inline int64_t tile_pitch(int64_t columns)
{
    return (columns + TILE_LANES - 1) / TILE_LANES * TILE_LANES;
}
