/* The memory that a decoder keeps for one sequence. */
#pragma once
#include "models/decode/decoder.h"

typedef struct state_bytes {
    double fixed;   /* states, of one size at any length; the position too */
    double a_token; /* caches, for each token so far */
} state_bytes;
state_bytes state_bytes_of(const rondo_session *s);
