/* What a decoder keeps of one sequence. */
#pragma once
#include "models/decode/decoder.h"

typedef struct state_bytes {
    double fixed;   /* of states, whatever the length; the position too */
    double a_token; /* of caches, for each token so far */
} state_bytes;
state_bytes state_bytes_of(const rondo_session *s);
