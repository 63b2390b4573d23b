/* What the graph knows about ops: name, operands, attributes, and how their types are inferred. core knows no
 * op itself: a context is given the list of the ops that its graphs are made of (ops/context.c gives it that
 * of ops/ops.def). */
#pragma once
#include "core/memory.h"

typedef enum attribute_kind {
    ATTRIBUTE_END,
    ATTRIBUTE_INTEGER, /* axis=-1 */
    ATTRIBUTE_REAL,    /* epsilon=1e-5 */
    ATTRIBUTE_FLAG,    /* transpose_b */
    ATTRIBUTE_DIMS,    /* dims=[B,T,64]: an index into graph.shapes */
    ATTRIBUTE_NAME,    /* name="tokens": an index into graph.names */
    ATTRIBUTE_ORDER,   /* order=[0,2,1,3]: packed, 4 bits an axis from the lowest, count in bits 60… */
    ATTRIBUTE_TYPE,    /* type=i32 */
    ATTRIBUTE_BODY     /* body="cell": the name of a body of the graph, an index into graph.names */
} attribute_kind;
typedef struct attribute_field {
    const char *name;
    attribute_kind kind;
    double initial; /* what an attribute that is not written has; NAN: it must be written */
} attribute_field;
typedef union attribute {
    int64_t integer; /* INTEGER, FLAG, DIMS, NAME, ORDER, TYPE, BODY */
    double real;     /* REAL */
} attribute;

struct node;
struct value;
typedef struct op_signature {
    const char *name;
    /* Operands before min_inputs are always there, those from it on may be absent. Trailing absent ones are
     * cut off, but node.inputs has room for max_inputs and holds NONE there. */
    int min_inputs, max_inputs, output_count; /* the most results: infer may lower the node's output_count */
    const attribute_field *fields;            /* ATTRIBUTE_END after the last */
    bool pure; /* hash-consed: all but leaves, which have names */
    /* Sets outputs[].type and .shape; false: graph_fail was called. */
    bool (*infer)(rondo_graph *g, struct node *n, struct value *outputs);
} op_signature;

/* The op of a node is an index into the list. */
typedef struct op_list {
    const op_signature *const *signatures;
    int count;
} op_list;
const op_signature *op_list_at(const op_list *ops, int op); /* NULL: no such op */
int op_list_find(const op_list *ops, const char *name);     /* −1: no such op */
