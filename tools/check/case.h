/* One case of a contract: a layer, numbers for its leaves, and lengths, which leave padding in places that
 * take lengths. */
#pragma once
#include "tools/check/contract.h"
#include "tools/graphs/layer.h"
#include "tools/graphs/leaves.h"

/* Extents of B, T and S, and width and heads of the layer. */
typedef struct case_shape {
    int64_t batch, time, source, width, heads;
} case_shape;
typedef struct contract_case {
    case_shape shape;
    layer layer;
    leaves leaves;
    arena arena;
    extent extents[3];
} contract_case;

bool case_begin(contract *k, case_shape size, bool trained, contract_case *x);
void case_end(contract_case *x);
/* Sets "length" and "rows": to their maximum, or ragged, decreasing from sentence to sentence. */
void case_lengths(contract_case *x, bool ragged);
int64_t case_length(const contract_case *x, int64_t sentence); /* number of rows of y that are not padding */
