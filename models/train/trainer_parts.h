/* The fields of a trainer, shared by models/train/trainer.c and models/train/trainer_checkpoint.c. */
#pragma once
#include "models/train/tally.h"
#include "models/train/trainer.h"
#include "models/weights.h"

struct rondo_trainer {
    rondo *context;
    arena arena;
    rondo_trainer_options options;
    rondo_graph *model; /* compiled for evaluation at the first call */
    value_id loss;
    objective_list objectives;
    rondo_weights *weights;
    program *train, *evaluate, *norm, *step;
    const struct wisdom *wisdom; /* kernel choices of the loaded checkpoint; NULL: none was loaded */
    instance run, evaluating, measuring, stepping;
    float *moment1, *moment2; /* of trained parameters */
    /* A block for each group of objectives: for the last batch, and for accumulated ones (NULL: none yet). */
    float **gradients, **sums;
    bool pending; /* `sums` and `earlier` hold those of earlier accumulate calls */
    tally now, earlier;
    float scalars[4];
    int32_t seed[2];
    int64_t number, batches; /* updates and batches so far; dropout is drawn from the latter */
    int32_t *sentences;
    int64_t sentence_capacity;
};
