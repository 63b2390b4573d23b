/* The program of `fused`: postfix text, tokens with single spaces between them.
 *
 *   3      push operand 3
 *   #1.5   push the number 1.5
 *   add    apply an elementwise op (unary, binary, select) to the top of the stack
 *   =0     store the top as result 0, and keep it; results are stored in order
 *   .      drop the top */
#pragma once
#include "core/graph.h"

typedef enum fused_kind {
    FUSED_END,
    FUSED_OPERAND,
    FUSED_NUMBER,
    FUSED_OP,
    FUSED_STORE,
    FUSED_DROP,
    FUSED_WRONG
} fused_kind;
typedef struct fused_token {
    fused_kind kind;
    int index;     /* OPERAND, STORE: which; OP: its op_id */
    int takes;     /* OP: how many operands */
    double number; /* NUMBER */
} fused_token;

enum { FUSED_DEPTH = 16 }; /* the deepest stack that infer accepts */

/* The token at *at; *at then points after it. */
fused_token fused_next(const char **at);
