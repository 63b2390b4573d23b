/* What infer rules share: checking the presence and type of operands, and shapes as text for errors. */
#pragma once
#include "ops/build.h"

/* graph_fail with RONDO_SHAPE; false, which an infer rule returns. */
#define infer_fail(g, ...) graph_refuse(g, RONDO_SHAPE, __VA_ARGS__)

const char *shape_words(rondo_graph *g, const shape *s); /* "[B,T,64]", in the graph's arena */
/* The same for a shape of another graph. */
const char *shape_words_of(rondo_graph *g, const rondo_graph *of, const shape *s);
const char *dim_words(rondo_graph *g, dim d);            /* "2·T" as the text form writes it */
static inline const char *op_words(const node *n)
{
    return op_table[n->op].signature.name;
}

/* Operand i, which is required, and of `type` unless that is 0. NULL: the graph failed. */
const value *infer_operand(rondo_graph *g, const node *n, int i, rondo_type type);
/* The same for an optional one: *operand is NULL when it is absent. */
bool infer_optional(rondo_graph *g, const node *n, int i, rondo_type type, const value **operand);
/* Operand i, if present, must be f32 of exactly this shape; what: its name in the error. */
bool infer_fits(rondo_graph *g, const node *n, int i, const char *what, const shape *expected);
/* Operands 0 to 2 of a recurrence: queries and keys [B,H,T,Dk], values [B,H,T,Dv]. */
bool infer_recurrence(rondo_graph *g, const node *n, const value *qkv[3]);
/* The axis attribute `axis` for operands of this rank; −1: the graph failed. */
int infer_axis(rondo_graph *g, const node *n, int64_t axis, int rank);
/* How many windows there are along an axis of x, whose extent is a number or a multiple of the stride. */
bool infer_window_count(rondo_graph *g, const node *n, const shape *x, int axis, const window_layout *w,
                        dim *count);
/* Operand i is i32[extent of x at axis 0]: lengths, offsets. */
bool infer_per_sentence(rondo_graph *g, const node *n, int i, const value *x);
static inline bool infer_result(value *result, rondo_type type, const shape *s)
{
    result->type = type;
    result->shape = *s;
    return true;
}
