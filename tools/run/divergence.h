/* When training has diverged although every number is finite. */
#pragma once
#include "core/status.h"

typedef struct divergence {
    double usual;  /* nll of recent updates: a moving average; NAN: there was none yet */
    double lowest; /* that it has had; INFINITY: none yet */
    double most;   /* that it may have */
} divergence;

/* uniform: the nll of a model that knows nothing. lowest: of the run before; INFINITY: not known. */
void divergence_begin(divergence *d, double uniform, double lowest);
/* The nll of an update. True: as it should be. */
bool divergence_add(divergence *d, double nll);
/* False, with RONDO_DIVERGED: updates are far worse than a model that knows nothing. */
bool divergence_check(const divergence *d, rondo_error *error);
