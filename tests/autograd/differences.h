/* Models with numbers, for tests of gradients: leaves filled by name, the graph in double, central
 * differences. */
#pragma once
#include "autograd/differentiate.h"
#include "ops/build.h"
#include "ops/interpret.h"

enum { MODEL_LEAVES = 32 };
typedef struct model {
    rondo *context;
    rondo_graph *g;
    int64_t bound[MAX_SYMBOLS];
    sampler random;
    int count;
    value_id leaves[MODEL_LEAVES]; /* of g */
    double *data[MODEL_LEAVES];
    int64_t counts[MODEL_LEAVES];
} model;

void model_begin(model *m);
void model_end(model *m);
/* After the graph is built: B = 3, T = 5, S = 4. f32 leaves hold numbers in ± 1; "length" holds 0, a part,
 * all of T; other integers are below 6. */
void model_fill(model *m);
/* Runs g, whose leaves have the names of the model's, and gives its numbers. The test fails if it cannot
 * run. */
interpretation model_run(const model *m, const rondo_graph *g);
double model_number(const model *m, const rondo_graph *g, value_id v); /* the first of v's numbers */
/* gradient: a value of d, the gradient of the leaf `leaf` of the model. It is compared with differences of
 * `loss`, a value of m->g. */
void model_check_leaf(model *m, value_id loss, int leaf, const rondo_graph *d, value_id gradient);
/* A copy of g with the gradients of its parameters as outputs, and "the loss". */
rondo_graph *differentiate_parameters(const rondo_graph *g, value_id loss, rondo_error *error);
/* Differentiates with respect to all parameters and checks every one. Returns the gradient graph. */
rondo_graph *model_check(model *m, rondo_value loss);
int count_op(const rondo_graph *g, int op);
