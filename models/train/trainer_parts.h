/* What a trainer is made of: for models/train/trainer.c and models/train/trainer_checkpoint.c. */
#pragma once
#include "models/train/trainer.h"
#include "models/weights.h"

struct rondo_trainer {
    rondo *context;
    arena arena;
    rondo_trainer_options options;
    rondo_graph *model; /* for evaluation, compiled when it is first asked for */
    value_id loss;
    rondo_weights *weights;
    program *train, *evaluate, *norm, *step;
    const struct wisdom *wisdom; /* the kernels that a checkpoint chose; NULL: none was loaded */
    instance run, evaluating, measuring, stepping;
    float *gradient, *sum, *moment1, *moment2; /* of what is trained; sum: of accumulated gradients, NULL until it is needed */
    bool pending;                              /* `sum` holds gradients of earlier accumulate calls */
    double pending_loss, pending_nll;
    int64_t pending_count;
    float scalars[4];
    int32_t seed[2];
    int64_t number, batches; /* updates so far; accumulates so far, which dropout is drawn by */
    int32_t *sentences;
    int64_t sentence_capacity;
};
