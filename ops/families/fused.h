/* The program of `fused`: postfix text, one token after the other with single spaces between.
 *
 *   3      push operand 3             add    an elementwise op (unary, binary, select) on the top of the
 * stack #1.5   push the number 1.5        =0     store the top as result 0, and keep it; results come in
 * order .      drop the top */
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

enum { FUSED_DEPTH = 16 }; /* the deepest stack that infer admits */

/* The token at *at, which moves past it. */
fused_token fused_next(const char **at);
