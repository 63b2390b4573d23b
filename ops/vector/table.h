/* The vector functions of ops/vector, chosen for this processor. table.def has one line a function,
 * VECTOR(result, name, (argument types)); each exists once an instruction set. */
#pragma once
#include "ops/vector/types.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct vector_table {
#define VECTOR(type, name, arguments) type(*name) arguments;
#include "ops/vector/table.def"
#undef VECTOR
    int lanes; /* floats in a vector */
} vector_table;

/* The best set that this processor has. Any thread may call; the answer never changes. */
const vector_table *vectors(void);
/* One set by number, from the plainest: 0, 1, 2; NULL where the processor lacks it or there is none. For
 * tests. */
const vector_table *vectors_of(int set);
