/* Models with loops, for tests of their gradients, programs and step forms. */
#pragma once
#include "rondo.h"

/* x: [B, T, 3] → [B, T, ...]. Each adds its parameters to the graph of x. */
typedef rondo_value loop_model(rondo_value x);
typedef struct loop_case {
    const char *name;
    loop_model *make;
    bool causal; /* has a step form */
} loop_case;
extern const loop_case loop_cases[];
extern const int loop_case_count;
