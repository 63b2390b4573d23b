/* The sums and counts of objectives and metrics over some batches. They are added up, and divided once. */
#pragma once
#include "compiler/objectives.h"
#include "compiler/program/instance.h"

typedef struct tally {
    const objective_list *objectives;
    double nll; /* of the first */
    double *sums, *counts;   /* [objectives->count] */
    rondo_measure *measures; /* likewise; what tally_report hands out */
} tally;

/* Room in the arena, which has to live as long; so has the list. */
bool tally_begin(tally *t, const objective_list *objectives, arena *a, rondo_error *error);
/* Those of the last run of a program of objectives_graph. */
void tally_read(tally *t, const instance *i);
void tally_copy(tally *into, const tally *from);
void tally_add(tally *into, const tally *more);
/* Counts are numbers of at least 0. */
bool tally_check_counts(const tally *t, rondo_error *error);
/* What is trained is finite. update: its number, for the message. */
bool tally_check_finite(const tally *t, int64_t update, rondo_error *error);
/* What the gradient of a group has to be multiplied by: 1 / count, or 0 if nothing counted. */
double tally_scale(const tally *t, int group);
/* loss, nll, targets and measures of *step; the rest is 0. The measures are the tally's. */
void tally_report(tally *t, rondo_step *step);

/* The number in an output of the last run, one f32 or i32; 0: there is none of this name. */
double tally_number(const instance *i, const char *output);
