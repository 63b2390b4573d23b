/* Initial weights that are not random: those of another run, and distillation (--distill). */
#pragma once
#include "models/train/distill.h"
#include "tools/run/data.h"
#include "tools/run/folder.h"

/* Fills w from the run that o->from names, or from what `rondo convert` put into the folder of this run;
 * then distils the feature maps, if o asks for it. Does nothing in a run that starts with neither. */
bool run_start(command *c, const options *o, const run_folder *f, run_data *d, const transformer *shape,
               rondo_weights *w);

/* The metadata key of the weights of a converted run, and its value for each place, as in "decoder-self
 * cross". */
#define CONVERTED_KEY "rondo.softmax"
extern const char *const converted_places[PLACE_COUNT];
/* The share of feature vectors that are all zeros, on at most `most` batches of the training text of d. */
bool run_zero_share(command *c, const lesson *l, rondo_weights *w, run_data *d, int64_t most, double *share);
