/* Detects that training has diverged while all numbers are still finite. */
#pragma once
#include "core/status.h"

typedef struct divergence {
    double usual;  /* moving average of the nll of updates; NAN: none yet */
    double lowest; /* its lowest value; INFINITY: none yet */
    double most;   /* its limit */
} divergence;

/* uniform: the nll of the uniform distribution. lowest: from the checkpoint; INFINITY: not known. */
void divergence_begin(divergence *d, double uniform, double lowest);
/* Adds the nll of an update. True: it is normal. */
bool divergence_add(divergence *d, double nll);
/* False, with RONDO_DIVERGED: the moving average is above its limit. */
bool divergence_check(const divergence *d, rondo_error *error);
