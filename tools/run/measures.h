/* The objectives and metrics of a model beside its loss, added up over calls of a trainer: for the line of
 * progress, for validation and for checkpoints. */
#pragma once
#include "rondo.h"

/* So many are shown; a model may have more, which rondo_step hands out. */
enum { MEASURES_SHOWN = 6, MEASURES_BYTES = 256 };
typedef struct measures {
    int count;
    struct { const char *name; double sum, count; } of[MEASURES_SHOWN]; /* names belong to the trainer */
} measures;

/* Adds those of a call; its first measure is the loss and is left out. All calls are of one trainer. */
void measures_add(measures *m, const rondo_step *step);
double measures_value(const measures *m, int index);
/* "decay 0.123, accuracy 0.9, ", as much as fits; "" if there are none. */
const char *measures_format(char out[MEASURES_BYTES], const measures *m);
