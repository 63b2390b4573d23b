/* What the public functions that build a graph share: beginning a call, reading operands and options, and
 * returning the result. A call does nothing if its graph has an error already. */
#pragma once
#include "ops/build.h"
#include <stdarg.h>

enum { DSL_TEXT_BYTES = 512 }; /* of a name, a type or dims, its NUL included */

static inline rondo_value dsl_value(rondo_graph *g, value_id id) { return (rondo_value){g, id}; }
static inline rondo_value dsl_none(void) { return (rondo_value){NULL, NONE}; }

/* The graph that is being built, which is a body of g inside a loop, with its source line set. NULL: there
 * is no graph, or it has an error. */
rondo_graph *dsl_graph(rondo_place place, rondo_graph *g);
/* The same for the graph of x, an operand. */
rondo_graph *dsl_start(rondo_place place, const char *function, rondo_value *x);
/* Whether y, the operand called `what`, is a value of g or of a graph around it; if not, g fails. A value
 * from around becomes the input of g that stands for it, so y.id is read after this. */
bool dsl_operand(rondo_graph *g, const char *function, const char *what, rondo_value *y);
/* Initial numbers for what dsl_leaf has given for a parameter; returns it, NONE on failure. */
value_id dsl_initial(rondo_graph *g, value_id parameter, rondo_initial kind, double scale);

/* The format and its arguments as text; NULL: too long, the graph failed. */
const char *dsl_format(rondo_graph *g, const char *function, char buffer[DSL_TEXT_BYTES], const char *format,
                       va_list list) __attribute__((format(printf, 4, 0)));
/* The dims that a format of its caller says, "[B,T,%d]". */
bool dsl_dims(rondo_graph *g, const char *function, shape *s, const char *format, va_list list)
    __attribute__((format(printf, 4, 0)));
/* An optional operand: *id is NONE without a value. */
bool dsl_optional(rondo_graph *g, const char *function, const char *what, rondo_value y, value_id *id);
/* The name as it is inside the current scopes: "decoder.layers.0.NAME". NULL: failed. */
const char *dsl_scoped(rondo_graph *g, char buffer[DSL_TEXT_BYTES], const char *name);

/* The input or parameter of this full name: the existing one, if it has this type, or a new one. */
value_id dsl_leaf(rondo_graph *g, op_id op, const char *name, rondo_type type, const shape *s);

/* A parameter NAME of the current scope; columns 0: a vector. */
value_id dsl_parameter(rondo_graph *g, const char *name, int64_t rows, int64_t columns);
/* NAME.weight [width, channels] of a convolution of each channel by itself: uniform in ± 1/√width. */
value_id dsl_taps(rondo_graph *g, int64_t width, int64_t channels);
/* The seed and the sentence ids, inputs of the whole graph in any scope, and a new site. False: failed. */
bool dsl_random_site(rondo_graph *g, dim sentences, value_id inputs[2], int64_t *site);
/* Extent of the last axis of x, which must be a number; −1: the graph failed. */
int64_t dsl_channels(rondo_graph *g, const char *function, value_id x);

/* Copies the caller's options. A shorter struct comes from an older header: the rest is zero. A longer one
 * comes from a newer header and is accepted if the fields that this library lacks are zero. */
bool dsl_options(rondo_graph *g, const char *function, void *out, size_t size, const void *given);

/* 0.1f as 0.1: the shortest decimal that rounds to this float. */
double dsl_decimal(float number);

/* An objective, or with weight 0 a metric, in the current scope. count NONE: the count of the sum, if any. */
value_id dsl_objective(rondo_graph *g, const char *function, const char *name, value_id sum, value_id count,
                       double weight);
