/* What the public functions that build a graph share: how a call begins, how operands and options are read, and how a result
 * goes back. A call does nothing when its graph has an error already. */
#pragma once
#include "ops/build.h"
#include <stdarg.h>

enum { DSL_TEXT_BYTES = 512 }; /* of a name, a type or dims, its NUL included */

static inline rondo_value dsl_value(rondo_graph *g, value_id id) { return (rondo_value){g, id}; }
static inline rondo_value dsl_none(void) { return (rondo_value){NULL, NONE}; }

/* Sets the place. NULL: there is no graph, or it has an error. */
rondo_graph *dsl_graph(rondo_place place, rondo_graph *g);
/* The same for the graph of x, which must be one of its values. */
rondo_graph *dsl_start(rondo_place place, const char *function, rondo_value x);
/* Is y, the operand called `what`, a value of g? If not the graph fails. */
bool dsl_operand(rondo_graph *g, const char *function, const char *what, rondo_value y);

/* The format and its arguments as text; NULL: too long, the graph failed. */
const char *dsl_format(rondo_graph *g, const char *function, char buffer[DSL_TEXT_BYTES], const char *format,
                       va_list list) __attribute__((format(printf, 4, 0)));
/* The name as it is inside the current scopes: "decoder.layers.0.NAME". NULL: failed. */
const char *dsl_scoped(rondo_graph *g, char buffer[DSL_TEXT_BYTES], const char *name);

/* The input or parameter of this full name: the one that is there, if it has this type, or a new one. */
value_id dsl_leaf(rondo_graph *g, op_id op, const char *name, rondo_type type, const shape *s);

/* A parameter NAME of the current scope; columns 0: a vector. */
value_id dsl_parameter(rondo_graph *g, const char *name, int64_t rows, int64_t columns);
/* Extent of the last axis of x, which must be a number; −1: the graph failed. */
int64_t dsl_channels(rondo_graph *g, const char *function, value_id x);

/* Copies what the caller's options struct has. A shorter one is from an older header: the rest is zero. A longer one is from a
 * newer header: fine if what this library does not know is zero. */
bool dsl_options(rondo_graph *g, const char *function, void *out, size_t size, const void *given);

/* 0.1f as 0.1: the shortest decimal that is this float. */
double dsl_decimal(float number);
