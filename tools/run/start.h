/* What a run begins with, when that is not chance: the weights of another run, and the lessons of `--distill`. */
#pragma once
#include "models/train/distill.h"
#include "tools/run/data.h"
#include "tools/run/folder.h"

/* Fills w from the run that o->from names, or from what `rondo convert` put into this run's own folder; then
 * teaches the feature maps, if o says so. Nothing happens in a run that begins with neither. */
bool run_start(command *c, const options *o, const run_folder *f, run_data *d, const transformer *shape,
               rondo_weights *w);

/* The key of a converted run's weights, and its value for these places: "decoder-self cross". */
#define CONVERTED_KEY "rondo.softmax"
extern const char *const converted_places[PLACE_COUNT];
/* The share of rows of features that are 0 throughout, on at most `most` batches of d's training text. */
bool run_zero_share(command *c, const lesson *l, rondo_weights *w, run_data *d, int64_t most, double *share);
