/* The outputs of a graph, by name, as doubles. */
#pragma once
#include "core/team.h"
#include "tools/check/case.h"

typedef struct results {
    arena arena;
    const char **names;
    double **data;
    int64_t *counts;
    int count;
} results;

/* Run the graph on the numbers of a case, in double precision or on kernels. Both take ownership of the
 * graph, also on failure. */
bool run_exact(contract *k, rondo_graph *g, const contract_case *x, results *out);
bool run_kernels(contract *k, rondo_graph *g, const contract_case *x, team *t, results *out);
void results_end(results *r);
/* NULL: there is none of that name */
const double *results_find(const results *r, const char *name, int64_t *count);
